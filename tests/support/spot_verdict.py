"""Whether moves were made as promised, judged from outside: Novita's machines and its log of calls, and the receiver's events.

The audit log is looked at for one thing alone: that every move has its explanation. Moments at which Novita or the process was in trouble are
left out where speed is judged, and only there.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from novitai.domain.migration import Strategy
from novitai.operations import records
from support.spot_market import HOUR, POLL, SpotMarket, Taken, Tenant

UNDER_WAY = 8.0
"""How long before a call the word may have been said that takes back what it asks for: it was on its way."""
TROUBLE_LASTS = HOUR
"""After trouble a move may be waiting for its next try."""
GIVES_UP = 3 * HOUR
TAKES_PART = frozenset({"create", "start", "restart", "migrate"})


@dataclass
class Findings:
    """Seconds, by what was measured; and what must not be, in words."""

    told_after: list[float] = field(default_factory=list)
    replaced_after: list[float] = field(default_factory=list)
    migrated_after: list[float] = field(default_factory=list)
    back_after: list[float] = field(default_factory=list)
    back_after_trouble: list[float] = field(default_factory=list)
    down_for: list[float] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    not_recovered: list[str] = field(default_factory=list)
    brought_back: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    moved_against_its_rule: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)

    def add(self, other: "Findings") -> None:
        for name, found in vars(other).items():
            getattr(self, name).extend(found)


def judge(market: SpotMarket) -> Findings:
    """See the module's text."""
    return _Judge(market).findings()


