"""The whole program keeping its cost ledger through days full of change and trouble, before the simulated Novita, which keeps the bill.

Machines are created, started, stopped, restarted, deleted and relabelled, by people and behind our back; Novita reclaims and moves them and
changes its prices; lists fail, lie and stay away for hours; the process is killed and stays away for hours. Novita's own meter is the truth,
to the second. What the ledger says is asked for as `GET /api/cost` asks.
"""

import asyncio
import random
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

from novita_simulator.billing import TICKS_PER_USD
from novita_simulator.machine import Machine
from novita_simulator.settings import Delays, Switches
from novitai.domain.costs import DAY, day_of
from novitai.domain.errors import Refusal
from novitai.domain.instance import Verb
from novitai.domain.machine import Port
from novitai.domain.money import UNITS_PER_USD
from novitai.domain.offers import BillingChoice
from novitai.novita.calls import Reply, Request
from novitai.operations.changes import Changes
from novitai.operations.receipts import Answer
from novitai.operations.requests import Amendment, CreateRequest, VerbRequest
from support.running import context
from support.simulation_loop import LoopClock
from support.virtual_novita import VirtualNovita
from support.virtual_site import Site

STEP = 300.0
BILL_LAG = 3600.0
RECONCILED_AFTER = 4 * 3600.0
"""By default the bill is first read three hours after midnight, when it is complete for an hour."""
PRICE_KNOWN_AFTER = 900.0
"""A price that changed is in the catalogue by then."""
PEOPLE = (Verb.START, Verb.STOP, Verb.STOP, Verb.RESTART, Verb.DELETE)
OUTSIDE = ("start", "stop", "delete", "migrate", "reclaim", "reclaim", "vanish")
LIST_TROUBLES = ("html", "malformed", "empty", "short-list", "stale")
PRODUCTS = ("RTX 4090", "RTX 3090")


@dataclass(frozen=True)
class Compared:
    """One machine on one day. `sure`: nothing happened to it that we could not have seen to the second. USD."""

    machine: str
    day: int
    billed: float
    ours: float
    own: float  # ours before it was adjusted to the bill
    price_per_second: float
    sure: bool

    @property
    def allowed(self) -> float:
        """1 %, or five seconds of its price, and the smallest unit of bills at both ends."""
        return max(0.01 * self.billed, 5 * self.price_per_second) + 0.0002

    @property
    def off(self) -> bool:
        return abs(self.billed - self.ours) > self.allowed

    @property
    def own_off(self) -> bool:
        return abs(self.billed - self.own) > self.allowed


@dataclass
class Findings:
    """What was compared, what happened, and whether sums agree with their parts."""

    compared: list[Compared] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    sums_apart: float = 0.0
    told: int = 0

    @property
    def off(self) -> list[Compared]:
        return [one for one in self.compared if one.off]

    @property
    def own_off(self) -> list[Compared]:
        return [one for one in self.compared if one.sure and one.own_off]

    @property
    def unsure(self) -> list[Compared]:
        return [one for one in self.compared if not one.sure]


