"""U2, continued: three more small machines that much rests on, each walked at random beside a model of a few lines.

The limiter's window, the durable queue of jobs on the real store, and the receipts of idempotent requests on the real store. They share the
breaker's promise: what they do is what is written, in any order of events.
"""

import asyncio
import itertools
import math
import random
from dataclasses import dataclass
from typing import Any

from contract.stores.engines import SqliteMemory
from contract.stores.test_job_model import Jobs
from novitai.domain.errors import Code, Refusal
from novitai.operations.receipts import KEEP_SECONDS, Answer, Draft, Receipts
from novitai.ports.store import Commit, Conflict, Priority, Put, Store
from novitai.resilience.limiter import GUARANTEED_PER_HUNDRED, Limiter, LimiterSettings, Share, Slot
from novitai.stores.sqlite import open_sqlite
from support.clock import FakeClock
from support.walking import Step, walk

# ── the limiter ───────────────────────────────────────────────────────────────────────────────────────────────────────

LIMIT, WINDOW, LONGEST_CALL = 20, 60.0, 30.0


@dataclass
class Held:
    """A slot as the model knows it: given at `start`, over at `end`, or still open."""

    id: int
    share: Share
    start: float
    end: float | None = None

    def counts(self, now: float) -> bool:
        return self.end is None or now < self.end + WINDOW


class Windows:
    """The limiter and a list of slots. Which lent slot is given when is its own affair; what is guaranteed and what is forbidden is not."""

    def __init__(self) -> None:
        self._settings = LimiterSettings(limit=LIMIT, window=WINDOW, longest_call=LONGEST_CALL)
        self._limiter = Limiter(self._settings)
        self._now = 10_000.0
        self._held: list[Held] = []

    def admit(self, share: Share) -> None:
        used = self._used()
        outcome = self._limiter.admit(share, self._now)
        total, own = sum(used.values()), LIMIT * GUARANTEED_PER_HUNDRED[share] // 100
        if not isinstance(outcome, Slot):
            assert 0 < outcome.seconds <= WINDOW + LONGEST_CALL, f"told to wait {outcome.seconds} s"
            assert total >= LIMIT or used[share] >= own, f"{share} was refused what it is guaranteed"
            return
        assert total < LIMIT, f"{total} slots of {LIMIT} were held, and another was given"
        assert used[share] < own or total + self._floats(share, used) < LIMIT, (
            f"the float of others was lent to {share}"
        )
        self._held.append(Held(outcome.id, share, self._now))
        self._alike()

    def settle(self, pick: int) -> None:
        if one := self._open(pick):
            self._limiter.settle(one.id, self._now)
            one.end = self._now
        self._alike()

    def release(self, pick: int) -> None:
        if one := self._open(pick):
            self._limiter.release(one.id)
            self._held.remove(one)
        self._alike()

    def wait(self, seconds: float) -> None:
        self._now += seconds
        self._alike()

    def restart(self, seconds: float) -> None:
        """The process is killed and another goes on so much later: what was open may arrive until it would have been given up."""
        killed, stamps = self._now, self._limiter.dump(self._now)
        self._now += seconds
        self._limiter = Limiter(self._settings)
        self._limiter.load(stamps, self._now)
        for one in self._held:
            if one.end is None or one.end > killed:
                one.end = max(self._now, one.start + LONGEST_CALL)
        self._alike()

    def close(self) -> None:
        pass

    def _open(self, pick: int) -> Held | None:
        still = [one for one in self._held if one.end is None]
        return still[pick % len(still)] if still else None

    def _used(self) -> dict[Share, int]:
        return {share: sum(one.share is share and one.counts(self._now) for one in self._held) for share in Share}

    def _floats(self, share: Share, used: dict[Share, int]) -> int:
        """What every other share may have at once."""
        kept = 0
        for other in Share:
            own = LIMIT * GUARANTEED_PER_HUNDRED[other] // 100
            kept += 0 if other is share else max(0, min(own - used[other], math.ceil(own / 6)))
        return kept

    def _alike(self) -> None:
        told, known = self._limiter.used_by_share(self._now), self._used()
        assert told == known, f"held {told}, and the model says {known}"


