"""The one order in which calls are made, in virtual time and without a socket."""

import asyncio

import msgspec
import pytest

from novitai.domain.errors import Broken, Code, Gone, NoCapacity, TryLater, Unclear
from novitai.domain.ids import MachineId
from novitai.novita import v1
from novitai.novita.calls import Request
from novitai.novita.journal import Journal, NoTelemetry
from novitai.novita.settings import Pacing
from novitai.novita.transport import BrokeOff, NeverSent, TooLarge, Transport
from novitai.ports.coordination import Share
from novitai.ports.provider import Call, ClientName
from novitai.resilience.breaker import BreakerSettings
from support.clock import FakeClock, FakeIds, settle
from unit.novita.doubles import MemoryCoordination, ScriptedSender, answer

STOP = v1.action("stop", MachineId("37d312386c80a3b9"))
LIST = v1.machines(1, 10)
LOOK = v1.machine(MachineId("37d312386c80a3b9"))
EMPTY_LIST = answer(b'{"instances": [], "total": 0}')
NO_CAPACITY = answer(b'{"code": 400, "reason": "INSUFFICIENT_RESOURCE", "message": "x"}', status=400)
TROUBLE = answer(b"", status=503)
LIMITED = answer(b"", status=429)
ACT = Call(share=Share.ACT, correlation_id="c-1")
OBSERVE = Call(share=Share.OBSERVE)


class Bench:
    """A transport with everything around it in reach."""

    def __init__(self, *steps, limit: int = 100, breaker: BreakerSettings | None = None, attempts: int = 3) -> None:
        self.clock = FakeClock()
        self.sender = ScriptedSender(*steps)
        self.coordination = MemoryCoordination(self.clock, limit=limit, breaker=breaker)
        self.transport = Transport(
            client=ClientName.PUBLIC,
            sender=self.sender,
            coordination=self.coordination,
            clock=self.clock,
            chance=FakeIds(),
            journal=Journal(ClientName.PUBLIC, NoTelemetry(), self.clock.now, slow_ms=2000),
            pacing=Pacing(attempts=attempts),
            rate_limit=limit,
            breakers=("gpu", "account"),
        )

    async def ask(self, request: Request = STOP, call: Call = ACT):
        """Make a call and let time pass until it has ended."""
        task = asyncio.create_task(self.transport.call(request, call))
        await self.clock.run_until(task.done)
        return await task

    async def fail(self, expected: type[Exception], request: Request = STOP, call: Call = ACT):
        with pytest.raises(expected) as failure:
            await self.ask(request, call)
        return failure.value


async def test_a_call_is_admitted_permitted_sent_and_settled_in_this_order():
    """The slot is free only after the answer; the breaker hears of it."""
    bench = Bench(answer())

    await bench.ask()

    assert bench.coordination.log == ["admit public", "permit gpu", "settle public", "report gpu True"]
    assert bench.sender.correlation_ids == ["c-1"]


async def test_the_last_word_comes_after_admission_and_before_the_bytes():
    """That is where an intent is made durable and a lease is looked at once more."""
    bench = Bench(answer())
    order: list[str] = []

    async def last_word() -> None:
        order.extend([*bench.coordination.log, f"{len(bench.sender.sent)} sent"])

    await bench.ask(call=msgspec.structs.replace(ACT, before_send=last_word))

    assert order == ["admit public", "permit gpu", "0 sent"]
    assert len(bench.sender.sent) == 1


async def test_an_objection_at_the_last_moment_stops_the_call_and_reaches_the_caller_unchanged():
    """Nothing is sent; the slot and the permit are given back, so it counts neither way."""
    bench = Bench(answer())
    objection = LookupError("the lease is lost")

    async def object_() -> None:
        raise objection

    raised = await bench.fail(LookupError, call=msgspec.structs.replace(ACT, before_send=object_))

    assert raised is objection
    assert bench.sender.sent == []
    assert bench.coordination.open_slots == set()
    assert bench.coordination.reports == [None]


