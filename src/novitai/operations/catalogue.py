"""What can be bought, as this process knows it: the catalogue with its age, and the offers that lately had no capacity.

A catalogue older than `FRESH_SECONDS` is read again before money is spent. Readers never wait: they get what is known
with its age, and set a reading in motion when it is old.
"""

import asyncio
from collections.abc import Callable, Mapping

from novitai.domain.errors import Code, ProviderFailure, Refusal
from novitai.domain.offers import Catalogue, OfferKey
from novitai.policies.backoff import offer_cooldown
from novitai.ports.coordination import Share
from novitai.ports.provider import Call, Provider
from novitai.ports.world import Clock

FRESH_SECONDS = 30.0
ACCEPTANCE_WAIT_SECONDS = 10.0


class CatalogueBook:
    """The catalogue in memory; one reading at a time, whoever asks."""

    def __init__(self, *, provider: Provider, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._known: Catalogue | None = None
        self._reading: asyncio.Task[Catalogue] | None = None
        self._refusals: dict[OfferKey, tuple[int, float]] = {}
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each reading; it must be quick and raise nothing."""
        self._listeners.append(listener)

    @property
    def known(self) -> Catalogue | None:
        """The last reading, however old."""
        return self._known

    def age(self) -> float | None:
        """Seconds since the last reading."""
        return None if self._known is None else max(0.0, self._clock.now() - self._known.read_at)

    async def fresh(self, *, max_age: float, share: Share, longest_wait: float = 2.0) -> Catalogue:
        """A catalogue at most `max_age` seconds old. Raises a ProviderFailure when it cannot be read."""
        known, age = self._known, self.age()
        if known is not None and age is not None and age <= max_age:
            return known
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(Call(share=share, longest_wait=longest_wait)))
            self._reading.add_done_callback(self._ended)
        return await asyncio.shield(self._reading)

    async def for_acceptance(self) -> Catalogue:
        """The known catalogue, or the first reading within 10 s. Raises Refusal when Novita cannot tell."""
        if self._known is not None:
            return self._known
        try:
            async with asyncio.timeout(ACCEPTANCE_WAIT_SECONDS):
                return await self.fresh(max_age=FRESH_SECONDS, share=Share.ACT, longest_wait=ACCEPTANCE_WAIT_SECONDS)
        except TimeoutError:
            raise upstream_timeout("the catalogue") from None
        except ProviderFailure as failure:
            raise upstream_refusal(failure, what="the catalogue") from failure

    def refused(self, key: OfferKey) -> None:
        """An offer answered "no capacity": skip it for a while, longer each time in a row."""
        now = self._clock.now()
        count, until = self._refusals.get(key, (0, 0.0))
        again = count + 1 if now < until + offer_cooldown(count) else 1
        self._refusals[key] = (again, now + offer_cooldown(again))

    def accepted(self, key: OfferKey) -> None:
        """An offer had capacity."""
        self._refusals.pop(key, None)

    def cooling(self) -> Mapping[OfferKey, float]:
        """Until when each offer is skipped (Unix seconds)."""
        return {key: until for key, (_, until) in self._refusals.items()}

    async def _read(self, call: Call) -> Catalogue:
        self._known = known = await self._provider.catalogue(call)
        for listener in self._listeners:
            listener()
        return known

    def _ended(self, task: asyncio.Task[Catalogue]) -> None:
        self._reading = None
        if not task.cancelled():
            task.exception()  # whoever waits has it; nobody waiting is no reason to complain


def upstream_refusal(failure: ProviderFailure, *, what: str) -> Refusal:
    """A failure of Novita's as the answer to a request that needed it now."""
    message = f"Novita could not be asked for {what}: {failure.message}"
    return Refusal(failure.code, message, retry_after=failure.retry_after)


def upstream_timeout(what: str) -> Refusal:
    """Novita did not answer in the time a caller waits."""
    return Refusal(Code.UPSTREAM_TIMEOUT, f"Novita did not tell {what} within {ACCEPTANCE_WAIT_SECONDS:g} s")
