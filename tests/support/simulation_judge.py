"""Was everything as promised? Judged from outside: Novita's machines and calls, the receivers' ledger, and what people were told.

What our own records say is looked at only to be compared with that. Three questions: how did it end (here), was every call to Novita somebody's
wish and sent once (`simulation_calls`), and was everybody told the truth, once and in order (`simulation_telling`).
"""

from dataclasses import dataclass
from math import inf

from novitai.domain.ids import marker_of
from novitai.domain.instance import Instance, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.operations import records
from support.memory_store import MemoryDisk
from support.simulation_novita import BadNovita
from support.simulation_people import REFUSED_BY_NOVITA, Order, People, Word
from support.simulation_receivers import BadReceivers
from support.simulation_stage import Stage
from support.timed_provider import Kept

S = MachineStatus
RESTS = frozenset({State.READY, State.STOPPED, State.FAILED, State.LOST, State.DELETED})
MAKES_READY = frozenset({Verb.CREATE, Verb.START, Verb.RESTART})
ANYTHING_MAY_COME_OF = frozenset(
    {"stopped outside", "started outside", "restarted outside", "deleted outside", "vanished", "noticed"}
)
STARTS_FAIL_OF = frozenset({"exits", "comes up late", "moved", "odd"}) | REFUSED_BY_NOVITA
STOPPING_TAKES_SECONDS = 60.0
READING_SECONDS = 15.0
"""News bears the time at which the reading began that brought it."""
BAD_NEWS = frozenset({"failed", "startup_failed", "stopped", "reclaimed", "lost", "deleted"})


@dataclass
class Case:
    """One instance: who ordered it, what was said of it, what we hold of it, and the machines that were made for it."""

    order: Order
    instance: Instance
    words: list[Word]
    machines: list[Kept]

    @property
    def ttl_ends_at(self) -> float:
        """From when on it is not to run any more."""
        return self.instance.created_at + self.order.ttl if self.order.ttl is not None else inf

    def holding(self, at: float, *, since: float = 0.0) -> set[Verb]:
        """The verbs that may hold at a time: the last word that was acknowledged by `since` (or else `at`), and what may have come after it."""
        until = since or at
        said = [word for word in self.words if word.asked <= at and not word.refused and not word.same]
        acked = [word for word in said if word.acked is not None and word.acked <= until]
        last = max(acked, key=lambda word: word.acked or 0.0, default=self.words[0])
        return {word.verb for word in said if word is last or word.over >= last.asked}

    def deleted(self, at: float) -> bool:
        """Whether a delete was asked for by then."""
        return any(word.verb is Verb.DELETE and word.asked <= at and not word.refused for word in self.words)


@dataclass
class Evidence:
    """Everything that a judgement goes by."""

    stage: Stage
    disk: MemoryDisk
    novita: BadNovita
    receivers: BadReceivers
    people: People

    def instances(self) -> list[Instance]:
        """What we hold, deleted ones included."""
        kept = (one.record for (kind, _), one in self.disk.records.items() if kind == records.INSTANCE)
        return [records.read_instance(record) for record in kept]

    def cases(self) -> list[Case]:
        """One for each instance that there is."""
        orders = {order.name: order for order in self.people.orders}
        return [self._case(orders[instance.name], instance) for instance in self.instances()]

    def _case(self, order: Order, instance: Instance) -> Case:
        ordered = Word(instance.id, Verb.CREATE, order.asked, instance.created_at, instance.created_at)
        said = [word for word in self.people.words if word.instance_id == instance.id]
        return Case(order, instance, [ordered, *said], self.novita.of_instance(instance.id))

    def told(self, instance_id: str) -> list[tuple[float, str]]:
        """Times and types of everything told of an instance, without the word that all types share."""
        events = (records.read_event(entry.body) for entry in self.disk.logs[records.EVENTS, f"instance:{instance_id}"])
        return [(event.at, str(event.type).removeprefix("instance.")) for event in events]


