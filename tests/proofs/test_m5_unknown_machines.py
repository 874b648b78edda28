"""M5: machines that nobody has a record of are shown within a poll, with age and price, and never touched.

A day in virtual time on an account that others use, too: their machines come, change and go while ours are created, stopped, started,
deleted, reclaimed, synced and stopped in bulk, and the process is restarted in between, once over an emptied store. Judged by the
provider's log of calls: none that changes anything names a machine of somebody else.
"""

import random
from dataclasses import dataclass, field

from novitai.domain.errors import Refusal
from novitai.domain.ids import InstanceId, MachineId, Marker, machine_name
from novitai.domain.instance import Verb
from novitai.domain.machine import MachineStatus
from novitai.operations.bulk import Bulk
from novitai.operations.requests import VerbRequest
from novitai.operations.sync import SyncOptions
from support import builders
from support.clock import FakeClock, FakeIds
from support.running import context, running
from support.timed_provider import TimedProvider

POLL = 30.0
STATUSES = (
    MachineStatus.RUNNING,
    MachineStatus.STOPPED,
    MachineStatus.PULLING,
    MachineStatus.MIGRATING,
    MachineStatus.FROZEN,
)


@dataclass
class Found:
    """What a run showed."""

    foreign: set[MachineId] = field(default_factory=set)
    slowest: float = 0.0
    unseen: int = 0
    without_price_or_age: int = 0
    touched: list[str] = field(default_factory=list)


def _strangers_name(chance: random.Random, number: int) -> str:
    """Names that others give: plain ones, ours without the marker, and the marker of another installation."""
    other = Marker(installation="othr", instance_id=InstanceId(f"inst_{number:026d}"), attempt=1)
    return chance.choice(["somebody-elses", "demo", f"worker-{number}", machine_name("demo", other)])


def _arrive(provider: TimedProvider, chance: random.Random, number: int, now: float) -> MachineId:
    machine_id = MachineId(f"f{number:015x}")
    status = chance.choice(STATUSES)
    name = _strangers_name(chance, number)
    age = chance.uniform(0.0, 86_400.0)
    provider.keep(
        builders.machine(id=machine_id, name=name, status=status, provider_status=str(status), created_at=now - age)
    )
    return machine_id


async def _see_within_a_poll(house, machine_id: MachineId, found: Found) -> None:
    """Let time pass until the machine is shown."""
    began = house.clock.now()
    orphans = house.program.operations.orphans
    while orphans.get(machine_id) is None and house.clock.now() < began + 10 * POLL:
        await house.clock.advance(1.0)
    orphan = orphans.get(machine_id)
    found.unseen += orphan is None
    found.slowest = max(found.slowest, house.clock.now() - began)
    if orphan is not None and (orphan.price_per_hour is None or not orphan.created_at):
        found.without_price_or_age += 1


async def _ask_something(house, chance: random.Random, ours: list[str]) -> None:
    operations = house.program.operations
    bulk = Bulk(verbs=operations.verbs, reads=operations.reads)
    try:
        match chance.choice(["create", "verb", "verb", "stop-all", "sync", "rehearse", "bulk"]):
            case "create":
                ours.append(await house.create(name=chance.choice(["demo", "worker"])))
            case "verb" if ours:
                await house.ask(chance.choice(ours), chance.choice([Verb.STOP, Verb.START, Verb.RESTART, Verb.DELETE]))
            case "stop-all":
                await bulk.perform(bulk.running([]), Verb.STOP, VerbRequest(), context(), dry_run=False)
            case "bulk":
                await bulk.perform(
                    bulk.labelled([]), Verb.DELETE, VerbRequest(), context(), dry_run=chance.random() < 0.5
                )
            case "sync":
                await operations.sync.request(SyncOptions(force=chance.random() < 0.5), context())
            case "rehearse":
                await operations.sync.rehearse(SyncOptions(force=True), context())
    except Refusal:
        pass  # the arbiter's business


async def _day(seed: int, steps: int) -> Found:
    """One run; every chance from its seed."""
    chance = random.Random(seed)
    clock, found, ids = FakeClock(), Found(), FakeIds()
    provider = TimedProvider(clock=clock)
    number = 0
    for _life in range(3):  # each over an empty store: what is ours is found again by its marker
        async with running(clock=clock, provider=provider, ids=ids, SYNC_INTERVAL="10m") as house:
            ours: list[str] = []
            await clock.advance(POLL + 5.0)
            for _ in range(steps):
                number += 1
                machine_id = _arrive(provider, chance, number, clock.now())
                found.foreign.add(machine_id)
                await _see_within_a_poll(house, machine_id, found)
                await _ask_something(house, chance, ours)
                await clock.advance(chance.uniform(1.0, 90.0))
                if chance.random() < 0.3:
                    gone = chance.choice(sorted(found.foreign & provider.kept.keys()))
                    provider.becomes(gone, ((0.0, chance.choice([MachineStatus.STOPPED, MachineStatus.RUNNING])),))
                if chance.random() < 0.1:
                    provider.vanish(chance.choice(sorted(found.foreign & provider.kept.keys())))
    found.touched = [f"{one.method} {one.argument}" for one in provider.changes() if one.argument in found.foreign]
    return found


async def test_unknown_machines_are_shown_and_never_touched(scale, book):
    """In every run, whatever is asked of ours."""
    runs = scale.pick(short=2, prove=20, full=100)
    results = [await _day(seed, steps=scale.pick(short=8, prove=25)) for seed in range(runs)]

    book.figure("M5", "runs with foreign machines on the account", runs)
    book.figure("M5", "foreign machines", sum(len(one.foreign) for one in results))
    book.figure("M5", "foreign machines changed", sum(len(one.touched) for one in results), exactly=0)
    book.figure("M5", "foreign machines never shown", sum(one.unseen for one in results), exactly=0)
    book.figure(
        "M5",
        "longest from being there to being shown",
        max(one.slowest for one in results),
        at_most=POLL + 1.0,
        unit="s",
    )
    missing = sum(one.without_price_or_age for one in results)
    book.figure("M5", "shown without age or price", missing, exactly=0)
