"""Why a call outward gave no answer: a small tree, so that callers need to catch one name and can log a stable kind."""

from typing import ClassVar


class EgressError(Exception):
    """No usable answer. `kind` is a stable word for logs and attempt records."""

    kind: ClassVar[str] = "egress"


class InvalidUrl(EgressError):
    """The URL or a header is not one we send; nothing was sent, and trying again changes nothing."""

    kind = "invalid_url"


class AddressRefused(EgressError):
    """The host is, or resolves to, an address that the guard refuses; nothing was sent."""

    kind = "address_refused"


class ConnectFailed(EgressError):
    """Name resolution, TCP or TLS failed; nothing was sent."""

    kind = "connect_failed"


class TimedOut(EgressError):
    """No connection within the connect time-out, or no complete answer by the deadline."""

    kind = "timed_out"


class BadAnswer(EgressError):
    """The peer broke off or did not speak HTTP; the request may have been processed."""

    kind = "bad_answer"
