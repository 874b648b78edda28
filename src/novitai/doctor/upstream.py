"""Novita as doctor meets it: the server's own client, so that limiter, breaker and redaction hold, and beside it every
answer as it came.

The window of a running server cannot be shared; beside one, doctor keeps to a fifth of the limit.
"""

from collections import deque
from dataclasses import replace
from email.utils import parsedate_to_datetime

import msgspec

from novitai.app import groups
from novitai.config import Settings
from novitai.coordination.local import LocalCoordination
from novitai.domain.machine import Machine
from novitai.novita.journal import Exchange
from novitai.novita.provider import PAGE_SIZE, NovitaProvider
from novitai.ports.coordination import Share
from novitai.ports.provider import Call
from novitai.ports.world import Clock, Ids

CALL = Call(share=Share.ACT, longest_wait=90.0, correlation_id="novitai-doctor")
PART_BESIDE_A_SERVER = 5
BREAKER_OPEN_SECONDS = 5.0
"""Short: somebody waits, and a machine may have to be removed."""
_MOST_PAGES = 100
_REMEMBERED = 64
_HALF_A_SECOND = 0.5  # the header has whole seconds


class Upstream:
    """Both clients of Novita. To be closed. `alone`: no server of this installation calls Novita meanwhile."""

    def __init__(self, settings: Settings, *, clock: Clock, ids: Ids, alone: bool) -> None:
        part = 1 if alone else PART_BESIDE_A_SERVER
        limits = {
            "public": max(1, settings.upstream.rate_limit // part),
            "internal": max(1, settings.upstream.internal_rate_limit // part),
        }
        self.clock = clock
        self.ids = ids
        self.exchanges: deque[Exchange] = deque(maxlen=_REMEMBERED)
        breaker = msgspec.structs.replace(groups.breaker(settings), open_seconds=BREAKER_OPEN_SECONDS)
        self._coordination = LocalCoordination(clock=clock, limits=limits, breaker=breaker)
        self.provider = NovitaProvider(
            replace(groups.novita(settings), rate_limit=limits["public"], internal_rate_limit=limits["internal"]),
            coordination=self._coordination,
            clock=clock,
            chance=ids,
            witness=self.exchanges.append,
        )

    @property
    def last(self) -> Exchange:
        """The latest call that ended."""
        return self.exchanges[-1]

    async def machines(self) -> tuple[Machine, ...]:
        """The whole list, each machine once. Raises ProviderFailure."""
        known: dict[str, Machine] = {}
        for page in range(1, _MOST_PAGES):
            found = await self.provider.machines(page, PAGE_SIZE, CALL)
            before = len(known)
            known |= {machine.id: machine for machine in found.machines}
            if len(known) == before or len(known) >= found.total:
                break
        return tuple(known.values())

    def clock_ahead(self) -> float | None:
        """Seconds by which our clock is ahead of Novita's, from the latest answer that has a date; None without one."""
        for exchange in reversed(self.exchanges):
            dated = _date(exchange)
            if dated is not None:
                return (exchange.began + exchange.ended) / 2 - (dated + _HALF_A_SECOND)
        return None

    def latency_ms(self) -> float:
        """The middle one of the calls so far."""
        times = sorted(exchange.ended - exchange.began for exchange in self.exchanges)
        return 1000 * times[len(times) // 2] if times else 0.0

    async def close(self) -> None:
        """Give up connections."""
        await self.provider.close()
        await self._coordination.close()


def _date(exchange: Exchange) -> float | None:
    text = exchange.reply.date if exchange.reply is not None else None
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except ValueError:
        return None
