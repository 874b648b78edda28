"""When failing work is tried again: later each time, within bounds, spread."""

import pytest

from novitai.policies.backoff import COOLDOWN_SECONDS, delivery_delay, offer_cooldown, requeue_delay

SCHEDULE = (1.0, 2.0, 4.0, 30.0)


def test_pauses_double_up_to_a_minute_and_are_spread_over_the_upper_half():
    """Between half of the step and the whole of it, never beyond the cap."""
    assert [requeue_delay(n, random=0.0) for n in (1, 2, 3, 7, 1000)] == [0.5, 1.0, 2.0, 30.0, 30.0]
    assert requeue_delay(3, random=0.999999) == pytest.approx(4.0)
    assert requeue_delay(0, random=0.0) == 0.5


def test_a_delivery_follows_its_schedule_spread_by_a_fifth():
    """The n-th failure waits for the n-th step, ±20 %."""
    assert [delivery_delay(SCHEDULE, n, random=0.5, retry_after=None) for n in (1, 2, 3, 4)] == list(SCHEDULE)
    assert delivery_delay(SCHEDULE, 1, random=0.0, retry_after=None) == pytest.approx(0.8)
    assert delivery_delay(SCHEDULE, 1, random=1.0, retry_after=None) == pytest.approx(1.2)


def test_a_delivery_ends_with_its_schedule():
    """After the last step there is no other, whatever the receiver asks for."""
    assert delivery_delay(SCHEDULE, 5, random=0.5, retry_after=10.0) is None
    assert delivery_delay((), 1, random=0.5, retry_after=None) is None


def test_a_receiver_may_ask_for_a_longer_pause_up_to_an_hour():
    """`Retry-After` never shortens the schedule."""
    assert delivery_delay(SCHEDULE, 1, random=0.5, retry_after=60.0) == 60.0
    assert delivery_delay(SCHEDULE, 4, random=0.5, retry_after=5.0) == 30.0
    assert delivery_delay(SCHEDULE, 1, random=0.5, retry_after=86_400.0) == 3600.0


def test_an_offer_without_capacity_is_left_alone_longer_each_time():
    """Three minutes, doubling up to thirty."""
    assert [offer_cooldown(n) for n in (1, 2, 3, 4, 5, 99)] == [180.0, 360.0, 720.0, 1440.0, 1800.0, 1800.0]
    assert offer_cooldown(0) == COOLDOWN_SECONDS
