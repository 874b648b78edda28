"""Spot machines that Novita takes back, in virtual time: noticed, replaced, moved, and left alone where nobody wants them back."""

from typing import Any

import msgspec
import pytest

from novitai.domain.automation import Part
from novitai.domain.errors import NoBalance, NoCapacity, Rejected, Unclear
from novitai.domain.instance import DesiredState, Instance, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import BillingMode, MachineStatus, SpotStatus
from novitai.domain.migration import Migration, MoveOutcome, Strategy, Way
from novitai.domain.money import Usd
from novitai.operations import records
from novitai.policies.migration import MOST_MOVES
from novitai.policies.moves import STUCK_SECONDS
from novitai.policies.successors import SEARCH_SECONDS
from support import builders
from support.running import House, context, running
from support.timed_provider import DOWN, GONE, STUCK, machine_of

HOUR = 3600.0
SWEEP = 31.0
"""A quiet interval and a second: within that every change of the list is seen."""
REPLACE = Migration(strategy=Strategy.REPLACE)
NOTIFIED, TERMINATED = SpotStatus.NOTIFIED, SpotStatus.TERMINATED


async def machine_id(house: House, instance_id: str) -> str:
    return machine_of(await house.instance(instance_id))


async def noticed(house: House, instance_id: str, *, seconds: float = HOUR) -> str:
    """Novita announces that it takes the instance's machine back; its id."""
    found = await machine_id(house, instance_id)
    when = house.clock.now() + seconds
    house.provider.becomes(found, ((0.0, MachineStatus.RUNNING),), spot_status=NOTIFIED, reclaim_at=when)
    return found


async def reclaimed(house: House, instance_id: str) -> str:
    """Novita takes the instance's machine back without a word; its id."""
    found = await machine_id(house, instance_id)
    house.provider.becomes(found, DOWN, spot_status=TERMINATED, reclaim_at=house.clock.now())
    return found


def fall(house: House, found: str) -> None:
    """The deadline of a notice: Novita stops the machine."""
    house.provider.becomes(found, DOWN, spot_status=TERMINATED)


async def when(house: House, instance_id: str, kind: str) -> float:
    """When something was told last."""
    return [one.at for one in await house.events(instance_id) if str(one.type) == f"instance.{kind}"][-1]


async def data(house: House, instance_id: str, kind: str) -> dict[str, Any]:
    return [one.data for one in await house.events(instance_id) if str(one.type) == f"instance.{kind}"][-1]


async def audited(house: House, *actions: str) -> list[Any]:
    """Entries of the audit log with these actions."""
    page = await house.store.read_log(records.AUDIT, "all", limit=1000)
    entries = [records.read_audit(entry.body) for entry in page.entries]
    return [entry for entry in entries if entry.action in actions]


async def alone(house: House) -> None:
    """Only one machine is left."""
    await house.clock.run_until(lambda: len(house.provider.present()) == 1, within=300.0)


def sold_out(house: House) -> None:
    """Nothing can be bought any more."""
    house.provider.trouble = lambda method: NoCapacity("sold out", status=409) if method == "create" else None


# ── on the notice ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_with_replace_another_machine_is_asked_for_within_ten_seconds_of_the_notice():
    """The old one serves until the new one is ready, and is then deleted."""
    async with running() as house:
        instance_id = await house.ready(migration=REPLACE)
        old = await noticed(house, instance_id)

        await house.until(instance_id, State.MIGRATING, within=SWEEP)
        moving = await house.instance(instance_id)
        moved = await house.until(instance_id, State.READY)
        await alone(house)

        told = await house.told(instance_id)
        assert house.provider.made("create")[1].at - await when(house, instance_id, "spot_notice") <= 10.0
        assert moving.serving is not None
        assert moving.serving.id == old
        assert [one.argument for one in house.provider.made("delete")] == [old]
        assert house.provider.made("delete")[0].at >= await when(house, instance_id, "ready")
        assert told[told.index("spot_notice") :][:3] == ["spot_notice", "migrating", "created"]
        assert told[-2:] == ["ready", "migrated"]
        assert moved.desired.by == "user:key_1"


async def test_the_new_machine_is_bought_elsewhere_while_anything_else_fits():
    """The offer that is being taken back is the last choice."""
    async with running() as house:
        instance_id = await house.ready(migration=REPLACE)
        before = (await house.instance(instance_id)).offer
        await noticed(house, instance_id)

        await house.until(instance_id, State.MIGRATING, within=SWEEP)
        moved = await house.until(instance_id, State.READY)

        assert moved.offer.cluster_id != before.cluster_id


