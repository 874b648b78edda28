"""What a failed call means: one table from Novita's reasons to our failures, and one function that judges an answer.

Novita refuses with `{"code", "reason", "message", "metadata"}` (novita-wire.md 2.1); `reason` is what to go by, and 400
is the status of almost everything. Order of judgement: what the status alone decides (429, 408, 5xx, 401), then two
messages that are surer than the reason beside them, then the reason, then the status again.
docs/reference/novita-failures.md shows the table to people and is checked against it.
"""

from enum import StrEnum

import msgspec

from novitai.domain.errors import (
    Broken,
    Code,
    Gone,
    InvalidState,
    NoBalance,
    NoCapacity,
    NotAllowed,
    ProviderFailure,
    QuotaExceeded,
    Rejected,
    TryLater,
    Unclear,
)
from novitai.novita.calls import Effect, Reply
from novitai.novita.reading import Scalar, part, text
from novitai.novita.wire import ErrorBody

_LONGEST_MESSAGE = 300


class Meaning(StrEnum):
    """What a refusal tells us; the docs table uses these words."""

    GONE = "gone"
    NO_CAPACITY = "no capacity"
    NO_BALANCE = "no balance"
    QUOTA = "quota exceeded"
    NOT_ALLOWED = "not allowed"
    INVALID_STATE = "invalid state"
    REJECTED = "rejected"
    BUSY = "try later"
    TROUBLE = "trouble on Novita's side"


