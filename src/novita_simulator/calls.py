"""The log of calls: who asked what, when it arrived and when it was answered.

It is the outside evidence for promises about our own clients (how many calls a minute, no create sent twice), so it records every
call to Novita's API, answered or not, and none to the control API. Secrets are taken out before anything is kept.
"""

from collections import deque
from dataclasses import dataclass

_MOST_CALLS = 200_000
_SECRET_FIELDS = frozenset({"imageAuth", "password"})
_MASK = "***"


@dataclass(slots=True, kw_only=True)
class Call:
    sequence: int
    received_at: float
    method: str
    path: str
    query: str
    correlation_id: str
    body: object
    answered_at: float | None = None
    status: int | None = None  # None = not answered (yet, or ever)
    fault: str = ""

    def to_json(self) -> dict[str, object]:
        return {
            "sequence": self.sequence,
            "receivedAt": self.received_at,
            "answeredAt": self.answered_at,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "status": self.status,
            "correlationId": self.correlation_id,
            "body": self.body,
            "fault": self.fault,
        }


class CallLog:
    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=_MOST_CALLS)
        self._count = 0

    def receive(self, *, now: float, method: str, path: str, query: str, correlation_id: str, body: object) -> Call:
        self._count += 1
        call = Call(
            sequence=self._count,
            received_at=now,
            method=method,
            path=path,
            query=query,
            correlation_id=correlation_id,
            body=without_secrets(body),
        )
        self._calls.append(call)
        return call

    def since(self, moment: float) -> list[Call]:
        """Calls received at that moment or later, the oldest first."""
        return [call for call in self._calls if call.received_at >= moment]

    def received_within(self, seconds: float, *, now: float) -> int:
        """How many calls came in the last seconds."""
        count = 0
        for call in reversed(self._calls):
            if call.received_at <= now - seconds:
                break
            count += 1
        return count


def without_secrets(body: object) -> object:
    """A copy with credentials and the values of environment variables masked."""
    if isinstance(body, list):
        return [without_secrets(item) for item in body]
    if not isinstance(body, dict):
        return body
    if set(body) == {"key", "value"}:
        return {"key": body["key"], "value": _MASK}
    return {key: _MASK if key in _SECRET_FIELDS and value else without_secrets(value) for key, value in body.items()}
