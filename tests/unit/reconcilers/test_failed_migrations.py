"""A migration of Novita's fails and leaves its machine `migrating`: found, confirmed, and repaired under the same id of ours."""

from contextlib import AbstractAsyncContextManager

import msgspec
import pytest

from novitai.domain.automation import Part
from novitai.domain.errors import Broken, TryLater
from novitai.domain.instance import Instance, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus, Port, SpotStatus
from novitai.domain.migration import Migration, Strategy
from novitai.operations import records
from novitai.operations.failed_migrations import CheckReport, Outcome
from novitai.policies.failed_migrations import Finding, Remedy
from support.running import House, context, running
from support.timed_provider import machine_of

HALF_AN_HOUR = 1800.0


def quiet(**environment: str) -> AbstractAsyncContextManager[House]:
    """A house that polls every half minute also while something moves: nothing here is about that."""
    return running(INSTANCE_FAST_POLL_INTERVAL="30s", **environment)


async def stuck(house: House, **fields) -> Instance:
    """An instance whose machine Novita moved by itself, in vain."""
    instance_id = await house.ready(**fields)
    house.provider.move_fails_after = 100.0
    house.provider.moves_by_itself(machine_of(await house.instance(instance_id)))
    await house.until(instance_id, State.MIGRATING, within=60.0)
    await house.clock.advance(650.0)
    return await house.instance(instance_id)


async def rehearsed(house: House) -> CheckReport:
    return await house.program.operations.failed_migrations.rehearse()


async def checked(house: House, *, within: float = 120.0) -> CheckReport:
    """A check that somebody asks for."""
    trigger, asked_at = house.program.operations.failed_migrations.trigger, house.clock.now()
    job_id = await trigger.request(context())
    found: list[CheckReport] = []

    async def ended() -> bool:
        report = await trigger.outcome(job_id, asked_at=asked_at)
        found.extend([report] if report is not None else [])
        return bool(found)

    for _ in range(int(within)):
        if await ended():
            return found[0]
        await house.clock.advance(1.0)
    raise AssertionError("the check did not end")


async def test_a_machine_that_hangs_is_replaced_within_the_interval_of_the_check():
    """Another is bought as was asked, the dead one is deleted when that is ready, and the id of ours stays."""
    async with quiet() as house:
        before = await stuck(house, ports=(Port(8080, "http"), Port(22, "tcp")), envs=(("TOKEN", "s3cret"),))
        order = house.provider.made("create")[0].argument

        await house.until(before.id, State.READY, within=HALF_AN_HOUR + 300.0)
        after = await house.instance(before.id)

        again = house.provider.made("create")[1].argument
        asked = ("image_url", "rootfs_gb", "ports", "envs", "command", "entrypoint", "network_storages")
        assert [getattr(again, name) for name in asked] == [getattr(order, name) for name in asked]
        assert machine_of(after) != machine_of(before)
        await house.clock.advance(60.0)
        assert [machine.id for machine in house.provider.present()] == [machine_of(after)]
        assert after.spec == before.spec


async def test_the_new_machine_is_ready_before_the_dead_one_is_deleted():
    """First another one, then the delete."""
    async with quiet() as house:
        before = await stuck(house)

        await house.until(before.id, State.READY, within=HALF_AN_HOUR + 300.0)
        await house.clock.advance(60.0)

        (deleted,) = house.provider.made("delete")
        assert deleted.argument == machine_of(before)
        assert deleted.at > house.provider.made("create")[1].at


async def test_what_was_found_and_done_is_written_down_with_its_evidence():
    """The sentence names the job, and the facts hold what Novita said."""
    async with quiet() as house:
        before = await stuck(house)
        await checked(house)

        log = await house.store.read_log(records.AUDIT, f"target:{before.id}", limit=10, descending=True)
        (entry,) = [
            one
            for one in map(records.read_audit, (e.body for e in log.entries))
            if "because" in one.detail and one.action == "instance.replace"
        ]
        assert entry.by == "migration"
        assert "target node not ready" in entry.detail["because"]
        assert entry.detail["facts"]["job"]["state"] == "fail"
        assert entry.detail["facts"]["novitaInstanceId"] == machine_of(before)


async def test_a_rehearsal_tells_what_a_check_then_does_and_writes_nothing():
    """The same cases, remedies, reasons and offers."""
    async with quiet() as house:
        before = await stuck(house)
        told = await house.events()

        would = await rehearsed(house)
        assert (await house.instance(before.id), await house.events()) == (before, told)
        assert [one.method for one in house.provider.changes()] == ["create"]
        did = await checked(house)

        (expected,), (done,) = would.cases, did.cases
        assert (expected.outcome, done.outcome) == (Outcome.WOULD, Outcome.DONE)
        assert (would.dry_run, would.failed, would.did(Remedy.REPLACE), did.did(Remedy.REPLACE)) == (True, 1, 0, 1)
        same = ("instance_id", "machine_id", "version", "finding", "because", "job", "remedy", "why", "offer")
        assert [getattr(expected, name) for name in same] == [getattr(done, name) for name in same]