# novita-wire.md 2.2, the vendor's list first, then those that only its web console knows, then the billing service.
REASONS = {
    "UNKNOWN": Meaning.TROUBLE,
    "WALLET_NOT_FOUND": Meaning.TROUBLE,
    "UNAUTHORIZED": Meaning.NOT_ALLOWED,
    "FORBIDDEN": Meaning.NOT_ALLOWED,
    "RATE_LIMIT_EXCEEDED": Meaning.BUSY,
    "SEND_CODE_TOO_FAST": Meaning.BUSY,
    # request
    "VALIDATOR_PARAM": Meaning.REJECTED,
    "REQUEST": Meaning.REJECTED,
    "CONFLICT": Meaning.INVALID_STATE,
    "OPERATION_LIMIT": Meaning.INVALID_STATE,
    "INVALID_COMMAND_PARAM": Meaning.REJECTED,
    "UNSUPPORTED_BILLING_MODE": Meaning.REJECTED,
    # not found
    "RESOURCE_NOT_FOUND": Meaning.GONE,
    "IMAGE_NOT_FOUND": Meaning.GONE,
    "NETWORK_NOT_FOUND": Meaning.GONE,
    "NETWORK_STORAGE_NOT_FOUND": Meaning.GONE,
    "INSTANCE_LOCAL_STORAGE_NOT_FOUND": Meaning.GONE,
    "JOB_NOT_FOUND": Meaning.GONE,
    "TEMPLATE_NOT_FOUND": Meaning.GONE,
    "ORDER_NOT_FOUND": Meaning.GONE,
    "SERVERLESS_ENDPOINT_NOT_FOUND": Meaning.GONE,
    "SERVERLESS_WORKER_NOT_FOUND": Meaning.GONE,
    "SERVERLESS_PRODUCT_NOT_FOUND": Meaning.GONE,
    "USER_NOT_FOUND": Meaning.NOT_ALLOWED,  # it is our account that is missing, not what was asked for
    # capacity
    "INSUFFICIENT_RESOURCE": Meaning.NO_CAPACITY,
    "MIGRATE_INSUFFICIENT_RESOURCE": Meaning.NO_CAPACITY,
    "CLUSTER_STATUS": Meaning.NO_CAPACITY,
    "NODE_STATUS": Meaning.NO_CAPACITY,
    "DEPENDENT_RESOURCE_STATE": Meaning.NO_CAPACITY,
    "GPU_SPEC_USED": Meaning.NO_CAPACITY,
    # money and quota
    "BALANCE_NOT_ENOUGH": Meaning.NO_BALANCE,
    "EXPIRED_OR_BALANCE_NOT_ENOUGH": Meaning.NO_BALANCE,
    "CREATE_INSTANCE_LIMIT": Meaning.QUOTA,
    "SAVING_PLAN_ALREADY_EXISTS": Meaning.REJECTED,
    "WALLET_UNSUPPORT_RECHARGE_METHOD": Meaning.REJECTED,
    # billing mode
    "PREPAID_INSTANCE_NOT_SUPPORT_RELEASE": Meaning.REJECTED,
    "CREATING_INSTANCE_NOT_SUPPORT_RENEWAL": Meaning.INVALID_STATE,
    # in use, limits
    "NETWORK_STORAGE_IN_USE": Meaning.INVALID_STATE,
    "NETWORK_STORAGE_UNAVAILABLE": Meaning.INVALID_STATE,
    "NETWORK_STORAGE_TOO_LARGE": Meaning.REJECTED,
    "CUR_CLUSTER_NETWORK_STORAGE_NOT_SUPPORT": Meaning.REJECTED,
    "NETWORK_IN_USE": Meaning.INVALID_STATE,
    "NETWORK_MAX_LIMIT": Meaning.REJECTED,
    "IMAGE_AUTH_IN_USE": Meaning.INVALID_STATE,
    "TEMPLATE_IS_PRIVATE": Meaning.REJECTED,
    "SERVERLESS_APP_NAME_IS_EXIST": Meaning.REJECTED,
    "SEND_MSG_ERROR": Meaning.REJECTED,
    # account
    "GET_TOKEN_FAILED": Meaning.NOT_ALLOWED,
    "USER_NOT_ACTIVATED": Meaning.NOT_ALLOWED,
    "USER_ALREADY_ACTIVATED": Meaning.REJECTED,
    "INVALID_USER_TOKEN": Meaning.NOT_ALLOWED,
    "BANNED_USER": Meaning.NOT_ALLOWED,
    "USER_ALREADY_EXISTS": Meaning.REJECTED,
    "INVALID_USER_OR_PASSWORD": Meaning.NOT_ALLOWED,
    "INVALID_CODE": Meaning.REJECTED,
    "INVALID_PUBLIC_KEY": Meaning.REJECTED,
    "USER_PHONE_NOT_CONSIST": Meaning.REJECTED,
    "INCORRECT_USER_SYNCER_REQUIRE_PARAMS": Meaning.REJECTED,
    # recorded on the same host, not in the vendor's list
    "INVALID_API_KEY": Meaning.NOT_ALLOWED,
    "NOT_ENOUGH_BALANCE": Meaning.NO_BALANCE,
    # the web console's
    "CREATE_GPU_NUM_LIMIT": Meaning.QUOTA,
    "CUDA_VERSION_INCOMPATIBLE": Meaning.REJECTED,
    "MIGRATION_JOB_NOT_BREAKABLE": Meaning.INVALID_STATE,
    "IMAGE_PREWARM_NUM_LIMIT": Meaning.REJECTED,
    "IMAGE_PREWARM_NO_NODES_AVAILABLE": Meaning.NO_CAPACITY,
    "IMAGE_TOO_LARGE": Meaning.REJECTED,
    "IMAGE_URL_OR_AUTH_ERROR": Meaning.REJECTED,
    "VALIDATOR": Meaning.REJECTED,
    "BUDGET_NOT_ENOUGH": Meaning.NO_BALANCE,
    "NOT_ENOUGH_BUDGET": Meaning.NO_BALANCE,
    "MEMBER_BUDGET_NOT_ENOUGH": Meaning.NO_BALANCE,
    "PERMISSION_DENIED": Meaning.NOT_ALLOWED,
    "NO_PERMISSION": Meaning.NOT_ALLOWED,
    # billing
    "LIST_BILL_TOO_FAST": Meaning.BUSY,
    "INVALID_PRODUCT_CATEGORY": Meaning.REJECTED,
    "INVALID_BILL_CYCLE": Meaning.REJECTED,
    "LIST_BILL_ERROR": Meaning.TROUBLE,
}

