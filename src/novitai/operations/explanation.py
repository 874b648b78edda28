"""Why an instance is as it is: what is known of it, what each policy says, what comes next, and what was decided so far.

Every policy that acts by itself, or bounds what others do, is registered here by one `Policy`; the instance's next action and its
explanation are both made of these. What was decided is read from the audit log, where each automatic action left its reason in its own
commit, so it reaches back as far as that log is kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from novitai.domain.automation import Part, Pause
from novitai.domain.explanation import Explanation, PolicyView, Sign, Step, sooner
from novitai.domain.idle import EVERY_SIGNAL, SignalName
from novitai.domain.instance import HealthCheck, Instance
from novitai.domain.lifecycle import State
from novitai.domain.times import spoken
from novitai.operations import records
from novitai.operations.automation import Automation
from novitai.operations.freshness import Freshness
from novitai.operations.idle import Idleness
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.standing import AccountStanding
from novitai.policies import explanation, idle, idle_verdict, schedule_verdict, verdicts
from novitai.policies.actions import Limits
from novitai.policies.usage import trace

PAGE = 200
MOST_READ = 2_000
"""Entries of the audit log looked at for one answer: people's are among them. What is further back comes with the next cursor."""


def _nothing(_instance: Instance) -> object:
    return None


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One policy as it is explained. `view`: what it says of an instance at a moment; it is asked for every answer, so it must be cheap
    and never raise. `part`: with which switch it is paused (None: it cannot be). `mark`: what its view rests on beside the record of the
    instance and the time; as long as that is equal, so is the view's next step.
    """

    view: Callable[[Snapshot, float], PolicyView]
    part: Part | None = None
    mark: Callable[[Instance], object] = _nothing


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """An automatic action of the past: when, by which policy, what, and why."""

    at: float
    by: str
    action: str
    why: Explanation


class DecisionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions, newest first. `next_position`: where to go on from; None: there are no more."""

    decisions: tuple[Decided, ...]
    next_position: int | None


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An instance explained, as of `at`."""

    instance: Instance
    at: float
    summary: str
    signs: tuple[Sign, ...]
    policies: tuple[PolicyView, ...]
    coming: Step | None


class Prospect(msgspec.Struct, frozen=True, kw_only=True):
    """What comes next, and until when that is so if nothing happens (None: for good)."""

    coming: Step | None
    holds_until: float | None


class Explaining:
    """See the module's text. `observe`: nothing is done, only said."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        idleness: Idleness,
        freshness: Freshness,
        automation: Automation,
        policies: Sequence[Policy],
        standing: AccountStanding,
        observe: bool = False,
    ) -> None:
        self._ledger = ledger
        self._idleness = idleness
        self._freshness = freshness
        self._automation = automation
        self._policies = tuple(policies)
        self._standing = standing
        self._observe = observe

    def explain(self, snapshot: Snapshot) -> Told:
        """Everything but the past, as of now."""
        instance, now = snapshot.instance, self._ledger.clock.now()
        views = self._views(snapshot, now)
        coming = _first(views)
        told = explanation.summary(instance, coming=coming, now=now)
        return Told(
            instance=instance,
            at=now,
            summary=" ".join((told, *self._asides(instance, now))),
            signs=self._signs(snapshot, now),
            policies=views,
            coming=coming,
        )

    def prospect(self, snapshot: Snapshot, now: float) -> Prospect:
        """What comes next for an instance."""
        views = self._views(snapshot, now)
        moments = [at for view in views if (at := view.holds_until) is not None and at > now]
        return Prospect(coming=_first(views), holds_until=min(moments, default=None))

    def mark(self, instance: Instance) -> object:
        """What the prospect of an instance rests on beside its record and the time."""
        return (self._automation.switch, *(policy.mark(instance) for policy in self._policies))

    async def decisions(self, instance_id: str, *, before: int | None, limit: int) -> DecisionPage:
        """What was decided about an instance without anybody asking, newest first. `before`: the `next_position` of another page."""
        found: list[Decided] = []
        read = 0
        while True:
            page = await self._ledger.store.read_log(
                records.AUDIT, f"target:{instance_id}", after=before, limit=PAGE, descending=True
            )
            for entry in page.entries:
                before, decided = entry.position, _decided(entry.body)
                if decided is not None:
                    found.append(decided)
                if len(found) == limit:
                    return DecisionPage(decisions=tuple(found), next_position=before)
            read += len(page.entries)
            if page.next_position is None:
                return DecisionPage(decisions=tuple(found), next_position=None)
            if read >= MOST_READ:
                return DecisionPage(decisions=tuple(found), next_position=before)

    def _views(self, snapshot: Snapshot, now: float) -> tuple[PolicyView, ...]:
        return tuple(self._view(policy, snapshot, now) for policy in self._policies)

    def _view(self, policy: Policy, snapshot: Snapshot, now: float) -> PolicyView:
        view = policy.view(snapshot, now)
        pause = None if policy.part is None else self._automation.switch.paused.get(policy.part)
        if pause is None:
            return view
        verdict = f"Paused: {_pause(pause, now)}; nothing is done until somebody resumes it. Else: {view.verdict}"
        return msgspec.structs.replace(view, verdict=verdict, next=None)

    def _asides(self, instance: Instance, now: float) -> list[str]:
        """What holds for the whole server and matters for this instance now."""
        if instance.state is State.DELETED:
            return []
        told = [
            f"Paused is '{part}': {_pause(pause, now)}."
            for part, pause in sorted(self._automation.switch.paused.items())
        ]
        if self._observe:
            told.append(
                "This server only observes (NOVITAI_MODE=observe): it says what it would do, and changes nothing on Novita."
            )
        if self._standing.key_refused:
            told.append("Novita refuses the server's API key: changes wait until it is accepted again.")
        if self._standing.unpaid:
            told.append(
                "Novita sells nothing to the account because its balance does not suffice: creates and starts wait."
            )
        if self._freshness.stale:
            last = self._freshness.last_complete_at
            seen = "never" if last is None else f"last at {spoken(last, now=now)}"
            told.append(f"Novita's list was not read whole lately ({seen}), so what is said of the machine may be old.")
        return told

    def _signs(self, snapshot: Snapshot, now: float) -> tuple[Sign, ...]:
        """What is known of its use, and of its machine."""
        instance = snapshot.instance
        judged = {signal.name: signal for signal in self._idleness.judge(snapshot).verdict.signals}
        known = self._idleness.known(instance)
        signs = []
        for name in EVERY_SIGNAL:
            one = judged.get(name)
            if one is not None:
                signs.append(Sign(name=str(name), value=one.value, at=one.at, idle=one.idle))
            else:
                signs.append(_unjudged(instance, known, name, now=now))
        return (*signs, *self._seen(instance))

    def _seen(self, instance: Instance) -> list[Sign]:
        machine, health = instance.machine, instance.health
        signs = []
        if machine is not None:
            status = f"{machine.status} ({machine.provider_status})" if machine.provider_status else str(machine.status)
            signs.append(Sign(name="machine", value=status, at=self._freshness.seen_at(machine.id) or machine.since))
            if machine.spot_status != "none":
                signs.append(Sign(name="spot", value=str(machine.spot_status), at=self._freshness.seen_at(machine.id)))
        if health is not None:
            passed = "passed" if health.passed_at is not None else "not passed"
            signs.append(Sign(name="health", value=passed, at=health.checked_at))
        return signs