async def test_an_objection_that_looks_like_a_passing_failure_is_not_retried():
    """What the caller's own code raises is the caller's, whatever its type."""
    bench = Bench(EMPTY_LIST)
    words = 0

    async def object_() -> None:
        nonlocal words
        words += 1
        raise TryLater("the caller says so")

    await bench.fail(TryLater, LIST, msgspec.structs.replace(OBSERVE, before_send=object_))

    assert words == 1


async def test_a_clear_refusal_is_told_and_novita_counts_as_well():
    """A 4xx says that the host works."""
    bench = Bench(NO_CAPACITY)

    failure = await bench.fail(NoCapacity)

    assert failure.reason == "INSUFFICIENT_RESOURCE"
    assert bench.coordination.reports == [True]


@pytest.mark.parametrize(
    "step",
    [
        BrokeOff("reset"),
        BrokeOff("", timed_out=True),
        TooLarge("too large"),
        TROUBLE,
        answer(b"", status=408),
        answer(b"<html>"),
        answer(b"", status=302),
    ],
)
async def test_a_change_without_a_clear_answer_is_unclear_and_never_sent_again(step):
    """Time-out, reset, 5xx, 408, a redirect, an unreadable success: the world must be looked at first."""
    bench = Bench(step)

    await bench.fail(Unclear)

    assert len(bench.sender.sent) == 1
    assert bench.coordination.reports == [False]
    assert bench.coordination.open_slots == set()


async def test_a_change_that_never_left_may_be_made_later():
    """Refused connections and failed look-ups of names change nothing, but they count against the host."""
    bench = Bench(NeverSent("ClientConnectorError"))

    failure = await bench.fail(TryLater)

    assert failure.clear
    assert len(bench.sender.sent) == 1
    assert bench.coordination.reports == [False]


async def test_a_rate_limited_change_is_not_sent_again_here():
    """429 on a create may be the quota; the caller counts."""
    bench = Bench(answer(b"", status=429, retry_after="7"))

    failure = await bench.fail(TryLater)

    assert (failure.rate_limited, failure.retry_after) == (True, 7.0)
    assert len(bench.sender.sent) == 1


@pytest.mark.parametrize(
    "step",
    [
        BrokeOff("reset"),
        NeverSent("refused"),
        TROUBLE,
        LIMITED,
        answer(b"", status=408),
        answer(b"<html>"),
        answer(b'{"instan'),
    ],
)
async def test_a_read_is_repeated_with_a_pause(step):
    """Each try takes a slot and counts in the breaker."""
    bench = Bench(step, EMPTY_LIST)
    began = bench.clock.now()

    page = await bench.ask(LIST, OBSERVE)

    assert page.total == 0
    assert bench.coordination.log.count("admit public") == 2
    assert bench.coordination.reports == [False, True]
    assert 0 < bench.clock.now() - began <= 1.0


async def test_a_read_is_given_up_after_the_set_number_of_tries():
    """Three in all; the last failure is told."""
    bench = Bench(TROUBLE)

    failure = await bench.fail(TryLater, LIST, OBSERVE)

    assert failure.status == 503
    assert len(bench.sender.sent) == 3


@pytest.mark.parametrize(
    "step", [answer(b'{"code": 404}', status=404), answer(b"", status=301), TooLarge("it is too large")]
)
async def test_a_read_with_a_final_answer_is_not_repeated(step):
    """Asking again would bring the same."""
    bench = Bench(step)

    await bench.fail((Gone, Broken), LOOK, OBSERVE)

    assert len(bench.sender.sent) == 1


async def test_a_read_that_never_makes_sense_is_broken():
    """Cut short once is bad luck; three times is another shape."""
    bench = Bench(answer(b"not json"))

    await bench.fail(Broken, LIST, OBSERVE)

    assert len(bench.sender.sent) == 3


async def test_retry_after_is_obeyed_exactly():
    """Not a moment earlier, and no jitter on top."""
    bench = Bench(answer(b"", status=429, retry_after="7"), EMPTY_LIST)
    began = bench.clock.now()

    await bench.ask(LIST, OBSERVE)

    assert bench.clock.now() - began == 7.0


