"""Verbs that only look: list, show, offers, prices, events, jobs."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from novitai_client.cli import inputs
from novitai_client.cli.session import console, print_json, session

if TYPE_CHECKING:
    from collections.abc import Callable

    from novitai_client.cli.recorder import Recorder

Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=200, help="At most so many.")]


def list_instances(
    ctx: typer.Context,
    status: Annotated[str | None, typer.Option(help="Only in this state.")] = None,
    name: Annotated[str | None, typer.Option(help="Only with this in the name.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="K=V", help="Only with this label; may be given again.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="Only in this region.")] = None,
    billing: inputs.Billing = None,
    sort: Annotated[str | None, typer.Option(help="Order: name, -createdAt, pricePerHour …")] = None,
    as_json: inputs.AsJson = False,
) -> None:
    """List instances."""
    run = session(ctx, as_json=as_json)
    labels = inputs.pairs(label, "--label")
    with run.client() as client:

        def page(cursor: str | None) -> Any:
            return client.list_page(
                status=status, name=name, label=labels, region=region, billing=billing, sort=sort, cursor=cursor
            )

        found, answer = _all_pages(client, page, "instances")
    if as_json:
        print_json(answer)
        return
    from novitai_client.cli import tables

    console().print(tables.instances(found) if found else "No instances.")


def show(ctx: typer.Context, name: inputs.Name, as_json: inputs.AsJson = False) -> None:
    """Show one instance: state, price, addresses, what comes next."""
    with session(ctx, as_json=as_json).client() as client:
        found = client.get(name)
    if as_json:
        print_json(client.last_body)
        return
    from novitai_client.cli import tables

    console().print(tables.instance(found))


def offers(
    ctx: typer.Context,
    product: inputs.Product = None,
    gpus: inputs.Gpus = None,
    disk: inputs.Disk = None,
    region: inputs.Regions = None,
    billing: inputs.Billing = None,
    max_price: inputs.MaxPrice = None,
    as_json: inputs.AsJson = False,
) -> None:
    """Show what could be bought now, best first, and why."""
    with session(ctx, as_json=as_json).client() as client:
        found = client.offers(
            product, gpus=gpus, disk=disk, region=region or None, billing=billing, max_price=max_price
        )
    if as_json:
        print_json(client.last_body)
        return
    from novitai_client.cli import tables

    console().print(tables.offers(found.offers) if found.offers else "No offers.")


def prices(
    ctx: typer.Context,
    product: inputs.Product = None,
    region: Annotated[str | None, typer.Option(metavar="R", help="Only in this region: id, code or name.")] = None,
    billing: Annotated[str | None, typer.Option(metavar="MODE", help="spot or onDemand; both when left out.")] = None,
    days: Annotated[int, typer.Option(min=1, max=400, help="How far back.")] = 30,
    limit: Limit = 50,
    as_json: inputs.AsJson = False,
) -> None:
    """Show what GPUs cost, now and in the last days."""
    with session(ctx, as_json=as_json).client() as client:
        found = client.prices(product, region=region, billing=billing, days=days, limit=limit)
    if as_json:
        print_json(client.last_body)
        return
    from novitai_client.cli import tables

    console().print(tables.prices(found.prices) if found.prices else "No prices yet.")
    for line in tables.cheapest_lines(found):
        typer.echo(line)


def events(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only of this instance (name or id).", show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones as they happen.")] = False,
    limit: Limit = 50,
    as_json: inputs.AsJson = False,
) -> None:
    """Show the event log."""
    with session(ctx, as_json=as_json).client() as client:
        if follow:
            _follow(client, name, as_json=as_json)
            return
        page = client.events_page(name, limit=limit)
    if as_json:
        print_json(client.last_body)
        return
    from novitai_client.cli import tables

    for event in page.events:
        typer.echo(tables.event_line(event))


def _follow(client: "Recorder", name: str | None, *, as_json: bool) -> None:
    """New events, one a line, until the person has seen enough."""
    import msgspec

    from novitai_client.cli import tables

    instance_id = client.get(name).id if name is not None else None
    for event in client.follow_events():
        if instance_id is None or event.instance_id == instance_id:
            typer.echo(msgspec.json.encode(event).decode() if as_json else tables.event_line(event))


def jobs(
    ctx: typer.Context,
    job_type: Annotated[str | None, typer.Option("--type", help="Only of this type, such as send_webhook.")] = None,
    status: Annotated[str | None, typer.Option(help="Only in this state.")] = None,
    instance: Annotated[str | None, typer.Option(metavar="ID", help="Only of this instance.")] = None,
    limit: Limit = 50,
    as_json: inputs.AsJson = False,
) -> None:
    """Show the server's work: what runs, what waits, what failed."""
    with session(ctx, as_json=as_json).client() as client:
        page = client.jobs_page(job_type=job_type, status=status, instance=instance, limit=limit)
    if as_json:
        print_json(client.last_body)
        return
    from novitai_client.cli import tables

    console().print(tables.jobs(page.jobs) if page.jobs else "No jobs.")


def _all_pages(
    client: "Recorder", page: "Callable[[str | None], Any]", plural: str
) -> tuple[list[Any], dict[str, Any]]:
    """Every page's values, and the server's JSON as if it had been one page."""
    got = page(None)
    found, answer = list(getattr(got, plural)), client.last_json()
    while got.next_cursor:
        got = page(got.next_cursor)
        found += getattr(got, plural)
        answer[plural] += client.last_json()[plural]
    answer["nextCursor"] = None
    return found, answer
