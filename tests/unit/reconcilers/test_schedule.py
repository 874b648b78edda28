"""The loop that keeps instances to the calendar: what it asks for over days, and what it leaves to people."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from novitai.domain.automation import Part
from novitai.domain.change import with_fields
from novitai.domain.ids import InstanceId
from novitai.domain.instance import DesiredState, Verb
from novitai.domain.keys import KeyLimits, Scope
from novitai.domain.lifecycle import State
from novitai.domain.schedule import Schedule, Ttl
from novitai.operations import records
from novitai.operations.changes import Changes
from novitai.operations.instances import Verbs
from novitai.operations.receipts import Answer
from novitai.operations.requests import Accepted, Amendment, VerbRequest
from novitai.ports.store import Lease
from novitai.reconcilers.schedule import ScheduleKeeper
from support.api_house import House, open_house
from support.builders import INSTANCE_ID, desired, instance, spec
from support.clock import FakeClock
from support.running import context

OFFICE = Schedule(start="0 8 * * 1-5", stop="0 19 * * 1-5", timezone="Europe/Berlin")
LEASE = Lease(name="loop:schedule", owner="test", token=1, until=0.0)


def local(*when: int) -> float:
    return datetime(*when, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()  # type: ignore[misc]


class Moody:
    """The verbs as the loop uses them, with a fault of ours when the test says so."""

    def __init__(self, verbs: Verbs) -> None:
        self.broken = False
        self._verbs = verbs

    async def perform(self, *args: Any, **more: Any) -> Accepted:
        if self.broken:
            raise RuntimeError("a fault of ours")
        return await self._verbs.perform(*args, **more)


@dataclass
class Office:
    """An instance under a schedule, the loop that keeps it, and what became of its word."""

    house: House
    verbs: Moody
    keeper: ScheduleKeeper
    words: list[tuple[str, str, str]]

    @property
    def now(self) -> float:
        return float(self.house.clock.now())

    async def go_to(self, *when: int) -> None:
        """Let the loop run as it wants to until then."""
        while self.now < local(*when):
            pause = await self.keeper.run(LEASE)
            await self.house.clock.advance(min(max(pause, 0.001), local(*when) - self.now))
        await self.keeper.run(LEASE)

    async def sleep_until(self, *when: int) -> None:
        """The server is down until then."""
        await self.house.clock.advance(local(*when) - self.now)

    async def ask(self, verb: Verb, **fields: Any) -> Accepted:
        verbs = self.house.parts.verbs
        return await verbs.perform(
            INSTANCE_ID, verb, VerbRequest(**fields), context(), lambda _: Answer(status=202, body="")
        )

    async def amend(self, **fields: Any) -> None:
        parts = self.house.parts
        changes = Changes(ledger=parts.ledger, verbs=parts.verbs, creation=parts.creation)
        await changes.amend(INSTANCE_ID, Amendment(**fields), context(), lambda _: Answer(status=200, body=""))

    def wants(self) -> tuple[str, str]:
        """What is wanted, and whose word it is."""
        held = self.house.parts.reads.get(INSTANCE_ID)
        assert held is not None
        return str(held.instance.wants), held.instance.desired.by

    async def audit(self) -> list[Any]:
        page = await self.house.parts.store.read_log(records.AUDIT, "all", limit=1000)
        return [
            entry for entry in (records.read_audit(kept.body) for kept in page.entries) if entry.target == INSTANCE_ID
        ]


@asynccontextmanager
async def office(
    *since: int,
    state: State = State.READY,
    observe: bool = False,
    ttl: Ttl | None = None,
    schedule: Schedule | None = OFFICE,
) -> AsyncIterator[Office]:
    """An instance that a user made (or, stopped, that its schedule stopped) at this time."""
    begun = local(*since)
    async with open_house(clock=FakeClock(begun)) as house:
        runs = state is State.READY
        word = desired(
            DesiredState.RUNNING if runs else DesiredState.STOPPED, by="user:key_1" if runs else "schedule", at=begun
        )
        await house.have(instance(state, created_at=begun, desired=word, spec=spec(schedule=schedule, ttl=ttl)))
        words: list[tuple[str, str, str]] = []

        def hear(snapshot):
            said = snapshot.instance.desired
            where = datetime.fromtimestamp(said.at, ZoneInfo("Europe/Berlin")).strftime("%a %H:%M")
            if said != word and words[-1:] != [(where, str(said.state), said.by)]:
                words.append((where, str(said.state), said.by))

        house.parts.reads.listen(hear)
        verbs = Moody(house.parts.verbs)
        keeper = ScheduleKeeper(
            verbs=verbs,
            reads=house.parts.reads,
            automation=house.parts.automation,
            keys=house.parts.keys,
            ledger=house.parts.ledger,
            observe=observe,
        )
        yield Office(house=house, verbs=verbs, keeper=keeper, words=words)


def by_schedule(*times: str) -> list[tuple[str, str, str]]:
    """`Mon 08:00 running` and so on, as the schedule's words."""
    return [(text.rpartition(" ")[0], text.rpartition(" ")[2], "schedule") for text in times]


