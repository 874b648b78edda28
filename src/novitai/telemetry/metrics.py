"""Every metric, on one page: the names that dashboards and alerts are built on, and the verbs by which parts report.

Parts say what happened (`request_served`, `upstream_call`); names and labels stay in here. Labels take few values by
construction: routes are templates, never paths, and nothing is labelled by instance. A `Metrics` holds its own
registry, so several can live in one process.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client import Metric as Family

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
CALLS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120)
LAGS = (0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120, 600, 3600, 21600, 86400, 259200)

BREAKER_STATES = {"CLOSED": 0, "HALF_OPEN": 1, "OPEN": 2}


class Type(StrEnum):
    """What a metric counts like."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric as it is published; `buckets` are the upper bounds of a histogram."""

    name: str
    type: Type
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = QUICK


def _counter(name: str, labels: tuple[str, ...], meaning: str) -> Metric:
    return Metric(name=f"novitai_{name}_total", type=Type.COUNTER, labels=labels, meaning=meaning)


def _gauge(name: str, labels: tuple[str, ...], meaning: str) -> Metric:
    return Metric(name=f"novitai_{name}", type=Type.GAUGE, labels=labels, meaning=meaning)


def _seconds(name: str, labels: tuple[str, ...], meaning: str, *, buckets: tuple[float, ...] = QUICK) -> Metric:
    return Metric(name=f"novitai_{name}_seconds", type=Type.HISTOGRAM, labels=labels, meaning=meaning, buckets=buckets)


HTTP_REQUESTS = _counter("http_requests", ("route", "method", "status"), "Requests answered, by route template.")
HTTP_DURATION = _seconds("http_request_duration", ("route", "method"), "From request to end of the answer.")

UPSTREAM_CALLS = _counter(
    "upstream_calls",
    ("client", "operation", "outcome"),
    "Calls sent to Novita, repetitions included. Outcome: `ok`, `cancelled` or the failure's name, such as `TryLater`.",
)
UPSTREAM_DURATION = _seconds(
    "upstream_call_duration",
    ("client", "operation"),
    "From sending to the whole answer, waiting for the limiter left out.",
    buckets=CALLS,
)
BREAKER_STATE = _gauge("breaker_state", ("client",), "0 closed, 1 half open, 2 open.")
LIMITER_USED = _gauge("limiter_used", ("client",), "Slots taken in the present window.")
LIMITER_LIMIT = _gauge("limiter_limit", ("client",), "Slots in a window.")
LIMITER_QUEUE = _gauge("limiter_queue", ("client",), "Calls that wait for a slot.")

JOBS = _gauge("jobs", ("type", "state"), "Live jobs: pending or processing.")
JOBS_FINISHED = _counter("jobs_finished", ("type", "status"), "Jobs that ended: completed, failed or cancelled.")
JOB_DURATION = _seconds("job_duration", ("type",), "One run of a job.", buckets=CALLS)

WEBHOOK_ATTEMPTS = _counter("webhook_attempts", ("outcome",), "Attempts: delivered, retry, refused or blocked.")
WEBHOOK_LAG = _seconds(
    "webhook_delivery_lag", (), "From the commit of an event to its acknowledged delivery.", buckets=LAGS
)

INSTANCES = _gauge("instances", ("state",), "Instances that are not deleted.")

CACHE_LOOKUPS = _counter("cache_lookups", ("cache", "result"), "Lookups that were a hit or a miss.")

STORE_COMMITS = _counter("store_commits", ("outcome",), "Commits: committed, conflict or unavailable.")
STORE_DURATION = _seconds("store_commit_duration", (), "One commit, durable on disk.")

SWEEPS = _counter("observer_sweeps", ("result",), "Readings of Novita's whole list: complete or partial.")
SWEEP_PAGES = _counter("observer_pages", (), "Pages read by sweeps.")
SWEEP_MACHINES = _gauge("observer_machines", (), "Machines in the last complete sweep.")

