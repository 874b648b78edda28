"""The process ends before and after every port call of a create, a stop, a start, a delete and a delivery (promise M1, W1, W2, S1).

A counting run learns how many points there are; then one run for each: the program is thrown away at that point and a new one opened over
the same store and the same Novita. The caller repeats what was not answered. Judged from outside: Novita's machines and calls, and what the
receiver got.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from novitai.domain.delivery import DeliveryStatus
from novitai.domain.errors import NoCapacity, Unclear
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.egress.errors import ConnectFailed
from novitai.operations import records
from support.clock import FakeClock
from support.crashing import Fuse, World, create_once, drive
from support.running import HOOK, House
from support.timed_provider import TimedProvider

QUICK_UP = ((0.0, MachineStatus.PENDING), (2.0, MachineStatus.RUNNING))
QUICK_DOWN = ((0.0, MachineStatus.STOPPING), (2.0, MachineStatus.STOPPED))
QUICK_GONE = ((0.0, MachineStatus.REMOVING), (2.0, MachineStatus.REMOVED))


def novita(*, clock: FakeClock) -> TimedProvider:
    """One whose machines are quick, so that a run has few polls."""
    provider = TimedProvider(clock=clock)
    provider.up, provider.down, provider.gone = QUICK_UP, QUICK_DOWN, QUICK_GONE
    return provider


@dataclass
class Told(World):
    """A world with a caller in it, who remembers what it was promised."""

    made: str = ""


@dataclass(frozen=True)
class Story:
    """What is asked, from which beginning, and where it should end."""

    name: str
    ask: Callable[[Told, House], Awaitable[None]]
    ends: State
    ready_first: bool = True
    stopped_first: bool = False
    fault: Callable[[Told], None] = lambda _: None
    calls: int = 1  # creates that may arrive at Novita


async def _create(world: Told, house: House) -> None:
    world.made = await create_once(house)


def _ask(verb: Verb) -> Callable[[Told, House], Awaitable[None]]:
    async def ask(world: Told, house: House) -> None:
        await house.ask(world.made, verb)

    return ask


STORIES = [
    Story("create", _create, State.READY, ready_first=False),
    Story(
        "create whose answer is lost",
        _create,
        State.READY,
        ready_first=False,
        fault=lambda world: world.provider.fail("create", Unclear("reset"), effect=True),
    ),
    Story(
        "create that is lost",
        _create,
        State.READY,
        ready_first=False,
        fault=lambda world: world.provider.fail("create", Unclear("timeout")),
        calls=2,
    ),
    Story(
        "create refused by one offer",
        _create,
        State.READY,
        ready_first=False,
        fault=lambda world: world.provider.fail("create", NoCapacity("full")),
        calls=2,
    ),
    Story(
        "create told to a failing receiver",
        _create,
        State.READY,
        ready_first=False,
        fault=lambda world: world.receivers.answer(HOOK, 500, 200, 429, ConnectFailed("refused"), 503),
    ),
    Story("stop", _ask(Verb.STOP), State.STOPPED),
    Story("start", _ask(Verb.START), State.READY, stopped_first=True),
    Story("delete", _ask(Verb.DELETE), State.DELETED),
]


async def _ended(world: Told, house: House, story: Story) -> bool:
    if not world.made or house.state(world.made) is not story.ends:
        return False
    return not await house.live_jobs()


async def _live(world: Told, story: Story, fuse: Fuse) -> None:
    """One process: the caller asks (again), and everything goes on to the end."""
    async with world.house(fuse, WEBHOOK_URL=HOOK) as house:
        await story.ask(world, house)
        await _until_over(world, house, story)


async def _until_over(world: Told, house: House, story: Story) -> None:
    for _ in range(400):
        if await _ended(world, house, story):
            return
        await world.clock.advance(1.0)
    raise AssertionError(f"{story.name} did not end: {house.state(world.made)} {await house.live_jobs()}")


async def _judge(world: Told, story: Story, where: str) -> None:
    expected = {State.READY: MachineStatus.RUNNING, State.STOPPED: MachineStatus.STOPPED}.get(story.ends)
    assert [m.status for m in world.provider.present()] == ([expected] if expected else []), where
    assert 1 <= len(world.provider.made("create")) <= story.calls, where
    bodies: dict[str, bytes] = {}
    for one in world.receivers.received:
        assert bodies.setdefault(one.id, one.body) == one.body, where
    page = await world.store.read_log(records.EVENTS, "all", limit=1000)
    events = [records.read_event(entry.body) for entry in page.entries]
    assert {event.id for event in events} == set(bodies), where
    told = [str(event.type) for event in events]
    assert told.count("instance.created") == 1, (where, told)
    assert told.count("instance.stopped") == (1 if story.ends is State.STOPPED or story.stopped_first else 0), (
        where,
        told,
    )
    assert told.count("instance.deleted") == (1 if story.ends is State.DELETED else 0), (where, told)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1)), where
    for status in (DeliveryStatus.PENDING, DeliveryStatus.DEAD):
        assert await world.store.count(records.DELIVERIES, str(status)) == 0, where


@pytest.mark.timeout(120)
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
async def test_a_process_that_ends_anywhere_leaves_one_machine_and_no_event_untold(story):
    """Every point, one run each: one machine (or none, deleted), the right state, every webhook with its one id and body."""
    points = await _one_run(story, at=0)
    assert points > 20

    for point in range(1, points + 1):
        await _one_run(story, at=point)


async def _one_run(story: Story, *, at: int) -> int:
    world = await _begin_kept(story)
    story.fault(world)
    fuse = await drive(world, lambda fuse: _live(world, story, fuse), at=at)
    await _judge(world, story, f"{story.name}, point {at}: {fuse.where}")
    return fuse.points


async def _begin_kept(story: Story) -> Told:
    world = await Told.begin(novita)
    if story.ready_first:
        async with world.house(Fuse(), WEBHOOK_URL=HOOK) as house:
            world.made = await house.ready()
            if story.stopped_first:
                await house.ask(world.made, Verb.STOP)
                await house.until(world.made, State.STOPPED)
            await _until_over(world, house, Story("", story.ask, house.state(world.made)))
        await world.ended()
    return world
