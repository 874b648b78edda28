"""Everything that a create call can come to, and a Novita that keeps its own record of the creates it was sent.

An `Outcome` says what Novita does with a create (a machine is made at once, later, or not at all), when it answers and what the answer means;
failures are judged by our own adapter from the bytes that Novita would send. `RecordingNovita` answers that way and remembers, for a check
from outside: each create with its time, whether its answer was heard, and each reading of the whole list.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from novitai.domain.errors import Gone, ProviderFailure, Unclear
from novitai.domain.ids import MachineId, marker_of
from novitai.domain.machine import Machine, MachineStatus
from novitai.novita.calls import Effect, Reply
from novitai.novita.errors import broke_off, failure_of, never_sent, unreadable
from novitai.ports.provider import Call, MachineOrder, MachinePage
from novitai.ports.world import Clock
from support.timed_provider import TimedProvider

DEADLINE = 30.0
"""Until a call without an answer is given up (`REQUEST_TIMEOUT`)."""


def refusal(status: int, reason: str = "", *, body: bytes | None = None) -> ProviderFailure:
    """What an answer with this status means for a create."""
    text = body if body is not None else b'{"code":%d,"reason":"%s","message":"no"}' % (status, reason.encode())
    reply = Reply(status=status, body=text, content_type="application/json")
    return failure_of(reply, effect=Effect.CREATE, names_one=False, retry_after=1.0 if status == 429 else None)


def garbled() -> ProviderFailure:
    """A success that cannot be read."""
    return unreadable("not JSON", effect=Effect.CREATE, status=200)


def cut(what: str, *, timed_out: bool = False) -> ProviderFailure:
    """No whole answer."""
    return broke_off(what, effect=Effect.CREATE, timed_out=timed_out)


@dataclass(frozen=True)
class Outcome:
    """`failure`: what the answer means, None for the machine's id. `made_after`: seconds from the call's arrival until its machine exists,
    None when it makes none. `answers_after`: seconds until the answer. `always`: every create goes this way, else only the first.
    `machines`: how many there should be in the end.
    """

    name: str
    failure: Callable[[], ProviderFailure] | None = None
    made_after: float | None = None
    answers_after: float = 0.5
    always: bool = False
    machines: int = 1


ACCEPTED = Outcome("accepted", made_after=0.0)

OUTCOMES = (
    ACCEPTED,
    Outcome("accepted after a while", made_after=8.0, answers_after=8.5),
    # clear refusals: nothing was made
    Outcome("refused: bad image", lambda: refusal(400, "IMAGE_URL_OR_AUTH_ERROR"), always=True, machines=0),
    Outcome("refused: no balance", lambda: refusal(403, "NOT_ENOUGH_BALANCE"), always=True, machines=0),
    Outcome("refused: instance limit", lambda: refusal(400, "CREATE_INSTANCE_LIMIT"), always=True, machines=0),
    Outcome("refused: no capacity anywhere", lambda: refusal(400, "INSUFFICIENT_RESOURCE"), always=True, machines=0),
    Outcome("refused: no capacity at the first offer", lambda: refusal(400, "INSUFFICIENT_RESOURCE")),
    Outcome("refused: 429 for ever", lambda: refusal(429, "RATE_LIMIT_EXCEEDED"), always=True, machines=0),
    Outcome("refused: 429 once", lambda: refusal(429, "RATE_LIMIT_EXCEEDED")),
    Outcome("never sent", lambda: never_sent("connection refused")),
    # unclear, and a machine was made
    Outcome("timeout, made", lambda: cut("", timed_out=True), made_after=0.0, answers_after=DEADLINE),
    Outcome("500, made", lambda: refusal(500), made_after=0.0),
    Outcome("408, made", lambda: refusal(408), made_after=0.0),
    Outcome("HTML with 502, made", lambda: refusal(502, body=b"<html>Bad Gateway</html>"), made_after=0.0),
    Outcome("HTML with 200, made", garbled, made_after=0.0),
    Outcome("connection reset, made", lambda: cut("reset by peer"), made_after=0.0),
    Outcome("reply lost, made", lambda: cut("answer broke off"), made_after=0.2),
    Outcome("connection reset, made later", lambda: cut("reset by peer"), made_after=10.0),
    # unclear, and none was made
    Outcome("timeout, not made", lambda: cut("", timed_out=True), answers_after=DEADLINE),
    Outcome("500, not made", lambda: refusal(500)),
    Outcome("connection reset, not made", lambda: cut("reset by peer")),
    Outcome("500 for ever, not made", lambda: refusal(500), always=True, machines=0),
)


@dataclass
class SentCreate:
    """One create that arrived. `heard`: what its answer said to the process, empty when the process ended before. `ended`: when the answer
    was given, or the process ended; None while it is under way.
    """

    machine_name: str
    arrived: float
    heard: Literal["", "made", "refused", "unclear"] = ""
    ended: float | None = None

    @property
    def instance_id(self) -> str:
        """Our id of the instance it was for, from the marker."""
        marker = marker_of(self.machine_name)
        return marker.instance_id if marker is not None else ""


async def _nobody(_point: str) -> None:
    """Nothing happens at this point."""


class RecordingNovita(TimedProvider):
    """See the module's text. What is made shows in the list and in single reads `list_lag` seconds after the answer was due. `point` is told
    of the moments of a create that lie between its arrival and its answer.
    """

    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.up = ((0.0, MachineStatus.PENDING), (2.0, MachineStatus.RUNNING))
        self.gone = ((0.0, MachineStatus.REMOVING), (2.0, MachineStatus.REMOVED))
        self.outcome = ACCEPTED
        self.point: Callable[[str], Awaitable[None]] = _nobody
        self.creates: list[SentCreate] = []
        self.sweeps: list[tuple[float, float]] = []  # when each whole reading of the list began and ended
        self._began = 0.0
        self.visible: dict[MachineId, float] = {}

    def made_for(self, instance_id: str) -> int:
        """Machines ever made for an instance."""
        names = [kept.machine.name for kept in self.kept.values()]
        return sum(marker_of(name) is not None and marker_of(name).instance_id == instance_id for name in names)

    async def create(self, order: MachineOrder, call: Call) -> MachineId:
        if call.before_send is not None:
            await call.before_send()
        outcome = self.outcome if self.outcome.always or not self.creates else ACCEPTED
        sent = SentCreate(order.machine_name, arrived=self._clock.now())
        self.creates.append(sent)
        machine_id = self._make(order, outcome)
        try:
            await self.point("during create")
            await self._clock.sleep(outcome.answers_after)
            await self.point("answering create")
        finally:
            sent.ended = self._clock.now()
        failure = outcome.failure() if outcome.failure is not None else None
        sent.heard = "made" if failure is None else "unclear" if isinstance(failure, Unclear) else "refused"
        if failure is not None:
            raise failure
        assert machine_id is not None
        return machine_id

    async def machine(self, machine_id: MachineId, call: Call) -> Machine:
        if self._clock.now() < self.visible.get(machine_id, 0.0):
            raise Gone(f"no machine {machine_id}", status=404)
        return await super().machine(machine_id, call)

    async def machines(self, page: int, page_size: int, call: Call) -> MachinePage:
        if page == 1:
            self._began = self._clock.now()
        found = await super().machines(page, page_size, call)
        if page * page_size >= found.total:
            self.sweeps.append((self._began, self._clock.now()))
        return found

    def _page(self, page: int, page_size: int) -> MachinePage:
        now = self._clock.now()
        shown = [kept.at(now) for kept in self.kept.values() if now >= self.visible.get(kept.machine.id, 0.0)]
        shown = [machine for machine in shown if machine.status is not MachineStatus.REMOVED]
        return MachinePage(machines=tuple(shown[(page - 1) * page_size : page * page_size]), total=len(shown))

    def _make(self, order: MachineOrder, outcome: Outcome) -> MachineId | None:
        if outcome.made_after is None:
            return None
        machine_id = self._create(order)
        now = self._clock.now()
        self.kept[machine_id].born = now + outcome.made_after
        self.visible[machine_id] = now + max(outcome.made_after, self.list_lag)
        return machine_id