async def test_a_week_over_the_change_of_clocks_keeps_office_hours():
    """Eight is eight before and after 2027-03-28, each boundary is one action, and the weekend has none."""
    async with office(2027, 3, 25, 9) as kept:
        await kept.go_to(2027, 4, 1, 7)

        assert kept.words == by_schedule(
            "Thu 19:00 stopped",
            "Fri 08:00 running", "Fri 19:00 stopped",
            "Mon 08:00 running", "Mon 19:00 stopped",
            "Tue 08:00 running", "Tue 19:00 stopped",
            "Wed 08:00 running", "Wed 19:00 stopped",
        )  # fmt: skip


async def test_a_users_start_in_the_night_holds_until_the_next_evening():
    """The schedule's boundary in between agrees, and the one after ends it."""
    async with office(2027, 5, 3, 9) as kept:
        await kept.go_to(2027, 5, 4, 2)
        await kept.ask(Verb.START)
        await kept.go_to(2027, 5, 4, 18, 59)
        assert kept.wants() == ("running", "user:key_1")

        await kept.go_to(2027, 5, 4, 19)

        assert kept.wants() == ("stopped", "schedule")


async def test_a_users_stop_is_left_alone_for_days():
    """Nobody's machine is started against the word of whoever stopped it."""
    async with office(2027, 5, 3, 9) as kept:
        await kept.ask(Verb.STOP)

        await kept.go_to(2027, 5, 7, 12)

        assert kept.wants() == ("stopped", "user:key_1")


async def test_a_stop_until_noon_ends_at_noon():
    """Then the schedule's word counts again, and at noon it says run."""
    async with office(2027, 5, 3, 9) as kept:
        await kept.ask(Verb.STOP, until=local(2027, 5, 3, 12))
        await kept.go_to(2027, 5, 3, 11, 59)
        assert kept.wants() == ("stopped", "user:key_1")

        await kept.go_to(2027, 5, 3, 12)

        assert kept.wants() == ("running", "schedule")


async def test_boundaries_missed_while_the_server_was_down_are_made_up_for_by_the_last_one():
    """Down from Monday noon until Wednesday six in the morning: one stop, no start."""
    async with office(2027, 5, 3, 9) as kept:
        await kept.go_to(2027, 5, 3, 12)
        await kept.sleep_until(2027, 5, 5, 6)

        await kept.go_to(2027, 5, 5, 7)

        assert kept.words == by_schedule("Wed 06:00 stopped")


async def test_at_the_end_of_its_ttl_it_is_stopped_and_nothing_starts_it():
    """Neither the schedule nor a user, until there is a new ttl."""
    async with office(2027, 5, 3, 9, ttl=Ttl(seconds=4 * 3600.0)) as kept:
        await kept.go_to(2027, 5, 3, 13)
        assert kept.wants() == ("stopped", "ttl")
        await kept.go_to(2027, 5, 4, 12)
        assert kept.wants() == ("stopped", "ttl")

        await kept.amend(ttl_seconds=3600.0)
        await kept.ask(Verb.START)
        await kept.go_to(2027, 5, 4, 12, 59)
        assert kept.wants() == ("running", "user:key_1")
        await kept.go_to(2027, 5, 4, 13)

        assert kept.wants() == ("stopped", "ttl")


async def test_a_ttl_that_was_prolonged_in_time_stops_nothing():
    """The new one counts from the change."""
    async with office(2027, 5, 3, 9, schedule=None, ttl=Ttl(seconds=3600.0)) as kept:
        await kept.go_to(2027, 5, 3, 9, 59)
        await kept.amend(ttl_seconds=7200.0)

        await kept.go_to(2027, 5, 3, 11, 58)

        assert kept.wants() == ("running", "user:key_1")


async def test_a_new_schedule_acts_on_nothing_before_it():
    """Set at 21:00 it does not stop what a user started at noon; the next evening does."""
    async with office(2027, 5, 3, 12, schedule=None) as kept:
        await kept.sleep_until(2027, 5, 3, 21)
        await kept.amend(schedule=OFFICE)

        await kept.go_to(2027, 5, 4, 18, 59)
        assert kept.words == []
        await kept.go_to(2027, 5, 4, 19)

        assert kept.wants() == ("stopped", "schedule")


