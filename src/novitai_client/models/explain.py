"""An instance explained: its story, what is known of it, what each policy says, and what was done by itself, each time with the reason."""

from typing import Any

from novitai_client.models.base import Shape, Time
from novitai_client.models.instances import Desired, NextAction


class Sign(Shape, frozen=True, kw_only=True):
    """Something that is known of an instance: its newest value and how old it is. `idle`: whether it speaks for idleness; None: it was
    not read, or says nothing of that.
    """

    name: str
    value: float | str | None = None
    at: Time | None = None
    age_seconds: float | None = None
    idle: bool | None = None


class PolicyVerdict(Shape, frozen=True, kw_only=True):
    """One rule: its value, who set it (`request`, `default` for the server's settings, or what else set it), and what it says now."""

    name: str
    value: Any = None
    source: str | None = None
    verdict: str | None = None


class Decision(Shape, frozen=True, kw_only=True):
    """Something that was done without anybody asking: when, by which policy, what, why, and what was judged."""

    at: Time
    by: str | None = None
    action: str
    because: str
    facts: dict[str, Any] = {}


class Explanation(Shape, frozen=True, kw_only=True):
    """Why an instance is as it is. `decisions` are newest first; `next_cursor` goes on where they end."""

    instance_id: str
    name: str
    summary: str
    state: str
    signals: tuple[Sign, ...] = ()
    policies: tuple[PolicyVerdict, ...] = ()
    decisions: tuple[Decision, ...] = ()
    at: Time | None = None
    desired: Desired | None = None
    next_action: NextAction | None = None
    next_cursor: str | None = None
