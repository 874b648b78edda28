"""Keeps instances to the calendar: starts and stops by schedule, and the stop at the end of a ttl.

The loop wakes at the next moment that any instance has, and every minute at the latest. It asks what people ask, by the
same operation, in the policy's name and with its explanation; a decision on an instance that changed meanwhile is
thrown away and made anew. What is refused is said once for each boundary and tried again every minute until the next;
what fails is due until it is done, and shows as late in `/health`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import structlog

from novitai.domain.automation import Part
from novitai.domain.errors import Code, Refusal
from novitai.domain.instance import Instance
from novitai.domain.keys import Actor, Scope
from novitai.domain.times import iso
from novitai.operations.automation import Automation
from novitai.operations.instances import Verbs
from novitai.operations.keys import Keys
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.reads import ReadModel
from novitai.operations.receipts import Answer
from novitai.operations.requests import Context, VerbRequest
from novitai.policies.schedule import Order, judge, timed
from novitai.ports.store import Lease, StoreError

LONGEST_PAUSE = 60.0
FAULT_PAUSE = 5.0
TRIES = 5

log = structlog.get_logger("novitai.schedule")

_NO_RECEIPT = Answer(status=202, body="")


class _Outcome(Enum):
    """What came of asking. `CHANGED`: the instance is another one than was judged."""

    DONE = "done"
    REFUSED = "refused"
    CHANGED = "changed"


@dataclass(frozen=True)
class _Judged:
    """Nothing is to be done for this version of an instance before this moment."""

    version: int
    until: float | None


class ScheduleKeeper:
    """Work of the loop `schedule`. `observe`: only say what would be done."""

    def __init__(
        self, *, verbs: Verbs, reads: ReadModel, automation: Automation, keys: Keys, ledger: Ledger, observe: bool
    ) -> None:
        self._verbs = verbs
        self._reads = reads
        self._automation = automation
        self._keys = keys
        self._ledger = ledger
        self._observe = observe
        self._judged: dict[str, _Judged] = {}
        self._overdue: dict[str, float] = {}
        self._failing: set[str] = set()
        self._said: dict[str, float] = {}

    async def run(self, _lease: Lease) -> float:
        """Do what is due; gives the seconds until something may be due again."""
        if self._automation.paused(Part.SCHEDULE):
            self._overdue.clear()
            return LONGEST_PAUSE  # resuming nudges
        live = [snapshot for snapshot in self._reads.all() if timed(snapshot.instance)]
        self._forget_all_but(snapshot.instance.id for snapshot in live)
        for snapshot in live:
            await self._keep(snapshot)
        return self._pause()

    def late_by(self, now: float) -> float:
        """Seconds by which the most overdue action is late."""
        return max((now - since for since in self._overdue.values()), default=0.0)

    def _pause(self) -> float:
        if self._overdue:
            return FAULT_PAUSE
        now = self._ledger.clock.now()
        moments = [judged.until for judged in self._judged.values() if judged.until is not None]
        return min(LONGEST_PAUSE, max(0.0, min(moments, default=now + LONGEST_PAUSE) - now))

    async def _keep(self, snapshot: Snapshot) -> None:
        instance_id, held = snapshot.instance.id, self._judged.get(snapshot.instance.id)
        now = self._ledger.clock.now()
        if held is not None and held.version == snapshot.version and (held.until is None or now < held.until):
            return
        try:
            await self._bring_about(instance_id)
        except StoreError:
            raise
        except Exception:  # one instance that cannot be judged must not keep the others from being stopped
            if instance_id not in self._failing:
                log.exception("schedule_failed", instanceId=instance_id)
            self._failing.add(instance_id)
            self._overdue.setdefault(instance_id, now)
        else:
            self._failing.discard(instance_id)

    async def _bring_about(self, instance_id: str) -> None:
        for _ in range(TRIES):
            snapshot, now = self._reads.get(instance_id), self._ledger.clock.now()
            if snapshot is None:
                return
            verdict = judge(snapshot.instance, now=now)
            came = _Outcome.DONE if verdict.order is None else await self._do(snapshot, verdict.order)
            if came is not _Outcome.CHANGED:
                again = now + LONGEST_PAUSE if came is _Outcome.REFUSED else verdict.look_at
                self._overdue.pop(instance_id, None)
                self._judged[instance_id] = _Judged(version=snapshot.version, until=again)
                return
            self._overdue.setdefault(instance_id, now)

    async def _do(self, snapshot: Snapshot, order: Order) -> _Outcome:
        instance = snapshot.instance
        if self._observe:
            self._say_once("would_act", instance, order)
            return _Outcome.DONE
        request = VerbRequest(reason=order.why.because, spoken_at=order.since, explanation=order.why)
        try:
            await self._verbs.perform(
                instance.id,
                order.verb,
                request,
                self._context(instance, order),
                lambda _: _NO_RECEIPT,
                judged=snapshot.version,
            )
        except Refusal as refusal:
            if refusal.code is Code.CONFLICT:
                return _Outcome.CHANGED
            self._say_once("automatic_action_refused", instance, order, code=str(refusal.code), error=refusal.message)
            return _Outcome.REFUSED
        log.info("automatic_action", **_told(instance, order))
        return _Outcome.DONE

    def _context(self, instance: Instance, order: Order) -> Context:
        """In the policy's name, within the limits of the key that the instance belongs to."""
        owner = instance.owner
        limits = self._keys.limits_of(owner)
        actor = Actor(owner=owner, scope=Scope.ADMIN, limits=limits, policy=str(order.voice))
        return Context(actor=actor, correlation_id=self._ledger.ids.new("corr"))

    def _say_once(self, event: str, instance: Instance, order: Order, **fields: str) -> None:
        if self._said.get(instance.id) == order.since:
            return
        self._said[instance.id] = order.since
        level = log.info if self._observe else log.warning
        level(event, **_told(instance, order), **fields)

    def _forget_all_but(self, live: Iterable[str]) -> None:
        kept = set(live)
        memories: tuple[dict[str, Any], ...] = (self._judged, self._overdue, self._said)
        for memory in memories:
            for instance_id in memory.keys() - kept:
                del memory[instance_id]
        self._failing &= kept


def _told(instance: Instance, order: Order) -> dict[str, str]:
    return {
        "instanceId": instance.id,
        "action": str(order.verb),
        "by": str(order.voice),
        "since": iso(order.since),
        "reason": order.why.because,
    }
