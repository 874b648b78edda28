"""How the simulated Novita says no.

A refusal carries the four fields of Novita's error body (novita-wire.md 2.1). The named constructors below are the only place
that pairs a reason with its status (2.2, 2.4), so a status is changed in one spot.
"""

from collections.abc import Mapping


class Refusal(Exception):
    """An answer other than success: HTTP status, upper-snake reason, message for people, positional metadata."""

    def __init__(self, status: int, reason: str, message: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})

    def body(self) -> dict[str, object]:
        return {"code": self.status, "reason": self.reason, "message": self.message, "metadata": self.metadata}


def invalid_param(name: str) -> Refusal:
    return Refusal(400, "VALIDATOR_PARAM", f"invalid param: {name}")


def bad_request() -> Refusal:
    return Refusal(400, "REQUEST", "invalid request body")


def invalid_state_change(reason: str) -> Refusal:
    """Asked for an action that the machine's status does not allow; only the message was recorded (2.1)."""
    return Refusal(400, reason, "invalid state change")


def insufficient_resource(reason: str = "INSUFFICIENT_RESOURCE") -> Refusal:
    """No GPU left. The word stands in the message too: an older client looks for it there only (9.5)."""
    return Refusal(400, reason, f"{reason}: insufficient resource")


def not_enough_balance() -> Refusal:
    return Refusal(403, "NOT_ENOUGH_BALANCE", "insufficient balance")


def image_or_auth() -> Refusal:
    return Refusal(400, "IMAGE_URL_OR_AUTH_ERROR", "image url or auth error")


def rate_limited() -> Refusal:
    return Refusal(429, "RATE_LIMIT_EXCEEDED", "rate limit exceeded")


def unauthorized() -> Refusal:
    return Refusal(401, "UNAUTHORIZED", "unauthorized")


def invalid_api_key() -> Refusal:
    return Refusal(403, "INVALID_API_KEY", "invalid api-key")
