"""What the stages of one run share: the job that is held, and how an intent is made durable just before a call."""

from collections.abc import Callable, Iterable

from novitai.domain.change import Change
from novitai.domain.errors import Code, TryLater
from novitai.domain.explanation import Decision
from novitai.domain.ids import MachineId
from novitai.domain.instance import Instance
from novitai.operations.ledger import Ledger, Snapshot
from novitai.ports.coordination import Share
from novitai.ports.provider import BeforeSend, Call
from novitai.ports.store import Claim, LeaseLost, Put
from novitai.reconcilers.driver import LEASE_SECONDS

LIMITER_PATIENCE_SECONDS = 2.0
"""A job that would wait longer in the limiter gives its slot back."""
LIMITER_PAUSE_SECONDS = 6.0
"""The longest such a job stays away: estimates are made for one caller, and slots come free for others meanwhile."""
SHORTEST_PAUSE_SECONDS = 0.05


def pause_after(failure: TryLater, *, random: float) -> float:
    """Seconds until a call that was not made is tried again: as asked by Novita, at most a little when it was our
    own limiter.
    """
    asked = failure.retry_after if failure.retry_after is not None else LIMITER_PATIENCE_SECONDS
    if failure.code is Code.RATE_LIMIT_EXCEEDED and not failure.rate_limited:
        return max(SHORTEST_PAUSE_SECONDS, min(asked, LIMITER_PAUSE_SECONDS) * (0.5 + 0.5 * random))
    return max(SHORTEST_PAUSE_SECONDS, asked)


class PutOff(Exception):
    """The run ends here and the job is due again in `seconds`. `failed`: it got nowhere, so the pauses grow."""

    def __init__(self, seconds: float, *, why: str, failed: bool = False) -> None:
        super().__init__(why)
        self.seconds = seconds
        self.why = why
        self.failed = failed


class Run:
    """One claim of an instance's job. `looked_at`: when each of its machines was last read singly. `intended`: the
    intent of the latest call was written, so that its answer is about it; a call that was kept back has none, and
    whoever took over meanwhile may have written one that looks the same.
    """

    def __init__(self, *, claim: Claim, ledger: Ledger, looked_at: dict[MachineId, float]) -> None:
        self.claim = claim
        self.ledger = ledger
        self.looked_at = looked_at
        self.intended = False
        self._postponed: dict[MachineId, PutOff] = {}

    @property
    def postponed(self) -> frozenset[MachineId]:
        """Machines whose removal was tried in vain in this run; what else there is to do goes on without them."""
        return frozenset(self._postponed)

    def postpone(self, machine_id: MachineId, later: PutOff) -> None:
        """Leave the removal of a machine to a later run."""
        self._postponed[machine_id] = later

    def put_off_until(self, until: float | None, *, now: float) -> PutOff | None:
        """How a run that has nothing else to do before `until` ends when removals were postponed; None when none
        was.
        """
        first = min(self._postponed.values(), key=lambda later: later.seconds, default=None)
        if first is None or until is None or until >= now + first.seconds:
            return first
        return PutOff(max(0.0, until - now), why=first.why)

    def forget_looks_but_at(self, machines: Iterable[MachineId]) -> None:
        """Remember only when machines were read that the instance still has."""
        present = set(machines)
        for machine_id in [known for known in self.looked_at if known not in present]:
            del self.looked_at[machine_id]

    def call(
        self, instance: Instance, share: Share, *, before_send: BeforeSend | None = None, patient: bool = False
    ) -> Call:
        """How a call for this instance is made."""
        return Call(
            share=share,
            longest_wait=0.0 if patient else LIMITER_PATIENCE_SECONDS,
            correlation_id=instance.operation.correlation_id,
            before_send=before_send,
        )

    def intent(
        self,
        snapshot: Snapshot,
        change: Callable[[Instance], Instance],
        put: Callable[[Instance], Put | None],
        *,
        decision: Decision | None = None,
    ) -> BeforeSend:
        """Commit an intent on exactly this snapshot, with the job still held; what this raises keeps the call from
        being sent. `decision`: why it is sent, when that was ours to choose.
        """
        self.intended = False

        async def before_send() -> None:
            held = await self.ledger.store.renew([self.claim], lease_seconds=LEASE_SECONDS)
            if self.claim.key not in held:
                raise LeaseLost(f"{self.claim.key} is held by another worker")
            intended = change(snapshot.instance)
            extra = put(intended)
            made = Change(instance=intended, decision=decision)
            await self.ledger.commit(snapshot.version, made, puts=(extra,) if extra is not None else ())
            self.intended = True

        return before_send
