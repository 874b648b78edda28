"""Who waits for a slot: by share, then in order, never longer than they care to, and without a trace when they leave."""

import asyncio

import pytest

from novitai.resilience.limiter import Limiter, LimiterSettings, Share, Slot, Wait
from novitai.resilience.waiting import LimiterBusy, WaitingRoom
from support.clock import FakeClock, settle

ACT, OBSERVE, BULK = Share
PATIENT = 3_600.0


class MemoryWindow:
    """A window of this process over the pure limiter; can be told to fail, or to answer only when let."""

    def __init__(self, settings, clock):
        self.limiter, self.clock = Limiter(settings), clock
        self.failing, self.gate = False, None

    async def admit(self, share):
        if self.gate is not None:
            await self.gate.wait()
        if self.failing:
            raise ConnectionError("the keeper is away")
        return self.limiter.admit(share, self.clock.now())

    async def settle(self, slot_id):
        self.limiter.settle(slot_id, self.clock.now())

    async def release(self, slot_id):
        self.limiter.release(slot_id)


class Stage:
    def __init__(self, *, limit=100, window=60.0):
        self.clock = FakeClock()
        self.settings = LimiterSettings(limit=limit, window=window)
        self.window = MemoryWindow(self.settings, self.clock)
        self.room = WaitingRoom(self.window, self.clock, pace=self.settings.pace)
        self.served = []
        self.tasks = []

    async def call(self, share, name=None, *, longest_wait=PATIENT):
        """One call that takes no time."""
        slot = await self.room.acquire(share, longest_wait)
        self.served.append(name or share)
        await self.room.settle(slot)

    def start(self, share, name=None, *, longest_wait=PATIENT):
        task = asyncio.create_task(self.call(share, name, longest_wait=longest_wait))
        self.tasks.append(task)
        return task

    async def fill(self):
        while isinstance(slot := self.window.limiter.admit(ACT, self.clock.now()), Slot):
            self.window.limiter.settle(slot.id, self.clock.now())

    async def close(self):
        await self.room.close()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def stage():
    stage = Stage()
    yield stage
    await stage.close()


@pytest.fixture
async def narrow():
    stage = Stage(limit=1, window=10.0)
    yield stage
    await stage.close()


async def test_a_free_slot_is_given_without_waiting(stage):
    """The usual case."""
    slot = await stage.room.acquire(ACT, 0.0)

    assert slot.share is ACT
    assert (stage.room.queue_length, stage.room.oldest_wait_ms) == (0, 0.0)


async def test_those_who_wait_are_served_by_share_and_then_in_order(narrow):
    """Act before observe before bulk, whoever came first; inside a share, first come first served."""
    narrow.start(BULK, "before")
    await settle()

    for share, name in [(BULK, "b1"), (OBSERVE, "o1"), (BULK, "b2"), (ACT, "a1"), (OBSERVE, "o2"), (ACT, "a2")]:
        narrow.start(share, name)
    await narrow.clock.run_until(lambda: len(narrow.served) == 7)

    assert narrow.served == ["before", "a1", "a2", "o1", "o2", "b1", "b2"]


async def test_a_share_below_its_guarantee_is_served_while_a_higher_one_waits_for_a_loan(stage):
    """Priority decides about what is lent, never about what is guaranteed."""
    await stage.fill()
    await stage.clock.advance(61.0)
    for number in range(100):
        stage.start(ACT, f"a{number}")
    for number in range(20):
        stage.start(BULK, f"b{number}")

    await stage.clock.advance(61.0)

    assert sum(name.startswith("b") for name in stage.served) == 20


async def test_who_would_wait_longer_than_they_care_to_is_told_at_once(narrow):
    """A job gives its place back instead of holding a lane."""
    await narrow.call(ACT)
    began = narrow.clock.now()

    with pytest.raises(LimiterBusy) as refusal:
        await narrow.room.acquire(ACT, 2.0)

    assert refusal.value.wait_seconds == pytest.approx(10.0)
    assert narrow.clock.now() == began
    assert narrow.room.queue_length == 0


async def test_the_estimate_counts_those_ahead(narrow):
    """The third in line for one slot in ten seconds is told 30 s, not 10."""
    await narrow.call(ACT)
    narrow.start(ACT)
    narrow.start(OBSERVE)
    await settle()

    with pytest.raises(LimiterBusy) as refusal:
        await narrow.room.acquire(BULK, 15.0)

    assert refusal.value.wait_seconds == pytest.approx(30.0)


async def test_who_was_overtaken_leaves_at_the_end_of_their_patience(narrow):
    """A hopeful estimate never makes anybody wait longer than they said."""
    await narrow.call(ACT)
    late = narrow.start(BULK, longest_wait=12.0)
    await settle()
    narrow.start(ACT)
    began = narrow.clock.now()

    await narrow.clock.run_until(late.done)

    assert narrow.clock.now() - began == pytest.approx(12.0, abs=0.01)
    assert isinstance(late.exception(), LimiterBusy)