async def test_every_move_leaves_its_evidence_and_its_figures():
    """In the audit log, in the event, in the statistics and in the metrics."""
    async with running() as house:
        instance_id = await house.ready(migration=REPLACE)
        old = await noticed(house, instance_id)

        await house.until(instance_id, State.MIGRATING, within=SWEEP)
        moved = await house.until(instance_id, State.READY)
        (entry,) = await audited(house, "instance.replace")
        told = await data(house, instance_id, "migrated")
        stats = house.program.operations.migrations.stats()

        assert entry.by == "migration"
        assert old in entry.detail["because"]
        assert "its strategy is replace" in entry.detail["because"]
        assert entry.detail["facts"]["spotStatus"] == "notified"
        assert (told["fromMachineId"], told["toMachineId"]) == (old, machine_of(moved))
        assert told["secondsToReady"] == pytest.approx(stats.last_seconds, abs=0.001)
        assert (stats.begun, stats.moved, stats.median_seconds) == (1, 1, stats.last_seconds)
        assert b'novitai_migration_recovery_seconds_count{way="replace"} 1.0' in house.program.base.metrics.render()


async def test_the_old_machine_is_given_up_at_its_end_when_the_new_one_runs():
    """It may not be ready yet, but there is nothing to go back to."""
    async with running() as house:
        instance_id = await house.ready(migration=REPLACE)
        house.receivers.healthy = False
        old = await noticed(house, instance_id, seconds=60.0)
        await house.until(instance_id, State.MIGRATING, within=SWEEP)
        fall(house, old)

        await house.until(instance_id, State.HEALTH_CHECKING)
        await alone(house)

        assert (await house.instance(instance_id)).former is None
        assert "reclaimed" in await house.told(instance_id)


async def test_a_notice_that_is_taken_back_before_anything_is_bought_ends_the_search():
    """The instance goes on as it was."""
    async with running() as house:
        instance_id = await house.ready(migration=REPLACE)
        sold_out(house)
        old = await noticed(house, instance_id)
        await house.until(instance_id, State.MIGRATING, within=SWEEP)

        house.provider.becomes(old, ((0.0, MachineStatus.RUNNING),), spot_status=SpotStatus.RUNNING, reclaim_at=0.0)
        back = await house.until(instance_id, State.READY, within=120.0)

        assert machine_of(back) == old
        assert back.moves[-1].outcome is MoveOutcome.CALLED_OFF
        assert house.provider.made("delete") == []


async def test_what_novita_moves_by_itself_is_not_replaced():
    """Never two moves at once."""
    async with running() as house:
        instance_id = await house.ready(migration=REPLACE)
        sold_out(house)
        old = await noticed(house, instance_id)
        await house.until(instance_id, State.MIGRATING, within=SWEEP)

        house.provider.becomes(old, STUCK)
        await house.clock.advance(400.0)

        now = await house.instance(instance_id)
        assert now.state is State.MIGRATING
        assert machine_of(now) == old
        assert now.former is None
        assert now.move is None


# ── after the stop ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_by_default_novita_is_asked_to_move_the_machine_within_ten_seconds_of_the_stop():
    """Not on the notice, when it would refuse; the machine is the same afterwards."""
    async with running() as house:
        instance_id = await house.ready()
        old = await noticed(house, instance_id)
        await house.clock.advance(600.0)
        early = house.provider.made("migrate")
        fall(house, old)

        await house.until(instance_id, State.MIGRATING, within=SWEEP + 10.0)
        moved = await house.until(instance_id, State.READY)

        assert early == []
        assert house.provider.made("migrate")[0].at - await when(house, instance_id, "stopped") <= 10.0
        assert len(house.provider.made("migrate")) == 1
        assert machine_of(moved) == old
        assert [one.method for one in house.provider.changes()] == ["create", "migrate"]
        assert (await house.told(instance_id))[-2:] == ["ready", "migrated"]


@pytest.mark.parametrize("strategy", [Strategy.MIGRATE, Strategy.REPLACE])
async def test_what_is_reclaimed_without_a_notice_is_brought_back_too(strategy):
    """Novita's spot status is enough."""
    async with running() as house:
        instance_id = await house.ready(migration=Migration(strategy=strategy))
        await reclaimed(house, instance_id)

        await house.until(instance_id, State.MIGRATING, within=SWEEP + 20.0)
        moved = await house.until(instance_id, State.READY)

        told = await house.told(instance_id)
        assert "reclaimed" in told
        assert "spot_notice" not in told
        assert moved.moves[-1].outcome is MoveOutcome.MOVED
        assert moved.moves[-1].way == str(strategy)