_CLASSES: dict[Meaning, type[ProviderFailure]] = {
    Meaning.GONE: Gone,
    Meaning.NO_CAPACITY: NoCapacity,
    Meaning.NO_BALANCE: NoBalance,
    Meaning.QUOTA: QuotaExceeded,
    Meaning.NOT_ALLOWED: NotAllowed,
    Meaning.INVALID_STATE: InvalidState,
    Meaning.REJECTED: Rejected,
}

# A machine that lacks one of these is there all the same.
_PARTS_NOT_FOUND = frozenset(
    {
        "IMAGE_NOT_FOUND",
        "NETWORK_NOT_FOUND",
        "NETWORK_STORAGE_NOT_FOUND",
        "INSTANCE_LOCAL_STORAGE_NOT_FOUND",
        "TEMPLATE_NOT_FOUND",
    }
)

_BY_STATUS = {402: Meaning.NO_BALANCE, 404: Meaning.GONE, 409: Meaning.INVALID_STATE}

# The reason beside this message was never recorded (novita-wire.md 2.1), so the message decides.
_INVALID_STATE_WORDS = "INVALID STATE CHANGE"
_NO_CAPACITY_WORD = "INSUFFICIENT_RESOURCE"


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """An error answer, read as far as it could be."""

    status: int
    reason: str = ""
    message: str = ""
    code: str = ""


def read_refusal(reply: Reply) -> Refused:
    """Novita's four fields from whatever came: its own body, another service's, HTML, or nothing."""
    body = part(msgspec.Raw(reply.body), ErrorBody) or ErrorBody()
    inner = part(body.error, ErrorBody) or ErrorBody(message=part(body.error, str))
    parameters = part(body.metadata, dict[str, Scalar]) or {}
    message = text(body.message) or text(inner.message)
    known = ", ".join(filter(None, map(text, parameters.values())))
    return Refused(
        status=reply.status,
        reason=text(body.reason) or text(inner.reason),
        message=f"{message} ({known})" if known else message,
        code=text(body.code) or text(inner.code),
    )


def meaning_of(refused: Refused) -> Meaning:
    """What a non-2xx answer means, whatever was asked."""
    status, reason = refused.status, refused.reason
    if status == 429:
        return Meaning.BUSY
    if status == 408 or status >= 500:
        return Meaning.TROUBLE
    if status == 401:
        return Meaning.NOT_ALLOWED
    if _INVALID_STATE_WORDS in refused.message.upper():
        return Meaning.INVALID_STATE
    if _NO_CAPACITY_WORD in f"{refused.message} {refused.code}".upper():
        return Meaning.NO_CAPACITY
    if reason in REASONS:
        return REASONS[reason]
    if reason.endswith("_NOT_FOUND"):
        return Meaning.GONE
    if status == 403 and not reason:
        return Meaning.NOT_ALLOWED
    return _BY_STATUS.get(status, Meaning.REJECTED)


def failure_of(
    reply: Reply, *, effect: Effect, names_one: bool, retry_after: float | None, secrets: tuple[str, ...] = ()
) -> ProviderFailure:
    """The failure that a non-2xx answer is. Only a 4xx other than 408 is a clear refusal; all else leaves a change
    unclear.
    """
    refused = read_refusal(reply)
    meaning = meaning_of(refused)
    words = _words(refused, secrets)
    if not 400 <= refused.status < 500 or refused.status == 408:
        return _no_clear_answer(words, refused, effect, meaning, retry_after)
    if meaning in {Meaning.BUSY, Meaning.TROUBLE}:
        limited = meaning is Meaning.BUSY
        return TryLater(
            words,
            code=Code.RATE_LIMIT_EXCEEDED if limited else Code.UPSTREAM_ERROR,
            reason=refused.reason,
            status=refused.status,
            retry_after=retry_after,
            rate_limited=limited,
        )
    if meaning is Meaning.GONE and effect is Effect.CHANGE and refused.reason in _PARTS_NOT_FOUND:
        meaning = Meaning.REJECTED
    return _in_context(meaning, effect, names_one=names_one)(words, reason=refused.reason, status=refused.status)


