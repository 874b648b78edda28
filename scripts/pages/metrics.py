"""The reference of metrics, from their declarations."""

from pages.markdown import page, table

from novitai.telemetry.metrics import ALL, Metric

INTRODUCTION = """# Metrics

`GET /metrics` answers with these in Prometheus' text form (with a key, unless `METRICS_PUBLIC` is set);
`GET /api/metrics` gives the same as JSON, under the names in camelCase. Counters count from the start of the process.
Nothing is labelled by instance, so the number of series stays small.

Histograms are in seconds and end in `_bucket`, `_sum` and `_count`. Labels named `client` are `public` and `internal`;
breakers have one value each for `gpu`, `account` and `internal`."""


def metrics_page() -> str:
    """One table of all metrics."""
    return page(INTRODUCTION, table(("metric", "type", "labels", "meaning"), map(_row, ALL)))


def _row(metric: Metric) -> tuple[str, str, str, str]:
    return (
        f"`{metric.name}`",
        metric.type.value,
        ", ".join(f"`{label}`" for label in metric.labels) or "none",
        metric.meaning,
    )
