"""Small records do not pile up for ever, and what is still needed is never forgotten."""

import pytest
from msgspec.structs import replace

from novitai.domain.idle import Activity
from novitai.domain.instance import Attempt, AttemptOutcome, attempt_id
from novitai.operations import records
from support import builders
from support.running import running

DAY = 86_400.0
SENT = Attempt(
    id=attempt_id(builders.INSTANCE_ID, 1),
    instance_id=builders.INSTANCE_ID,
    number=1,
    machine_name="demo-nvtest",
    offer=builders.offer(),
    correlation_id="corr_1",
    sent_at=builders.NOW,
)


def test_an_attempt_whose_outcome_is_open_is_kept_for_ever() -> None:
    """It is the only proof that a machine may have been bought."""
    assert records.put_attempt(SENT).expires_at is None


@pytest.mark.parametrize("outcome", [one for one in AttemptOutcome if one is not AttemptOutcome.OPEN])
def test_an_attempt_whose_outcome_is_known_is_kept_for_90_days(outcome: AttemptOutcome) -> None:
    """As long as the events that tell of it."""
    assert records.put_attempt(replace(SENT, outcome=outcome)).expires_at == SENT.sent_at + 90 * DAY


def test_a_last_use_is_kept_for_90_days() -> None:
    """After that the instance is idle by any measure."""
    activity = Activity(instance_id=builders.INSTANCE_ID, last_used_at=builders.NOW)

    assert records.put_activity(activity, expect=0).expires_at == builders.NOW + 90 * DAY


async def test_an_old_instance_lives_on_without_its_attempt() -> None:
    """Forgetting how it was bought changes nothing about it."""
    async with running(INSTANCE_POLL_INTERVAL="5m") as house:
        made = await house.ready()
        assert len(await house.attempts(made)) == 1

        house.clock._now += 91 * DAY
        await house.store.expire(limit=500)

        assert await house.attempts(made) == []
        assert (await house.instance(made)).machine is not None
