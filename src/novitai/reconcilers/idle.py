"""Keeps true that nothing runs for long that nobody uses.

It judges every instance when the next one is due, reads use from Novita where that is needed and within the cap, announces,
and asks for a stop as a person would, in the name of the policy and with its evidence. What it decided on is checked again in
the commit that asks: a use, a word or a postponement in between undoes it.
"""

import asyncio
from collections.abc import Sequence

import msgspec
import structlog

from novitai.domain.automation import Part
from novitai.domain.change import Change, fact
from novitai.domain.errors import Code, Refusal
from novitai.domain.events import FactType
from novitai.domain.explanation import Explanation
from novitai.domain.idle import Deed, IdleMemory, IdleTotals, Saving, Warned
from novitai.domain.instance import Verb
from novitai.domain.keys import Actor, Scope
from novitai.domain.times import iso, iso_or_none
from novitai.operations import records
from novitai.operations.automation import Automation
from novitai.operations.idle import POLICY, Idleness, Judged
from novitai.operations.instances import Verbs
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.receipts import Answer
from novitai.operations.requests import Context, Rider, VerbRequest
from novitai.operations.snooze import Snooze
from novitai.policies.idle import Step, evidence
from novitai.ports.store import Check, Conflict, Lease
from novitai.ports.world import Clock

PAUSED_LOOK = 5.0
"""How soon the loop notices that it may go on."""
SHORTEST_PAUSE = 0.2
STEP_SECONDS = 2.0
"""A clock that moved by more than this against the steady one between two passes was set; what corrects it slowly moves it less."""

log = structlog.get_logger("novitai.idle")


