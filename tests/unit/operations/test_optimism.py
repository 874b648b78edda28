"""A decision that lost its commit is made anew; one whose lease is lost is not."""

import pytest

from novitai.domain.errors import Code, Refusal
from novitai.operations.optimism import TRIES, until_committed
from novitai.ports.store import Conflict, LeaseLost


def losing(times: int, error: Exception):
    made: list[int] = []

    async def decide() -> int:
        made.append(len(made))
        if len(made) <= times:
            raise error
        return len(made)

    return decide, made


async def test_a_lost_commit_is_decided_anew():
    """Until it is written."""
    decide, _ = losing(3, Conflict("changed"))

    assert await until_committed(decide, subject="it") == 4


async def test_what_changes_all_the_time_is_given_up_with_a_reason():
    """Instead of going on for ever."""
    decide, made = losing(1_000, Conflict("changed"))

    with pytest.raises(Refusal, match="it is changing too fast") as refused:
        await until_committed(decide, subject="it")

    assert refused.value.code is Code.CONFLICT
    assert len(made) == TRIES


async def test_a_lost_lease_ends_it_at_once():
    """Somebody else leads, and decides."""
    decide, made = losing(1_000, LeaseLost("another leads"))

    with pytest.raises(LeaseLost):
        await until_committed(decide, subject="it")

    assert len(made) == 1