def traffic(chance: random.Random) -> Step:
    """Calls above all, in bursts."""
    draw = chance.random()
    if draw < 0.5:
        return "admit", {"share": chance.choice(tuple(Share))}
    if draw < 0.75:
        return "settle", {"pick": chance.randrange(20)}
    if draw < 0.8:
        return "release", {"pick": chance.randrange(20)}
    if draw < 0.97:
        return "wait", {"seconds": chance.choice((0.1, 0.6, 3.0, 10.0, 59.0, 61.0))}
    return "restart", {"seconds": chance.choice((0.0, 2.0, 29.0, 31.0))}


def test_the_limiter_and_its_model_never_differ(scale, book):
    """What is held, what is guaranteed and what is forbidden, restarts included."""
    done = walk(Windows, traffic, steps=scale.pick(short=5_000, prove=200_000, full=2_000_000), seed=3)

    assert done.differences == []
    book.figure("U2", "limiter: differences from its model", len(done.differences), exactly=0)
    book.figure(
        "U2", "limiter: random steps beside its model", done.steps, at_least=scale.pick(short=1_000, prove=50_000)
    )


# ── the queue of jobs ─────────────────────────────────────────────────────────────────────────────────────────────────

PLACES = itertools.count()


class Queue(Jobs):
    """The store's jobs beside the model of its contract, compared after each step."""

    def __init__(self) -> None:
        super().__init__(SqliteMemory(), PLACES)

    def play(self, name: str, **fields: Any) -> None:
        getattr(self, name)(**fields)
        self.the_store_shows_what_the_model_holds()
        self.the_next_due_time_is_right()
        self.every_ended_job_is_in_the_log_once()

    def close(self) -> None:
        self.teardown()


def work(chance: random.Random) -> Step:
    """Wakes, claims and ends of three subjects, so that they meet."""

    def reason() -> tuple[str, Priority, float]:
        return chance.choice(("create", "stop")), chance.choice(tuple(Priority)), chance.choice((-5.0, 0.0, 10.0, 30.0))

    kind, priority, delay = reason()
    again = (*reason(), chance.random() < 0.5)
    steps: list[dict[str, Any]] = [
        {
            "name": "wake",
            "key": chance.choice("abc"),
            "job_type": kind,
            "priority": priority,
            "delay": delay,
            "payload": chance.randbytes(2),
        },
        {"name": "claim", "limit": chance.randint(1, 3)},
        {
            "name": "finish",
            "pick": chance.randrange(20),
            "again": chance.choice((None, again)),
            "failed": chance.random() < 0.5,
            "woken": chance.choice((None, reason())),
        },
        {"name": "cancel", "key": chance.choice("abc")},
        {"name": "renew", "pick": chance.randrange(20)},
        {"name": "wait", "seconds": chance.choice((1.0, 10.0, 20.0, 100.0))},
    ]
    return "play", chance.choices(steps, weights=(3, 3, 3, 1, 1, 2))[0]


def test_the_queue_of_jobs_and_its_model_never_differ(scale, book):
    """On the real store in memory: who may work on what, when, and what is remembered of it."""
    done = walk(Queue, work, steps=scale.pick(short=1_000, prove=50_000, full=500_000), seed=4)

    assert done.differences == []
    book.figure("U2", "job queue: differences from its model", len(done.differences), exactly=0)
    book.figure(
        "U2", "job queue: random steps beside its model", done.steps, at_least=scale.pick(short=1_000, prove=50_000)
    )


# ── idempotent requests ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Kept:
    """The answer to a key as the model knows it."""

    body: bytes
    answer: Answer
    until: float


@dataclass
class Deciding:
    """A request under way in one of two processes."""

    server: int
    key: str
    body: bytes
    draft: Draft


