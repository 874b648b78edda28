"""What is told of Novita itself: that it refuses our key, and that calls pause because it fails. Each once, until it is
over.
"""

from novitai.domain.errors import NotAllowed
from novitai.domain.events import Fact, FactType
from novitai.operations.ledger import Ledger
from novitai.operations.standing import AccountStanding
from novitai.ports.provider import Provider, UpstreamBreaker
from novitai.ports.store import Lease

CLOSED, OPEN = "CLOSED", "OPEN"


class UpstreamWatch:
    """Remembers which breakers were told of, so that each is told once; whether the key was is kept with the account's standing."""

    def __init__(self, *, provider: Provider, ledger: Ledger, standing: AccountStanding) -> None:
        self._provider = provider
        self._ledger = ledger
        self._standing = standing
        self._open: set[tuple[str, str]] = set()

    async def refused(self, failure: NotAllowed, lease: Lease) -> None:
        """Novita refuses the key."""
        await self._standing.refuse_key(failure, lease)

    async def accepted(self, lease: Lease) -> None:
        """Novita answered: the key works (again)."""
        await self._standing.accept_key(lease)

    async def look_at_circuits(self, lease: Lease) -> None:
        """Tell which breakers have opened or closed since the last look."""
        for view in await self._provider.upstream():
            for name, breaker in view.breakers.items():
                await self._circuit((str(view.client), name), breaker, lease)

    async def _circuit(self, circuit: tuple[str, str], breaker: UpstreamBreaker, lease: Lease) -> None:
        client, name = circuit
        data: dict[str, object] = {"client": client, "circuit": name, "failureCount": breaker.failure_count}
        if breaker.state == OPEN and circuit not in self._open:
            reason = f"Novita failed {breaker.failure_count} times in a row ({name}); calls pause"
            await self._tell(FactType.CIRCUIT_OPENED, reason, data, lease)
            self._open.add(circuit)
        elif breaker.state == CLOSED and circuit in self._open:
            await self._tell(FactType.CIRCUIT_CLOSED, f"Novita answers again ({name})", data, lease)
            self._open.discard(circuit)

    async def _tell(self, kind: FactType, reason: str, data: dict[str, object], lease: Lease) -> None:
        told = Fact(type=kind, at=self._ledger.clock.now(), actor="observer", reason=reason, data=data)
        await self._ledger.tell([told], lease=lease)