async def test_retry_after_beyond_the_deadline_ends_the_call():
    """The caller is told when, instead of being kept waiting."""
    bench = Bench(answer(b"", status=503, retry_after="40"))
    began = bench.clock.now()

    failure = await bench.fail(TryLater, LIST, OBSERVE)

    assert failure.retry_after == 40.0
    assert bench.clock.now() == began
    assert len(bench.sender.sent) == 1


async def test_the_deadline_starts_at_admission():
    """Waiting for a slot does not eat the time of the call."""
    bench = Bench(answer(), limit=1)
    await bench.ask()

    await bench.ask(call=msgspec.structs.replace(ACT, longest_wait=90, deadline=5))

    assert bench.sender.seconds == [30.0, 5.0]
    assert bench.clock.now() >= 1_800_000_060


async def test_all_tries_share_one_deadline():
    """A retry gets what is left, not the whole again."""

    async def slowly_refused():
        await bench.clock.sleep(4)
        return TROUBLE

    bench = Bench(slowly_refused)

    await bench.fail(TryLater, LIST, msgspec.structs.replace(OBSERVE, deadline=6))

    assert bench.sender.seconds[0] == 6.0
    assert all(seconds < 2 for seconds in bench.sender.seconds[1:])


async def test_a_call_whose_time_is_over_before_sending_is_never_sent():
    """The last word may have taken too long."""
    bench = Bench(answer())

    async def slow() -> None:
        await bench.clock.sleep(31)

    failure = await bench.fail(TryLater, call=msgspec.structs.replace(ACT, before_send=slow))

    assert failure.code is Code.UPSTREAM_TIMEOUT
    assert bench.sender.sent == []
    assert bench.coordination.reports == [None]


async def test_a_full_limiter_says_when_to_come_back():
    """Only the wait that the caller allowed is waited."""
    bench = Bench(answer(), limit=1)
    await bench.ask()

    failure = await bench.fail(TryLater)

    assert failure.code is Code.RATE_LIMIT_EXCEEDED
    assert not failure.rate_limited
    assert failure.retry_after is not None
    assert failure.retry_after > 2
    assert len(bench.sender.sent) == 1


async def test_an_open_breaker_sends_nothing_and_takes_no_slot():
    """Five failures in a row, then a minute of silence."""
    bench = Bench(TROUBLE)
    for _ in range(5):
        await bench.fail(Unclear)
    bench.coordination.log.clear()

    failure = await bench.fail(TryLater)

    assert (failure.code, failure.retry_after) == (Code.CIRCUIT_BREAKER_OPEN, 60.0)
    assert len(bench.sender.sent) == 5
    assert bench.coordination.log == []


async def test_a_breaker_that_opened_while_a_call_waited_for_its_slot_holds_it_back():
    """It is asked again after admission; the slot is given back at once."""
    bench = Bench(TROUBLE, breaker=BreakerSettings(failure_threshold=1, open_seconds=300), limit=1)
    early = asyncio.create_task(bench.transport.call(STOP, ACT))
    late = asyncio.create_task(bench.transport.call(STOP, msgspec.structs.replace(ACT, longest_wait=90)))

    await bench.clock.run_until(lambda: early.done() and late.done())

    assert isinstance(early.exception(), Unclear)
    assert isinstance(late.exception(), TryLater)
    assert late.exception().code is Code.CIRCUIT_BREAKER_OPEN
    assert bench.coordination.log.count("admit public") == 2
    assert len(bench.sender.sent) == 1
    assert bench.coordination.open_slots == set()


async def test_after_the_pause_one_probe_goes_out_at_a_time():
    """The others are told to come back."""
    bench = Bench(TROUBLE, breaker=BreakerSettings(failure_threshold=1))
    await bench.fail(Unclear)
    await bench.clock.advance(61)
    release = asyncio.Event()

    async def probe():
        await release.wait()
        return answer()

    bench.sender._steps = [probe]
    first = asyncio.create_task(bench.transport.call(STOP, ACT))
    await settle()

    failure = await bench.fail(TryLater)
    release.set()
    await first

    assert failure.code is Code.CIRCUIT_BREAKER_OPEN
    assert len(bench.sender.sent) == 2
    assert bench.coordination.open_slots == set()