class Requests:
    """Two processes that answer requests with keys over one store, and a dictionary."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._clock = FakeClock()
        self._store: Store = self._runner.run(open_sqlite(None, clock=self._clock))
        self._servers = [self._server(), self._server()]
        self._under_way: list[Deciding] = []
        self._kept: dict[str, Kept] = {}
        self._numbers = itertools.count(1)

    def begin(self, server: int, key: str, body: bytes) -> None:
        """A request arrives: it is decided, answered again, or refused."""
        found = self._asked(server, key, body)
        kept = self._of(key)
        busy = any(one.server == server and one.key == key for one in self._under_way)
        if kept is not None:
            expected: object = kept.answer if kept.body == body else Code.IDEMPOTENCY_KEY_REUSED
        else:
            expected = Code.OPERATION_IN_PROGRESS if busy else Draft
        if isinstance(found, Draft):
            assert expected is Draft, f"decided anew, and the model says {expected}"
            self._under_way.append(Deciding(server, key, body, found))
        else:
            assert found == expected, f"answered {found}, and the model says {expected}"

    def decide(self, pick: int) -> None:
        """The change and its answer are committed; the first of two that decide the same wins, and the other changes nothing."""
        if not self._under_way:
            return
        one, number = self._under_way[pick % len(self._under_way)], next(self._numbers)
        answer = Answer(status=201, body=f"made {number}")
        change = Put(kind="proof", id=f"thing{number}", body=b"{}", expect=0)
        commit = Commit(puts=(change, one.draft.put(answer, now=self._clock.now())))
        lost = self._of(one.key) is not None
        try:
            self._run(self._store.commit(commit))
        except Conflict:
            assert lost, "the first to decide was refused"
        else:
            assert not lost, "decided twice"
            self._kept[one.key] = Kept(one.body, answer, self._clock.now() + KEEP_SECONDS)
        made = self._run(self._store.get("proof", f"thing{number}")) is not None
        assert made is not lost, "the change and its receipt are not one"

    def refuse(self, pick: int) -> None:
        """The state of the world refuses: the refusal is kept, unless another answer is already."""
        if not self._under_way:
            return
        one = self._under_way[pick % len(self._under_way)]
        answer = Answer(status=409, body="no")
        self._run(self._servers[one.server].keep(one.draft, answer))
        if self._of(one.key) is None:
            self._kept[one.key] = Kept(one.body, answer, self._clock.now() + KEEP_SECONDS)

    def end(self, pick: int) -> None:
        """A request is over, whatever came of it."""
        if self._under_way:
            one = self._under_way.pop(pick % len(self._under_way))
            self._servers[one.server].end(one.draft)

    def restart(self, server: int) -> None:
        """A process is killed; what it was deciding is forgotten, what was kept is not."""
        self._servers[server] = self._server()
        self._under_way = [one for one in self._under_way if one.server != server]

    def wait(self, seconds: float) -> None:
        self._run(self._clock.advance(seconds))

    def close(self) -> None:
        self._run(self._store.close())
        self._runner.close()

    def _server(self) -> Receipts:
        return Receipts(store=self._store, clock=self._clock)

    def _asked(self, server: int, key: str, body: bytes) -> Draft | Answer | Code:
        scope = {"owner": "key_1", "method": "POST", "path": "/api/instances", "key": key}
        try:
            return self._run(self._servers[server].begin(**scope, body=body))
        except Refusal as refusal:
            return refusal.code

    def _of(self, key: str) -> Kept | None:
        kept = self._kept.get(key)
        return kept if kept is not None and self._clock.now() < kept.until else None

    def _run(self, work: Any) -> Any:
        return self._runner.run(work)


def requests(chance: random.Random) -> Step:
    """Three keys and two bodies, so that they meet."""
    pick, server = chance.randrange(12), chance.randrange(2)
    steps: list[Step] = [
        ("begin", {"server": server, "key": chance.choice("abc"), "body": chance.choice((b"{}", b'{"a":1}'))}),
        ("decide", {"pick": pick}),
        ("refuse", {"pick": pick}),
        ("end", {"pick": pick}),
        ("restart", {"server": server}),
        ("wait", {"seconds": chance.choice((1.0, 3_600.0, 43_200.0, 86_399.0, 86_400.0))}),
    ]
    return chance.choices(steps, weights=(8, 4, 1, 4, 1, 2))[0]


def test_idempotent_requests_and_their_model_never_differ(scale, book):
    """On the real store in memory, two processes: one change for each key, and the same answer to the same request for a day."""
    done = walk(Requests, requests, steps=scale.pick(short=2_000, prove=50_000, full=500_000), seed=5)

    assert done.differences == []
    book.figure("U2", "idempotency: differences from its model", len(done.differences), exactly=0)
    book.figure(
        "U2", "idempotency: random steps beside its model", done.steps, at_least=scale.pick(short=1_000, prove=50_000)
    )
