"""A delivery that lives in memory only: its job is ended as soon as it is taken up, and the attempts go on in this process alone.

It is what a background task after the answer does in most web frameworks. It stands in for `Deliveries.handle`. Run as a program it
forks servers with the bug.
"""

from novitai.operations import records
from novitai.ports.store import Claim, Commit, Finish
from novitai.webhooks.delivery import Deliveries
from support import forking

BUG = "a delivery kept in memory only"


async def _handle(self: Deliveries, claim: Claim) -> None:
    await self._store.commit(Commit(finish=Finish(claim=claim)))
    record = await self._store.get(records.DELIVERY, claim.key.partition(":")[2])
    assert record is not None
    delivery = records.read_delivery(record)
    for pause in self._settings.schedule:
        attempt, _ = await self._attempt(delivery, *self._destination(delivery))
        if attempt.status is not None and attempt.status < 300:
            return
        await self._clock.sleep(pause)


if __name__ == "__main__":
    Deliveries.handle = _handle  # type: ignore[method-assign]
    forking.main()
