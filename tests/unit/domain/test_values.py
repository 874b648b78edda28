"""Money, times and secrets: exact, unambiguous, and not printed by accident."""

import pytest

from novitai.domain.money import cost, dollars, usd
from novitai.domain.secrets import Sealed
from novitai.domain.times import iso, iso_or_none


@pytest.mark.parametrize(
    ("text", "units"), [(0.35, 35_000), (0.1 + 0.2, 30_000), (0.00001, 1), (123.45678, 12_345_678), (0, 0)]
)
def test_dollars_are_kept_exactly_to_a_hundred_thousandth(text, units):
    """What people write becomes whole units, and is read back as the same number."""
    assert usd(text) == units
    assert dollars(usd(text)) == units / 100_000


def test_a_price_per_hour_becomes_the_cost_of_a_time():
    """An hour costs the price; a part of it its part, to the nearest unit."""
    assert cost(usd(0.35), 3600) == usd(0.35)
    assert cost(usd(0.35), 1800) == usd(0.175)
    assert cost(usd(0.35), 0) == 0
    assert cost(usd(0.00001), 1) == 0


def test_times_are_written_in_utc_with_milliseconds_and_z():
    """The form of every time that leaves the house."""
    assert iso(1_800_000_000.25) == "2027-01-15T08:00:00.250Z"
    assert iso(0.0) == "1970-01-01T00:00:00.000Z"


def test_a_time_that_is_not_known_is_left_out():
    """Novita's 0 means never."""
    assert iso_or_none(None) is None
    assert iso_or_none(0.0) is None
    assert iso_or_none(1_800_000_000.0) == "2027-01-15T08:00:00.000Z"


def test_a_sealed_value_does_not_print():
    """Neither its text form nor that of what holds it shows the ciphertext."""
    sealed = Sealed("c2VjcmV0")

    assert "c2VjcmV0" not in f"{sealed} {sealed!r} {(sealed,)}"
