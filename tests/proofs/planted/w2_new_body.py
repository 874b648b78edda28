"""The body is written anew for each attempt, with the time of the attempt in it: the same id comes with other bytes.

It stands in for `Deliveries._attempt`. Run as a program it forks servers with the bug.
"""

from typing import Any

import msgspec

from novitai.domain.delivery import Delivery
from novitai.webhooks.delivery import Deliveries
from support import forking

BUG = "a body written anew for each attempt"
_real = Deliveries._attempt


async def _attempt(self: Deliveries, delivery: Delivery, *more: Any) -> Any:
    fresh = delivery.body.replace("{", f'{{"sentAt":{self._clock.now()},', 1)
    return await _real(self, msgspec.structs.replace(delivery, body=fresh), *more)


if __name__ == "__main__":
    Deliveries._attempt = _attempt  # type: ignore[method-assign]
    forking.main()
