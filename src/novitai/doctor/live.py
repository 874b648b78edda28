"""`novitai doctor --live`: agree on the cost, live one machine's life, clean up whatever happens, read the bill."""

from collections.abc import Callable

import msgspec

from novitai.doctor import money, removal
from novitai.doctor.facts import PRICE_UNIT
from novitai.doctor.findings import Pending
from novitai.doctor.life import Life
from novitai.doctor.money import Implausible, Plan
from novitai.doctor.probing import Answer
from novitai.doctor.removal import Removal
from novitai.doctor.report import Check, Level, LiveSummary, fail, ok, warn
from novitai.doctor.upstream import CALL, Upstream
from novitai.doctor.walk import TookTooLong, Walk
from novitai.domain.errors import ProviderFailure
from novitai.domain.ids import MachineId
from novitai.domain.money import Usd, dollars
from novitai.ports.provider import BillQuery

NAME = "live"
STRANGER_SECONDS = money.RUN_SECONDS + money.CLEANUP_SECONDS
"""A machine of doctor's that is younger may belong to a run that is under way elsewhere."""


class Terminal:
    """How a run speaks to people. `ask` answers yes or no."""

    def __init__(self, say: Callable[[str], None], ask: Callable[[str], bool]) -> None:
        self.say = say
        self.ask = ask


class LiveRun:
    """One run; what came of it stands in its fields, also when it was cut short."""

    def __init__(self, upstream: Upstream, terminal: Terminal, *, settle_time: float, most: Usd) -> None:
        self._upstream = upstream
        self._clock = upstream.clock
        self._terminal = terminal
        self._settle_time = settle_time
        self._most = most
        self.checks: list[Check] = []
        self.answers: list[Answer] = []
        self.pending: Pending | None = None
        self.summary: LiveSummary | None = None

    async def go(self) -> None:
        """All of it. Cancelled, it cleans up first. Raises ProviderFailure before anything was made."""
        await self._offer_to_remove_leftovers()
        plan = await self._plan()
        if plan is None:
            return
        offer = plan.offers[0]
        question = (
            f"Rent {offer.product_name} in {offer.region} for some minutes, ${dollars(offer.price_per_hour):g} an hour,"
            f" at most ${dollars(plan.worst_case):.2f} in all?"
        )
        if not self._terminal.ask(question):
            self.checks.append(fail(NAME, "not agreed; nothing was made"))
            return
        await self._live(plan)

    async def _offer_to_remove_leftovers(self) -> None:
        found = [one for one in await self._upstream.machines() if removal.is_own(one)]
        old = [one for one in found if self._clock.now() - one.created_at >= STRANGER_SECONDS]
        for machine in found:
            if machine not in old:
                advice = "run this again in half an hour, or delete it on Novita's console"
                self.checks.append(warn("leftover", f"{machine.id} may belong to a run that is under way", advice))
        names = ", ".join(machine.id for machine in old)
        if not old:
            return
        if not self._terminal.ask(f"An earlier run left {names} behind. Delete?"):
            self.checks.append(warn("leftover", f"{names} left as asked", "it goes on costing money"))
            return
        left = await removal.remove_earlier(self._upstream, old, settle_time=self._settle_time)
        if left:
            self.checks.append(fail("leftover", f"{', '.join(left)} could not be deleted", "use Novita's console"))
        else:
            self.checks.append(ok("leftover", f"{names} deleted"))

    async def _plan(self) -> Plan | None:
        try:
            catalogue = await self._upstream.provider.catalogue(CALL)
            plan = money.plan(catalogue, now=self._clock.now(), most=self._most)
        except Implausible as implausible:
            words = f"implausible: {implausible}"
            advice = "prices are in another unit: trust no price, cap or budget, and compare with Novita's console"
            self.answers.append(Answer(PRICE_UNIT, None, words, "the catalogue alone", Level.FAIL, advice))
            self.checks.append(fail(NAME, f"{implausible}: no worst case can be computed; nothing was made"))
            return None
        if plan is None:
            found = (
                f"no offer on demand stays within ${dollars(self._most):.2f} for {STRANGER_SECONDS / 60:.0f} minutes"
            )
            self.checks.append(fail(NAME, f"{found}; nothing was made", "raise --max-spend, or try again later"))
        return plan

    async def _live(self, plan: Plan) -> None:
        run_id = self._upstream.ids.new("x").partition("_")[2]
        began = self._clock.now()
        walk = Walk(self._clock, self._terminal.say)
        remains = Removal(self._upstream, run_id=run_id, settle_time=self._settle_time, say=self._terminal.say)
        life = Life(self._upstream, walk, remains, run_id=run_id, settle_time=self._settle_time)
        left: tuple[MachineId, ...] = ()
        try:
            await life.live(plan.offers)
            self.checks.append(ok(NAME, f"machine {', '.join(life.made)} lived and is gone"))
        except (ProviderFailure, TookTooLong) as failure:
            advice = "what was found out is kept; run it again"
            self.checks.append(fail(NAME, f"{walk.step}: {failure}", advice))
        finally:
            made = life.made
            if remains.needed:
                self._terminal.say("cleaning up; Ctrl-C now would leave a machine behind that costs money")
                left = await remains.finish()
                made = list(dict.fromkeys([*made, *remains.made]))
            self._note_left(left, life)
            self.answers += life.answers
            self.pending = _pending(life, began, self._clock.now())
            self.summary = LiveSummary(
                machines=tuple(made),
                worst_case_usd=dollars(plan.worst_case),
                estimated_usd=dollars(life.expected),
                billed_usd=None,
                left_behind=left,
            )
        await self._read_bill(life, began)

    def _note_left(self, left: tuple[MachineId, ...], life: Life) -> None:
        price = dollars(life.offer.price_per_hour) if life.offer is not None else 0.0
        for machine_id in left:
            found = f"machine {machine_id} may still be there, at ${price:g} an hour"
            self.checks.append(fail(NAME, found, "delete it on Novita's console"))

    async def _read_bill(self, life: Life, began: float) -> None:
        """The unit of prices, if the bill has come; else it is looked at again by a later `novitai doctor`."""
        if not life.made or self.summary is None:
            return
        machine_id, now = life.made[-1], self._clock.now()
        try:
            query = BillQuery(machine_id=machine_id, start=int(began) - 3600, end=int(now) + 1)
            rows = await self._upstream.provider.bills(query, CALL)
        except ProviderFailure as failure:
            self.checks.append(warn("bill", f"could not be read: {failure.message}"))
            rows = ()
        billed, expected = money.billed(rows), life.expected
        answer = money.judge(expected, billed) if life.complete else None
        spent = f"about ${dollars(expected):.4f} by price and time"
        if answer is None:
            told = f"spent {spent}; Novita has billed ${dollars(billed):.4f} so far, which tells nothing of the unit of prices"
            advice = "`novitai doctor` looks again; bills are settled by the hour" if self.pending else ""
            self.checks.append(warn("bill", told, advice))
            return
        self.answers.append(answer)
        self.pending = None
        self.summary = msgspec.structs.replace(self.summary, billed_usd=dollars(billed))
        self.checks.append(ok("bill", f"spent ${dollars(billed):.4f}, {spent}"))


def _pending(life: Life, began: float, ended: float) -> Pending | None:
    """Of a life that was cut short it is not known exactly what it should cost."""
    if not life.complete:
        return None
    return Pending(machine_id=life.made[-1], expected=life.expected, began=began, ended=ended)
