"""What Novita last said of our account, and what follows while it holds.

A refused key is told once; changes wait for it, and the first poll that succeeds ends it. A lack of balance is told once, too;
creates and starts are refused at once with 402 instead of failing a minute later, but for one now and then that is let through to
see whether it has ended, and all are once the balance is seen to have grown; a success ends it. What stops machines is never kept back.
"""

from collections.abc import Callable

import msgspec
import structlog

from novitai.domain.costs import BalanceSeen
from novitai.domain.errors import Code, NoBalance, NotAllowed, Refusal
from novitai.domain.events import Fact, FactType
from novitai.domain.standing import Standing
from novitai.domain.times import iso
from novitai.operations import records
from novitai.operations.ledger import Ledger
from novitai.operations.optimism import TRIES
from novitai.ports.store import Commit, Committed, Conflict, Lease

FIRST_PROBE_SECONDS, PROBE_SECONDS = 5.0, 300.0
"""After a refusal for lack of balance, until something that costs money is tried again: the first time, and at most. Each refusal
doubles it, so that one that was a mistake holds nothing up for long.
"""

log = structlog.get_logger("novitai.upstream")


class AccountStanding:
    """See the module's text."""

    def __init__(self, *, ledger: Ledger, balance: Callable[[], BalanceSeen | None] = lambda: None) -> None:
        """`balance`: the account's balance as it was last read, if it was."""
        self._ledger = ledger
        self._balance = balance
        self._now = Standing()
        self._refused_at: float | None = None
        self._pause = 0.0
        self._too_little: BalanceSeen | None = None
        self._tried_at = 0.0

    async def load(self) -> None:
        """Read it once; later changes come by `committed`."""
        self._now, _ = await self._read()

    def committed(self, _commit: Commit, result: Committed) -> None:
        """Take in a commit of this process."""
        for record in result.records:
            if record.kind == records.STANDING and not record.deleted:
                self._now = records.read_standing(record)

    @property
    def key_refused(self) -> bool:
        """Whether Novita refuses our key: changes wait."""
        return self._now.key_refused_since is not None

    @property
    def unpaid(self) -> bool:
        """Whether Novita's last word was that the account cannot pay."""
        return self._now.unpaid_since is not None

    async def refuse_key(self, failure: NotAllowed, lease: Lease | None = None) -> None:
        """A poll was refused for the key."""
        if self.key_refused:
            return
        reason = "Novita refuses the API key; changes wait until it is accepted again"
        told = self._fact(FactType.AUTH_FAILED, reason, {"reason": failure.reason})
        await self._change(told, lease, key_refused_since=told.at)

    async def accept_key(self, lease: Lease | None = None) -> None:
        """A poll succeeded."""
        if self.key_refused:
            await self._change(None, lease, key_refused_since=None)
            log.info("upstream_key_accepted")

    async def refuse_payment(self, failure: NoBalance) -> None:
        """Novita refused a create or a start for lack of balance."""
        now = self._ledger.clock.now()
        if (
            self._refused_at is None or now >= self._refused_at + self._pause
        ):  # those on their way together are one refusal
            self._pause = min(PROBE_SECONDS, max(FIRST_PROBE_SECONDS, 2 * self._pause))
        self._refused_at, self._too_little = now, self._balance()
        if self.unpaid:
            return
        reason = "Novita refuses creates and starts: the account's balance does not suffice"
        told = self._fact(FactType.BALANCE_EXHAUSTED, reason, {"reason": failure.reason})
        await self._change(told, None, unpaid_since=told.at)

    async def accept_payment(self) -> None:
        """Novita sold something."""
        self._pause = 0.0
        if self.unpaid:
            await self._change(None, None, unpaid_since=None)
            log.info("upstream_balance_suffices")

    def takes_try(self) -> bool:
        """Whether something that costs money may be sent now: nothing is known against it, the balance has grown, or it is the one by
        which it is seen whether that has ended.
        """
        if not self.unpaid or self._topped_up():
            return True
        now = self._ledger.clock.now()
        if now < self._free_at():
            return False
        self._tried_at = now
        return True

    def require_balance(self) -> None:
        """Raises Refusal INSUFFICIENT_BALANCE while Novita refuses to sell and nothing is about to be tried."""
        since, free_at = self._now.unpaid_since, self._free_at()
        if since is None or self._topped_up() or self._ledger.clock.now() >= free_at:
            return
        raise Refusal(
            Code.INSUFFICIENT_BALANCE,
            f"Novita refuses creates and starts since {iso(since)}: the account's balance does not suffice; "
            f"top it up. The next one is tried at {iso(free_at)}",
        )

    def _free_at(self) -> float:
        """When something may be tried again. A try holds up the others for as long as a refusal does."""
        return max(
            self._refused_at + self._pause if self._refused_at is not None else 0.0, self._tried_at + self._pause
        )

    def _topped_up(self) -> bool:
        """Whether a balance was read since the last refusal that is higher than the one that did not suffice."""
        seen, before = self._balance(), self._too_little
        if seen is None or self._refused_at is None or seen.at <= self._refused_at:
            return False
        return seen.amount > (before.amount if before is not None else 0)

    def _fact(self, kind: FactType, reason: str, data: dict[str, object]) -> Fact:
        return Fact(type=kind, at=self._ledger.clock.now(), actor="observer", reason=reason, data=data)

    async def _change(self, told: Fact | None, lease: Lease | None, **fields: float | None) -> None:
        """Commit what is so now, with the fact unless somebody else told it first."""
        for _ in range(TRIES):
            before, version = await self._read()
            after = msgspec.structs.replace(before, **fields)
            if _same(before, after):
                self._now = before
                return
            put = records.put_standing(after, expect=version)
            try:
                await self._ledger.tell([told] if told is not None else [], puts=(put,), lease=lease)
            except Conflict as conflict:
                if type(conflict) is not Conflict:
                    raise  # LeaseLost: whoever leads now tells it
            else:
                return

    async def _read(self) -> tuple[Standing, int]:
        record = await self._ledger.store.get(records.STANDING, "account")
        return (records.read_standing(record), record.version) if record is not None else (Standing(), 0)


def _same(before: Standing, after: Standing) -> bool:
    """Whether nothing began and nothing ended."""
    return (before.key_refused_since is None) is (after.key_refused_since is None) and (
        (before.unpaid_since is None) is (after.unpaid_since is None)
    )