async def test_the_machine_is_kept_until_another_can_be_had_and_that_is_told_once():
    """Nothing fits, so nothing is given up; when something does, it is repaired."""
    async with quiet() as house:
        before = await stuck(house)
        offered = house.provider.offered
        house.provider.offered = msgspec.structs.replace(offered, products=())
        await house.clock.advance(700.0)

        first, second = await checked(house), await checked(house)
        kept = await house.instance(before.id)
        assert [case.outcome for report in (first, second) for case in report.cases] == [Outcome.PUT_OFF] * 2
        assert (await house.told(before.id)).count("migration_failed") == 1
        assert (kept.state, machine_of(kept)) == (State.MIGRATING, machine_of(before))
        assert kept.last_error is not None
        assert "no other machine can be had" in kept.last_error.message

        house.provider.offered = offered
        await house.until(before.id, State.READY, within=HALF_AN_HOUR + 900.0)
        assert machine_of(await house.instance(before.id)) != machine_of(before)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"protect": True}, "protected"),
        ({"migration": Migration(strategy=Strategy.NOTIFY_ONLY)}, "notify-only"),
        ({"migration": Migration(enabled=False)}, "switched off"),
    ],
    ids=["protected", "notify-only", "off"],
)
async def test_what_is_not_to_be_replaced_is_told_once(fields, why):
    """However often it is looked at; the machine stays as it is."""
    async with quiet() as house:
        before = await stuck(house, **fields)

        first = await checked(house)
        await house.clock.advance(2.2 * HALF_AN_HOUR)
        last = await checked(house)

        assert [(case.remedy, case.outcome) for case in first.cases] == [(Remedy.TELL, Outcome.DONE)]
        assert [(case.remedy, case.outcome) for case in last.cases] == [(Remedy.TELL, Outcome.TOLD_BEFORE)]
        assert why in first.cases[0].why
        assert (await house.told(before.id)).count("migration_failed") == 1
        assert [one.method for one in house.provider.changes()] == ["create"]


async def test_what_was_stopped_meanwhile_is_not_brought_back():
    """A person's stop holds; the failure is told."""
    async with quiet() as house:
        before = await stuck(house)
        await house.ask(before.id, Verb.STOP)

        report = await checked(house)

        assert [case.remedy for case in report.cases] == [Remedy.TELL]
        assert len(house.provider.made("create")) == 1


async def test_a_move_that_goes_on_is_left_alone_however_long_it_takes():
    """Hours, with a check every half an hour."""
    async with quiet() as house:
        instance_id = await house.ready()
        house.provider.moving = ((0.0, MachineStatus.MIGRATING), (9_000.0, MachineStatus.RUNNING))
        house.provider.moves_by_itself(machine_of(await house.instance(instance_id)))

        await house.clock.advance(8_000.0)
        report = await checked(house)
        await house.until(instance_id, State.READY)

        assert [case.finding for case in report.cases] == [Finding.MOVING]
        assert [one.method for one in house.provider.changes()] == ["create"]


async def test_when_the_single_read_disagrees_nothing_is_done():
    """The list is late, and the job of an attempt that Novita repeated says fail: the machine has come up by now."""
    async with quiet() as house:
        before = await stuck(house)
        house.provider.lie = lambda: "stale"
        house.provider.stale_seconds = 10_000.0
        house.provider.becomes(machine_of(before), ((0.0, MachineStatus.RUNNING),))

        would = await rehearsed(house)

        assert [(case.finding, case.remedy) for case in would.cases] == [(Finding.MOVING, Remedy.NOTHING)]
        assert "read singly" in would.cases[0].because


async def test_when_the_machine_cannot_be_read_singly_it_is_put_off():
    """One piece of evidence is not enough."""
    async with quiet() as house:
        await stuck(house)
        house.provider.fail("machine", Broken("<html>"))

        would = await rehearsed(house)

        assert [(case.outcome, case.remedy) for case in would.cases] == [(Outcome.PUT_OFF, Remedy.NOTHING)]


async def test_a_list_of_jobs_that_cannot_be_read_ends_the_check_and_the_next_one_repairs():
    """The loop tries again within a minute; a check that was asked for says why it failed."""
    async with quiet() as house:
        before = await stuck(house)
        house.provider.trouble = lambda method: TryLater("bad gateway", status=502) if method == "jobs" else None

        job_id = await house.program.operations.failed_migrations.trigger.request(context())
        await house.clock.advance(HALF_AN_HOUR + 10.0)
        assert house.state(before.id) is State.MIGRATING
        assert "bad gateway" in (house.program.operations.failed_migrations.error or "")
        house.provider.trouble = lambda _: None

        await house.until(before.id, State.READY, within=300.0)
        log = await house.store.read_log(records.JOBS, f"id:{job_id}", limit=1)
        assert b"bad gateway" in log.entries[0].body


