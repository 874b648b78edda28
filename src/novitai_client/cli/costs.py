"""`novitai cost`: what was spent, on what, and what is to come."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from novitai_client.cli import inputs
from novitai_client.cli.session import console, print_json, session

if TYPE_CHECKING:
    from novitai_client.models import CostPage, InstanceCost

_GROUPS = ("instance", "label", "key", "day")


def cost(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this instance (name or id).", show_default=False)
    ] = None,
    by: Annotated[str, typer.Option("--by", metavar="WHAT", help="instance, label, key or day.")] = "instance",
    month: Annotated[
        str | None, typer.Option(metavar="YYYY-MM", help="A whole month; this one until now when left out.")
    ] = None,
    label: Annotated[str | None, typer.Option(metavar="K=V", help="Only with this label.")] = None,
    key: Annotated[str | None, typer.Option(metavar="ID", help="Only what this key made.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="The month by key and label, for a spreadsheet.")] = False,
    as_json: inputs.AsJson = False,
) -> None:
    """Show what was spent, disks of stopped machines included, and what is to come."""
    if by not in _GROUPS:
        raise typer.BadParameter(f"is one of {', '.join(_GROUPS)}", param_hint="--by")
    span = _month(month)
    with session(ctx, as_json=as_json).client() as client:
        if as_csv:
            typer.echo(client.monthly_costs(month), nl=False)
            return
        found = (
            client.instance_cost(name)
            if name is not None
            else client.costs(group_by=by, since=span[0], until=span[1], label=label, key=key)
        )
    if as_json:
        print_json(client.last_body)
        return
    _print(found)


def _month(text: str | None) -> tuple[datetime | None, datetime | None]:
    if text is None:
        return None, None
    try:
        first = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
        last = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    except ValueError:
        raise typer.BadParameter("looks like 2026-11", param_hint="--month") from None
    return first, last


def _print(found: "CostPage | InstanceCost") -> None:
    from novitai_client.cli import tables
    from novitai_client.models import CostPage

    if isinstance(found, CostPage):
        console().print(tables.costs(found) if found.groups else "Nothing was spent.")
        lines = _summary(found)
    else:
        console().print(tables.segments(found.segments) if found.segments else "It has cost nothing.")
        lines = _of_instance(found)
    for line in lines:
        typer.echo(line)


def _summary(page: "CostPage") -> Iterator[str]:
    forecast, savings = page.forecast, page.savings
    yield f"Total {_usd(page.total)}: GPUs {_usd(page.gpu)}, disks {_usd(page.disk)}, {_adjusted(page.adjustment)}"
    yield f"Saved {_usd(savings.against_on_demand)} against on demand, {_usd(savings.against_dearest)} against the dearest offer"
    yield f"Now {_usd(forecast.per_hour)} an hour; {_usd(forecast.rest_of_month)} more this month if it goes on"
    if page.balance is not None:
        hours = page.balance.hours_left
        lasts = "" if hours is None else f", which lasts {hours:.0f} hours"
        yield f"The balance is {_usd(page.balance.amount)}{lasts}"
    far = [day for day in page.reconciliation.days if day.difference_percent > 1]
    for day in far:
        yield f"{day.date}: the bill says {_usd(day.billed)} where {_usd(day.ours)} was expected ({day.difference_percent:.1f} %)"


def _of_instance(found: "InstanceCost") -> Iterator[str]:
    from novitai_client.cli.tables import shown

    saved = found.savings.against_on_demand
    parts = f"GPUs {_usd(found.gpu)}, disks {_usd(found.disk)}, {_adjusted(found.adjustment)}"
    yield shown(f"{found.name} has cost {_usd(found.total)}: {parts}")
    yield f"Now {_usd(found.forecast.per_hour)} an hour; saved {_usd(saved)} against on demand"


def _adjusted(amount: float) -> str:
    return f"adjusted to the bill by {_usd(amount)}"


def _usd(amount: float) -> str:
    return f"-${-amount:.4f}" if amount < 0 else f"${amount:.4f}"
