"""Whose word holds: one table of who may override whom.

Everybody who may say "run" or "stop" is a voice. A wish is judged against the voice whose word stands, by the rule in
the table's cell; whatever the table does not allow is refused. Above it stand two things that are no words: a delete,
after which nobody is heard, and a mask, which holds an instance down for as long as its cause lasts.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from novitai.domain.instance import Desired, DesiredState, Instance


class Voice(StrEnum):
    """Who may say what an instance should be. `outside`: done on Novita without us; `novita`: Novita itself refused."""

    USER = "user"
    OUTSIDE = "outside"
    NOVITA = "novita"
    SCHEDULE = "schedule"
    IDLE = "idle"
    TTL = "ttl"
    BUDGET = "budget"


class Rule(StrEnum):
    """When a word gives way."""

    ALWAYS = "at any time"
    LATER = "to what speaks from a later moment"
    LAPSED = "once its `until` has passed"
    LIFTED = "once its cause is lifted"
    NEVER = "never"


class Cell(NamedTuple):
    """When a held stop gives way to a start, and a held run to a stop."""

    start: Rule
    stop: Rule


_A, _LATER, _LAPSED, _LIFTED, _N = Rule.ALWAYS, Rule.LATER, Rule.LAPSED, Rule.LIFTED, Rule.NEVER
_V = Voice

_LATEST: dict[Voice, Cell] = {  # the latest word counts
    _V.USER: Cell(_A, _A),
    _V.OUTSIDE: Cell(_A, _A),
    _V.SCHEDULE: Cell(_LATER, _LATER),
    _V.IDLE: Cell(_N, _LATER),
    _V.TTL: Cell(_N, _A),
    _V.BUDGET: Cell(_N, _A),
}
_PERSON: dict[Voice, Cell] = _LATEST | {_V.SCHEDULE: Cell(_LAPSED, _LATER)}
_MASK: dict[Voice, Cell] = _LATEST | {
    _V.USER: Cell(_LIFTED, _A),
    _V.OUTSIDE: Cell(_LIFTED, _A),
    _V.SCHEDULE: Cell(_LIFTED, _A),
}

TABLE: Mapping[Voice, Mapping[Voice, Cell]] = {
    _V.USER: _PERSON,
    _V.OUTSIDE: _PERSON,
    _V.NOVITA: _LATEST,
    _V.SCHEDULE: _LATEST,
    _V.IDLE: _LATEST,
    _V.TTL: _MASK,
    _V.BUDGET: _MASK,
}
"""Row: whose word is held. Column: who asks. A voice without a column never asks."""

PEOPLE = frozenset({Voice.USER, Voice.OUTSIDE})


def voice_of(by: str) -> Voice:
    """Whose word a `desired.by` is. A name that is none of ours is taken for a person's: nobody overrides it lightly."""
    name, _, _ = by.partition(":")
    return Voice(name) if name in Voice.__members__.values() else Voice.OUTSIDE


def mask(instance: Instance, *, now: float, held: bool = False) -> Voice | None:
    """What holds the instance down, whatever anybody says. `held`: a used-up budget does; it stands above a ttl."""
    if held:
        return Voice.BUDGET
    ends = instance.ttl_ends_at
    return Voice.TTL if ends is not None and now >= ends else None


def lapsed(held: Desired, *, now: float) -> bool:
    """Whether a word was given until a moment that has passed."""
    return held.until is not None and now >= held.until


def may(
    asking: Voice, state: DesiredState, instance: Instance, *, spoken_at: float, now: float, held: bool = False
) -> bool:
    """Whether a voice that speaks from this moment may make the instance run, or stop. `held` as for `mask`. Raises KeyError for a voice
    that never asks.
    """
    word, over = instance.desired, mask(instance, now=now, held=held)
    cell = TABLE[over or voice_of(word.by)][asking]
    match cell.start if state is DesiredState.RUNNING else cell.stop:
        case Rule.ALWAYS:
            return True
        case Rule.LATER:
            return spoken_at > word.at or lapsed(word, now=now)
        case Rule.LAPSED:
            return lapsed(word, now=now)
        case Rule.LIFTED:
            return over is None
        case Rule.NEVER:
            return False