async def test_without_capacity_for_the_move_another_machine_is_bought():
    """Within the same move; the old one goes when the other is ready."""
    async with running() as house:
        house.provider.fail("migrate", NoCapacity("MIGRATE_INSUFFICIENT_RESOURCE", status=400))
        instance_id = await house.ready()
        old = await reclaimed(house, instance_id)

        await house.until(instance_id, State.MIGRATING, within=SWEEP + 20.0)
        moved = await house.until(instance_id, State.READY)
        await alone(house)

        assert machine_of(moved) != old
        assert moved.moves[-1].way is Way.REPLACE
        assert len(moved.moves) == 1
        assert (await house.told(instance_id)).count("migrating") == 2


async def test_a_reclaimed_machine_that_is_gone_is_replaced():
    """Two pieces of evidence say that it is gone; its spot status says why."""
    async with running() as house:
        instance_id = await house.ready()
        old = await noticed(house, instance_id)
        await house.clock.advance(SWEEP)
        house.provider.vanish(old)

        await house.until(instance_id, State.MIGRATING, within=180.0)
        moved = await house.until(instance_id, State.READY)

        assert machine_of(moved) != old
        assert "lost" in await house.told(instance_id)
        await house.clock.advance(120.0)
        assert (await house.instance(instance_id)).discarded == ()


async def test_an_unclear_answer_is_looked_at_before_novita_is_asked_again():
    """It may have begun to move the machine."""
    async with running() as house:
        house.provider.fail("migrate", Unclear("reset"), effect=True)
        instance_id = await house.ready()
        await reclaimed(house, instance_id)

        await house.until(instance_id, State.MIGRATING, within=SWEEP + 20.0)
        moved = await house.until(instance_id, State.READY)

        assert len(house.provider.made("migrate")) == 1
        assert moved.moves[-1].outcome is MoveOutcome.MOVED


async def test_a_move_that_novita_refuses_for_good_is_told_and_followed_by_a_replacement_after_a_pause():
    """What failed once is not tried again in the same way."""
    async with running() as house:
        house.provider.fail("migrate", Rejected("CUDA_VERSION_INCOMPATIBLE", status=400))
        instance_id = await house.ready()
        old = await reclaimed(house, instance_id)

        await house.clock.advance(SWEEP + 20.0)
        failed = await house.instance(instance_id)
        moved = await house.until(instance_id, State.READY)

        assert failed.state is State.STOPPED
        assert failed.last_error is not None
        assert (await data(house, instance_id, "migration_failed"))["error"]["message"] == "CUDA_VERSION_INCOMPATIBLE"
        assert machine_of(moved) != old
        assert [one.outcome for one in moved.moves] == [MoveOutcome.FAILED, MoveOutcome.MOVED]


@pytest.mark.parametrize("strategy", [Strategy.MIGRATE, Strategy.REPLACE])
async def test_a_move_that_cannot_be_paid_waits_until_it_can(strategy):
    """It costs no try: it goes on as soon as Novita sells again."""
    async with running() as house:
        instance_id = await house.ready(migration=Migration(strategy=strategy))
        poor = NoBalance("NOT_ENOUGH_BALANCE", status=403)
        house.provider.trouble = lambda method: poor if method in {"create", "migrate"} else None
        await reclaimed(house, instance_id)
        await house.clock.advance(1800.0)
        waiting = await house.instance(instance_id)
        house.provider.trouble = lambda _method: None

        moved = await house.until(instance_id, State.READY, within=900.0)

        assert waiting.state is State.MIGRATING
        assert [one.outcome for one in moved.moves] == [MoveOutcome.MOVED]
        assert "migration_failed" not in await house.told(instance_id)


async def test_a_move_of_novitas_that_hangs_is_told_of_once():
    """What can be done about it, Novita's jobs know."""
    async with running() as house:
        house.provider.moving = STUCK
        instance_id = await house.ready()
        await reclaimed(house, instance_id)
        await house.until(instance_id, State.MIGRATING, within=SWEEP + 20.0)

        await house.clock.advance(STUCK_SECONDS + 5.0)
        before = (await house.told(instance_id)).count("migration_failed")
        await house.clock.advance(1800.0)

        now = await house.instance(instance_id)
        assert before == 1
        assert (await house.told(instance_id)).count("migration_failed") == 1
        assert now.state is State.MIGRATING
        assert now.former is None