async def test_calls_that_are_held_back_while_a_probe_is_out_use_up_nothing():
    """After an outage many ask at once; the window must be free for them when the breaker closes."""
    bench = Bench(TROUBLE, breaker=BreakerSettings(failure_threshold=1), limit=10)
    await bench.fail(Unclear)
    await bench.clock.advance(61)

    async def probe():
        await asyncio.Event().wait()

    bench.sender._steps = [probe]
    first = asyncio.create_task(bench.transport.call(STOP, ACT))
    await settle()
    for _ in range(30):
        failure = await bench.fail(TryLater)
        assert failure.code is Code.CIRCUIT_BREAKER_OPEN
    used = (await bench.coordination.window_use("public")).used
    first.cancel()

    assert used == 1


async def test_a_cancelled_call_holds_its_slot_until_it_cannot_arrive_any_more_and_gives_its_permit_back():
    """What is on its way may still be counted by Novita; a slot that is never settled would be lost for good."""

    async def never() -> None:
        await asyncio.Event().wait()

    bench = Bench(never)
    task = asyncio.create_task(bench.transport.call(STOP, ACT))
    await bench.sender.arrived.wait()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert bench.coordination.reports == [None]
    await bench.clock.advance(29.0)
    assert len(bench.coordination.open_slots) == 1
    await bench.clock.advance(2.0)
    assert bench.coordination.open_slots == set()


async def test_a_call_cancelled_again_while_it_is_settling_still_settles():
    """Cancellation may be repeated by whoever cancels; coordination may take a moment."""

    async def never() -> None:
        await asyncio.Event().wait()

    bench = Bench(never)
    plain, settled = bench.coordination.settle, asyncio.Event()

    async def slow_settle(window: str, slot: int) -> None:
        await bench.clock.sleep(0.05)
        await plain(window, slot)
        settled.set()

    bench.coordination.settle = slow_settle
    task = asyncio.create_task(bench.transport.call(STOP, ACT))
    await bench.sender.arrived.wait()
    task.cancel()
    await settle()
    task.cancel()
    await settle()
    assert task.cancelled()

    await bench.clock.advance(31.0)

    assert settled.is_set()
    assert bench.coordination.open_slots == set()


async def test_a_cancelled_wait_for_a_slot_takes_nothing_along():
    """Whoever walks away leaves the window as it was."""
    bench = Bench(answer(), limit=1)
    await bench.ask()
    task = asyncio.create_task(bench.transport.call(STOP, msgspec.structs.replace(ACT, longest_wait=90)))
    await settle()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await bench.clock.advance(120)
    await bench.ask()

    assert len(bench.sender.sent) == 2


async def test_an_outage_is_not_amplified_by_retries():
    """Successes pay for retries: what is in the budget is spent once, then each read is a single call."""
    bench = Bench(TROUBLE, breaker=BreakerSettings(failure_threshold=10_000), limit=100_000)

    for _ in range(60):
        await bench.fail(TryLater, LIST, OBSERVE)

    assert len(bench.sender.sent) <= 60 * 1.2


async def test_what_the_client_shows_of_itself_is_what_happened():
    """Both breakers, the window, latencies; nothing is called for it."""
    bench = Bench(answer(), TROUBLE)
    before = await bench.transport.view()
    await bench.ask()
    await bench.fail(Unclear)

    view = await bench.transport.view()

    assert (before.reachable, before.latency_p50_ms) == (None, None)
    assert (view.reachable, view.used, view.limit) == (False, 2, 100)
    assert set(view.breakers) == {"gpu", "account"}
    assert (view.breakers["gpu"].state, view.breakers["gpu"].failure_count) == ("CLOSED", 1)
    assert view.last_error == "stop: Novita answered 503"


async def test_closing_twice_is_fine_and_sends_waiting_calls_away():
    """They are told that nothing was sent."""
    bench = Bench(answer(), limit=1)
    await bench.ask()
    waiting = asyncio.create_task(bench.transport.call(STOP, msgspec.structs.replace(ACT, longest_wait=90)))
    await settle()

    await bench.transport.close()
    await bench.transport.close()

    with pytest.raises(TryLater):
        await waiting