def judge_the_end(evidence: Evidence) -> None:
    """Every order has its one instance, every instance is at rest as was asked, and every machine is somebody's."""
    _every_order_has_one_instance(evidence)
    cases = evidence.cases()
    known = {case.instance.id for case in cases}
    for machine in evidence.novita.present():
        marker = marker_of(machine.name)
        if marker is not None and marker.instance_id not in known:
            evidence.stage.finding(f"nobody knows of machine {machine.id} {machine.name}")
    for case in cases:
        _machines_agree(evidence, case)
        _as_was_asked(evidence, case)


def _every_order_has_one_instance(evidence: Evidence) -> None:
    held: dict[str, list[str]] = {}
    for instance in evidence.instances():
        held.setdefault(instance.name, []).append(instance.id)
    for order in evidence.people.orders:
        ids = held.get(order.name, [])
        if len(ids) > 1 or (order.answers and ids != [order.answers[0]]):
            evidence.stage.finding(f"{order.name} was answered {order.answers} and has instances {ids}")


def _machines_agree(evidence: Evidence, case: Case) -> None:
    instance = case.instance
    now = evidence.stage.clock.now()
    there = {kept.machine.id: kept.at(now).status for kept in case.machines if kept.at(now).status is not S.REMOVED}
    mine = instance.machine.id if instance.machine is not None else ""
    statuses = tuple(there.values())
    match instance.state:
        case State.READY:
            agree = statuses == (S.RUNNING,) and mine in there
        case State.STOPPED:
            agree = statuses in {(), (S.STOPPED,)}
        case State.FAILED:
            agree = len(statuses) <= 1 and S.RUNNING not in statuses
        case State.LOST | State.DELETED:
            agree = not statuses
        case _:
            agree = False
    if not agree:
        evidence.stage.finding(f"{instance.id} is {instance.state} with machine {mine or '-'} and Novita has {there}")


def _as_was_asked(evidence: Evidence, case: Case) -> None:
    instance, state = case.instance, case.instance.state
    now = evidence.stage.clock.now()
    verbs = case.holding(now)
    excuses = {why for _, why in evidence.stage.excuses[instance.id]}
    if evidence.stage.hits["no capacity for a create"]:
        excuses.add("no capacity for a create")  # an offer that was full for one is left out for all
    if any(word.verb is Verb.DELETE and word.acked is not None and not word.refused for word in case.words):
        allowed = {State.DELETED}
    elif excuses & ANYTHING_MAY_COME_OF:
        allowed = set(RESTS)
    else:
        allowed = _wanted(
            verbs, has_machine=instance.machine is not None, start_may_fail=_start_may_fail(case, excuses)
        )
        if case.deleted(now):
            allowed.add(State.DELETED)
    if allowed != {State.DELETED} and (case.order.idle or now >= case.ttl_ends_at):
        allowed.add(State.STOPPED)
    if now >= case.ttl_ends_at + STOPPING_TAKES_SECONDS:
        allowed.discard(State.READY)
    if state not in allowed:
        asked = ", ".join(sorted(verbs))
        evidence.stage.finding(f"{instance.id} is {state} although {asked} was asked (excuses: {sorted(excuses)})")
    if verbs <= MAKES_READY and state is not State.READY:
        _was_told(evidence, case)


def _start_may_fail(case: Case, excuses: set[str]) -> bool:
    if case.order.waits:
        excuses = excuses - {"no capacity for a create"}
    return bool(excuses & STARTS_FAIL_OF)


def _wanted(verbs: set[Verb], *, has_machine: bool, start_may_fail: bool) -> set[State]:
    wanted: set[State] = set()
    if Verb.STOP in verbs:
        wanted |= {State.STOPPED} if has_machine else {State.STOPPED, State.FAILED}
    if verbs & MAKES_READY:
        wanted |= {State.READY} | ({State.FAILED, State.STOPPED} if start_may_fail else set())
    return wanted


def _was_told(evidence: Evidence, case: Case) -> None:
    """What was asked and did not come to be was told of."""
    acked = (word for word in case.words if word.acked is not None and not word.refused and not word.same)
    last = max(acked, key=lambda word: word.asked)
    since = last.asked - READING_SECONDS
    if not any(at >= since and kind in BAD_NEWS for at, kind in evidence.told(case.instance.id)):
        evidence.stage.finding(f"{case.instance.id} is {case.instance.state}, and nobody was told why")