# ── what is left alone ────────────────────────────────────────────────────────────────────────────────────────────────


async def unmoved(house: House, instance_id: str, *, state: State = State.STOPPED) -> Instance:
    """An hour later nothing has been moved."""
    await house.clock.advance(HOUR)
    now = await house.instance(instance_id)
    assert now.state is state
    assert now.moves == ()
    assert len(house.provider.made("create")) == 1
    assert house.provider.made("migrate") == []
    return now


async def test_what_a_person_stopped_is_never_brought_back():
    """Although Novita had announced that it takes it back."""
    async with running() as house:
        instance_id = await house.ready()
        old = await noticed(house, instance_id)
        await house.clock.advance(SWEEP)
        await house.ask(instance_id, Verb.STOP)
        await house.until(instance_id, State.STOPPED)
        house.provider.becomes(old, ((0.0, MachineStatus.STOPPED),), spot_status=TERMINATED)

        await unmoved(house, instance_id)


async def test_what_was_stopped_outside_of_us_is_never_brought_back():
    """A stop by the account's owner ends Novita's notice, and is a person's word."""
    async with running() as house:
        instance_id = await house.ready(migration=REPLACE)
        house.provider.becomes(await machine_id(house, instance_id), DOWN)

        now = await unmoved(house, instance_id)
        assert now.desired.by == "outside"


async def test_what_the_idle_stop_stopped_is_never_brought_back():
    """Its word changes what is wanted, like a person's."""
    async with running(
        AUTO_STOP_ENABLED="true", AUTO_STOP_THRESHOLD="20m", AUTO_STOP_WARN="0s", AUTO_STOP_INTERVAL="30s"
    ) as house:
        house.provider.load = lambda _machine, _at: (0.0, 0.0)
        instance_id = await house.ready()
        await house.until(instance_id, State.STOPPED)
        found = await machine_id(house, instance_id)
        house.provider.becomes(found, ((0.0, MachineStatus.STOPPED),), spot_status=TERMINATED)

        now = await unmoved(house, instance_id)
        assert now.desired.by == "idle"


LEFT = {
    "notify-only": ({"migration": Migration(strategy=Strategy.NOTIFY_ONLY)}, {}),
    "switched off for it": ({"migration": Migration(enabled=False)}, {}),
    "protected": ({"protect": True, "migration": REPLACE}, {}),
    "switched off": ({}, {"MIGRATION_ENABLED": "false"}),
}


@pytest.mark.parametrize(("fields", "environment"), LEFT.values(), ids=LEFT)
async def test_what_nobody_wants_moved_is_only_told_of(fields, environment):
    """The notice and the reclaim are events, and that is all."""
    async with running(**environment) as house:
        instance_id = await house.ready(**fields)
        old = await noticed(house, instance_id)
        await house.clock.advance(SWEEP)
        fall(house, old)

        now = await unmoved(house, instance_id)
        told = await house.told(instance_id)
        assert now.wants is DesiredState.RUNNING
        assert "spot_notice" in told
        assert "reclaimed" in told


async def test_a_dry_run_writes_down_once_what_would_be_done():
    """Once for each case, however often it is looked at."""
    async with running(MIGRATION_DRY_RUN="true", MIGRATION_INTERVAL_MINUTES="1m") as house:
        instance_id = await house.ready()
        await reclaimed(house, instance_id)

        await unmoved(house, instance_id)
        (entry,) = await audited(house, "instance.would_migrate")
        assert entry.by == "migration"
        assert "Novita is asked to move it" in entry.detail["because"]


async def test_while_it_is_paused_nothing_moves_and_afterwards_at_once():
    """For a bad night."""
    async with running() as house:
        automation = house.program.operations.automation
        instance_id = await house.ready()
        await automation.pause([Part.MIGRATION], "a bad night", context())
        await reclaimed(house, instance_id)
        await unmoved(house, instance_id)

        await automation.resume([Part.MIGRATION], "it is over", context())
        await house.until(instance_id, State.MIGRATING, within=1.0)


