"""What everybody in a simulation shares: one source of chance, the weather, the record of what happened, and what can be excused by it.

The weather of a seed is drawn first: some kinds of trouble never come, some come often, and some spells (an outage, a refused key) last a
while. So each seed is a different bad day, not the same mixture of everything. `calm` ends all of it.
"""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from random import Random

from novitai.ports.world import Clock
from support.clock import START

TROUBLES = {
    # calls to Novita that change something
    "lost call": 0.5,
    "lost answer": 0.5,
    "late effect": 0.4,
    "call times out": 0.3,
    "too many requests": 0.4,
    "kept back by the limiter": 0.4,
    "kept back by the breaker": 0.3,
    "no capacity": 0.5,
    "no balance": 0.05,
    "quota": 0.05,
    "rejected": 0.05,
    "refused but done": 0.2,
    "refused": 0.2,
    # reading
    "read fails": 0.5,
    "read is late": 0.5,
    "denied once": 0.3,
    "list lies": 0.6,
    "list lags": 0.6,
    # machines
    "comes up late": 0.2,
    "exits": 0.2,
    "application is late": 0.4,
    # receivers
    "receiver fails": 0.6,
    "receiver hangs": 0.2,
    "acknowledgement lost": 0.4,
    "receiver says stop": 0.05,
    # the disk
    "disk is slow": 0.5,
    "commit loses a race": 0.4,
}
"""Each kind with the greatest share of chances it takes; a seed draws how much of that it has, often nothing."""

SPELLS = {
    "outage": (30.0, 700.0),
    "key refused": (30.0, 400.0),
    "disk away": (1.0, 60.0),
    "receiver away": (30.0, 400.0),
}
"""What lasts a while, with the shortest and the longest time (seconds)."""


@dataclass
class Spell:
    """Trouble from a moment to another."""

    kind: str
    begins: float
    ends: float


@dataclass
class Stage:
    """See the module's text."""

    seed: int
    clock: Clock
    length: float
    chance: Random = field(init=False)
    rates: dict[str, float] = field(default_factory=dict)
    spells: list[Spell] = field(default_factory=list)
    calm: bool = False
    hits: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)
    excuses: defaultdict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))
    findings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = Random(self.seed)
        self._draw_weather()

    def _draw_weather(self) -> None:
        chance, now = self.chance, self.clock.now()
        for kind, greatest in TROUBLES.items():
            share = chance.choice((0.0, 0.0, 0.1, 0.4, 1.0))
            if share:
                self.rates[kind] = greatest * share
        for kind, (shortest, longest) in SPELLS.items():
            for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
                begins = now + chance.uniform(0.0, self.length)
                self.spells.append(Spell(kind, begins, begins + chance.uniform(shortest, longest)))

    def happens(self, kind: str) -> bool:
        """Whether this trouble comes now."""
        rate = self.rates.get(kind)
        if rate is None or self.calm or self.chance.random() >= rate:
            return False
        self.hits[kind] += 1
        return True

    def lasts(self, kind: str) -> bool:
        """Whether a spell of this trouble is on."""
        if self.calm:
            return False
        now = self.clock.now()
        for spell in self.spells:
            if spell.kind == kind and spell.begins <= now < spell.ends:
                self.hits[kind] += 1
                return True
        return False

    def note(self, *words: object) -> None:
        """Write down what happened; the trace of two runs of one seed is the same."""
        self.trace.append(f"{self.clock.now() - START:10.3f} " + " ".join(map(str, words)))

    def excuse(self, instance_id: str, why: str) -> None:
        """From now on this instance may be otherwise than was asked."""
        self.excuses[instance_id].append((self.clock.now(), why))
        self.hits[why] += 1

    def finding(self, what: str) -> None:
        """Something that must not be."""
        self.note("FINDING", what)
        self.findings.append(what)

    def fingerprint(self) -> str:
        """The same for two runs that went the same way."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()[:16]
