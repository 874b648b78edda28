"""Who may call, and how often.

Any key will do unless one was set, but none that begins with `bad-`; a missing or malformed header is always 401. The internal API
has a key of its own. Which refusal a bad key gets is one of the unknowns (novita-wire.md 2.4), hence a switch.
"""

from novita_simulator.errors import Refusal, invalid_api_key, rate_limited, unauthorized
from novita_simulator.http import internal
from novita_simulator.stage import Stage

_RATE_WINDOW = 60.0


def check_key(stage: Stage, *, path: str, authorization: str) -> None:
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise unauthorized()
    wanted = stage.scenario.internal_key if path.startswith(f"{internal.BASE}/") else stage.scenario.key
    if not _is_valid(key.strip(), wanted):
        raise _bad_key(stage)


def check_rate(stage: Stage, now: float) -> None:
    """Counts every call in the last minute, refused ones too; off unless a limit is set."""
    limit = stage.world.settings.switches.rate_limit_per_minute
    if limit and stage.calls.received_within(_RATE_WINDOW, now=now) > limit:
        raise rate_limited()


def retry_after(stage: Stage, refusal: Refusal) -> dict[str, str]:
    """No source shows the header on a 429 of Novita's, so it is sent only when asked for."""
    wanted = refusal.status == 429 and stage.world.settings.switches.rate_limit_retry_after
    return {"Retry-After": str(int(_RATE_WINDOW))} if wanted else {}


def _is_valid(key: str, wanted: str) -> bool:
    return key == wanted if wanted else not key.startswith("bad-")


def _bad_key(stage: Stage) -> Refusal:
    return unauthorized() if stage.world.settings.switches.bad_key_status == 401 else invalid_api_key()