async def test_no_more_than_so_many_move_at_once():
    """The others follow as soon as one has ended."""
    async with running(MIGRATION_MAX_CONCURRENT="1") as house:
        one, two = await house.ready(name="one"), await house.ready(name="two")
        most = 0

        def watch(_snapshot: Any) -> None:
            nonlocal most
            most = max(most, house.program.operations.migrations.busy())

        house.program.operations.reads.listen(watch)
        await reclaimed(house, one)
        await reclaimed(house, two)
        await house.clock.advance(600.0)

        assert most == 1
        assert (house.state(one), house.state(two)) == (State.READY, State.READY)
        assert len(house.provider.made("migrate")) == 2


async def test_an_instance_that_moves_again_and_again_is_left_alone_and_that_is_said_once():
    """One event and one entry, however often it is looked at."""
    async with running() as house:
        instance_id = await house.ready()
        for _ in range(MOST_MOVES):
            await reclaimed(house, instance_id)
            await house.until(instance_id, State.STOPPED, State.MIGRATING, within=SWEEP + 20.0)
            await house.until(instance_id, State.READY)
        await reclaimed(house, instance_id)
        await house.clock.advance(HOUR)

        left = await house.instance(instance_id)
        assert left.state is State.STOPPED
        assert len(left.moves) == MOST_MOVES
        assert (await house.told(instance_id)).count("migration_failed") == 1
        assert len(await audited(house, "instance.leave")) == 1


# ── when it does not go well ──────────────────────────────────────────────────────────────────────────────────────────


async def test_while_nothing_can_be_bought_the_old_machine_serves_and_the_search_goes_on():
    """And takes its place again when Novita takes it and there is still nothing; that is told with what refused."""
    async with running() as house:
        instance_id = await house.ready(migration=REPLACE)
        sold_out(house)
        old = await noticed(house, instance_id)
        await house.until(instance_id, State.MIGRATING, within=SWEEP)
        await house.clock.advance(HOUR)
        searching = await house.instance(instance_id)
        fall(house, old)

        failed = await house.until(instance_id, State.STOPPED, within=SEARCH_SECONDS + 600.0)

        told = await data(house, instance_id, "migration_failed")
        assert searching.serving is not None
        assert searching.serving.id == old
        assert machine_of(failed) == old
        assert failed.former is None
        assert told["error"]["code"] == "NO_CAPACITY"
        assert told["offers"]
        assert failed.wants is DesiredState.RUNNING
        assert house.provider.made("delete") == []


async def test_a_search_in_vain_ends_well_when_there_is_capacity_again():
    """The pauses between two looks stay short enough."""
    async with running() as house:
        instance_id = await house.ready(migration=REPLACE)
        sold_out(house)
        await noticed(house, instance_id)
        await house.until(instance_id, State.MIGRATING, within=SWEEP)
        await house.clock.advance(1200.0)
        house.provider.trouble = lambda _method: None

        moved = await house.until(instance_id, State.READY, within=700.0)
        assert moved.moves[-1].outcome is MoveOutcome.MOVED


async def test_a_new_machine_that_never_comes_up_leaves_the_old_one_in_its_place():
    """Two were tried; both are deleted, and after a pause it is tried again."""
    async with running(INSTANCE_STARTUP_TIMEOUT="2m") as house:
        instance_id = await house.ready(migration=REPLACE)
        usual, house.provider.up = house.provider.up, ((0.0, MachineStatus.PENDING),)
        old = await noticed(house, instance_id)
        await house.until(instance_id, State.MIGRATING, within=SWEEP)

        back = await house.until(instance_id, State.READY, within=600.0)
        house.provider.up = usual
        await house.until(instance_id, State.MIGRATING, within=120.0)
        moved = await house.until(instance_id, State.READY)
        await alone(house)

        assert machine_of(back) == old
        assert back.moves[-1].outcome is MoveOutcome.FAILED
        assert (await house.told(instance_id)).count("migration_failed") == 1
        assert machine_of(moved) != old


async def test_a_new_machine_whose_application_does_not_answer_leaves_the_old_one_in_its_place():
    """What serves is worth more than what does not."""
    async with running(HEALTH_CHECK_MAX_WAIT_TIME_MS="60000") as house:
        instance_id = await house.ready(migration=REPLACE)
        old = await noticed(house, instance_id)
        await house.until(instance_id, State.MIGRATING, within=SWEEP)
        house.receivers.healthy = False

        back = await house.until(instance_id, State.READY, within=600.0)

        assert machine_of(back) == old
        assert (await data(house, instance_id, "migration_failed"))["error"]["code"] == "HEALTH_CHECK_TIMEOUT"