def usual_policies(
    *, idleness: Idleness, health: HealthCheck, limits: Limits, held: Callable[[Instance], bool]
) -> tuple[Policy, ...]:
    """The policies that rest on the record of an instance and the settings alone, and the idle stop. `held`: whether a used-up budget
    holds an instance down.
    """

    def idle_stop(snapshot: Snapshot, now: float) -> PolicyView:
        judged = idleness.judge(snapshot)
        asked, rule = snapshot.instance.spec.auto_stop, idleness.rule(snapshot.instance)
        return idle_verdict.auto_stop(asked, rule, judged.verdict, now=now)

    def by_the_clock(snapshot: Snapshot, now: float) -> PolicyView:
        instance = snapshot.instance
        return schedule_verdict.schedule(instance, now=now, held=instance.spec.schedule is not None and held(instance))

    return (
        Policy(view=lambda one, now: verdicts.startup(one.instance, limits, now=now)),
        Policy(view=lambda one, now: verdicts.health_check(one.instance, health, now=now)),
        Policy(view=idle_stop, part=Part.IDLE, mark=idleness.mark),
        Policy(view=lambda one, now: schedule_verdict.ttl(one.instance, now=now), part=Part.SCHEDULE),
        Policy(view=by_the_clock, part=Part.SCHEDULE),
        Policy(view=lambda one, _: verdicts.protection(one.instance)),
        Policy(view=lambda one, _: verdicts.price_cap(one.instance)),
        Policy(view=lambda one, now: verdicts.wait_for_capacity(one.instance, now=now)),
    )


def _first(views: Sequence[PolicyView]) -> Step | None:
    coming: Step | None = None
    for view in views:
        coming = sooner(coming, view.next)
    return coming


def _pause(pause: Pause, now: float) -> str:
    why = f" ({pause.reason})" if pause.reason else ""
    return f"{explanation.voice(pause.by)} paused it at {spoken(pause.at, now=now)}{why}"


def _unjudged(instance: Instance, known: idle.Known, name: SignalName, *, now: float) -> Sign:
    """A signal of an instance that the idle stop does not judge now: shown, and it says nothing."""
    if not name.measured:
        return Sign(name=str(name), value=None, at=known.last_used_at)
    reading = idle.usable(instance, known, now=now)
    newest = trace(reading, name, since=reading.since).newest if reading is not None else None
    return Sign(name=str(name), value=newest.value if newest else None, at=newest.at if newest else None)


def _decided(body: bytes) -> Decided | None:
    """The decision in an audit entry; None for what a person asked, whose reason is the wish."""
    entry = records.read_audit(body)
    because = entry.detail.get("because")
    if not isinstance(because, str):
        return None
    facts = entry.detail.get("facts")
    why = Explanation(because=because, facts=facts if isinstance(facts, dict) else {})
    return Decided(at=entry.at, by=entry.by, action=entry.action, why=why)
