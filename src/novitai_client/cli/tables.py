"""Results as people read them: one table or one list of fields each. It knows the shapes, not where they come from."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from novitai_client.models import (
    Accepted,
    AuditEntry,
    AutomationSwitch,
    Budget,
    BulkOutcome,
    CostPage,
    CostSegment,
    Created,
    Event,
    Instance,
    Job,
    Key,
    Offer,
    Orphan,
    PriceHistory,
    PricePage,
    SyncOutcome,
)

if TYPE_CHECKING:
    from rich.table import Table

_COLOURS = {
    "ready": "green",
    "running": "green",
    "failed": "red",
    "lost": "red",
    "completed": "green",
    "creating": "yellow",
    "starting": "yellow",
    "health_checking": "yellow",
    "stopping": "yellow",
    "migrating": "yellow",
    "deleting": "yellow",
    "ok": "green",
    "warned": "yellow",
    "exceeded": "red",
    "held": "red",
}
Row = Sequence[str]
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys instead of showing it. Names on Novita, and what it says, are written by others."""


def instances(found: Iterable[Instance]) -> "Table":
    rows = (
        (one.name, one.id, one.status, _gpus(one), one.region or "", one.billing_mode or "", usd(one.price_per_hour))
        for one in found
    )
    return _table(("NAME", "ID", "STATUS", "GPU", "REGION", "BILLING", "USD/H"), rows, coloured=2)


def offers(found: Iterable[Offer]) -> "Table":
    rows = (
        (
            str(one.rank or ""),
            one.product_name or "",
            one.region or "",
            one.billing_mode or "",
            usd(one.price_per_hour),
            str(one.inventory if one.inventory is not None else ""),
            one.reason or "",
            one.product_id or "",
        )
        for one in found
    )
    return _table(("RANK", "PRODUCT", "REGION", "BILLING", "USD/H", "STOCK", "WHY", "PRODUCT ID"), rows)


def prices(found: Iterable[PriceHistory]) -> "Table":
    rows = (
        (
            one.product_name,
            one.region,
            one.billing_mode,
            usd(one.now.price_per_gpu_hour) if one.now else "",
            one.now.inventory if one.now else "not offered",
            usd(one.cheapest.price_per_gpu_hour) if one.cheapest else "",
            usd(one.average),
            f"{one.available_fraction:.0%}",
        )
        for one in found
    )
    return _table(("PRODUCT", "REGION", "BILLING", "USD/H", "STOCK", "LOWEST", "AVERAGE", "TO BE HAD"), rows)


def cheapest_lines(page: PricePage) -> Iterable[str]:
    """Where it is cheapest per GPU and hour, now and in the whole window."""
    for words, one in (("Now", page.cheapest_now), ("In these days", page.cheapest_in_window)):
        if one is not None:
            where = f"{one.product_name} in {one.region} ({one.billing_mode}) since {when(one.at)}"
            yield shown(f"{words} the cheapest: {usd(one.price_per_gpu_hour)} USD per GPU and hour, {where}")


def costs(page: CostPage) -> "Table":
    rows = (
        (
            one.name or one.date or one.label or (f"key {one.key}" if one.key and page.keys else "(no label)"),
            dollars(one.total),
            dollars(one.gpu),
            dollars(one.disk),
            dollars(one.adjustment),
            f"{one.gpu_hours:.2f}",
            dollars(one.savings.against_on_demand),
            one.instance_id or "",
        )
        for one in page.groups
    )
    return _table(("OF", "USD", "GPU", "DISK", "ADJUSTED", "GPU HOURS", "SAVED", "ID"), rows)


def segments(found: Iterable[CostSegment]) -> "Table":
    rows = (
        (one.kind, when(one.since), when(one.until), usd(one.per_hour), dollars(one.cost), one.novita_instance_id)
        for one in found
    )
    return _table(("WHAT", "SINCE", "UNTIL", "USD/H", "USD", "MACHINE"), rows)


def dollars(amount: float) -> str:
    return f"{amount:.4f}"


def jobs(found: Iterable[Job]) -> "Table":
    rows = (
        (one.id, one.type, one.status, str(one.attempts), when(one.next_retry_at), one.instance_id or "", _error(one))
        for one in found
    )
    return _table(("ID", "TYPE", "STATUS", "TRIES", "NEXT TRY", "INSTANCE", "ERROR"), rows, coloured=2)