class IdleStop:
    """Work of the loop `idle`. `steady` is a clock that nobody sets; `interval` the longest time between checks."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        verbs: Verbs,
        idleness: Idleness,
        snooze: Snooze,
        automation: Automation,
        steady: Clock,
        interval: float,
    ) -> None:
        self._ledger = ledger
        self._clock = ledger.clock
        self._verbs = verbs
        self._idleness = idleness
        self._snooze = snooze
        self._automation = automation
        self._steady = steady
        self._interval = interval
        self._ahead = self._clock.now() - steady.now()
        self._would: dict[str, float] = {}
        self.wakes_at = 0.0

    async def run(self, lease: Lease) -> float:
        """Judge everything once and do what is due; gives the seconds until the next deadline."""
        await self._notice_a_set_clock()
        await self._idleness.settle()
        if self._automation.paused(Part.IDLE):
            return PAUSED_LOOK
        self._idleness.forget_machines()
        judged = self._idleness.all()
        self._note_check(judged)
        for one in judged:
            await self._do(one, lease)
        await self._read([one for one in judged if one.verdict.step is Step.READ], lease)
        return self._pause()

    def sooner(self, snapshot: Snapshot) -> bool:
        """Whether a change of an instance asks for a look before the next one that is planned."""
        due = self._due(self._idleness.judge(snapshot))
        return due is not None and due < self.wakes_at - SHORTEST_PAUSE

    async def _notice_a_set_clock(self) -> None:
        ahead = self._clock.now() - self._steady.now()
        if abs(ahead - self._ahead) > STEP_SECONDS:
            log.warning("clock_was_set", seconds=round(ahead - self._ahead, 1))
            await self._idleness.distrust()
        self._ahead = ahead

    def _note_check(self, judged: Sequence[Judged]) -> None:
        self._idleness.checks += 1
        self._idleness.checked += sum(one.verdict.step is not Step.EXEMPT for one in judged)
        self._idleness.last_check_at = self._clock.now()
        live = {one.snapshot.instance.id for one in judged}
        self._would = {known: until for known, until in self._would.items() if known in live}

    def _pause(self) -> float:
        """Until the next deadline of all, as things stand after this pass."""
        now = self._clock.now()
        dues = [due for one in self._idleness.all() if (due := self._due(one)) is not None]
        self.wakes_at = max(now + SHORTEST_PAUSE, min([now + self._interval, *dues]))
        return self.wakes_at - now

    def _due(self, judged: Judged) -> float | None:
        verdict, machine = judged.verdict, judged.snapshot.instance.machine
        if verdict.due is None:
            return None
        told = self._would.get(judged.snapshot.instance.id)
        if told is not None and judged.rule.dry_run:
            return max(verdict.due, told)
        if verdict.step is Step.READ and machine is not None:
            metering = self._idleness.metering
            return max(metering.rests_until(machine.id), metering.budget.next(self._clock.now()))
        return verdict.due

    async def _read(self, wanted: Sequence[Judged], lease: Lease) -> None:
        """Read what the cap allows, the longest due first, and do at once what follows from it."""
        now, metering = self._clock.now(), self._idleness.metering
        ready = [one for one in wanted if (due := self._due(one)) is not None and due <= now]
        ready.sort(key=lambda one: one.verdict.acts_at or 0.0)
        chosen = ready[: max(0, metering.budget.left(now))]
        for done in asyncio.as_completed([self._idleness.read(one) for one in chosen]):
            again = await done
            if again is not None:
                await self._do(again, lease)

    async def _do(self, judged: Judged, lease: Lease) -> None:
        if judged.verdict.step not in {Step.WARN, Step.ACT}:
            return
        instance = judged.snapshot.instance
        if judged.rule.dry_run:
            self._say_what_would_be(judged)
            return
        try:
            if judged.verdict.step is Step.WARN:
                await self._warn(judged, lease)
            else:
                await self._act(judged, lease)
        except Conflict:
            await self._idleness.load()
        except Refusal as refusal:
            if refusal.code is not Code.CONFLICT:
                log.warning("idle_refused", instanceId=instance.id, error=refusal.message)
            await self._idleness.load()

    def _say_what_would_be(self, judged: Judged) -> None:
        """Once for each time of idleness."""
        instance, now = judged.snapshot.instance, self._clock.now()
        if now >= self._would.get(instance.id, 0.0):
            deed, because = str(judged.verdict.deed), evidence(judged.verdict)
            log.info("idle_would_act", deed=deed, instanceId=instance.id, because=because)
            self._would[instance.id] = now + judged.rule.idle_seconds

    async def _warn(self, judged: Judged, lease: Lease) -> None:
        """Announce the deed: the announcement and the memory of it are one commit."""
        instance, verdict, now = judged.snapshot.instance, judged.verdict, self._clock.now()
        assert verdict.idle_since is not None, "only what is idle is announced"
        assert verdict.acts_at is not None, "an announcement says when"
        warned = Warned(
            id=self._ledger.ids.new("warn"),
            deed=verdict.deed,
            at=now,
            idle_since=verdict.idle_since,
            acts_at=verdict.acts_at,
        )
        memory, version = self._idleness.memory(instance.id)
        puts = [records.put_idle(msgspec.structs.replace(memory, warned=warned), expect=version)]
        if judged.rule.warn_seconds <= 0:
            await self._ledger.commit(judged.snapshot.version, Change(instance=instance), puts=puts, lease=lease)
            return
        totals, expect = await self._idleness.totals()
        puts.append(records.put_idle_totals(_counted(totals, warned=1), expect=expect))
        told = fact(
            FactType.IDLE_WARNING,
            instance,
            before=instance,
            at=now,
            actor=POLICY,
            reason=evidence(verdict),
            data=await self._announcement(judged, warned),
        )
        noted = self._ledger.note(
            self._context(),
            "instance.warn",
            target=instance.id,
            because=f"{evidence(verdict)}; it is to {warned.deed} at {iso(warned.acts_at)} unless somebody uses it",
            facts={"actsAt": iso(warned.acts_at), "idleSince": iso(warned.idle_since), "signals": signals_of(judged)},
        )
        change = Change(instance=instance, facts=(told,))
        await self._ledger.commit(judged.snapshot.version, change, puts=puts, appends=(noted,), lease=lease)
        log.info("idle_warned", instanceId=instance.id, because=evidence(verdict), actsAt=iso(warned.acts_at))

    async def _announcement(self, judged: Judged, warned: Warned) -> dict[str, object]:
        when = "stopsAt" if warned.deed is Deed.STOP else "deletesAt"
        return {
            "action": str(warned.deed),
            when: iso(warned.acts_at),
            "idleSince": iso(warned.idle_since),
            "signals": signals_of(judged),
            "snoozeUrl": await self._snooze.link(judged.snapshot.instance.id, warned.id),
        }

    async def _act(self, judged: Judged, lease: Lease) -> None:
        """Ask for the deed, resting on the latest that anybody told: uses and postponements are read anew, and must be the same
        still when it is committed.
        """
        instance = judged.snapshot.instance
        record = await self._ledger.store.get(records.ACTIVITY, instance.id)
        used = records.read_activity(record).last_used_at if record is not None else None
        known = msgspec.structs.replace(self._idleness.known(instance), last_used_at=used)
        judged = self._idleness.judge(judged.snapshot, known)
        if judged.verdict.step is not Step.ACT:
            return
        memory, version = self._idleness.memory(instance.id)
        totals, expect = await self._idleness.totals()
        deed = judged.verdict.deed
        counted = _counted(totals, stopped=1) if deed is Deed.STOP else _counted(totals, deleted=1)
        rider = Rider(
            checks=(Check(kind=records.ACTIVITY, id=instance.id, version=record.version if record is not None else 0),),
            puts=(
                records.put_idle(self._after(memory, judged), expect=version),
                records.put_idle_totals(counted, expect=expect),
            ),
            lease=lease,
        )
        because = evidence(judged.verdict)
        facts = {"signals": signals_of(judged), "idleSince": iso_or_none(judged.verdict.idle_since)}
        request = VerbRequest(reason=because, explanation=Explanation(because=because, facts=facts))
        verb = Verb.STOP if deed is Deed.STOP else Verb.DELETE
        await self._verbs.perform(
            instance.id,
            verb,
            request,
            self._context(),
            lambda _: Answer(status=202, body=""),
            judged=judged.snapshot.version,
            rider=rider,
        )
        log.info("idle_acted", deed=str(deed), instanceId=instance.id, because=because)

    def _after(self, memory: IdleMemory, judged: Judged) -> IdleMemory:
        """What is remembered after a deed: since when a stop saves money."""
        if judged.verdict.deed is Deed.DELETE:
            return msgspec.structs.replace(memory, warned=None)
        saving = Saving(since=self._clock.now(), price_per_hour=judged.snapshot.instance.price_per_hour)
        return msgspec.structs.replace(memory, warned=None, saving=saving)

    def _context(self) -> Context:
        """A policy acts in its own name."""
        actor = Actor(owner=POLICY, scope=Scope.ADMIN, policy=POLICY)
        return Context(actor=actor, correlation_id=self._ledger.ids.new("corr"))


def signals_of(judged: Judged) -> list[dict[str, object]]:
    """The signals as receivers and readers see them."""
    return [
        {"name": str(one.name), "value": one.value, "at": iso_or_none(one.at), "idle": one.idle}
        for one in judged.verdict.signals
    ]


def _counted(totals: IdleTotals, *, warned: int = 0, stopped: int = 0, deleted: int = 0) -> IdleTotals:
    return msgspec.structs.replace(
        totals,
        warned=totals.warned + warned,
        stopped=totals.stopped + stopped,
        deleted=totals.deleted + deleted,
    )
