"""A new id on each attempt, as when the id names the attempt and not the event: no receiver can tell a repeat from news.

It stands in for the headers that `Deliveries` signs. Run as a program it forks servers with the bug.
"""

from typing import Any

from novitai.webhooks import delivery
from novitai.world import SystemIds
from support import forking

BUG = "a new id on each attempt"
_real = delivery.signed_headers
_ids = SystemIds()


def _headers(*, event_id: str, **more: Any) -> dict[str, str]:
    return _real(event_id=_ids.new("evt"), **more)


if __name__ == "__main__":
    delivery.signed_headers = _headers
    forking.main()
