"""What Novita's refusals mean."""

import msgspec
import pytest

from novitai.domain.errors import (
    Broken,
    Code,
    Gone,
    InvalidState,
    NoBalance,
    NoCapacity,
    NotAllowed,
    QuotaExceeded,
    Rejected,
    TryLater,
    Unclear,
)
from novitai.novita.calls import Effect, Reply
from novitai.novita.errors import (
    REASONS,
    Meaning,
    broke_off,
    failure_of,
    meaning_of,
    never_sent,
    read_refusal,
    unreadable,
    works,
)

# novita-wire.md 2.2, word by word.
DOCUMENTED = [
    "UNKNOWN",
    "WALLET_NOT_FOUND",
    "UNAUTHORIZED",
    "FORBIDDEN",
    "RATE_LIMIT_EXCEEDED",
    "SEND_CODE_TOO_FAST",
    "VALIDATOR_PARAM",
    "REQUEST",
    "CONFLICT",
    "OPERATION_LIMIT",
    "INVALID_COMMAND_PARAM",
    "UNSUPPORTED_BILLING_MODE",
    "RESOURCE_NOT_FOUND",
    "IMAGE_NOT_FOUND",
    "NETWORK_NOT_FOUND",
    "NETWORK_STORAGE_NOT_FOUND",
    "INSTANCE_LOCAL_STORAGE_NOT_FOUND",
    "JOB_NOT_FOUND",
    "TEMPLATE_NOT_FOUND",
    "ORDER_NOT_FOUND",
    "SERVERLESS_ENDPOINT_NOT_FOUND",
    "SERVERLESS_WORKER_NOT_FOUND",
    "SERVERLESS_PRODUCT_NOT_FOUND",
    "USER_NOT_FOUND",
    "INSUFFICIENT_RESOURCE",
    "MIGRATE_INSUFFICIENT_RESOURCE",
    "CLUSTER_STATUS",
    "NODE_STATUS",
    "DEPENDENT_RESOURCE_STATE",
    "GPU_SPEC_USED",
    "BALANCE_NOT_ENOUGH",
    "EXPIRED_OR_BALANCE_NOT_ENOUGH",
    "CREATE_INSTANCE_LIMIT",
    "SAVING_PLAN_ALREADY_EXISTS",
    "WALLET_UNSUPPORT_RECHARGE_METHOD",
    "PREPAID_INSTANCE_NOT_SUPPORT_RELEASE",
    "CREATING_INSTANCE_NOT_SUPPORT_RENEWAL",
    "NETWORK_STORAGE_IN_USE",
    "NETWORK_STORAGE_UNAVAILABLE",
    "NETWORK_STORAGE_TOO_LARGE",
    "CUR_CLUSTER_NETWORK_STORAGE_NOT_SUPPORT",
    "NETWORK_IN_USE",
    "NETWORK_MAX_LIMIT",
    "IMAGE_AUTH_IN_USE",
    "TEMPLATE_IS_PRIVATE",
    "SERVERLESS_APP_NAME_IS_EXIST",
    "SEND_MSG_ERROR",
    "GET_TOKEN_FAILED",
    "USER_NOT_ACTIVATED",
    "USER_ALREADY_ACTIVATED",
    "INVALID_USER_TOKEN",
    "BANNED_USER",
    "USER_ALREADY_EXISTS",
    "INVALID_USER_OR_PASSWORD",
    "INVALID_CODE",
    "INVALID_PUBLIC_KEY",
    "USER_PHONE_NOT_CONSIST",
    "INCORRECT_USER_SYNCER_REQUIRE_PARAMS",
    "CREATE_GPU_NUM_LIMIT",
    "CUDA_VERSION_INCOMPATIBLE",
    "MIGRATION_JOB_NOT_BREAKABLE",
    "IMAGE_PREWARM_NUM_LIMIT",
    "IMAGE_PREWARM_NO_NODES_AVAILABLE",
    "IMAGE_TOO_LARGE",
    "IMAGE_URL_OR_AUTH_ERROR",
    "VALIDATOR",
    "BUDGET_NOT_ENOUGH",
    "NOT_ENOUGH_BUDGET",
    "MEMBER_BUDGET_NOT_ENOUGH",
    "PERMISSION_DENIED",
    "NO_PERMISSION",
    "LIST_BILL_TOO_FAST",
    "INVALID_PRODUCT_CATEGORY",
    "INVALID_BILL_CYCLE",
    "LIST_BILL_ERROR",
]


def refusal(status: int, reason: str = "", message: str = "", **more: object) -> Reply:
    body = {"code": status, "reason": reason, "message": message, "metadata": {}} | more
    return Reply(status=status, body=msgspec.json.encode(body), content_type="application/json")


