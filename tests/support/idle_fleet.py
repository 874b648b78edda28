"""A fleet whose use is known to the second, watched by the rule of the idle stop through signals that lag, fail and lie.

The truth of every machine is made up when it becomes ready: when its GPU and CPU are busy, when somebody tells of a use. The rule
sees it only through a Novita that publishes late, has holes and outages, and through a clock that is set now and then; what it
remembers but in the store is lost with every restart. Each stop is noted with the truth beside it. Machines are looked at when they
are due, as the loop of the server does, so hundreds of days pass in a minute.
"""

import heapq
import random
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

import msgspec

from novitai.domain.idle import Deed, IdleRule, Warned
from novitai.domain.ids import MachineId
from novitai.domain.instance import DesiredState, Instance
from novitai.domain.lifecycle import State
from novitai.domain.metrics import MachineMetrics, Sample
from novitai.operations.metering import AFTER_FAILURE, CALLS, Budget
from novitai.policies.idle import LEAD_SECONDS, Known, Step, judge
from novitai.policies.usage import MARGIN_SECONDS, STALE_SECONDS, Reading
from novitai.reconcilers.idle import STEP_SECONDS
from support import builders

DAY = 86_400.0
RULE = IdleRule(idle_seconds=1200.0, warn_seconds=300.0)
INTERVAL = 30.0
USUAL_LAG = 60.0
AT_ONCE = 30
"""When more than these come due together, their readings take their time."""
TRIES_THAT_FAILED = AFTER_FAILURE + 60.0
"""After an outage: the machine rests, and the calls that failed have used up the cap of that minute."""

Span = tuple[float, float]