def keys(found: Iterable[Key]) -> "Table":
    rows = ((one.id, one.name, one.scope or "", when(one.created_at), when(one.expires_at)) for one in found)
    return _table(("ID", "NAME", "SCOPE", "CREATED", "EXPIRES"), rows)


def budgets(found: Iterable[Budget]) -> "Table":
    rows = (
        (
            one.name,
            one.id,
            one.state,
            f"{one.spent_usd:.2f}",
            f"{one.limit_usd:.2f}",
            f"{one.percent:.0f} %",
            f"{one.forecast_usd:.2f}",
            one.period,
            _counts(one),
            when(one.resets_at),
        )
        for one in found
    )
    headings = ("NAME", "ID", "STATE", "SPENT", "LIMIT", "USED", "FORECAST", "PERIOD", "COUNTS", "BEGINS ANEW")
    return _table(headings, rows, coloured=2)


def budget(one: Budget) -> "Table":
    """One budget, field by field."""
    rows: list[Row] = [
        ("name", one.name),
        ("id", one.id),
        ("state", one.state),
        ("counts", _counts(one)),
        ("spent", f"{one.spent_usd:.2f} of {one.limit_usd:.2f} USD a {one.period} ({one.percent:g} %)"),
        ("forecast", f"{one.forecast_usd:.2f} USD, at {usd(one.usd_per_hour)} USD an hour now"),
        ("used up", when(one.exceeds_at)),
        ("begins anew", when(one.resets_at)),
        ("told at", ", ".join(f"{threshold} %" for threshold in one.thresholds)),
        ("hard stop", "yes" if one.hard_stop else "no"),
    ]
    return fields(rows)


def _counts(one: Budget) -> str:
    label = f"label {one.scope.label}" if one.scope.label else ""
    key = f"key {one.scope.key}" if one.scope.key else ""
    return " and ".join(part for part in (label, key) if part) or "everything"


def orphans(found: Iterable[Orphan]) -> "Table":
    rows = (
        (
            one.novita_id,
            one.name,
            one.kind,
            one.status,
            one.product_name or "",
            one.region or "",
            "" if one.age_seconds is None else f"{one.age_seconds / 3600:.1f}",
            usd(one.price_per_hour),
            usd(one.cost_so_far),
        )
        for one in found
    )
    return _table(
        ("NOVITA ID", "NAME", "KIND", "STATUS", "PRODUCT", "REGION", "AGE H", "USD/H", "USD SO FAR"), rows, coloured=3
    )


def bulk(done: BulkOutcome) -> "Table":
    rows = (
        (one.name or one.reference, one.instance_id or "", one.outcome, one.status or "", one.error or "")
        for one in done.results
    )
    return _table(("NAME", "ID", "OUTCOME", "STATUS", "WHY NOT"), rows)


def sync(done: SyncOutcome) -> "Table":
    report = done.data
    if report is None:
        return _table(("SYNC", ""), [(done.message or "it goes on as a job", done.job_id or "")])
    rows = [
        ("machines on Novita", str(report.novita_instances)),
        ("of these ours, matched", str(report.merged_instances)),
        ("ours, not in the list", ", ".join(report.missing) or "none"),
        ("said differently", ", ".join(one.instance_id for one in report.differing) or "none"),
        ("without a record", ", ".join(report.orphans) or "none"),
        ("taken back", ", ".join(report.adopted) or "none"),
        ("records forgotten", ", ".join(report.removed) or "none"),
    ]
    return _table(("SYNC", done.message or ""), rows)


def automation(switch: AutomationSwitch) -> "Table":
    rows = (
        (one.scope, "paused" if one.paused else "acts", when(one.at), one.by or "", one.reason or "")
        for one in switch.scopes
    )
    return _table(("PART", "NOW", "SINCE", "BY", "WHY"), rows)


def audit(found: Iterable[AuditEntry]) -> "Table":
    rows = ((when(one.at), one.by, one.action, one.target, one.address or "", one.request_id or "") for one in found)
    return _table(("WHEN", "BY", "ACTION", "TARGET", "FROM", "REQUEST"), rows)


def event_line(event: Event) -> str:
    """One event on one line."""
    change = f"{event.before} → {event.after}" if event.before and event.after else str(event.after or "")
    said = (
        when(event.at),
        f"{event.type:<30}",
        event.instance_id or "-",
        change,
        event.actor or "",
        event.reason or "",
    )
    return shown("  ".join(part for part in said if part))


