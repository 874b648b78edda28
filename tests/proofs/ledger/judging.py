"""What two ledgers say together: was every promise told, was every telling true. Pure; knows nothing of the server but its contract.

The driver's ledger says what was promised: verbs that were acknowledged, states that were shown to a reader. The receiver's says what came.
From these follow, per instance, the events that must have come; a number that is missing between 1 and the highest, an expected event
that is not there, is a lost one.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from proofs.ledger.journal import Entry

OPENING = {
    "create": "instance.creating",
    "start": "instance.startup_initiated",
    "stop": "instance.stopping",
}
"""The event by which a verb is told at once; a delete is told when it is done."""
ENDING = {
    "create": "instance.ready",
    "start": "instance.ready",
    "stop": "instance.stopped",
    "delete": "instance.deleted",
}
SHOWN = {"ready": "instance.ready", "stopped": "instance.stopped"}
OPENINGS = frozenset(OPENING.values())
PROCESSED = frozenset({"ok", "lost"})
"""Manners in which an arrival is taken in; all others are refused, and must come again."""


@dataclass
class Promised:
    """What the driver knows of one instance."""

    verbs: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    """Events that must have been told, in this order."""

    @property
    def last(self) -> str:
        return self.verbs[-1]


@dataclass
class Told:
    """What the receiver knows of one event id."""

    digests: set[str] = field(default_factory=set)
    manners: list[str] = field(default_factory=list)


@dataclass
class Judge:
    """Takes entries in as they come; can say at any time what is missing."""

    promised: dict[str, Promised] = field(default_factory=lambda: defaultdict(Promised))
    refused: list[Entry] = field(default_factory=list)
    done: bool = False
    told: dict[str, Told] = field(default_factory=lambda: defaultdict(Told))
    processed: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    ids: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    unsigned: int = 0
    misnamed: int = 0
    """Arrivals whose header names another id than their body."""

    def asked(self, entries: Iterable[Entry]) -> None:
        """More of the driver's ledger."""
        for entry in entries:
            match entry["word"]:
                case "acknowledged":
                    promised = self.promised[entry["instance"]]
                    promised.verbs.append(entry["verb"])
                    promised.words += [OPENING[entry["verb"]]] if entry["verb"] in OPENING else []
                case "seen":
                    self.promised[entry["instance"]].words.append(SHOWN[entry["state"]])
                case "refused":
                    self.refused.append(entry)
                case "done":
                    self.done = True

    def arrived(self, entries: Iterable[Entry]) -> None:
        """More of the receiver's ledger."""
        for entry in entries:
            told = self.told[entry["id"]]
            told.digests.add(entry["digest"])
            told.manners.append(entry["manner"])
            self.unsigned += not entry["signed"]
            self.misnamed += entry["id"] != entry["body_id"]
            self.ids[entry["instance"], entry["sequence"]].add(entry["id"])
            if entry["manner"] in PROCESSED:
                self.processed[entry["instance"]][entry["sequence"]] = entry["type"]

    @property
    def events(self) -> int:
        """Different events that arrived."""
        return len(self.ids)

    @property
    def whole(self) -> bool:
        """Whether nothing more is to come."""
        return self.done and not any(self.missing())

    def missing(self) -> Iterator[str]:
        """Events that should have come, one text for each."""
        for instance in sorted({*self.promised, *self.processed}):
            yield from self._missing(instance)

    def verdict(self, machines: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Everything that was found; the machines are those of the stand-in at the end."""
        lost = list(self.missing())
        resent = [before for told in self.told.values() for before, _ in _again(told.manners)]
        return {
            "promises": sum(len(promised.verbs) for promised in self.promised.values()),
            "instances": len(self.promised),
            "events": self.events,
            "arrivals": sum(len(told.manners) for told in self.told.values()),
            "lost": lost,
            "refused": [f"{one['verb']} {one['path']}: {one['status']} {one['text']}" for one in self.refused],
            "untrue": list(self._untrue()),
            "machines": list(self._unfit(machines)),
            "unsigned": self.unsigned,
            "bodies": sum(len(told.digests) > 1 for told in self.told.values()),
            "ids": sum(len(ids) > 1 for ids in self.ids.values()) + self.misnamed,
            "resent_unheard": resent.count("lost"),
            "resent_heard": resent.count("ok"),
            "manners": dict(Counter(manner for told in self.told.values() for manner in told.manners)),
        }

    def _missing(self, instance: str) -> Iterator[str]:
        told = self.processed[instance]
        for number in range(1, max(told, default=0) + 1):
            if number not in told:
                yield f"{instance}: {number}"
        types = [told[number] for number in sorted(told)]
        promised = self.promised.get(instance)
        if promised is None:
            return
        rest = iter(types)
        for word in promised.words:
            if word not in rest:  # consumes up to the word: the order counts
                yield f"{instance}: {word}, after {promised.verbs}, among {types}"
        if ENDING[promised.last] not in _after_last_opening(types):
            yield f"{instance}: {ENDING[promised.last]}, the end of {promised.verbs}, after {types}"

    def _untrue(self) -> Iterator[str]:
        """Events of what nobody asked for, or told more often than it happened."""
        for instance, told in self.processed.items():
            verbs = self.promised[instance].verbs if instance in self.promised else []
            types = [told[number] for number in sorted(told)]
            asked = [OPENING[verb] for verb in verbs if verb in OPENING]
            opened = [one for one in types if one in OPENINGS]
            if len(opened) > len(asked) or types.count("instance.deleted") > verbs.count("delete"):
                yield f"{instance}: {types} for {verbs}"

    def _unfit(self, machines: Sequence[dict[str, Any]]) -> Iterator[str]:
        """Machines that do not fit the last promise. A machine's name holds the instance's id."""
        left = {machine["name"]: machine["status"] for machine in machines}
        for instance, promised in self.promised.items():
            core = instance.partition("_")[2]
            names = [name for name in left if core in name]
            found = [left.pop(name) for name in names]
            fit = {"delete": ([],), "stop": ([], ["exited"])}.get(promised.last, (["running"],))
            if found not in fit:
                yield f"{instance}: {found} after {promised.verbs}"
        yield from (f"nobody's machine: {name} {status}" for name, status in left.items())


def _after_last_opening(types: Sequence[str]) -> Sequence[str]:
    last = max((place for place, one in enumerate(types) if one in OPENINGS), default=-1)
    return types[last + 1 :]


def _again(manners: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each arrival of what had been taken in already, with the manner of the one before that counted."""
    counted = [manner for manner in manners if manner in PROCESSED]
    return pairwise(counted)
