"""The process ends before or after each port call while machines are found, taken back, adopted or deleted (promise M5).

Afterwards, over the same store: one record for a machine, one event of each kind, one entry in the audit log, and no call that nobody asked for.
"""

import asyncio

import pytest

from novitai.domain.automation import Part
from novitai.domain.errors import Refusal
from novitai.domain.ids import InstanceId, MachineId, Marker, machine_name
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.operations import records
from support import builders
from support.crashing import World, drive
from support.running import HOOK, context, end_abruptly, running

FOREIGN = MachineId("feedfacefeedface")
ONE = InstanceId("inst_" + "1" * 26)
OURS = machine_name("demo", Marker(installation="test", instance_id=ONE, attempt=1))
POLL = 30.0


def arrives(provider, name):
    provider.keep(builders.machine(id=FOREIGN, name=name, status=MachineStatus.RUNNING, provider_status="running"))


async def actions(store):
    """The audit log's actions, oldest first."""
    page = await store.read_log(records.AUDIT, "all", limit=1000)
    return [records.read_audit(entry.body).action for entry in page.entries]


async def found_and(store, action):
    page = await store.read_log(records.EVENTS, "type:instance.orphan_found", limit=1000)
    told = [records.read_event(entry.body).data["action"] for entry in page.entries]
    return told.count("found"), told.count(action)


async def every_point(live, judge, name):
    """Drive a world through every point at which the process may end; how many those were."""
    at = 0
    while True:
        at += 1
        world = await World.begin()
        arrives(world.provider, name)
        fuse = await drive(world, lambda fuse, world=world: live(world, fuse), at=at)
        await judge(world, f"ended {fuse.where} at point {at}")
        await world.close()
        if not fuse.blown.is_set():
            return at


async def test_a_machine_is_taken_back_once_wherever_the_process_ends():
    """And the observer's event and its webhook are written once."""

    async def live(world, fuse):
        async with world.house(fuse, WEBHOOK_URL=HOOK) as house:
            await house.until(ONE, State.READY, within=20 * POLL)
            await house.clock.advance(5.0)

    async def judge(world, where):
        assert world.provider.changes() == [], where
        assert await actions(world.store) == ["orphan.adopt"], where
        assert await found_and(world.store, "adopted") == (1, 1), where

    assert await every_point(live, judge, OURS) > 10


async def test_a_person_s_delete_of_an_unknown_machine_is_done_once_wherever_the_process_ends():
    """Whoever got no answer asks again, and it goes."""

    async def live(world, fuse):
        async with world.house(fuse) as house:
            orphans = house.program.operations.orphans
            await house.clock.advance(2 * POLL)
            deleted = house.program.operations.reads.by_machine(FOREIGN)
            if deleted is None and world.provider.present():
                deleted = await orphans.delete(FOREIGN, context())
            if deleted is not None:
                await house.until(deleted.instance.id, State.DELETED, within=40 * POLL)

    async def judge(world, where):
        assert world.provider.present() == [], where
        assert {call.method for call in world.provider.changes()} == {"delete"}, where
        assert await actions(world.store) == ["orphan.delete"], where

    assert await every_point(live, judge, "somebody-elses") > 10


async def test_two_who_take_a_machine_at_the_same_moment_take_it_once():
    """The other is told that it is managed already, or was just taken."""
    async with running() as house:
        arrives(house.provider, "somebody-elses")
        await house.clock.advance(POLL + 1.0)
        orphans = house.program.operations.orphans
        house.provider.seconds["machine"] = 1.0
        asked = [asyncio.ensure_future(work(FOREIGN, context())) for work in (orphans.adopt, orphans.delete) * 3]
        await house.clock.advance(5.0)
        answers = await asyncio.gather(*asked, return_exceptions=True)

        assert sum(isinstance(answer, Refusal) for answer in answers) == 5
        assert len(house.program.operations.reads.all()) == 1
        assert len([one for one in await actions(house.store) if one.startswith("orphan.")]) == 1


async def test_jobs_that_are_paused_keep_a_stop_through_a_kill_and_do_it_when_they_may():
    """Nothing that was accepted is lost, and nothing is sent before."""
    world = await World.begin()
    others = asyncio.all_tasks()
    async with running(
        clock=world.clock, ids=world.ids, store=world.store, provider=world.provider, receivers=world.receivers
    ) as house:
        made = await house.ready()
        await house.program.operations.automation.pause([Part.JOBS], "odd bills", context())
        await house.ask(made, Verb.STOP)
        await house.clock.advance(120.0)
        await end_abruptly(others)
    await world.ended()
    async with running(
        clock=world.clock, ids=world.ids, store=world.store, provider=world.provider, receivers=world.receivers
    ) as house:
        await house.clock.advance(120.0)
        assert house.program.operations.automation.paused(Part.JOBS)
        assert [call.method for call in world.provider.changes()] == ["create"]

        await house.program.operations.automation.resume([Part.JOBS], "", context())
        await house.clock.advance(2.0)
        assert [call.method for call in world.provider.changes()] == ["create", "stop"]
        await house.until(made, State.STOPPED)
    await world.close()


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        (OURS.upper(), False),
        (OURS + "-x", False),
        (OURS.replace("nvtest", "nvothr"), False),
        (machine_name(OURS, Marker(installation="othr", instance_id=ONE, attempt=1)), False),
        (f"{OURS.replace('nvtest', 'nvothr')}-{OURS}", True),
        ("", False),
        ("x" * 500, False),
        ("\x1b[31m<script>alert(1)</script>\x00\r\n" + "é" * 20, False),
    ],
)
async def test_only_a_name_that_ends_in_our_marker_is_ours(name, ours):
    """Whatever else stands in a name: it is shown as it is, and adopted under a name that ours may have."""
    async with running(WEBHOOK_URL=HOOK) as house:
        arrives(house.provider, name)
        await house.clock.advance(4 * POLL)
        shown = house.program.operations.orphans.all()
        assert bool(house.program.operations.reads.all()) is ours
        assert [orphan.name for orphan in shown] == ([] if ours else [name])

        if not ours:
            taken = (await house.program.operations.orphans.adopt(FOREIGN, context())).instance
            assert taken.name
            assert len(taken.name) <= 60
            assert taken.name.replace("-", "").replace("_", "").isascii()