def instance(one: Instance) -> "Table":
    """Everything a person asks about one instance."""
    how = one.connection_details
    health = one.health_check
    rows: list[Row] = [
        ("name", one.name),
        ("id", one.id),
        ("status", one.status + (" (not seen lately)" if one.stale else "")),
        ("wanted", _wanted(one)),
        ("Novita's id", one.novita_instance_id or ""),
        ("GPU", _gpus(one)),
        ("region", one.region or ""),
        ("billing", f"{one.billing_mode or ''}, {usd(one.price_per_hour)} USD an hour"),
        ("cost so far", f"{usd(one.cost_so_far)} USD" if one.cost_so_far is not None else ""),
        ("image", one.image_url or ""),
        ("labels", ", ".join(f"{key}={value}" for key, value in one.labels.items())),
        *((f"port {port.port}", f"{port.endpoint or 'no address yet'} ({port.type})") for port in one.port_mappings),
        ("ssh", (how.ssh or "") if how else ""),
        ("jupyter", (how.jupyter or "") if how else ""),
        ("terminal", (how.web_terminal or "") if how else ""),
        ("health", f"{health.status} {when(health.checked_at)}".strip() if health and health.status else ""),
        ("spot", f"{one.spot.status} {when(one.spot.reclaim_at)}".strip() if one.spot and one.spot.status else ""),
        ("created", when(one.created_at)),
        ("ready", when(one.ready_at)),
        ("stopped", when(one.stopped_at)),
        ("last used", when(one.last_used_at)),
        ("next", _next(one)),
        ("error", f"{one.last_error.message} ({one.last_error.code})" if one.last_error else ""),
    ]
    return fields(rows)


def created(one: Created) -> "Table":
    """What a create chose and why."""
    choice = one.offer
    rows: list[Row] = [
        ("name", one.name),
        ("id", one.instance_id),
        ("status", one.status),
        ("GPU", one.product_name or one.product_id or ""),
        ("region", one.region or ""),
        ("billing", f"{one.billing_mode or ''}, {usd(one.price_per_hour)} USD an hour"),
        ("why", (choice.reason or "") if choice else ""),
        ("ready about", when(one.estimated_ready_time)),
        ("", one.message or ""),
    ]
    return fields(rows)


def accepted(one: Accepted) -> str:
    """The answer to start, stop, restart or delete, on one line."""
    return f"{one.instance_id} is {one.status}" + (f": {one.message}" if one.message else "")


def fields(rows: Iterable[Row]) -> "Table":
    """Names and values, those without a value left out."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        if value:
            table.add_row(name, shown(value))
    return table


def shown(text: str) -> str:
    """Text without what would steer the terminal; each such character stands as a mark."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)


def usd(amount: float | None) -> str:
    """Money with as many places as it has, at least two."""
    if amount is None:
        return ""
    text = f"{amount:.5f}".rstrip("0")
    places = len(text.partition(".")[2])
    return text + "0" * max(0, 2 - places)


def when(moment: datetime | None) -> str:
    """A time in UTC, to the second."""
    return moment.strftime("%Y-%m-%d %H:%M:%SZ") if moment else ""


def _gpus(one: Instance) -> str:
    return f"{one.gpu_num or 1} x {one.product_name or one.product_id or '?'}"


def _wanted(one: Instance) -> str:
    if one.desired is None:
        return ""
    by = f", by {one.desired.by}" if one.desired.by else ""
    because = f": {one.desired.reason}" if one.desired.reason else ""
    return f"{one.desired.state}{by}{because}"


def _next(one: Instance) -> str:
    step = one.next_action
    if step is None:
        return ""
    return " ".join(part for part in (step.what, when(step.at), f"({step.because})" if step.because else "") if part)


def _error(job: Job) -> str:
    return str(job.error.get("message", job.error)) if isinstance(job.error, dict) else str(job.error or "")


def _table(headings: Row, rows: Iterable[Row], *, coloured: int | None = None) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold", justify="right" if heading == "USD/H" else "left")
    for row in rows:
        cells = [
            Text(shown(cell), style=_COLOURS.get(cell, "") if place == coloured else "")
            for place, cell in enumerate(row)
        ]
        table.add_row(*cells)
    return table