@dataclass
class Life:
    """The truth of one machine from ready to stopped. Spans and moments are in the order of time."""

    ready_at: float
    gpu: list[Span] = field(default_factory=list)
    cpu: list[Span] = field(default_factory=list)
    told: list[float] = field(default_factory=list)
    holes: list[Span] = field(default_factory=list)
    late: list[Span] = field(default_factory=list)
    noted: float = 0.0  # the latest moment that the process noted of it, by its clock
    warned_at: float | None = None

    def last_use(self, before: float, *, blind: float) -> float:
        """The last moment of use before a moment; the last `blind` seconds of what is measured are not known yet."""
        seen = before - blind
        measured = [
            min(end, seen)
            for start, end in (*self.gpu, *self.cpu)
            if start < seen and (blind == 0.0 or self._shown(start, min(end, seen)))
        ]
        return max([self.ready_at, *(at for at in self.told if at <= before), *measured])

    def _shown(self, start: float, end: float) -> bool:
        """Whether anything was measured in a span: a short one can fall between two measurements, or into a short hole."""
        first = -(-start // INTERVAL) * INTERVAL
        moments = (first + INTERVAL * step for step in range(max(0, -int(-(end - first) // INTERVAL))))
        return any(not any(a <= at < b for a, b in self.holes) for at in moments)


@dataclass(frozen=True)
class Stop:
    """A stop, with the truth of that moment: seconds since the last use that could be known, seconds beyond the promise, how long it
    had been announced, and whether use that nobody could know of yet had begun.
    """

    unused_for: float
    late_by: float
    announced_for: float
    unlucky: bool


@dataclass
class Findings:
    """What came of it all."""

    stops: list[Stop] = field(default_factory=list)
    readings: int = 0
    most_readings_in_a_minute: int = 0
    days: float = 0.0

    @property
    def false(self) -> int:
        return sum(stop.unused_for < RULE.idle_seconds for stop in self.stops)

    @property
    def latest(self) -> float:
        return max(stop.late_by for stop in self.stops)

    @property
    def shortest_notice(self) -> float:
        return min(stop.announced_for for stop in self.stops)


@dataclass
class Watched:
    """A machine, what the store remembers of it, and what the process does."""

    number: int
    instance: Instance
    life: Life | None = None
    warned: Warned | None = None
    postponed_at: float | None = None
    reading: Reading | None = None
    rests_until: float = 0.0


class Fleet:
    """See the module's text. Times are true Unix seconds, except where they are said to be by the clock of the process."""

    def __init__(self, *, machines: int, seed: int, faults: bool = True) -> None:
        self.chance = random.Random(seed)
        self.found = Findings()
        self.now = builders.NOW
        self._faults = faults
        self._machines = [Watched(number, self._instance(number)) for number in range(machines)]
        self._order = 0
        self._heap: list[tuple[float, float, int, str, int]] = []
        self._budget = Budget()
        self._offset = 0.0
        self._noticed_offset = 0.0
        self._trusted_since = 0.0
        self._outages: list[Span] = []
        self._set_at: list[float] = []
        self._readings: list[float] = []

    def run(self, days: float) -> Findings:
        """Let so many days pass."""
        end = self.now + days * DAY
        for watched in self._machines:
            self._later(self.now + self.chance.uniform(0.0, DAY), "ready", watched.number)
        if self._faults:
            for kind, often in (("clock", 0.7), ("restart", 0.5), ("outage", 0.4), ("crowd", 1.0)):
                self._later(self.now + self.chance.expovariate(1 / (often * DAY)), kind, 0)
        while self._heap and self._heap[0][0] <= end:
            self.now, _, _, what, number = heapq.heappop(self._heap)
            getattr(self, f"_{what}")(number)
        self.found.days = days
        self.found.readings = len(self._readings)
        self.found.most_readings_in_a_minute = max(
            (bisect_left(self._readings, at + 60.0) - index for index, at in enumerate(self._readings)), default=0
        )
        return self.found

    # ── what happens ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _ready(self, number: int) -> None:
        watched = self._machines[number]
        if watched.life is not None:
            return
        watched.life = self._made_up(self.now)
        watched.life.noted = self.now + self._offset
        at = self.now + self._offset
        operation = msgspec.structs.replace(watched.instance.operation, requested_at=at - 200.0)
        desired = builders.desired(DesiredState.RUNNING, at=at - 200.0)
        watched.instance = msgspec.structs.replace(
            watched.instance, ready_at=at, desired=desired, operation=operation, created_at=at - 200.0
        )
        watched.reading = None
        self._later(self.now, "look", number)

    def _crowd(self, _: int) -> None:
        """Somebody starts a third of the fleet at once, and nobody uses it."""
        for watched in self._machines[:: self.chance.choice((3, 4, 10))]:
            if watched.life is None:
                self._later(self.now, "ready", watched.number)
        self._later(self.now + self.chance.expovariate(1 / DAY), "crowd", 0)

    def _clock(self, _: int) -> None:
        """The clock is set, and after a while set right."""
        if self._offset:
            self._set_at.append(self.now)
            self._offset = 0.0
            self._later(self.now + self.chance.expovariate(1 / DAY), "clock", 0)
        else:
            self._offset = self.chance.choice((-1.0, 1.0)) * self.chance.choice((5.0, 45.0, 600.0, 3600.0))
            lasts = self.chance.uniform(10.0, 1800.0)
            self._set_at.append(self.now)
            self._later(self.now + lasts, "clock", 0)
        self._look_at_all()

    def _restart(self, _: int) -> None:
        """The process ends and is back within 20 seconds: readings, trust and budget are gone."""
        for watched in self._machines:
            watched.reading, watched.rests_until = None, 0.0
        self._trusted_since, self._noticed_offset = 0.0, self._offset
        back = self.now + self.chance.uniform(1.0, 20.0)
        self._heap = [
            (max(at, back) if what == "look" else at, first, order, what, number)
            for at, first, order, what, number in self._heap
        ]
        heapq.heapify(self._heap)
        self._later(self.now + self.chance.expovariate(1 / DAY), "restart", 0)

    def _outage(self, _: int) -> None:
        """Novita's metrics cannot be read for a while."""
        self._outages.append((self.now, self.now + self.chance.uniform(30.0, 1800.0)))
        self._later(self._outages[-1][1] + self.chance.expovariate(1 / DAY), "outage", 0)

    def _look_at_all(self) -> None:
        for watched in self._machines:
            if watched.life is not None:
                self._later(self.now, "look", watched.number)

    # ── the loop ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _look(self, number: int) -> None:
        watched = self._machines[number]
        if watched.life is None:
            return
        if abs(self._offset - self._noticed_offset) > STEP_SECONDS:
            self._trusted_since = self.now + self._offset
            for one in self._machines:
                one.reading = None
        self._noticed_offset = self._offset
        now = self.now + self._offset
        verdict = judge(watched.instance, RULE, self._known(watched), now=now)
        if verdict.step is Step.READ:
            if self._read(watched, now, due=verdict.acts_at or now):
                self._look(number)
        elif verdict.step is Step.WARN:
            assert verdict.idle_since is not None
            assert verdict.acts_at is not None
            watched.life.warned_at = self.now
            watched.warned = Warned(
                id="w", deed=Deed.STOP, at=now, idle_since=verdict.idle_since, acts_at=verdict.acts_at
            )
            if self.chance.random() < 0.05:
                at = self.now + self.chance.uniform(1.0, 290.0)
                self._later(at, "snooze", number)
            self._later(self.now + max(0.2, verdict.acts_at - now), "look", number)
        elif verdict.step is Step.ACT:
            self._stopped(watched)
        else:
            assert verdict.due is not None
            self._later(self.now + max(0.2, verdict.due - now), "look", number)

    def _snooze(self, number: int) -> None:
        watched = self._machines[number]
        if watched.life is None or watched.warned is None:
            return
        watched.postponed_at, watched.warned = self.now + self._offset, None
        watched.life.noted = max(watched.life.noted, watched.postponed_at)
        watched.life.told.insert(bisect_right(watched.life.told, self.now), self.now)

    def _read(self, watched: Watched, now: float, *, due: float) -> bool:
        """Whether there is a reading now; else it is tried again when that may be."""
        again = max(watched.rests_until, self.now if self._budget.left(self.now) > 0 else self._budget.next(self.now))
        if again > self.now:
            self._later(again, "look", watched.number, first=due)
            return False
        self._budget.take(self.now)
        self._readings.append(self.now)
        if any(start <= self.now < end for start, end in self._outages[-2:]):
            watched.rests_until = self.now + AFTER_FAILURE
            self._later(watched.rests_until, "look", watched.number)
            return False
        since = max(self._floor(watched), now - RULE.idle_seconds - MARGIN_SECONDS) // INTERVAL * INTERVAL
        watched.reading = self._published(watched, since, now)
        return True

    def _known(self, watched: Watched) -> Known:
        assert watched.life is not None
        told = bisect_right(watched.life.told, self.now)
        return Known(
            last_used_at=watched.life.told[told - 1] + self._offset if told else None,
            reading=watched.reading,
            warned=watched.warned,
            postponed_at=watched.postponed_at,
            trusted_since=self._trusted_since,
        )

    def _floor(self, watched: Watched) -> float:
        assert watched.life is not None
        return watched.instance.ready_at or 0.0

    # ── the world ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _published(self, watched: Watched, since: float, until: float) -> Reading:
        """What Novita shows now of a window, by its own clock, which is right."""
        life = watched.life
        assert life is not None
        lag = next((STALE_SECONDS + 60.0 for start, end in life.late if start <= self.now < end), USUAL_LAG)
        newest = self.now - lag
        count = max(0, int((newest - since) // INTERVAL) + 1)
        moments = [since + INTERVAL * step for step in range(count)]
        holes = [hole for hole in life.holes if hole[1] > since and hole[0] < newest]
        if holes:
            moments = [at for at in moments if not any(start <= at < end for start, end in holes)]
        metrics = MachineMetrics(gpu=_line(moments, life.gpu, 90.0), cpu=_line(moments, life.cpu, 40.0))
        return Reading(machine_id=MachineId(builders.MACHINE_ID), at=until, since=since, metrics=metrics)

    def _made_up(self, ready_at: float) -> Life:
        chance, life, at = self.chance, Life(ready_at), ready_at
        for _ in range(chance.randint(0, 5)):
            at += chance.uniform(0.0, 1080.0) if chance.random() < 0.85 else chance.uniform(1080.0, 1500.0)
            length = chance.choice((60.0, 300.0, 900.0, 2400.0)) * chance.uniform(0.7, 1.3)
            kind = chance.random()
            if kind < 0.4:
                life.gpu.append((at, at + length))
            if 0.3 < kind < 0.6:
                life.cpu.append((at, at + length))
            if kind > 0.55:
                life.told += [at + step * 240.0 for step in range(int(length // 240.0) + 1)]
            at += length
        if self._faults:
            life.holes = self._some(ready_at, at, often=0.25)
            life.late = self._some(ready_at, at, often=0.15)
        return life

    def _some(self, start: float, end: float, *, often: float) -> list[Span]:
        if self.chance.random() > often:
            return []
        begin = self.chance.uniform(start, end + 1200.0)
        return [(begin, begin + self.chance.choice((90.0, 400.0, 2400.0)) * self.chance.uniform(0.8, 1.2))]

    def _stopped(self, watched: Watched) -> None:
        life = watched.life
        assert life is not None
        assert life.warned_at is not None
        used = life.last_use(self.now, blind=STALE_SECONDS)
        really = life.last_use(self.now, blind=0.0)
        known = life.last_use(self.now, blind=USUAL_LAG)
        due = self._due(life, known)
        crowd = len(self._readings) - bisect_left(self._readings, due - RULE.warn_seconds - LEAD_SECONDS)
        extra = max(0, crowd - AT_ONCE) * 60.0 / CALLS
        ahead = max(0.0, self._offset)  # a clock that is ahead sees every measurement that much older
        self.found.stops.append(
            Stop(
                unused_for=self.now - used + ahead,
                late_by=self.now - due - extra,
                announced_for=self.now - life.warned_at,
                unlucky=really > known,
            )
        )
        watched.life = watched.warned = watched.postponed_at = watched.reading = None
        self._later(self.now + self.chance.expovariate(1 / (1.8 * DAY)) + 120.0, "ready", watched.number)

    def _due(self, life: Life, used: float) -> float:
        """When this stop was due: the threshold after the last use, where what could not be measured counts as use."""
        missing = [min(end, self.now) + INTERVAL for _, end in life.holes]
        missing += [end for _, end in life.late]
        missing += self._set_at[-6:]
        # What a clock ahead noted counts from when the clock, set right, comes to it.
        missing.append(life.noted)
        counted = max([used, *(end for end in missing if end <= self.now)])
        unread = max((end for start, end in self._outages[-3:] if start < self.now), default=0.0)
        return max(counted + RULE.idle_seconds, unread + TRIES_THAT_FAILED + RULE.warn_seconds)

    def _instance(self, number: int) -> Instance:
        return msgspec.structs.replace(builders.instance(State.READY), name=f"n{number}")

    def _later(self, at: float, what: str, number: int, *, first: float = 0.0) -> None:
        self._order += 1
        heapq.heappush(self._heap, (at, first, self._order, what, number))


def _line(moments: list[float], busy: list[Span], value: float) -> tuple[Sample, ...]:
    """The measurements at these moments."""
    values = [1.0] * len(moments)
    for start, end in busy:
        first, last = bisect_left(moments, start), bisect_left(moments, end)
        values[first:last] = [value] * (last - first)
    return tuple(map(Sample, moments, values))
