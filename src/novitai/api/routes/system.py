"""The service itself: is it well, may it get traffic, how does it stand with Novita, what do its figures say."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from novitai.api.access import Here, Parts
from novitai.api.health import Overall, Polling, Service, Verdict, accepts_traffic, judge
from novitai.api.parts import ApiParts
from novitai.api.routing import Routes, json_answer
from novitai.api.schemas.common import Query as QueryModel
from novitai.api.schemas.system import (
    BreakerAnswer,
    HealthAnswer,
    HealthDetails,
    LatencyAnswer,
    LimiterAnswer,
    PollingAnswer,
    ProbeAnswer,
    SyncAnswer,
    UpstreamAnswer,
    UpstreamClientAnswer,
)
from novitai.domain.keys import Scope
from novitai.domain.times import iso, iso_or_none
from novitai.ports.provider import ClientName, UpstreamBreaker, UpstreamView
from novitai.telemetry.metrics import CONTENT_TYPE

OPEN = Routes("system")
"""Probes: they need no key."""
ROUTES = Routes("system")
_WORST_LAST = ("CLOSED", "HALF_OPEN", "OPEN")


class MetricsQuery(QueryModel):
    """The form of the figures; `Accept: text/plain` asks for Prometheus' form too."""

    format: Literal["json", "prometheus"] | None = None


@OPEN.add("GET", "/healthz", needs=None, answer=ProbeAnswer)
async def process_lives() -> Response:
    """The process lives. Containers ask this, so that an outage of Novita does not restart it."""
    return json_answer(ProbeAnswer(status="ok"))


@OPEN.add("GET", "/readyz", needs=None, answer=ProbeAnswer, others={503: "Not now"})
async def may_get_traffic(parts: Parts) -> Response:
    """Whether requests may be sent here: not while starting or stopping, nor while the store is away or the process stalls."""
    if accepts_traffic(parts.system_health(), shutting_down=parts.shutting_down.is_set()):
        return json_answer(ProbeAnswer(status="ok"))
    return json_answer(ProbeAnswer(status="not ready"), status=503)


@OPEN.add("GET", "/health", needs=None, answer=HealthAnswer, others={503: "Unhealthy"})
async def health(parts: Parts, visit: Here) -> Response:
    """How the service is, from what was last observed. `unhealthy` answers 503. With a key there are details."""
    verdict = judge(parts.system_health(), await parts.provider.upstream(), _polling(parts))
    now = parts.clock.now()
    services: dict[str, str | SyncAnswer] = {name: str(service) for name, service in verdict.services.items()}
    if visit.actor is not None:
        services["sync"] = _sync(parts, verdict.services["sync"])
    answer = HealthAnswer.model_validate(
        {
            "status": str(verdict.status),
            "timestamp": iso(now),
            "uptime": round(max(0.0, now - parts.freshness.started_at), 3),
            "services": services,
            "details": _details(parts, verdict) if visit.actor is not None else None,
        }
    )
    return json_answer(answer, status=503 if verdict.status is Overall.UNHEALTHY else 200)


@ROUTES.add("GET", "/api/upstream", needs=Scope.READ, answer=UpstreamAnswer)
async def upstream(parts: Parts) -> Response:
    """Novita's clients: reachable, breaker, limiter, latency, last error. Nobody is asked for it."""
    views = {view.client: view for view in await parts.provider.upstream()}
    freshness = parts.freshness
    polling = PollingAnswer(
        interval_seconds=freshness.interval,
        last_poll_at=iso_or_none(freshness.last_poll_at),
        pages=freshness.pages,
        machines=len(freshness.machines),
    )
    return json_answer(
        UpstreamAnswer(
            public=_client(views.get(ClientName.PUBLIC), polling),
            internal=_client(views.get(ClientName.INTERNAL), None),
        )
    )


@ROUTES.add("GET", "/api/metrics", needs=Scope.READ, media="text/plain")
async def metrics(request: Request, parts: Parts, query: Annotated[MetricsQuery, Query()]) -> Response:
    """Figures since the start, as JSON, or in Prometheus' form when asked for."""
    plain = "text/plain" in request.headers.get("accept", "")
    if query.format == "prometheus" or (plain and query.format is None):
        return Response(parts.metrics.render(), media_type=CONTENT_TYPE)
    return Response(msgspec.json.encode(parts.metrics.summary()), media_type="application/json")


