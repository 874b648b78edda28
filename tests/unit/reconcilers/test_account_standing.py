"""A key that Novita refuses, and an account that cannot pay: told once, waited for, and over by itself. The whole program runs, in virtual
time.
"""

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from novitai.domain.errors import Code, NoBalance, NotAllowed, Refusal
from novitai.domain.instance import DesiredState, Verb
from novitai.domain.lifecycle import State
from novitai.domain.money import usd
from novitai.domain.schedule import Schedule
from novitai.operations.standing import PROBE_SECONDS
from support.clock import START, FakeClock
from support.crashing import SECRETS_KEY
from support.memory_store import MemoryDisk, MemoryStore
from support.running import House, running
from support.timed_provider import TimedProvider

QUIET = 30.0
HOUR = 3600.0


class Moody(TimedProvider):
    """Novita with a key that can be revoked and an account that can be empty."""

    revoked = False
    broke = False

    def __init__(self, *, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.trouble = self._refusal

    def _refusal(self, method: str) -> BaseException | None:
        if self.revoked:
            return NotAllowed("Novita answered 401: INVALID_API_KEY", reason="INVALID_API_KEY", status=401)
        if self.broke and method in {"create", "start"}:
            return NoBalance("Novita answered 403: NOT_ENOUGH_BALANCE", reason="NOT_ENOUGH_BALANCE", status=403)
        return None


class World:
    """What outlives a process: time, Novita and the disk."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.novita = Moody(clock=self.clock)
        self._disk = MemoryDisk()

    def life(self, **settings: str) -> AbstractAsyncContextManager[House]:
        store = MemoryStore(self._disk, clock=self.clock)
        kept = {"NOVITAI_SECRETS_KEY": SECRETS_KEY} | settings
        return running(clock=self.clock, store=store, provider=self.novita, **kept)  # type: ignore[arg-type]

    def calls_since(self, moment: float, *but: str) -> list[str]:
        return [made.method for made in self.novita.log if made.at > moment and made.method not in but]


async def alerts(house: House) -> list[str]:
    """What was told of the account."""
    return [str(event.type) for event in await house.events() if str(event.type).startswith("upstream.")]


async def stopped(house: House, **fields) -> str:
    """An instance that was started once and is stopped."""
    made = await house.ready(**fields)
    await house.ask(made, Verb.STOP)
    await house.until(made, State.STOPPED)
    return made


# ── a refused key ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_refused_key_is_told_within_one_poll_and_once():
    """However long it lasts, and however many jobs wait."""
    world = World()
    async with world.life() as house:
        await house.ready()
        world.novita.revoked = True
        await house.clock.advance(QUIET + 1.0)
        first = await alerts(house)
        await house.clock.advance(2 * HOUR)

        assert first == await alerts(house) == ["upstream.auth_failed"]


async def test_a_refused_key_is_not_told_again_after_a_restart_and_again_when_it_comes_back():
    """What is over begins anew."""
    world = World()
    async with world.life() as house:
        world.novita.revoked = True
        await house.clock.advance(60.0)
    async with world.life() as again:
        await again.clock.advance(120.0)
        still = await alerts(again)
        world.novita.revoked = False
        await again.clock.advance(60.0)
        world.novita.revoked = True
        await again.clock.advance(60.0)

        assert still == ["upstream.auth_failed"]
        assert await alerts(again) == ["upstream.auth_failed"] * 2


async def test_while_the_key_is_refused_changes_wait_and_one_poll_per_quiet_interval_goes_on():
    """No job calls Novita in vain, however many there are, and nobody measures what cannot be measured."""
    world = World()
    async with world.life(AUTO_STOP_ENABLED="true", AUTO_STOP_THRESHOLD="10m") as house:
        made = [await house.ready(name=name) for name in "abc"]
        world.novita.revoked = True
        await house.clock.advance(QUIET + 1.0)
        for one in made[:2]:
            await house.ask(one, Verb.STOP)
        began = house.clock.now()
        await house.clock.advance(HOUR)

        assert world.calls_since(began, "machines") == []
        assert len(world.calls_since(began)) <= HOUR / QUIET + 1
        assert [house.state(one) for one in made] == [State.STOPPING, State.STOPPING, State.READY]
        assert {job.attempts for job in await house.live_jobs() if job.key.startswith("instance:")} <= {0, 1}


async def test_the_first_success_ends_it_and_what_waited_is_done():
    """Nothing has to be asked again."""
    world = World()
    async with world.life() as house:
        made, other = await house.ready(name="a"), await house.ready(name="b")
        world.novita.revoked = True
        await house.clock.advance(QUIET + 1.0)
        await house.ask(made, Verb.STOP)
        created = asyncio.ensure_future(house.create(name="c"))
        await house.clock.advance(HOUR)
        world.novita.revoked = False
        await house.clock.advance(2 * QUIET + 30.0)

        assert house.state(made) is State.STOPPED
        assert house.state(other) is State.READY
        assert house.state(await created) in {State.READY, State.HEALTH_CHECKING, State.RUNNING, State.CREATING}
        await house.until(await created, State.READY, within=300.0)


async def test_a_start_under_way_when_the_key_is_refused_is_no_failure_afterwards():
    """Its clock runs out meanwhile, but nothing is concluded before Novita is read again."""
    world = World()
    async with world.life() as house:
        made = await house.create()
        await house.clock.run_until(lambda: any(call.method == "create" for call in world.novita.log))
        world.novita.revoked = True
        await house.clock.advance(2 * HOUR)
        waited = house.state(made)
        world.novita.revoked = False
        await house.until(made, State.READY, within=300.0)

        assert waited in {State.CREATING, State.STARTING}
        assert "startup_failed" not in await house.told(made)
        assert len(world.novita.present()) == 1


async def test_a_schedule_and_a_ttl_that_come_due_meanwhile_are_kept():
    """The word is given in time, and done when Novita listens again."""
    world = World()
    async with world.life() as house:
        timed = await house.ready(name="a", ttl_seconds=HOUR)
        nightly = await house.ready(name="b", schedule=Schedule(stop="0 10 * * *", since=START - HOUR))
        world.novita.revoked = True
        await house.clock.advance(3 * HOUR)
        words = {(await house.instance(one)).desired.by for one in (timed, nightly)}
        late = house.program.latest_timer()
        world.novita.revoked = False
        await house.clock.advance(2 * QUIET + 60.0)

        assert words == {"ttl", "schedule"}
        assert late < 60.0
        assert {house.state(timed), house.state(nightly)} == {State.STOPPED}


# ── an empty account ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_empty_account_is_told_once_and_creates_are_refused_at_once():
    """402 before anything is accepted; the first one found out."""
    world = World()
    async with world.life() as house:
        await house.ready()
        world.novita.broke = True
        first = await house.create(name="b")
        failed = await house.until(first, State.FAILED, within=60.0)
        for name in "cd":
            with pytest.raises(Refusal) as refused:
                await house.create(name=name)
            assert refused.value.code is Code.INSUFFICIENT_BALANCE

        assert failed.last_error is not None
        assert failed.last_error.code is Code.INSUFFICIENT_BALANCE
        assert await alerts(house) == ["upstream.balance_exhausted"]


async def test_a_persons_start_is_refused_too_and_what_stops_goes_on():
    """Stops save what is left."""
    world = World()
    async with world.life() as house:
        asleep = await stopped(house, name="a")
        runs, timed = await house.ready(name="b"), await house.ready(name="c", ttl_seconds=600.0)
        world.novita.broke = True
        await house.until(await house.create(name="d"), State.FAILED, within=60.0)
        with pytest.raises(Refusal) as refused:
            await house.ask(asleep, Verb.START)
        await house.ask(runs, Verb.STOP)
        await house.clock.advance(900.0)

        assert refused.value.code is Code.INSUFFICIENT_BALANCE
        assert {house.state(runs), house.state(timed)} == {State.STOPPED}


async def test_now_and_then_one_is_tried_and_its_success_ends_it():
    """And a failure holds the next one up."""
    world = World()
    async with world.life() as house:
        world.novita.broke = True
        await house.until(await house.create(name="a"), State.FAILED, within=60.0)
        await house.clock.advance(PROBE_SECONDS + 1.0)
        probe = await house.create(name="b")
        still = await house.until(probe, State.FAILED, within=60.0)
        with pytest.raises(Refusal):
            await house.create(name="c")
        world.novita.broke = False
        await house.clock.advance(PROBE_SECONDS + 1.0)
        made = await house.ready(name="d")

        assert still.last_error is not None
        assert house.state(made) is State.READY
        assert await house.ready(name="e")
        assert await alerts(house) == ["upstream.balance_exhausted"]


async def test_a_balance_that_has_grown_lets_all_try_again():
    """Not only the one of every few minutes. It is read while something runs."""
    world = World()
    async with world.life() as house:
        await house.ready()
        world.novita.known_balance = usd(0.1)
        await house.clock.advance(2 * HOUR)
        world.novita.broke = True
        await house.until(await house.create(name="a"), State.FAILED, within=60.0)
        world.novita.known_balance = usd(100.0)
        await house.clock.run_until(lambda: house.program.operations.costs.balance.amount == usd(100.0), within=900.0)
        world.novita.broke = False
        made = [await house.create(name=name) for name in "bc"]

        assert [(await house.until(one, State.READY)).state for one in made] == [State.READY] * 2


async def test_an_empty_account_is_not_told_again_after_a_restart():
    """And is still known."""
    world = World()
    async with world.life() as house:
        world.novita.broke = True
        await house.until(await house.create(name="a"), State.FAILED, within=60.0)
    async with world.life() as again:
        await again.until(await again.create(name="b"), State.FAILED, within=60.0)
        with pytest.raises(Refusal):
            await again.create(name="c")

        assert await alerts(again) == ["upstream.balance_exhausted"]


async def test_what_a_schedule_starts_waits_for_the_balance():
    """The next boundary may be days away; it starts within minutes of the money, and its own stop still ends it."""
    world = World()
    async with world.life() as house:
        made = await house.ready(schedule=Schedule(start="30 9 * * *", stop="0 20 * * *", since=START - 13 * HOUR))
        await house.clock.advance(60.0)
        await house.ask(made, Verb.STOP, until=START + HOUR)
        await house.until(made, State.STOPPED)
        world.novita.broke = True
        await house.clock.run_until(START + 3 * HOUR)
        waiting = await house.instance(made)
        tried = len([call for call in world.novita.log if call.method == "start"])
        world.novita.broke = False
        await house.until(made, State.READY, within=2 * PROBE_SECONDS)

        assert (waiting.desired.state, waiting.desired.by) == (DesiredState.RUNNING, "schedule")
        assert 2 <= tried <= 1.5 * HOUR / PROBE_SECONDS + 2
        assert "failed" not in await house.told(made)


async def test_a_queue_of_creates_waits_a_few_minutes_and_fails_without_asking_novita_for_each():
    """One answer is enough for all that wait."""
    world = World()
    async with world.life() as house:
        world.novita.broke = True
        world.novita.seconds["create"] = 1.0
        made = await asyncio.gather(*(house.create(name=f"n{number}") for number in range(60)))
        await house.clock.advance(PROBE_SECONDS + 60.0)
        asked = [call for call in world.novita.log if call.method == "create"]

        assert {house.state(one) for one in made} == {State.FAILED}
        assert len(asked) <= 40  # at most as many as were on their way at once


async def test_a_queue_of_creates_outlasts_a_balance_that_is_short_for_a_moment():
    """What was accepted before is not failed by the refusal of another."""
    world = World()
    async with world.life() as house:
        world.novita.broke = True
        made = await asyncio.gather(*(house.create(name=f"n{number}") for number in range(60)))
        await house.clock.advance(30.0)
        waiting = [one for one in made if house.state(one) is State.CREATING]
        world.novita.broke = False
        await house.clock.advance(PROBE_SECONDS + 60.0)

        assert waiting
        assert {house.state(one) for one in waiting} == {State.READY}
