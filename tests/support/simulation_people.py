"""Who asks for things: people with and without idempotency keys, and hands outside of us that work on Novita's console.

A person's request goes into whichever process serves at that moment. With a key it is repeated until it is answered; without one, what was not
answered may or may not have been done. Every word is written down with when it was asked and when it was acknowledged.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from novitai.domain.errors import Code, Refusal
from novitai.domain.idle import AutoStop, SignalName
from novitai.domain.ids import MachineId, marker_of
from novitai.domain.instance import Verb
from novitai.domain.keys import Actor, KeyLimits, Scope
from novitai.domain.machine import MachineStatus, Port, SpotStatus
from novitai.domain.migration import Migration, Strategy
from novitai.operations.receipts import Answer, Draft
from novitai.operations.requests import Accepted, Context, CreateRequest, VerbRequest
from novitai.ports.store import StoreUnavailable
from support.simulation_novita import BadNovita
from support.simulation_process import NoAnswer, Process
from support.simulation_stage import Stage
from support.timed_provider import DOWN, GONE, UP, Kept, Path

S = MachineStatus
AGAIN_LATER = frozenset({Code.CONFLICT, Code.OPERATION_IN_PROGRESS})
USUAL_REFUSALS = frozenset(
    {
        Code.INVALID_STATE,
        Code.INSTANCE_NOT_STARTABLE,
        Code.NO_CAPACITY,
        Code.INSUFFICIENT_BALANCE,
        Code.UPSTREAM_ERROR,
        Code.UPSTREAM_TIMEOUT,
        Code.UPSTREAM_AUTH_FAILED,
        Code.CIRCUIT_BREAKER_OPEN,
        Code.RATE_LIMIT_EXCEEDED,
    }
    | AGAIN_LATER
)
MOST_REPEATS = 60
IDLE_SECONDS = 240.0
SOON_IDLE = AutoStop(enabled=True, idle_seconds=IDLE_SECONDS, warn_seconds=60.0, signals=(SignalName.LAST_USED,))
SAME = "same"
REFUSED_BY_NOVITA = frozenset(
    {"no capacity", "no capacity for a create", "no balance", "quota", "rejected", "too many requests"}
)
VERBS = (Verb.STOP, Verb.STOP, Verb.START, Verb.START, Verb.RESTART, Verb.DELETE)


@dataclass
class Word:
    """Something that somebody asked of an instance. `acked` None: never answered; `refused`: the code, if it was."""

    instance_id: str
    verb: Verb
    asked: float
    acked: float | None = None
    over: float = float("inf")  # from then on nobody repeats it any more
    refused: str = ""
    same: bool = False  # it was so already, or under way: nothing changed


@dataclass
class Order:
    """A create that somebody asked for, by a name that is its own."""

    name: str
    asked: float
    keyed: bool
    waits: bool
    protect: bool
    ttl: float | None = None
    idle: bool = False
    strategy: Strategy = Strategy.MIGRATE
    instance_id: str = ""
    answers: list[str] = field(default_factory=list)


class People:
    """Everybody who asks, and what they asked."""

    def __init__(self, stage: Stage, novita: BadNovita) -> None:
        self.stage = stage
        self.novita = novita
        self.process: Process | None = None
        self.orders: list[Order] = []
        self.words: list[Word] = []
        self._keys = 0

    # ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def live(self, *, orders: int, words: int) -> None:
        """One person's day: some creates, then word after word about any of the instances."""
        chance = self.stage.chance
        for _ in range(orders):
            await self._think()
            await self.order()
        for _ in range(words):
            await self._think()
            known = [order.instance_id for order in self.orders if order.instance_id]
            if known:
                await self.say(chance.choice(known), chance.choice(VERBS))

    async def _think(self) -> None:
        await self.stage.clock.sleep(self.stage.chance.expovariate(1 / 45.0))

    async def order(self) -> None:
        """Ask for an instance."""
        chance = self.stage.chance
        order = Order(
            name=f"order{len(self.orders)}",
            asked=self.stage.clock.now(),
            keyed=chance.random() < 0.6,
            waits=chance.random() < 0.3,
            protect=chance.random() < 0.1,
            ttl=chance.uniform(60.0, 1200.0) if chance.random() < 0.15 else None,
            idle=chance.random() < 0.15,
            strategy=chance.choice((Strategy.MIGRATE, Strategy.REPLACE)),
        )
        self.orders.append(order)

        async def ask(process: Process, draft: Draft | None) -> str:
            assert process.program is not None
            request = CreateRequest(
                name=order.name,
                product_name="RTX 4090",
                image_url="docker.io/library/nginx:1",
                ports=(Port(8080, "http"),),
                wait_for_capacity_seconds=7200.0 if order.waits else None,
                protect=order.protect,
                ttl_seconds=order.ttl,
                auto_stop=SOON_IDLE if order.idle else None,
                migration=Migration(strategy=order.strategy),
            )
            creation = process.program.operations.creation
            created = await creation.create(
                request, _context(draft), lambda made: Answer(status=201, body=made.instance.id)
            )
            return created.instance.id

        answer = await self._ask(ask, "/api/instances", order.name, keyed=order.keyed)
        if answer is not None and not isinstance(answer, Refusal):
            order.instance_id = answer
            order.answers.append(answer)

    async def say(self, instance_id: str, verb: Verb) -> None:
        """Ask an instance for something."""
        word = Word(instance_id, verb, self.stage.clock.now())
        self.words.append(word)

        async def ask(process: Process, draft: Draft | None) -> str:
            assert process.program is not None
            verbs = process.program.operations.verbs
            accepted = await verbs.perform(
                instance_id, verb, VerbRequest(), _context(draft), lambda done: Answer(status=202, body=_changed(done))
            )
            return _changed(accepted)

        answer = await self._ask(ask, f"/api/{instance_id}/{verb}", str(verb), keyed=self.stage.chance.random() < 0.6)
        word.over = self.stage.clock.now()
        if answer is not None:
            word.acked = word.over
            word.same = answer == SAME
            word.refused = str(answer.code) if isinstance(answer, Refusal) else ""

    async def _ask(self, ask: Any, path: str, body: str, *, keyed: bool) -> str | Refusal | None:
        """The answer; a refusal; or None when nobody knows."""
        self._keys += 1
        key = f"key{self._keys}" if keyed else ""
        for _ in range(MOST_REPEATS if keyed else 1):
            self.stage.note("asks", path, body, key)
            try:
                answer = await self._answered(self._under_key(ask, path, key, body))
            except NoAnswer:
                answer = None
            self.stage.note("is told", path, answer.code if isinstance(answer, Refusal) else answer)
            if answer is not None and not (isinstance(answer, Refusal) and answer.code in AGAIN_LATER):
                return answer
            await self.stage.clock.sleep(self.stage.chance.uniform(1.0, 30.0))
        return None

    async def _answered(self, asking: Coroutine[Any, Any, str]) -> str | Refusal | None:
        process = self.process
        if process is None or not process.serves:
            asking.close()
            raise NoAnswer
        try:
            return await process.call(asking)
        except Refusal as refusal:
            if refusal.code not in USUAL_REFUSALS:
                self.stage.finding(f"a request was refused with {refusal.code}: {refusal.message}")
            return refusal
        except StoreUnavailable:
            return None
        except (NoAnswer, asyncio.CancelledError):
            raise
        except Exception as error:
            self.stage.finding(f"a request ended in {type(error).__name__}: {error}")
            return None

    async def _under_key(self, ask: Any, path: str, key: str, body: str) -> str:
        process = self.process
        assert process is not None
        assert process.program is not None
        if not key:
            return await ask(process, None)
        receipts = process.program.operations.receipts
        draft = await receipts.begin(owner="key_1", method="POST", path=path, key=key, body=body.encode())
        if isinstance(draft, Answer):
            self.stage.hits["answered again"] += 1
            return draft.body
        try:
            return await ask(process, draft)
        finally:
            receipts.end(draft)

    # ── hands outside of us ───────────────────────────────────────────────────────────────────────────────────────────

    async def meddle(self, times: int) -> None:
        """Now and then something happens to a machine that nobody asked us for."""
        for _ in range(times):
            await self.stage.clock.sleep(self.stage.chance.expovariate(1 / 80.0))
            ours = [kept for machine in self.novita.present() if (kept := self.novita.kept[machine.id]).machine.name]
            if self.stage.calm:
                return
            if ours:
                await self._meddle_with(self.stage.chance.choice(ours))

    async def _meddle_with(self, kept: Kept) -> None:
        status = kept.at(self.stage.clock.now()).status
        deeds = {
            S.RUNNING: (
                "stopped outside",
                "deleted outside",
                "restarted outside",
                "moved",
                "noticed",
                "vanished",
                "odd",
            ),
            S.STOPPED: ("started outside", "deleted outside", "vanished"),
        }
        if status in deeds:
            await self._do(self.stage.chance.choice(deeds[status]), kept)

    async def _do(self, deed: str, kept: Kept) -> None:
        chance, machine_id = self.stage.chance, kept.machine.id
        self.stage.note("outside", machine_id, deed)
        self.stage.excuse(_owner(kept), deed)
        match deed:
            case "stopped outside":
                self._becomes(machine_id, DOWN)
            case "started outside":
                self._becomes(machine_id, UP)
            case "restarted outside":
                self._becomes(machine_id, ((0.0, S.RESTARTING), (12.0, S.RUNNING)))
            case "deleted outside":
                self._becomes(machine_id, chance.choice((GONE, ((0.0, S.REMOVING), (100.0, S.REMOVED)))))
            case "vanished":
                self._becomes(machine_id, ((0.0, S.REMOVED),))
            case "moved":
                self._becomes(machine_id, ((0.0, S.MIGRATING), (chance.uniform(20.0, 120.0), S.RUNNING)))
            case "odd":
                self._becomes(machine_id, ((0.0, S.UNKNOWN), (chance.uniform(10.0, 120.0), S.RUNNING)))
            case "noticed":
                self.novita.becomes(machine_id, (), spot_status=SpotStatus.NOTIFIED)
                await self.stage.clock.sleep(chance.uniform(20.0, 90.0))
                if kept.at(self.stage.clock.now()).status is S.RUNNING:
                    end: Path = chance.choice((((0.0, S.STOPPING), (5.0, S.STOPPED)), ((0.0, S.REMOVED),)))
                    self._becomes(machine_id, end, spot_status=SpotStatus.RECLAIMING)

    def _becomes(self, machine_id: MachineId, path: Path, **fields: Any) -> None:
        self.novita.becomes(machine_id, path, **fields)


def _changed(accepted: Accepted) -> str:
    return "changed" if accepted.changed else SAME


def _owner(kept: Kept) -> str:
    marker = marker_of(kept.machine.name)
    return marker.instance_id if marker is not None else ""


def _context(draft: Draft | None) -> Context:
    actor = Actor(owner="key_1", scope=Scope.ADMIN, limits=KeyLimits())
    return Context(actor=actor, correlation_id="corr_1", draft=draft)
