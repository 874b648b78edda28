"""Verbs that change something: create, start, stop, restart, delete."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from novitai_client.cli import inputs
from novitai_client.cli.session import Session, console, print_json, session
from novitai_client.cli.waiting import WaitOption, wait_until_ready

if TYPE_CHECKING:
    from novitai_client.cli.recorder import Recorder
    from novitai_client.models import Accepted


def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new instance.", show_default=False)],
    product: inputs.Product = None,
    product_id: Annotated[str | None, typer.Option(metavar="ID", help="The product by its id.")] = None,
    template: Annotated[str | None, typer.Option(metavar="ID", help="Template to start from.")] = None,
    image: Annotated[str | None, typer.Option(metavar="URL", help="Image to start, instead of a template.")] = None,
    gpus: inputs.Gpus = None,
    disk: inputs.Disk = None,
    region: inputs.Regions = None,
    billing: inputs.Billing = None,
    max_price: inputs.MaxPrice = None,
    port: Annotated[
        list[str] | None, typer.Option(metavar="8080/http", help="Port to open, http or tcp; may be given again.")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option(metavar="K=V", help="Environment variable; may be given again.")
    ] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="K=V", help="Label; may be given again.")] = None,
    webhook: Annotated[str | None, typer.Option(metavar="URL", help="Where to send this instance's events.")] = None,
    ttl: inputs.Ttl = None,
    schedule_start: inputs.ScheduleStart = None,
    schedule_stop: inputs.ScheduleStop = None,
    timezone: inputs.Timezone = None,
    wait: WaitOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be chosen; create nothing.")] = False,
    as_json: inputs.AsJson = False,
) -> None:
    """Create an instance on the cheapest offer that fits."""
    _one_of(product, product_id, "--product or --product-id")
    _one_of(template, image, "--template or --image")
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        made = client.create(
            name,
            product=product,
            product_id=product_id,
            template_id=template,
            image_url=image,
            gpus=gpus,
            disk=disk,
            region=region or None,
            billing=billing,
            max_price=max_price,
            ports=inputs.ports(port),
            envs=inputs.pairs(env, "--env"),
            labels=inputs.pairs(label, "--label"),
            webhook_url=webhook,
            ttl=ttl,
            schedule=inputs.schedule(schedule_start, schedule_stop, timezone),
            dry_run=dry_run or None,
        )
        waits = wait is not None and not dry_run
        if not as_json:
            from novitai_client.cli import tables

            console(stderr=waits).print(tables.created(made))
            if made.offers:
                console().print(tables.offers(made.offers))
        if not waits:
            _finish(run, client)
        elif wait is not None:
            _wait(run, client, made.instance_id, wait)


def start(ctx: typer.Context, name: inputs.Name, wait: WaitOption = None, as_json: inputs.AsJson = False) -> None:
    """Start a stopped instance."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        _accepted(run, client, client.start(name), wait)


def stop(ctx: typer.Context, name: inputs.Name, as_json: inputs.AsJson = False) -> None:
    """Stop an instance. Its disk stays, and is billed."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        _accepted(run, client, client.stop(name))


def restart(ctx: typer.Context, name: inputs.Name, wait: WaitOption = None, as_json: inputs.AsJson = False) -> None:
    """Restart the machine of an instance."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        _accepted(run, client, client.restart(name), wait)


def delete(ctx: typer.Context, name: inputs.Name, yes: inputs.Yes = False, as_json: inputs.AsJson = False) -> None:
    """Delete an instance with its machine and disk."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        if not yes:
            require_terminal()
            # What the person says yes to is this very instance, whatever bears its name a moment later.
            found = client.get(name)
            confirm(f"Delete {found.name} ({found.id}, {found.status}) with its machine and disk?")
            name = found.id
        _accepted(run, client, client.delete(name))


def require_terminal() -> None:
    """What destroys asks first. Without a terminal there is nobody to ask, and that ends with exit code 2."""
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            "this destroys something, and there is no terminal to ask on; add --yes if you mean it", param_hint="--yes"
        )


def confirm(question: str) -> None:
    """Ask on the terminal; anything but yes ends with exit code 1."""
    if not typer.confirm(question, err=True):
        typer.echo("Nothing was done.", err=True)
        raise typer.Exit(1)


def _one_of(first: str | None, second: str | None, options: str) -> None:
    if (first is None) == (second is None):
        raise typer.BadParameter("give one of the two", param_hint=options)


def _accepted(run: Session, client: "Recorder", answer: "Accepted", wait: float | None = None) -> None:
    from novitai_client.cli import tables

    if not run.as_json:
        console(stderr=wait is not None).print(tables.accepted(answer))
    if wait is None:
        _finish(run, client)
    else:
        _wait(run, client, answer.instance_id, wait)


def _wait(run: Session, client: "Recorder", instance_id: str, seconds: float) -> None:
    from novitai_client.cli import tables

    ready = wait_until_ready(client, instance_id, seconds)
    if not run.as_json:
        console().print(tables.instance(ready))
    _finish(run, client)


def _finish(run: Session, client: "Recorder") -> None:
    if run.as_json:
        print_json(client.last_body)