class BillSite:
    """See the module's text. `calm`: nothing goes wrong, and nobody acts behind our back. `tells_times`: Novita says when machines were
    started and stopped, so that a poll that comes late knows to the second what it missed.
    """

    def __init__(
        self, *, seed: int, machines: int, calm: bool = False, tells_times: bool = True, poll: str = "5m"
    ) -> None:
        self.clock = LoopClock(asyncio.get_running_loop())
        self.chance = random.Random(seed)
        switches = Switches(apps=False, bill_lag_seconds=BILL_LAG)
        self.novita = VirtualNovita(self.clock, switches=switches, delays=Delays(app_warmup=1.0))
        self.site = Site(self.clock, novita=self.novita, INSTANCE_POLL_INTERVAL=poll)
        self.found = Findings()
        self._calm = calm
        self._tells_times = tells_times
        if not tells_times:
            self.novita.spoil = _without_times
        self._machines = machines
        self._number = 0
        self._unsure: dict[str, list[float]] = defaultdict(list)  # by machine; "" is all of them
        self._repriced = 0.0
        self._trouble_until = 0.0

    async def run(self, days: int, *, wait: float = RECONCILED_AFTER) -> Findings:
        """So many days in UTC, the first of which is cut, and then until the last one is held against its bill."""
        await self.site.begin()
        first = day_of(self.clock.now())
        last = first + days * DAY
        while self.clock.now() < last - STEP:
            await self._step()
            await self.clock.sleep(STEP)
        self.novita.sound()
        await self.clock.sleep(last + wait - self.clock.now())
        await self._compare(first, last)
        self.found.told = len(self.site.told(kind="cost.difference"))
        await self.site.end()
        return self.found

    # ── what happens ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _step(self) -> None:
        chance = self.chance
        if not self._calm:
            await self._trouble()
        live = self.site.program.operations.reads.all()
        if len(live) < self._machines and chance.random() < 0.3:
            await self._create()
        for snapshot in live:
            if chance.random() < 0.02:
                await self._ask(snapshot.instance.id, chance.choice(PEOPLE))
            if chance.random() < 0.002:
                await self._relabel(snapshot.instance.id)
            if not self._calm and chance.random() < 0.004:
                self._outside(snapshot.instance.id, chance.choice(OUTSIDE))
        if chance.random() < 0.01:
            self._reprice()

    async def _create(self) -> None:
        chance = self.chance
        self._number += 1
        request = CreateRequest(
            name=f"n{self._number}",
            product_name=chance.choice(PRODUCTS),
            image_url="ubuntu:22.04",
            ports=(Port(8080, "http"),),
            gpu_num=chance.choice((1, 1, 2)),
            rootfs_gb=chance.choice((40, 60, 100, 500)),
            billing=chance.choice((BillingChoice.SPOT, BillingChoice.ON_DEMAND)),
            labels={"team": chance.choice("ab"), "job": chance.choice(("train", "serve"))},
        )
        creation = self.site.program.operations.creation
        await self._try("create", creation.create(request, context(owner=chance.choice(("k1", "k2"))), _made))
        self._doubt_price("")

    async def _ask(self, instance_id: str, verb: Verb) -> None:
        verbs = self.site.program.operations.verbs
        await self._try(str(verb), verbs.perform(instance_id, verb, VerbRequest(), context(), _taken))
        if verb is Verb.START:
            for machine in self.site.present(instance_id):
                self._doubt_price(machine.id)

    async def _relabel(self, instance_id: str) -> None:
        amendment = Amendment(labels={"team": self.chance.choice("abc")})
        operations = self.site.program.operations
        changes = Changes(ledger=operations.ledger, verbs=operations.verbs, creation=operations.creation)
        await self._try("relabel", changes.amend(instance_id, amendment, context(), _taken))

    async def _try(self, what: str, asked: object) -> None:
        try:
            await asked  # type: ignore[misc] # one of the above
            self.found.met[what] += 1
        except Refusal:
            pass  # not in this state, or no offer of that kind now

    def _outside(self, instance_id: str, verb: str) -> None:
        for machine in self.site.present(instance_id):
            try:
                if verb == "reclaim":
                    self.site.perform("reclaim", instanceId=machine.id, noticeSeconds=self.chance.choice((0, 1800)))
                else:
                    self.site.perform("out-of-band", instanceId=machine.id, verb=verb)
            except ValueError:
                continue
            self.found.met[f"{verb} outside"] += 1
            self._unsure[machine.id] += [self.clock.now(), self.clock.now() + 2 * 3600.0]

    def _reprice(self) -> None:
        world = self.novita.stage.world
        product = self.chance.choice([one for one in world.catalogue.products.values() if one.spot_price])
        factor = self.chance.uniform(0.8, 1.25)
        self.site.perform(
            "prices",
            productId=product.id,
            price=max(1, round(product.price * factor)),
            spotPrice=max(1, round(product.spot_price * factor)),
        )
        self._repriced = self.clock.now()
        self.found.met["price"] += 1

    def _doubt_price(self, machine_id: str) -> None:
        """A start (or create) within minutes of a change of prices may be at a price that we did not know."""
        if self.clock.now() - self._repriced < PRICE_KNOWN_AFTER:
            self._unsure[machine_id] += [self.clock.now()]

    async def _trouble(self) -> None:
        chance, now = self.chance, self.clock.now()
        if now < self._trouble_until:
            return
        self.novita.sound()
        if chance.random() > 0.01:
            return
        lasts = chance.choice((60.0, 900.0, 3600.0, 5 * 3600.0))
        kind = chance.choice(("list", "outage", "killed", "killed", "bill"))
        self.found.met[kind] += 1
        self._trouble_until = now + lasts
        if kind != "bill":
            self._unsure[""] += [now, now + lasts + 1800.0]
        match kind:
            case "list":
                self.novita.fault("GET .*gpu/instances", chance.choice(LIST_TROUBLES), count=-1)
            case "outage":
                self.novita.fault(".*", "status", status=503, count=-1)
            case "bill":
                self.novita.fault("GET .*billing", chance.choice(("html", "malformed", "hang")), count=-1)
            case "killed":
                self.site.kill()
                await self.clock.sleep(lasts)
                await self.site.begin()

    # ── the verdict ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _compare(self, first: int, last: int) -> None:
        costs = self.site.program.operations.costs
        ours: defaultdict[tuple[str, int], float] = defaultdict(float)
        own: defaultdict[tuple[str, int], float] = defaultdict(float)
        rows = [one async for some in costs.rows(since=first, until=last) for one in some]
        for start, _, row in rows:
            ours[row.machine, start] += row.total / UNITS_PER_USD
            own[row.machine, start] += (row.gpu + row.disk) / UNITS_PER_USD
        for machine in self.novita.stage.world.ever():
            for start in range(first, last, DAY):
                self._judge(machine, start, ours.pop((machine.id, start), 0.0), own[machine.id, start])
        assert not ours, "costs of machines that Novita never had"
        everything = costs.spent(since=first, until=last) / UNITS_PER_USD
        labels = sum(costs.spent(since=first, until=last, label=("team", team)) for team in "abc") / UNITS_PER_USD
        keys = sum(costs.spent(since=first, until=last, owner=owner) for owner in ("k1", "k2")) / UNITS_PER_USD
        parts = sum(row.total for _, _, row in rows) / UNITS_PER_USD
        self.found.sums_apart = max(abs(everything - other) for other in (labels, keys, parts))

    def _judge(self, machine: Machine, start: int, ours: float, own: float) -> None:
        billed = machine.meter.used(start, start + DAY) / TICKS_PER_USD
        if not (billed or ours or own):
            return
        rates = [charge.rate for charge in machine.meter.charges if charge.what == "gpu"]
        moments = [*self._unsure[""], *self._unsure[machine.id]]
        self.found.compared.append(
            Compared(
                machine=machine.id,
                day=start,
                billed=billed,
                ours=ours,
                own=own,
                price_per_second=max(rates, default=0) / TICKS_PER_USD,
                sure=self._tells_times and not any(start - 3600 <= moment < start + DAY for moment in moments),
            )
        )


def _made(_created: object) -> Answer:
    return Answer(status=201, body="")


def _taken(_accepted: object) -> Answer:
    return Answer(status=202, body="")


def _without_times(request: Request[Any], reply: Reply) -> Reply:
    """A Novita that does not say when a machine was started and stopped."""
    if not request.path.startswith("/v1/gpu/instance"):
        return reply
    return replace(reply, body=re.sub(rb'"last(Started|Stopped)At": ?"\d+"', rb'"last\1At":"0"', reply.body))