MOVE_ASKED = _seconds(
    "migration_asked",
    ("way",),
    "From a spot notice or a reclaim that was seen to the first call that brings the instance back; of moves that ended well.",
    buckets=LAGS,
)
MOVE_RECOVERY = _seconds(
    "migration_recovery",
    ("way",),
    "From a spot notice or a reclaim that was seen to ready again.",
    buckets=LAGS,
)

LOOP_LAG = _seconds("event_loop_lag", (), "How late the event loop runs what is due.")

ALL: tuple[Metric, ...] = (
    HTTP_REQUESTS,
    HTTP_DURATION,
    UPSTREAM_CALLS,
    UPSTREAM_DURATION,
    BREAKER_STATE,
    LIMITER_USED,
    LIMITER_LIMIT,
    LIMITER_QUEUE,
    JOBS,
    JOBS_FINISHED,
    JOB_DURATION,
    WEBHOOK_ATTEMPTS,
    WEBHOOK_LAG,
    INSTANCES,
    CACHE_LOOKUPS,
    STORE_COMMITS,
    STORE_DURATION,
    SWEEPS,
    SWEEP_PAGES,
    SWEEP_MACHINES,
    MOVE_ASKED,
    MOVE_RECOVERY,
    LOOP_LAG,
)


class Metrics:
    """What happened since the start of this process, and how things stand."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counters = {one.name: self._make_counter(one) for one in ALL if one.type is Type.COUNTER}
        self._gauges = {one.name: self._make_gauge(one) for one in ALL if one.type is Type.GAUGE}
        self._histograms = {one.name: self._make_histogram(one) for one in ALL if one.type is Type.HISTOGRAM}
        self._lookups: dict[tuple[str, str], int] = {}

    # ── what happened ──────────────────────────────────────────────────────────────────────────────────────────────

    def request_served(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered. `route` is the template (`/api/instances/{id}`), `unmatched` when there was none."""
        self._count(HTTP_REQUESTS, route, method, str(status))
        self._time(HTTP_DURATION, seconds, route, method)

    def upstream_call(self, *, client: str, operation: str, outcome: str, seconds: float) -> None:
        """A physical call to Novita ended, as `ok`, `cancelled` or with a failure's name."""
        self._count(UPSTREAM_CALLS, client, operation, outcome)
        self._time(UPSTREAM_DURATION, seconds, client, operation)

    def job_finished(self, *, job_type: str, status: str, seconds: float) -> None:
        """A job ended for good, after a last run of `seconds`."""
        self._count(JOBS_FINISHED, job_type, status)
        self._time(JOB_DURATION, seconds, job_type)

    def webhook_attempted(self, *, outcome: str, lag_seconds: float | None = None) -> None:
        """An attempt ended: `delivered` (with the time since its event), `retry`, `refused` or `blocked` by the guard."""
        self._count(WEBHOOK_ATTEMPTS, outcome)
        if lag_seconds is not None:
            self._time(WEBHOOK_LAG, lag_seconds)

    def committed(self, *, outcome: str, seconds: float) -> None:
        """A commit ended: `committed`, `conflict` or `unavailable`."""
        self._count(STORE_COMMITS, outcome)
        self._time(STORE_DURATION, seconds)

    def swept(self, *, complete: bool, pages: int, machines: int) -> None:
        """Novita's list was read; only a complete reading says how many machines there are."""
        self._count(SWEEPS, "complete" if complete else "partial")
        self._counters[SWEEP_PAGES.name].inc(pages)
        if complete:
            self._gauges[SWEEP_MACHINES.name].set(machines)

    def moved(self, *, way: str, asked_seconds: float, ready_seconds: float) -> None:
        """An instance was brought back: how long that took, counted from its notice or its reclaim."""
        self._time(MOVE_ASKED, asked_seconds, way)
        self._time(MOVE_RECOVERY, ready_seconds, way)

    def loop_lagged(self, seconds: float) -> None:
        """Something due was run this much too late."""
        self._time(LOOP_LAG, seconds)

    # ── how things stand ───────────────────────────────────────────────────────────────────────────────────────────

    def breaker_is(self, *, client: str, state: str) -> None:
        """A breaker's state: CLOSED, HALF_OPEN or OPEN."""
        self._gauges[BREAKER_STATE.name].labels(client).set(BREAKER_STATES[state])

    def limiter_is(self, *, client: str, limit: int, used: int, queue: int) -> None:
        """How full a limiter's window is, and how many calls wait."""
        self._gauges[LIMITER_LIMIT.name].labels(client).set(limit)
        self._gauges[LIMITER_USED.name].labels(client).set(used)
        self._gauges[LIMITER_QUEUE.name].labels(client).set(queue)

    def jobs_are(self, counts: Mapping[tuple[str, str], int]) -> None:
        """All live jobs by type and state; what is not named any more disappears."""
        self._replace(JOBS, counts.items())

    def instances_are(self, counts: Mapping[str, int]) -> None:
        """All instances by state; what is not named any more disappears."""
        self._replace(INSTANCES, [((state,), count) for state, count in counts.items()])

    def cache_is(self, *, cache: str, hits: int, misses: int) -> None:
        """A cache's own counters since the start of this process."""
        for result, total in (("hit", hits), ("miss", misses)):
            self._counters[CACHE_LOOKUPS.name].labels(cache, result).inc(
                max(0, total - self._lookups.get((cache, result), 0))
            )
            self._lookups[cache, result] = total

    # ── reading them ───────────────────────────────────────────────────────────────────────────────────────────────

    def render(self) -> bytes:
        """All of it in Prometheus' text form (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)

    def summary(self) -> dict[str, object]:
        """The same for people and scripts, by camelCase name: numbers, or one object for each combination of labels."""
        families = {family.name: family for family in self.registry.collect()}
        return {_camel(one.name): _plain(one, families[_family(one)]) for one in ALL}

    # ── making them ────────────────────────────────────────────────────────────────────────────────────────────────

    def _make_counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.meaning, metric.labels, registry=self.registry)

    def _make_gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.meaning, metric.labels, registry=self.registry)

    def _make_histogram(self, metric: Metric) -> Histogram:
        return Histogram(metric.name, metric.meaning, metric.labels, buckets=metric.buckets, registry=self.registry)

    def _count(self, metric: Metric, *labels: str) -> None:
        self._counters[metric.name].labels(*labels).inc()

    def _time(self, metric: Metric, seconds: float, *labels: str) -> None:
        histogram = self._histograms[metric.name]
        (histogram.labels(*labels) if labels else histogram).observe(seconds)

    def _replace(self, metric: Metric, counts: Iterable[tuple[tuple[str, ...], int]]) -> None:
        gauge = self._gauges[metric.name]
        gauge.clear()
        for labels, count in counts:
            gauge.labels(*labels).set(count)


def _plain(metric: Metric, family: Family) -> object:
    entries: dict[tuple[str, ...], dict[str, object]] = {}
    for sample in family.samples:
        field = _FIELDS.get(sample.name.removeprefix(metric.name))
        if field is not None:
            labels = tuple(sample.labels[label] for label in metric.labels)
            entries.setdefault(labels, dict(sample.labels))[field] = _number(sample.value)
    if metric.labels:
        return list(entries.values())
    only = entries[()]
    return only["value"] if metric.type is not Type.HISTOGRAM else only


_FIELDS = {"": "value", "_count": "count", "_sum": "sumSeconds"}


def _number(value: float) -> float:
    return int(value) if value.is_integer() else value


def _family(metric: Metric) -> str:
    return metric.name.removesuffix("_total") if metric.type is Type.COUNTER else metric.name


def _camel(name: str) -> str:
    first, *rest = name.removeprefix("novitai_").removesuffix("_total").split("_")
    return first + "".join(word.capitalize() for word in rest)