class _Judge:
    def __init__(self, market: SpotMarket) -> None:
        self.market, self.site = market, market.site
        self.found = Findings()
        self.events: dict[str, list[dict[str, Any]]] = {tenant.id: [] for tenant in market.tenants}
        for event in self.site.told():
            if event["instanceId"] in self.events:
                self.events[event["instanceId"]].append(event)
        self.calls: dict[str, list[tuple[float, str]]] = {tenant.id: [] for tenant in market.tenants}
        for call in self.site.made():
            self.calls[self.site.owner(call)].append((call.received_at, call.path.rpartition("/")[2]))

    def findings(self) -> Findings:
        for taken in self.market.taken:
            if taken.announced:
                self._was_told(taken)
            if taken.tenant.moves:
                self._was_asked_in_time(taken)
                self._was_recovered(taken)
        for tenant in self.market.tenants:
            self._nobody_was_overruled(tenant)
            self._one_at_a_time(tenant)
            self._as_it_should_be(tenant)
            self._explained(tenant)
        strangers = [
            one.name
            for one in self.site.present()
            if not any(one in self.site.present(t.id) for t in self.market.tenants)
        ]
        self.found.left_behind += [f"{name}: nobody knows of it" for name in strangers]
        return self.found

    # ── in time ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _was_told(self, taken: Taken) -> None:
        at, tenant = taken.visible_at, taken.tenant
        if (
            taken.deadline - at <= POLL
            or not tenant.steady(at, at + POLL)
            or not self.market.calm(at - POLL, at + POLL)
        ):
            return
        told = self._first(tenant, {"spot_notice"}, at)
        if told is None or told["arrivedAt"] > taken.deadline + POLL:
            self.found.silent.append(f"{tenant.name} was noticed at {at:.1f}, and nobody was told")
            return
        self.found.told_after.append(told["arrivedAt"] - at)

    def _was_asked_in_time(self, taken: Taken) -> None:
        replaces = taken.tenant.strategy is Strategy.REPLACE
        sign = {"spot_notice"} if replaces and taken.announced else {"reclaimed"}
        told = self._first(taken.tenant, sign, taken.visible_at)
        if told is None or not self._alone(taken, told["arrivedAt"] + 10.0):
            return
        call = next(
            (at for at, verb in self.calls[taken.tenant.id] if verb in {"create", "migrate"} and at >= seen_at(told)),
            None,
        )
        after = (call if call is not None else self.market.clock.now()) - seen_at(told)
        (self.found.replaced_after if replaces else self.found.migrated_after).append(after)

    def _alone(self, taken: Taken, until: float) -> bool:
        """Whether the people wanted it to run, said nothing, and nothing else was wrong."""
        tenant, since = taken.tenant, taken.visible_at - 60.0
        return tenant.wants(since) and tenant.steady(since, until) and self.market.calm(since - TROUBLE_LASTS, until)

    def _was_recovered(self, taken: Taken) -> None:
        tenant, since = taken.tenant, taken.visible_at
        replaced = taken.announced and tenant.strategy is Strategy.REPLACE
        noticed = self._first(tenant, {"spot_notice"} if replaced else {"reclaimed", "migrating"}, since)
        back = self._first(tenant, {"migrated"}, since)
        latest = taken.deadline + GIVES_UP
        in_time = noticed is not None and back is not None and back["arrivedAt"] <= latest
        until = back["arrivedAt"] if in_time else latest
        if not tenant.wants(since) or not tenant.steady(since, until):
            return
        if not in_time:
            if latest <= self.market.clock.now():
                what = f"{tenant.name} ({tenant.strategy}), taken at {taken.deadline:.1f}"
                self.found.not_recovered.append(f"{what}, is not back")
            return
        calm = self.market.calm(since - TROUBLE_LASTS, until)
        (self.found.back_after if calm else self.found.back_after_trouble).append(until - noticed["arrivedAt"])
        self.found.down_for.append(max(0.0, until - taken.deadline))

    def _first(self, tenant: Tenant, kinds: set[str], since: float) -> dict[str, Any] | None:
        return next(
            (
                event
                for event in self.events[tenant.id]
                if event["arrivedAt"] >= since and event["type"].removeprefix("instance.") in kinds
            ),
            None,
        )

    # ── as it should be ───────────────────────────────────────────────────────────────────────────────────────────────

    def _nobody_was_overruled(self, tenant: Tenant) -> None:
        """Nothing that brings a machine up is asked for while the last word is that it is to stand still."""
        for at, verb in self.calls[tenant.id]:
            if verb in TAKES_PART and not tenant.wants(at) and not tenant.wants(at - UNDER_WAY):
                why = [word for said, _, word in tenant.wanted if said <= at][-1]
                self.found.brought_back.append(f"{verb} of {tenant.name} at {at:.1f}, which was to stand still ({why})")

    def _one_at_a_time(self, tenant: Tenant) -> None:
        """Beside a machine that is taken away there is at most one other."""
        spans = self.market.spans(tenant)
        taken = {one.machine_id: one.visible_at for one in reversed(self.market.taken)}  # the first time counts
        for begins, _, machine in spans:
            there = [one for since, until, one in spans if since <= begins < until]
            going = [one for one in there if taken.get(one.id, begins + 1.0) <= begins]
            if len(there) > 2 or len(there) - len(going) > 1:
                others = [one.id for one in there if one is not machine]
                self.found.doubled.append(f"{tenant.name} got {machine.id} at {begins:.1f} beside {others}")

    def _as_it_should_be(self, tenant: Tenant) -> None:
        verbs = [verb for _, verb in self.calls[tenant.id]]
        if not tenant.moves and (verbs.count("create") > 1 or {"migrate", "delete"} & set(verbs)):
            self.found.moved_against_its_rule.append(f"{tenant.name} was moved")
        statuses = [one.status for one in self.site.present(tenant.id)]
        runs = tenant.wants(self.market.clock.now())
        vanished = any(one.id in self.market.vanished for one in self.site.ever(tenant.id))
        if not statuses and vanished and not (runs and tenant.moves):
            return
        if len(statuses) != 1 or (statuses == ["running"]) > runs:
            self.found.left_behind.append(f"{tenant.name} is wanted {runs} and has {statuses}")
        elif runs and tenant.moves and statuses != ["running"]:
            self.found.not_recovered.append(f"{tenant.name} is wanted and {statuses[0]} at the end")

    def _explained(self, tenant: Tenant) -> None:
        """Every call of a move follows an entry of the policy that says why, with its facts, and no entry speaks for two moves."""
        entries = [records.read_audit(one.body) for one in self.site.disk.logs[records.AUDIT, f"target:{tenant.id}"]]
        moments = [
            entry.at
            for entry in entries
            if entry.by == "migration"
            and entry.action in {"instance.migrate", "instance.replace"}
            and entry.detail.get("because")
            and entry.detail.get("facts")
        ]
        for at, verb in [one for one in self.calls[tenant.id] if one[1] in {"create", "migrate"}][1:]:
            if not bisect_left(moments, at) or at - moments[bisect_left(moments, at) - 1] > GIVES_UP:
                self.found.unexplained.append(f"{verb} of {tenant.name} at {at:.1f}")


def seen_at(event: dict[str, Any]) -> float:
    """The moment that an event speaks of: the look at Novita that brought it."""
    return datetime.fromisoformat(event["timestamp"]).timestamp()