async def test_a_list_of_jobs_that_is_not_whole_proves_nothing():
    """A newer job may be on the page that was not told."""
    async with quiet() as house:
        await stuck(house)
        house.provider.jobs_beyond = 1

        would = await rehearsed(house)

        assert [(case.finding, case.remedy) for case in would.cases] == [(Finding.UNKNOWN, Remedy.NOTHING)]


async def test_while_migration_is_paused_nothing_is_repaired():
    """Neither by the loop nor by whoever asks for a check; it is after."""
    async with quiet() as house:
        before, automation = await stuck(house), house.program.operations.automation
        await automation.pause([Part.MIGRATION], "bad night", context())

        report = await checked(house)
        await house.clock.advance(2 * HALF_AN_HOUR)
        assert [case.outcome for case in report.cases] == [Outcome.PUT_OFF]
        assert [one.method for one in house.provider.changes()] == ["create"]

        await automation.resume([Part.MIGRATION], "", context())
        await house.until(before.id, State.READY, within=HALF_AN_HOUR + 300.0)


async def test_with_a_dry_run_set_nothing_is_repaired():
    """MIGRATION_DRY_RUN holds for whoever asks, too."""
    async with quiet(MIGRATION_DRY_RUN="true") as house:
        before = await stuck(house)

        report = await checked(house)
        await house.clock.advance(HALF_AN_HOUR)

        assert [(case.remedy, case.outcome) for case in report.cases] == [(Remedy.REPLACE, Outcome.WOULD)]
        assert await house.instance(before.id) == before


async def test_two_checks_at_once_replace_once():
    """Whoever comes second finds a replacement under way."""
    async with quiet() as house:
        before = await stuck(house)
        check = house.program.keepers.failed_migrations

        check.nudge()
        await checked(house)
        check.nudge()
        await house.until(before.id, State.READY, within=300.0)

        assert len(house.provider.made("create")) == 2


async def test_a_move_that_we_asked_for_and_that_failed_is_repaired_too():
    """Reclaimed, moved by Novita on our word, and stuck: the instance is back within the interval of the check."""
    async with quiet() as house:
        instance_id = await house.ready()
        machine_id = machine_of(await house.instance(instance_id))
        house.provider.move_fails_after = 100.0
        house.provider.becomes(
            machine_id,
            ((0.0, MachineStatus.STOPPING), (5.0, MachineStatus.STOPPED)),
            spot_status=SpotStatus.TERMINATED,
            reclaim_at=house.clock.now(),
        )

        await house.clock.run_until(lambda: bool(house.provider.made("migrate")), within=120.0)
        await house.clock.run_until(lambda: len(house.provider.made("create")) == 2, within=HALF_AN_HOUR + 120.0)
        after = await house.until(instance_id, State.READY, within=300.0)

        assert machine_of(after) != machine_id
        assert len(house.provider.made("migrate")) == 1
        assert "migrated" in await house.told(instance_id)


async def test_no_more_are_replaced_at_once_than_may_move_at_once():
    """The others wait for their turn, which comes within a minute; a rehearsal says the same."""
    async with quiet(MIGRATION_MAX_CONCURRENT="1") as house:
        ids = [await house.ready(name=f"demo-{n}") for n in range(3)]
        house.provider.move_fails_after = 100.0
        for one in ids:
            house.provider.moves_by_itself(machine_of(await house.instance(one)))
        await house.clock.run_until(lambda: {house.state(one) for one in ids} == {State.MIGRATING}, within=60.0)
        await house.clock.advance(650.0)

        would, did = await rehearsed(house), await checked(house)
        assert sorted(case.outcome for case in would.cases) == [Outcome.WAITS, Outcome.WAITS, Outcome.WOULD]
        assert sorted(case.outcome for case in did.cases) == [Outcome.DONE, Outcome.WAITS, Outcome.WAITS]

        await house.clock.run_until(
            lambda: {house.state(one) for one in ids} == {State.READY}, within=HALF_AN_HOUR + 600.0
        )
        assert len(house.provider.made("create")) == 6


async def test_nothing_is_repaired_before_its_job_has_ended():
    """A job that still runs is no failure, whatever else is known of the machine."""
    async with quiet() as house:
        instance_id = await house.ready()
        house.provider.move_fails_after = 5_000.0
        house.provider.moves_by_itself(machine_of(await house.instance(instance_id)))

        await house.clock.advance(HALF_AN_HOUR + 60.0)
        assert (house.state(instance_id), len(house.provider.made("create"))) == (State.MIGRATING, 1)

        await house.until(instance_id, State.READY, within=3 * HALF_AN_HOUR)
        assert len(house.provider.made("create")) == 2
