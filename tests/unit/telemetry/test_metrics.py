"""Metrics: what is reported can be scraped under its documented name, and read as JSON."""

import asyncio
import json
from itertools import count

import pytest
from prometheus_client.parser import text_string_to_metric_families

from novitai.telemetry.looplag import measure
from novitai.telemetry.metrics import ALL, Metrics


def scraped(metrics: Metrics) -> dict[tuple[str, frozenset[str]], float]:
    """Every sample as Prometheus would store it, by name and values of labels."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def everything_happened() -> Metrics:
    """Metrics in which each verb was used once."""
    metrics = Metrics()
    metrics.request_served(route="/api/instances/{id}", method="GET", status=200, seconds=0.01)
    metrics.upstream_call(client="public", operation="create", outcome="TryLater", seconds=30)
    metrics.job_finished(job_type="create_instance", status="completed", seconds=2)
    metrics.webhook_attempted(outcome="delivered", lag_seconds=0.04)
    metrics.committed(outcome="committed", seconds=0.003)
    metrics.swept(complete=True, pages=3, machines=250)
    metrics.moved(way="replace", asked_seconds=1.5, ready_seconds=180.0)
    metrics.loop_lagged(0.02)
    metrics.breaker_is(client="gpu", state="OPEN")
    metrics.limiter_is(client="public", limit=100, used=40, queue=2)
    metrics.jobs_are({("monitor_instance", "pending"): 4})
    metrics.instances_are({"ready": 7})
    metrics.cache_is(cache="catalogue", hits=9, misses=1)
    return metrics


def test_every_declared_metric_can_be_reported_and_scraped() -> None:
    """A name on the page that nothing can fill would be a lie."""
    names = {name for name, _ in scraped(everything_happened())}

    for metric in ALL:
        assert metric.name in names or f"{metric.name}_count" in names, metric.name


def test_what_was_reported_is_what_is_scraped() -> None:
    """Names and labels are what dashboards are built on."""
    samples = scraped(everything_happened())

    assert samples["novitai_http_requests_total", frozenset({"/api/instances/{id}", "GET", "200"})] == 1
    assert samples["novitai_upstream_calls_total", frozenset({"public", "create", "TryLater"})] == 1
    assert samples["novitai_upstream_call_duration_seconds_count", frozenset({"public", "create"})] == 1
    assert samples["novitai_breaker_state", frozenset({"gpu"})] == 2
    assert samples["novitai_observer_pages_total", frozenset()] == 3
    assert samples["novitai_instances", frozenset({"ready"})] == 7


def test_a_state_that_is_empty_again_disappears() -> None:
    """A gauge that keeps its last value would show jobs that are long done."""
    metrics = everything_happened()

    metrics.jobs_are({("send_webhook", "pending"): 1})

    assert ("novitai_jobs", frozenset({"monitor_instance", "pending"})) not in scraped(metrics)
    assert scraped(metrics)["novitai_jobs", frozenset({"send_webhook", "pending"})] == 1


def test_counters_of_a_cache_are_followed_and_never_go_back() -> None:
    """A cache that was cleared starts its own counters again; ours only grow."""
    metrics = Metrics()
    for hits in (5, 8, 0, 2):
        metrics.cache_is(cache="templates", hits=hits, misses=0)

    assert scraped(metrics)["novitai_cache_lookups_total", frozenset({"templates", "hit"})] == 10


def test_a_partial_sweep_does_not_say_how_many_machines_there_are() -> None:
    """Half a list is no count."""
    metrics = everything_happened()

    metrics.swept(complete=False, pages=1, machines=100)

    assert scraped(metrics)["novitai_observer_machines", frozenset()] == 250
    assert scraped(metrics)["novitai_observer_sweeps_total", frozenset({"partial"})] == 1


def test_two_metrics_in_one_process_do_not_meet() -> None:
    """Tests and embedded programs have several."""
    everything_happened()

    assert ("novitai_instances", frozenset({"ready"})) not in scraped(Metrics())


def test_the_summary_says_the_same_in_camel_case() -> None:
    """For people and scripts that do not speak Prometheus."""
    summary = everything_happened().summary()

    assert summary["httpRequests"] == [{"route": "/api/instances/{id}", "method": "GET", "status": "200", "value": 1}]
    assert summary["webhookDeliveryLagSeconds"] == {"count": 1, "sumSeconds": 0.04}
    assert summary["observerMachines"] == 250
    assert json.loads(json.dumps(summary)) == summary


def test_the_summary_of_a_fresh_process_is_complete_too() -> None:
    """Reading it right after the start is no error."""
    assert Metrics().summary()["storeCommitDurationSeconds"] == {"count": 0, "sumSeconds": 0}


async def test_the_lag_of_the_loop_is_what_a_sleep_took_too_long() -> None:
    """On a clock of the test's own: every sleep of half a second takes two."""
    metrics = Metrics()
    times = (float(tick) for tick in count(step=2))

    async def sleep(_seconds: float) -> None:
        if metrics.summary()["eventLoopLagSeconds"] == {"count": 3, "sumSeconds": 4.5}:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await measure(metrics.loop_lagged, now=lambda: next(times), sleep=sleep, every=0.5)

    assert metrics.summary()["eventLoopLagSeconds"] == {"count": 3, "sumSeconds": 4.5}
