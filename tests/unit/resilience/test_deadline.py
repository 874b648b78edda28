"""A deadline is a moment, not a duration."""

from novitai.resilience.deadline import Deadline


def test_what_remains_shrinks_with_time_and_ends_at_zero():
    """Nested waits share one budget: each asks what is left."""
    deadline = Deadline.after(15.0, now=100.0)

    remaining = [deadline.remaining(now) for now in (100.0, 110.0, 115.0, 200.0)]

    assert remaining == [15.0, 5.0, 0.0, 0.0]


def test_it_expires_at_the_very_moment():
    """Nothing is begun at or after the deadline."""
    deadline = Deadline.after(1.0, now=0.0)

    assert not deadline.expired(0.999)
    assert deadline.expired(1.0)
    assert Deadline.after(0.0, now=5.0).expired(5.0)