def judge(reply: Reply, effect: Effect = Effect.CHANGE, *, names_one: bool = True, retry_after: float | None = None):
    return failure_of(reply, effect=effect, names_one=names_one, retry_after=retry_after)


def test_every_documented_reason_has_a_meaning():
    """The vendor's list, the web console's and the billing service's."""
    assert set(DOCUMENTED) <= set(REASONS)


@pytest.mark.parametrize(
    ("reply", "meaning"),
    [
        (refusal(400, "INSUFFICIENT_RESOURCE"), NoCapacity),
        (refusal(400, "CLUSTER_STATUS"), NoCapacity),
        (refusal(400, "BALANCE_NOT_ENOUGH"), NoBalance),
        (refusal(403, "NOT_ENOUGH_BALANCE", "insufficient balance"), NoBalance),
        (refusal(402), NoBalance),
        (refusal(400, "CREATE_GPU_NUM_LIMIT", metadata={"0": "8"}), QuotaExceeded),
        (refusal(400, "CREATE_INSTANCE_LIMIT"), QuotaExceeded),
        (refusal(401, "UNAUTHORIZED"), NotAllowed),
        (refusal(401, "SOMETHING_NEW"), NotAllowed),
        (refusal(403, "FORBIDDEN"), NotAllowed),
        (refusal(403, "INVALID_API_KEY", "invalid api-key"), NotAllowed),
        (refusal(403), NotAllowed),
        (refusal(400, "USER_NOT_FOUND"), NotAllowed),
        (refusal(400, "CONFLICT"), InvalidState),
        (refusal(409), InvalidState),
        (refusal(400, "RESOURCE_NOT_FOUND"), Gone),
        (refusal(404, "RESOURCE_NOT_FOUND"), Gone),
        (refusal(400, "SOMETHING_NEW_NOT_FOUND"), Gone),
        (refusal(404), Gone),
        (refusal(400, "VALIDATOR_PARAM", "invalid param: gpuNum"), Rejected),
        (refusal(400, "SOMETHING_NEW"), Rejected),
        (refusal(403, "SOMETHING_NEW"), Rejected),
        (refusal(400, "PREPAID_INSTANCE_NOT_SUPPORT_RELEASE"), Rejected),
        (refusal(405), Rejected),
    ],
)
def test_a_refusal_has_its_meaning(reply, meaning):
    """Reason first, then status; not found is 404, or 400 with a reason (novita-wire.md 2.2)."""
    failure = judge(reply)

    assert type(failure) is meaning
    assert failure.clear
    assert failure.status == reply.status


@pytest.mark.parametrize("reason", ["", "CONFLICT", "REQUEST", "OPERATION_LIMIT", "DEPENDENT_RESOURCE_STATE", "NEW"])
def test_an_invalid_state_change_is_known_by_its_message(reason):
    """The recorded message decides, since the reason beside it was never recorded (novita-wire.md 2.1)."""
    assert type(judge(refusal(400, reason, "invalid state change"))) is InvalidState


@pytest.mark.parametrize(
    "reply",
    [
        refusal(400, "", "INSUFFICIENT_RESOURCE: no gpu"),
        refusal(400, "REQUEST", "rpc error: insufficient_resource"),
        refusal(400, "", "", code="INSUFFICIENT_RESOURCE"),
        Reply(status=400, body=b'{"error": {"code": "INSUFFICIENT_RESOURCE", "message": "no"}}'),
        Reply(status=400, body=b'{"error": "INSUFFICIENT_RESOURCE"}'),
    ],
)
def test_missing_capacity_is_found_wherever_it_is_said(reply):
    """Clients in the field look for the word in message and code (novita-wire.md 2.1, 9.5)."""
    assert type(judge(reply)) is NoCapacity


def test_on_a_create_nothing_can_be_gone_or_in_a_wrong_state():
    """There is no machine yet: what is missing or busy is something in the order."""
    for reply in (refusal(400, "IMAGE_NOT_FOUND"), refusal(404), refusal(400, "CONFLICT")):
        assert type(judge(reply, Effect.CREATE, names_one=False)) is Rejected


@pytest.mark.parametrize("reason", ["IMAGE_NOT_FOUND", "NETWORK_STORAGE_NOT_FOUND", "TEMPLATE_NOT_FOUND"])
def test_what_a_machine_needs_and_lacks_says_nothing_of_the_machine(reason):
    """A start that is refused because a volume is gone must not pass for news that the machine is gone."""
    assert type(judge(refusal(400, reason), Effect.CHANGE)) is Rejected


