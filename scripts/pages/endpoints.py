"""The reference of endpoints, from the declarations of the routes."""

from pages.markdown import page, table

from novitai.api.routes import declared
from novitai.api.routing import Declared

INTRODUCTION = """# Endpoints

Every path, the scope of the key that it needs, and what it does; bodies and answers are in `/openapi.json` and, for people, at `/docs`.
Send the key as `Authorization: Bearer nvk_…`. Scopes: `write` may do what `read` may, `admin` everything. `open` needs no key.

- **Errors** have one shape: `{"error": {"code", "message", "timestamp", "requestId", "correlationId", "retryable", "retryAfter"?,
  "validationErrors"?, "details"?}}`. Decide by `code`; 400 is a body that is no JSON, 422 one that breaks a rule.
- **`Idempotency-Key`** (1 to 255 visible ASCII characters) on every change: the same key and body get the stored answer for 24 hours, with
  `Idempotency-Replayed: true`. The text of a new API key is not stored: a replay of `POST /api/keys` answers `key: null`.
- **`Prefer: wait=N`** (up to 60 s) on create, start, stop and delete: the answer comes when Novita accepted or refused, or after N seconds.
- **Lists** are `{<plural>, total, nextCursor}` with `limit` (up to 200) and `cursor`. Unknown query names and values are
  refused with what is allowed.
- **`costSoFar`** is what all runs and machines of an instance have cost, disks included, stopped or not: counted by us to the
  second, and for days that are over adjusted to Novita's bill once that has come.
- **Clients of the earlier service** can keep `healthCheckConfig`, `targetPort`, `includeNovitaOnly`, `syncLocalState` and
  `source`; the last two change nothing."""


def endpoints_page() -> str:
    """One table of all endpoints, in the order of the files that declare them."""
    every = declared(production=False, metrics_public=False)
    rows = [_row(one) for routes in every for one in routes.declared]
    return page(INTRODUCTION, table(("method", "path", "scope", "what"), rows))


def _row(one: Declared) -> tuple[str, str, str, str]:
    path = one.path.replace(":reference", "")
    what = " ".join((one.endpoint.__doc__ or "").split("\n\n")[0].split())
    return one.method, f"`{path}`", str(one.rule.scope or "open"), what