def breaker_open(breaker: str, seconds: float) -> TryLater:
    """Our breaker holds the call back for that long."""
    message = f"calls to Novita ({breaker}) are paused after repeated failures"
    return TryLater(message, code=Code.CIRCUIT_BREAKER_OPEN, retry_after=seconds)


def limiter_full(seconds: float) -> TryLater:
    """Our own limiter has no slot; one is expected after that long."""
    message = "our own limit of calls to Novita is used up"
    return TryLater(message, code=Code.RATE_LIMIT_EXCEEDED, retry_after=seconds)


def too_late() -> TryLater:
    """The call's time was over before it could be sent."""
    return TryLater("the time for this call was over before it was sent", code=Code.UPSTREAM_TIMEOUT)


def never_sent(what: str) -> TryLater:
    """Nothing left this machine: no connection, no name, no TLS."""
    return TryLater(f"Novita could not be reached: {what}")


def nothing_there(status: int) -> Gone:
    """A success that holds an empty record in place of the thing asked for."""
    return Gone("Novita answered with an empty record", status=status)


def broke_off(what: str, *, effect: Effect, timed_out: bool) -> ProviderFailure:
    """The request went out, wholly or in part, and no whole answer came back."""
    message = "Novita did not answer in time" if timed_out else f"the connection to Novita broke: {what}"
    if effect.changes:
        return Unclear(message)
    return TryLater(message, code=Code.UPSTREAM_TIMEOUT if timed_out else Code.UPSTREAM_ERROR)


def unreadable(what: str, *, effect: Effect, status: int | None) -> ProviderFailure:
    """A 2xx that makes no sense, or (without a status) an answer of any kind that has no end. A change may well have been
    done.
    """
    message = f"Novita's answer could not be understood: {what}"
    return Unclear(message, status=status) if effect.changes else Broken(message, status=status)


def may_repeat(failure: ProviderFailure, *, effect: Effect) -> bool:
    """Whether asking again at once may help: only a read, and only after what passes by itself. A success that was cut
    short or came from a proxy is such a thing; a refusal is none.
    """
    cut_short = isinstance(failure, Broken) and failure.status is not None and 200 <= failure.status < 300
    return not effect.changes and (isinstance(failure, TryLater) or cut_short)


def works(failure: ProviderFailure) -> bool:
    """Whether Novita itself is well although it said no: not found, or a 4xx other than 408 and 429. The breaker counts
    by this.
    """
    status = failure.status
    if isinstance(failure, Gone):
        return True
    return status is not None and 400 <= status < 500 and status not in {408, 429}


def _no_clear_answer(
    words: str, refused: Refused, effect: Effect, meaning: Meaning, retry_after: float | None
) -> ProviderFailure:
    if effect.changes:
        return Unclear(words, reason=refused.reason, status=refused.status, retry_after=retry_after)
    if meaning is Meaning.TROUBLE:
        return TryLater(words, reason=refused.reason, status=refused.status, retry_after=retry_after)
    return Broken(words, reason=refused.reason, status=refused.status)  # a redirect, which is never followed


def _in_context(meaning: Meaning, effect: Effect, *, names_one: bool) -> type[ProviderFailure]:
    """On a create there is no machine yet that could be gone or in a wrong state: something in the order is. On a list
    nothing was named that could be missing: the address is wrong.
    """
    if effect is Effect.CREATE and meaning in {Meaning.GONE, Meaning.INVALID_STATE}:
        return Rejected
    if meaning is Meaning.GONE and not names_one:
        return Broken
    return _CLASSES[meaning]


def _words(refused: Refused, secrets: tuple[str, ...]) -> str:
    said = ": ".join(filter(None, (refused.reason, refused.message)))
    for secret in secrets:
        said = said.replace(secret, "[REDACTED]")
    return f"Novita answered {refused.status}{' ' if said else ''}{said}"[:_LONGEST_MESSAGE]