async def test_a_deleted_instance_stays_deleted():
    """Whatever the calendar would say."""
    async with office(2027, 5, 3, 9) as kept:
        await kept.ask(Verb.DELETE)

        await kept.go_to(2027, 5, 4, 20)

        assert kept.wants() == ("deleted", "user:key_1")


async def test_while_paused_nothing_is_done_and_afterwards_what_is_due_now():
    """A bad night ends with the present, not with what was missed."""
    async with office(2027, 5, 3, 9) as kept:
        await kept.house.parts.automation.pause([Part.SCHEDULE], "looking", context())
        await kept.go_to(2027, 5, 5, 12)
        assert kept.words == []
        await kept.go_to(2027, 5, 5, 20)

        await kept.house.parts.automation.resume([Part.SCHEDULE], "fine", context())
        await kept.go_to(2027, 5, 5, 20, 1)

        assert kept.words == by_schedule("Wed 20:00 stopped")


async def test_in_observe_mode_it_is_only_said_what_would_be_done(capsys):
    """Once for each boundary."""
    async with office(2027, 5, 3, 9, observe=True) as kept:
        await kept.go_to(2027, 5, 3, 20)

        assert kept.words == []
        assert capsys.readouterr().out.count("would_act") == 1


async def test_each_action_says_why_in_the_audit_log_and_in_its_event():
    """Whoever finds it stopped need not guess."""
    async with office(2027, 5, 3, 9) as kept:
        await kept.go_to(2027, 5, 3, 19)

        (entry,) = await kept.audit()
        assert (entry.by, entry.action) == ("schedule", "instance.stop")
        assert entry.detail["because"] == "its schedule says stop at '0 19 * * 1-5' (Europe/Berlin)"
        assert entry.detail["facts"]["boundary"] == "2027-05-03T17:00:00.000Z"
        page = await kept.house.parts.store.read_log(records.EVENTS, f"instance:{INSTANCE_ID}", limit=10)
        event = records.read_event(page.entries[-1].body)
        assert (event.actor, event.reason) == ("schedule", entry.detail["because"])


async def test_what_is_refused_is_said_once_and_tried_again(capsys):
    """A lost machine cannot be started: one line for the boundary, no storm."""
    async with office(2027, 5, 3, 20, state=State.STOPPED) as kept:
        held = kept.house.parts.reads.get(INSTANCE_ID)
        lost = instance(
            State.LOST, created_at=held.instance.created_at, desired=held.instance.desired, spec=held.instance.spec
        )
        await kept.house.change(lost)

        await kept.go_to(2027, 5, 4, 8, 30)

        assert kept.wants() == ("stopped", "schedule")
        assert kept.keeper.late_by(kept.now) == 0.0
        assert capsys.readouterr().out.count("automatic_action_refused") == 1


async def test_a_start_by_schedule_keeps_within_the_limits_of_its_key(capsys):
    """What its owner may not start, its owner's schedule may not either."""
    async with office(2027, 5, 3, 20, state=State.STOPPED) as kept:
        limits = KeyLimits(gpus=1)
        keys = kept.house.parts.keys
        key = (await keys.make(context(), name="k", scope=Scope.WRITE, expires_at=None, limits=limits)).key
        asleep = kept.house.parts.reads.get(INSTANCE_ID).instance
        await kept.house.change(with_fields(asleep, owner=key.id))
        await kept.house.have(instance(State.READY, id=InstanceId("inst_other"), owner=key.id))

        await kept.go_to(2027, 5, 4, 8, 5)

        assert kept.wants() == ("stopped", "schedule")
        assert capsys.readouterr().out.count("BUDGET_EXCEEDED") == 1


async def test_an_action_that_fails_is_late_until_it_is_done():
    """What nobody does must show: the watchdog counts from the moment at which it was due."""
    async with office(2027, 5, 3, 9) as kept:
        kept.verbs.broken = True
        await kept.go_to(2027, 5, 3, 19, 2)
        assert kept.keeper.late_by(kept.now) == pytest.approx(120.0)

        kept.verbs.broken = False
        await kept.go_to(2027, 5, 3, 19, 3)

        assert kept.keeper.late_by(kept.now) == 0.0
        assert kept.wants() == ("stopped", "schedule")


async def test_the_loop_sleeps_until_the_next_boundary_and_a_minute_at_most():
    """No polling by the second, no boundary overslept."""
    async with office(2027, 5, 3, 18, 57) as kept:
        assert await kept.keeper.run(LEASE) == 60.0
        await kept.sleep_until(2027, 5, 3, 18, 59, 30)

        assert await kept.keeper.run(LEASE) == 30.0