def test_a_list_that_is_not_found_is_a_wrong_address():
    """It must not pass for news about a machine."""
    assert type(judge(refusal(404), Effect.READ, names_one=False)) is Broken


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 599, 301, 302, 304])
@pytest.mark.parametrize("effect", [Effect.CHANGE, Effect.CREATE])
def test_what_is_no_clear_refusal_leaves_a_change_unclear(status, effect):
    """Whatever reason stands beside it: a proxy may have answered after the work was done."""
    failure = judge(refusal(status, "INSUFFICIENT_RESOURCE"), effect)

    assert type(failure) is Unclear
    assert not failure.clear


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_trouble_on_novitas_side_may_be_asked_again_on_a_read(status):
    """A read changes nothing, so later is soon enough."""
    failure = judge(refusal(status, "UNKNOWN"), Effect.READ, retry_after=7.0)

    assert isinstance(failure, TryLater)
    assert (failure.rate_limited, failure.retry_after) == (False, 7.0)


def test_a_redirect_of_a_read_is_broken():
    """Redirects are never followed, since they would carry the key away."""
    assert type(judge(refusal(302), Effect.READ)) is Broken


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("reason", ["RATE_LIMIT_EXCEEDED", "CREATE_INSTANCE_LIMIT", ""])
def test_429_is_always_try_later(effect, reason):
    """It may be the quota and not the speed; whoever asked counts (novita-wire.md 2.3)."""
    failure = judge(refusal(429, reason), effect, retry_after=3.0)

    assert isinstance(failure, TryLater)
    assert failure.clear
    assert (failure.rate_limited, failure.retry_after, failure.code) == (True, 3.0, Code.RATE_LIMIT_EXCEEDED)


@pytest.mark.parametrize(
    "body", [b"", b"<html><h1>502 Bad Gateway</h1></html>", b"null", b"[]", b'{"code": ', b"\xff", b'{"message": 5}']
)
def test_an_unreadable_refusal_is_judged_by_its_status(body):
    """A proxy's page has no reason, and it must not break us."""
    assert type(judge(Reply(status=404, body=body))) is Gone
    assert type(judge(Reply(status=400, body=body))) is Rejected
    assert type(judge(Reply(status=503, body=body))) is Unclear


def test_parameters_of_a_refusal_are_told():
    """They stand in `metadata` by position: here, the quota (novita-wire.md 2.1)."""
    failure = judge(refusal(400, "CREATE_GPU_NUM_LIMIT", "gpu num limit", metadata={"0": "8"}))

    assert failure.message == "Novita answered 400 CREATE_GPU_NUM_LIMIT: gpu num limit (8)"
    assert failure.reason == "CREATE_GPU_NUM_LIMIT"


def test_a_message_is_short_and_holds_no_secret():
    """It reaches users and logs."""
    reply = refusal(400, "VALIDATOR_PARAM", "bad imageAuth me:hunter2 " + "x" * 1000)

    failure = failure_of(reply, effect=Effect.CREATE, names_one=False, retry_after=None, secrets=("me:hunter2",))

    assert "hunter2" not in str(failure)
    assert len(failure.message) <= 300


def test_a_call_that_never_left_was_never_made():
    """Connection refused, no such name, no TLS: clear for reads and changes alike."""
    assert isinstance(never_sent("ClientConnectorError"), TryLater)


def test_a_broken_connection_is_unclear_on_a_change_only():
    """The request may have been carried out."""
    assert isinstance(broke_off("reset", effect=Effect.CHANGE, timed_out=False), Unclear)
    assert broke_off("reset", effect=Effect.READ, timed_out=False).code is Code.UPSTREAM_ERROR
    assert broke_off("", effect=Effect.READ, timed_out=True).code is Code.UPSTREAM_TIMEOUT


def test_an_unreadable_success_is_unclear_on_a_change_and_broken_on_a_read():
    """A create without an id may have bought a machine."""
    assert isinstance(unreadable("no id", effect=Effect.CREATE, status=200), Unclear)
    assert isinstance(unreadable("no list", effect=Effect.READ, status=200), Broken)


def test_the_breaker_counts_trouble_and_not_refusals():
    """A clear 4xx other than 408 and 429 says that Novita works."""
    assert works(judge(refusal(400, "INSUFFICIENT_RESOURCE")))
    assert works(judge(refusal(401)))
    assert works(judge(refusal(404), Effect.READ, names_one=False))
    assert not works(judge(refusal(429)))
    assert not works(judge(refusal(408)))
    assert not works(judge(refusal(500)))
    assert not works(never_sent("x"))
    assert not works(broke_off("x", effect=Effect.READ, timed_out=True))
    assert not works(unreadable("x", effect=Effect.READ, status=200))


def test_trouble_that_comes_as_a_400_is_clear():
    """It is a 4xx: nothing was done, and later may be better."""
    failure = judge(refusal(400, "UNKNOWN"), Effect.CREATE, names_one=False)

    assert isinstance(failure, TryLater)
    assert meaning_of(read_refusal(refusal(400, "UNKNOWN"))) is Meaning.TROUBLE
