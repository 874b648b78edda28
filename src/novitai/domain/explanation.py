"""Why: what was decided without anybody asking, what a policy says of an instance now, and what comes next.

Shapes alone: who writes the sentences is `policies/`. Sentences are for people who do not know the documentation; facts are the
values that were judged, under the names of the API. Neither ever holds a secret. All times are Unix seconds.
"""

from typing import Any

import msgspec


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """`because` is for people; `facts` are the values that were judged, under the names of the API. Neither holds a secret."""

    because: str
    facts: dict[str, Any] = {}


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Something done, or taken note of, without anybody asking us: by which policy, what, and why. It is kept in the audit log, written in
    the commit of what it explains. `action` is a noun and a verb, such as `instance.place`.
    """

    by: str
    action: str
    why: Explanation


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What will be done by itself: `what`, at which time at the latest (None: as soon as it can be), `because` of what, and what would
    change that (`unless`, a clause; empty: nothing is known to).
    """

    what: str
    at: float | None
    because: str
    unless: str = ""


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is known of an instance: its newest value, from when, and whether it speaks for idleness (None: it says nothing of
    that, or was not read).
    """

    name: str
    value: float | str | None
    at: float | None
    idle: bool | None = None


class PolicyView(msgspec.Struct, frozen=True, kw_only=True):
    """What one policy says of an instance: its rule, who set that (`request`, `default`, or a budget's name), its present verdict in a
    sentence, and what it does next. `holds_until`: when it says something else although nothing happened (None: not known to).
    """

    name: str
    value: Any
    source: str
    verdict: str
    next: Step | None = None
    holds_until: float | None = None


def sooner(one: Step | None, other: Step | None) -> Step | None:
    """The step that comes first. What has no time is under way, or is done within a moment, and stands before what has one; of two
    without a time the first counts.
    """
    if one is None or other is None:
        return one or other
    return other if one.at is not None and (other.at is None or other.at < one.at) else one
