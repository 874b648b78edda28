"""What went wrong, for a person: what it is, where exactly, what to do next; and for a script: the exit code."""

import typer

from novitai_client import errors
from novitai_client.cli.session import print_json

FAILED, USAGE, NOT_FOUND, REFUSED, NOT_ALLOWED, AWAY, TIMED_OUT = 1, 2, 3, 4, 5, 6, 7

# The first class that fits decides.
_CODES: tuple[tuple[type[errors.NovitaiError], int], ...] = (
    (errors.NotFound, NOT_FOUND),
    (errors.ValidationFailed, USAGE),
    (errors.SettingsError, USAGE),
    (errors.NotAllowed, NOT_ALLOWED),
    (errors.Conflict, REFUSED),
    (errors.InsufficientBalance, REFUSED),
    (errors.ServerAway, AWAY),
    (errors.WaitTimedOut, TIMED_OUT),
    (errors.NovitaiError, FAILED),
)
_REFUSALS = frozenset(
    {"NO_CAPACITY", "NO_OFFER_WITHIN_CAP", "QUOTA_EXCEEDED", "INSUFFICIENT_BALANCE", "BUDGET_EXCEEDED"}
)


def exit_code(error: Exception) -> int | None:
    """The exit code for a failure; None when it is none of the client's but a fault of the program."""
    if isinstance(error, errors.StartupFailed) and error.code in _REFUSALS:
        return REFUSED
    return next((code for kind, code in _CODES if isinstance(error, kind)), None)


def report(error: Exception, *, as_json: bool) -> None:
    """Tell it on stderr, which keeps stdout for results."""
    if as_json:
        print_json(machine_readable(error), stderr=True)
        return
    for line in lines(error):
        typer.echo(line, err=True)


def lines(error: Exception) -> list[str]:
    """The failure in words: the message, its particulars, the next step."""
    told = [f"novitai: {error}", *(f"  {line}" for line in _particulars(error))]
    hint = _hint(error)
    if hint:
        told.append(hint)
    if isinstance(error, errors.ApiError) and error.request_id:
        told.append(f"(request {error.request_id})")
    return told


def machine_readable(error: Exception) -> dict[str, object]:
    """The failure as the API would say it."""
    fields: dict[str, object] = {"code": _code(error), "message": str(error)}
    if isinstance(error, errors.ApiError):
        fields |= {"message": error.message, "status": error.status, "requestId": error.request_id}
        fields |= {"validationErrors": error.field_errors, "details": error.details, "retryAfter": error.retry_after}
    if isinstance(error, errors.StartupFailed | errors.WaitTimedOut):
        fields["instance"] = error.instance
    return {"error": {name: value for name, value in fields.items() if value not in (None, (), {})}}


def _code(error: Exception) -> str:
    if isinstance(error, errors.ApiError):
        return error.code
    if isinstance(error, errors.StartupFailed) and error.code:
        return error.code
    name = type(error).__name__
    return "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in name).lstrip("_")


def _particulars(error: Exception) -> list[str]:
    if isinstance(error, errors.NameAmbiguous):
        return list(error.ids)
    if isinstance(error, errors.NoCapacity | errors.StartupFailed):
        return [
            f"{offer.product_name or offer.product_id} in {offer.region}, {offer.billing_mode}: {offer.reason}"
            for offer in error.offers
        ]
    if isinstance(error, errors.ApiError):
        told = [f"{one.field}: {one.message}" for one in error.field_errors]
        return told if any(line not in error.message for line in told) else []
    return []


def _hint(error: Exception) -> str | None:
    match error:
        case errors.NotAllowed(status=401):
            return "Set NOVITAI_API_KEY, or NOVITAI_API_KEY_FILE to a file with the key. `novitai keys generate` makes a first one."
        case errors.NotAllowed() if "scope" in error.message:
            return "`novitai keys create NAME --scope …`, with an admin key, makes one that may."
        case errors.NotFound(code="INSTANCE_NOT_FOUND"):
            return "`novitai list` shows what there is."
        case errors.NameAmbiguous():
            return "Use one of these ids instead of the name."
        case errors.NoCapacity():
            return "Allow more regions, another product or a higher --max-price; `novitai offers` shows what there is."
        case errors.RateLimited(retry_after=float(seconds)):
            return f"Try again in {seconds:g} s."
        case errors.ServerAway(problem=None, idempotency_key=str()):
            return "Is it running there (--url or NOVITAI_URL)? The change may have been made: look with `novitai list` first."
        case errors.ServerAway(problem=None):
            return "Is it running there? --url or NOVITAI_URL says where; `novitai serve` starts one."
        case errors.WaitTimedOut(instance=instance):
            return f"It goes on without you: `novitai show {instance.id}`."
        case errors.StartupFailed(instance=instance):
            return (
                f"A machine that is kept may cost money: `novitai show {instance.id}`, `novitai delete {instance.id}`."
            )
    return None