async def test_a_new_machine_that_stops_before_it_is_ready_leaves_the_old_one_in_its_place():
    """And says nothing about what is wanted."""
    async with running() as house:
        instance_id = await house.ready(migration=REPLACE)
        old = await noticed(house, instance_id)
        await house.until(instance_id, State.MIGRATING, within=SWEEP)
        await house.clock.advance(10.0)
        house.provider.becomes(await machine_id(house, instance_id), DOWN)

        back = await house.until(instance_id, State.READY, within=60.0)

        assert machine_of(back) == old
        assert back.desired.by == "user:key_1"
        assert back.wants is DesiredState.RUNNING


# ── people ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("after", [0.0, 10.0, 30.0], ids=["while it is bought", "while it boots", "when it runs"])
async def test_a_stop_during_a_replacement_stops_the_old_machine_with_its_disk(after):
    """What was bought for it is deleted; the old one is not."""
    async with running() as house:
        instance_id = await house.ready(migration=REPLACE)
        house.receivers.healthy = False
        house.provider.seconds["create"] = 3.0
        old = await noticed(house, instance_id)
        await house.until(instance_id, State.MIGRATING, within=SWEEP)
        await house.clock.advance(after)

        await house.ask(instance_id, Verb.STOP)
        stopped = await house.until(instance_id, State.STOPPED, within=300.0)
        await alone(house)

        assert machine_of(stopped) == old
        assert stopped.former is None
        assert [one.argument for one in house.provider.made("stop")] == [old]
        assert old not in [one.argument for one in house.provider.made("delete")]
        assert "stopped" in await house.told(instance_id)
        assert stopped.wants is DesiredState.STOPPED


async def test_a_stop_during_novitas_own_move_is_done_after_it():
    """Recorded, and nothing is sent before."""
    async with running() as house:
        instance_id = await house.ready()
        await reclaimed(house, instance_id)
        await house.until(instance_id, State.MIGRATING, within=SWEEP + 20.0)
        await house.clock.advance(20.0)

        await house.ask(instance_id, Verb.STOP)
        await house.clock.advance(60.0)
        early = house.provider.made("stop")
        stopped = await house.until(instance_id, State.STOPPED, within=300.0)

        assert early == []
        assert stopped.moves[-1].outcome is MoveOutcome.CALLED_OFF
        await house.clock.advance(HOUR)
        assert house.state(instance_id) is State.STOPPED


@pytest.mark.parametrize("after", [0.0, 10.0, 30.0], ids=["while it is bought", "while it boots", "when it runs"])
async def test_a_delete_during_a_replacement_leaves_no_machine(after):
    """The old one and the new one go."""
    async with running() as house:
        instance_id = await house.ready(migration=REPLACE)
        await noticed(house, instance_id)
        await house.until(instance_id, State.MIGRATING, within=SWEEP)
        await house.clock.advance(after)

        await house.ask(instance_id, Verb.DELETE)
        await house.until(instance_id, State.DELETED, within=300.0)

        assert house.provider.present() == []


async def test_a_reclaimed_machine_that_is_deleted_outside_during_its_replacement_does_no_harm():
    """It is of no use any more."""
    async with running() as house:
        instance_id = await house.ready(migration=REPLACE)
        old = await reclaimed(house, instance_id)
        await house.until(instance_id, State.MIGRATING, within=SWEEP + 20.0)
        house.provider.becomes(old, GONE)

        moved = await house.until(instance_id, State.READY)

        assert machine_of(moved) != old
        assert moved.wants is DesiredState.RUNNING
        assert "lost" not in await house.told(instance_id)


async def test_on_demand_is_bought_up_to_the_cap_when_spot_is_sold_out():
    """Without a cap it never is."""
    spot, firm = builders.product(), builders.product(billing_mode=BillingMode.ON_DEMAND, price_per_gpu=Usd(70_000))
    async with running(arrange=lambda provider: setattr(provider, "offered", builders.catalogue(spot, firm))) as house:
        capped = await house.ready(name="capped", migration=REPLACE, max_price_per_hour=Usd(80_000))
        free = await house.ready(name="free", migration=REPLACE)
        house.provider.offered = builders.catalogue(msgspec.structs.replace(spot, deployable=False), firm)
        await house.clock.advance(60.0)
        await noticed(house, capped)
        await noticed(house, free)

        await house.until(capped, State.MIGRATING, within=SWEEP)
        moved = await house.until(capped, State.READY)

        assert moved.offer.billing_mode is BillingMode.ON_DEMAND
        assert house.state(free) is State.MIGRATING
