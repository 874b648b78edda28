"""One request as the house sees it: its ids, who asks, what is left of their allowance, and what came of it."""

import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, cast

from novitai.api.proxies import UNKNOWN, Proxies
from novitai.domain.keys import Actor
from novitai.operations.receipts import Draft
from novitai.operations.requests import Context
from novitai.ports.world import Ids

SAFE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
"""What `X-Request-ID` and `X-Correlation-ID` may be; anything else is replaced by a fresh id."""

_KEY = "novitai.visit"


@dataclass(slots=True, kw_only=True)
class Visit:
    """Filled in as the request goes through the house; `route` is the path's template, for metrics; `sent` counts bytes.

    `key_text` is the key as sent, so that a long answer can notice that it was revoked. `shown_once` names the field of the
    answer that must not be stored for replay. `held`: the answer was held back as asked, so its slowness says nothing.
    `address` is where the caller is, seen through the proxies that we trust.
    """

    request_id: str
    correlation_id: str
    address: str
    actor: Actor | None = None
    key_text: str = ""
    draft: Draft | None = None
    shown_once: str = ""
    held: bool = False
    route: str = "unmatched"
    status: int = 0
    sent: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def who(self) -> Actor:
        """The caller of a route that needs a key."""
        assert self.actor is not None, "only routes without a key have no caller"
        return self.actor

    def context(self) -> Context:
        """What the operations want to know of this request."""
        return Context(
            actor=self.who,
            correlation_id=self.correlation_id,
            request_id=self.request_id,
            address=self.address,
            draft=self.draft,
        )


def begin(scope: MutableMapping[str, Any], headers: Mapping[bytes, bytes], ids: Ids, proxies: Proxies) -> Visit:
    """A request enters: its ids are taken over when they are safe to log, else made."""
    client = scope.get("client")
    visit = Visit(
        request_id=_safe(headers.get(b"x-request-id")) or ids.new("req"),
        correlation_id=_safe(headers.get(b"x-correlation-id")) or ids.new("corr"),
        address=proxies.caller(str(client[0]), scope["headers"]) if client else UNKNOWN,
    )
    visit.headers = [
        (b"x-request-id", visit.request_id.encode()),
        (b"x-correlation-id", visit.correlation_id.encode()),
    ]
    scope[_KEY] = visit
    return visit


def visit_of(scope: Mapping[str, Any]) -> Visit:
    """The visit that `begin` noted in this scope."""
    return cast("Visit", scope[_KEY])


def _safe(value: bytes | None) -> str | None:
    if value is None:
        return None
    text = value.decode("latin-1")
    return text if SAFE_ID.fullmatch(text) else None