async def test_who_walks_away_leaves_no_trace(narrow):
    """A cancelled caller is not counted, not served and holds nobody up."""
    await narrow.call(ACT)
    leaver, stayer = narrow.start(ACT, "leaver"), narrow.start(ACT, "stayer")
    await narrow.clock.advance(3.0)

    leaver.cancel()
    await settle()
    assert narrow.room.queue_length == 1
    await narrow.clock.run_until(stayer.done)

    assert narrow.served == [ACT, "stayer"]
    assert narrow.window.limiter.used(narrow.clock.now()) == 1


async def test_a_slot_that_comes_too_late_goes_to_the_next_in_line(narrow):
    """The caller left while the keeper was answering."""
    narrow.window.gate = asyncio.Event()
    leaver = narrow.start(ACT, "leaver")
    await settle()
    next_one = narrow.start(ACT, "next")
    leaver.cancel()

    narrow.window.gate.set()
    await next_one

    assert narrow.served == ["next"]


async def test_a_slot_that_nobody_wants_any_more_is_given_back(narrow):
    """Leaving in the very moment of being served costs the others nothing."""
    narrow.window.gate = asyncio.Event()
    leaver = narrow.start(ACT)
    await settle()
    leaver.cancel()
    narrow.window.gate.set()
    await settle()
    assert narrow.window.limiter.used(narrow.clock.now()) == 0

    second = asyncio.create_task(narrow.room.acquire(ACT, 0.0))
    while not narrow.window.limiter.used(narrow.clock.now()):
        await asyncio.sleep(0)
    second.cancel()
    await settle()

    assert narrow.window.limiter.used(narrow.clock.now()) == 0


async def test_a_released_slot_is_taken_up_at_once(narrow):
    """A call that was never sent lets the next one go without waiting for the window."""
    slot = await narrow.room.acquire(ACT, 0.0)
    waiting = narrow.start(BULK)
    await settle()
    began = narrow.clock.now()

    await narrow.room.release(slot)
    await waiting

    assert narrow.clock.now() == began


async def test_the_queue_tells_its_length_and_its_oldest_wait(narrow):
    """What `/api/upstream` shows."""
    await narrow.call(ACT)
    narrow.start(BULK)
    await narrow.clock.advance(4.0)
    narrow.start(ACT)
    await narrow.clock.advance(1.0)

    assert narrow.room.queue_length == 2
    assert narrow.room.oldest_wait_ms == pytest.approx(5_000.0)


async def test_a_failing_keeper_is_reported_to_each_caller_and_not_for_ever(stage):
    """Nobody hangs because the window cannot be reached."""
    stage.window.failing = True
    outcomes = await asyncio.gather(*(stage.room.acquire(ACT, PATIENT) for _ in range(3)), return_exceptions=True)
    stage.window.failing = False

    await stage.call(ACT)

    assert [type(outcome) for outcome in outcomes] == [ConnectionError] * 3
    assert stage.served == [ACT]


async def test_closing_sends_everybody_away_and_can_be_done_twice(narrow):
    """A stopping server leaves nobody waiting."""
    await narrow.call(ACT)
    waiting = narrow.start(ACT)
    await settle()

    await narrow.room.close()
    await narrow.room.close()
    await settle()

    assert isinstance(waiting.exception(), LimiterBusy)


async def test_an_hour_of_overload_never_exceeds_the_limit_and_uses_it(stage):
    """The room over the limiter: bulk fills what is there, and the observer's 30 a minute pass within 2 s."""
    waits = []

    async def endless_bulk():
        while True:
            await stage.call(BULK)

    async def observe():
        began = stage.clock.now()
        await stage.call(OBSERVE)
        waits.append(stage.clock.now() - began)

    stage.tasks += [asyncio.create_task(endless_bulk()) for _ in range(40)]
    for _ in range(300):
        stage.tasks.append(asyncio.create_task(observe()))
        await stage.clock.advance(2.0)
        assert stage.window.limiter.used(stage.clock.now()) <= 100
    for task in stage.tasks:
        task.cancel()

    assert len(waits) >= 299
    assert max(waits) <= 2.0
    assert stage.served.count(BULK) >= 65 * 9


async def test_the_room_needs_only_what_a_shared_keeper_can_give():
    """Any window that answers Slot or Wait will do."""

    class Shared:
        async def admit(self, share):
            return Wait(seconds=5.0) if clock.now() < opens else Slot(id=7, share=share)

        async def settle(self, slot_id):
            raise AssertionError

        release = settle

    clock = FakeClock()
    opens = clock.now() + 20.0
    room = WaitingRoom(Shared(), clock, pace=0.6)
    waiting = asyncio.create_task(room.acquire(BULK, 30.0))

    await clock.run_until(waiting.done)

    assert waiting.result() == Slot(id=7, share=BULK)
    assert clock.now() == opens
    await room.close()