async def prometheus(parts: Parts) -> Response:
    """Figures in Prometheus' form."""
    return Response(parts.metrics.render(), media_type=CONTENT_TYPE)


def scraping(*, public: bool) -> Routes:
    """`GET /metrics`, which needs no key when the settings say so."""
    routes = Routes("system")
    routes.add("GET", "/metrics", needs=None if public else Scope.READ, media="text/plain")(prometheus)
    return routes


def _polling(parts: ApiParts) -> Polling:
    return Polling(failures_in_a_row=parts.freshness.failures_in_a_row, stale=parts.freshness.stale)


def _sync(parts: ApiParts, status: Service) -> SyncAnswer:
    freshness, sync, last = parts.freshness, parts.sync, parts.sync.last
    return SyncAnswer.model_validate(
        {
            "status": str(status),
            "lastSync": iso_or_none(last.at if last is not None else None),
            "running": sync.running,
            "counts": {
                "machines": len(freshness.machines),
                "managed": len(parts.reads.all()),
                "orphans": len(parts.orphans.all()),
                "missing": len(last.missing) if last is not None else 0,
                "adopted": len(last.adopted) if last is not None else 0,
                "removed": len(last.forgotten) if last is not None else 0,
                "pages": freshness.pages,
                "sweeps": freshness.sweeps,
                "failuresInARow": freshness.failures_in_a_row,
            },
            "error": sync.error or freshness.last_error,
        }
    )


def _details(parts: ApiParts, verdict: Verdict) -> HealthDetails:
    system = parts.system_health()
    counts: dict[str, int] = {}
    for snapshot in parts.reads.all():
        state = str(snapshot.instance.state)
        counts[state] = counts.get(state, 0) + 1
    return HealthDetails(
        version=parts.settings.version,
        mode="observe" if parts.settings.observe else "control",
        warnings=list(verdict.warnings),
        paused=list(system.paused),
        timer_late_seconds=round(system.timer_late_seconds, 3),
        event_loop_lag_seconds=round(system.loop_lag_seconds, 3),
        instances=counts,
    )


def _client(view: UpstreamView | None, polling: PollingAnswer | None) -> UpstreamClientAnswer:
    view = view or _ABSENT
    breakers = {name: _breaker(breaker) for name, breaker in view.breakers.items()}
    return UpstreamClientAnswer(
        enabled=view.enabled,
        reachable=view.reachable,
        last_success_at=iso_or_none(view.last_success_at),
        last_failure_at=iso_or_none(view.last_failure_at),
        last_error=view.last_error,
        auth_failed=view.auth_failed,
        circuit_breaker=_worst(list(breakers.values())),
        circuit_breakers=breakers,
        rate_limiter=LimiterAnswer(
            limit=view.limit,
            window_seconds=view.window_seconds,
            used=view.used,
            queue_length=view.queue_length,
            oldest_wait_ms=round(view.oldest_wait_ms, 3),
        ),
        latency_ms=LatencyAnswer(p50=view.latency_p50_ms, p99=view.latency_p99_ms),
        polling=polling,
    )


def _breaker(breaker: UpstreamBreaker) -> BreakerAnswer:
    return BreakerAnswer.model_validate(
        {
            "state": breaker.state,
            "failureCount": breaker.failure_count,
            "openedAt": iso_or_none(breaker.opened_at),
            "retryAt": iso_or_none(breaker.retry_at),
        }
    )


def _worst(breakers: Sequence[BreakerAnswer]) -> BreakerAnswer:
    closed = BreakerAnswer(state="CLOSED", failure_count=0, opened_at=None, retry_at=None)
    return max(breakers, key=lambda breaker: (_WORST_LAST.index(breaker.state), breaker.failure_count), default=closed)


_ABSENT = UpstreamView(
    client=ClientName.INTERNAL,
    enabled=False,
    reachable=None,
    last_success_at=None,
    last_failure_at=None,
    last_error=None,
    auth_failed=False,
    breakers={},
    limit=0,
    window_seconds=60.0,
    used=0,
    queue_length=0,
    oldest_wait_ms=0.0,
    latency_p50_ms=None,
    latency_p99_ms=None,
)
