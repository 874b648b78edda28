"""The verbs of `novitai budgets`: list, create, show, update, delete."""

from typing import TYPE_CHECKING, Annotated

import typer

from novitai_client.cli import inputs
from novitai_client.cli.changing import confirm, require_terminal
from novitai_client.cli.session import console, print_json, session

if TYPE_CHECKING:
    from novitai_client.models import Budget

BudgetId = Annotated[str, typer.Argument(metavar="ID", help="Id of the budget.", show_default=False)]
Label = Annotated[str | None, typer.Option("--label", metavar="K=V", help="Only what has this label counts.")]
KeyId = Annotated[str | None, typer.Option("--key", metavar="ID", help="Only what this key made counts.")]
Thresholds = Annotated[
    list[int] | None, typer.Option("--at", metavar="PERCENT", help="When to be told; may be given again.")
]
HARD = "Stop what it covers when it is used up."


def verbs() -> typer.Typer:
    """A new group of these verbs."""
    app = typer.Typer(help="Budgets: list, create, show, update, delete.", no_args_is_help=True)
    app.command("list")(list_budgets)
    app.command("create")(create)
    app.command("show")(show)
    app.command("update")(update)
    app.command("delete")(delete)
    return app


def list_budgets(ctx: typer.Context, as_json: inputs.AsJson = False) -> None:
    """List the budgets, with what is spent of each."""
    with session(ctx, as_json=as_json).client() as client:
        found = client.budgets()
    if as_json:
        print_json(client.last_body)
        return
    from novitai_client.cli import tables

    console().print(tables.budgets(found) if found else "No budgets.")


def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the budget is for.", show_default=False)],
    limit: Annotated[float, typer.Option(metavar="USD", help="How much may be spent in each period.")],
    period: Annotated[str, typer.Option(metavar="PERIOD", help="day, week or month, in UTC.")] = "month",
    label: Label = None,
    key: KeyId = None,
    at: Thresholds = None,
    hard_stop: Annotated[bool, typer.Option("--hard-stop", help=HARD)] = False,
    as_json: inputs.AsJson = False,
) -> None:
    """Make a budget. Without a label or a key everything counts."""
    with session(ctx, as_json=as_json).client() as client:
        made = client.create_budget(
            name, limit=limit, period=period, label=label, key=key, hard_stop=hard_stop, thresholds=at or None
        )
    _print(made, client.last_body, as_json=as_json)


def show(ctx: typer.Context, budget_id: BudgetId, as_json: inputs.AsJson = False) -> None:
    """Show one budget: what is spent, what is foreseen, and when it begins anew."""
    with session(ctx, as_json=as_json).client() as client:
        found = client.budget(budget_id)
    _print(found, client.last_body, as_json=as_json)


def update(
    ctx: typer.Context,
    budget_id: BudgetId,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Another name.")] = None,
    limit: Annotated[float | None, typer.Option(metavar="USD", help="Another limit.")] = None,
    period: Annotated[str | None, typer.Option(metavar="PERIOD", help="day, week or month.")] = None,
    label: Label = None,
    key: KeyId = None,
    total: Annotated[bool, typer.Option("--total", help="Let everything count.")] = False,
    at: Thresholds = None,
    hard_stop: Annotated[bool | None, typer.Option("--hard-stop/--no-hard-stop", help=HARD)] = None,
    as_json: inputs.AsJson = False,
) -> None:
    """Change a budget; what is left out stays."""
    if total and (label is not None or key is not None):
        raise typer.BadParameter("cannot be combined with --label or --key", param_hint="--total")
    with session(ctx, as_json=as_json).client() as client:
        changed = client.update_budget(
            budget_id,
            name=name,
            limit=limit,
            period=period,
            label=label,
            key=key,
            total=total,
            hard_stop=hard_stop,
            thresholds=at or None,
        )
    _print(changed, client.last_body, as_json=as_json)


def delete(ctx: typer.Context, budget_id: BudgetId, yes: inputs.Yes = False, as_json: inputs.AsJson = False) -> None:
    """Take a budget away. What it held down may be started again."""
    with session(ctx, as_json=as_json).client() as client:
        if not yes:
            require_terminal()
            confirm(f"Delete the budget {budget_id}? Nothing is held back by it any more.")
        client.delete_budget(budget_id)
    if as_json:
        print_json(client.last_body)
        return
    typer.echo(f"{budget_id} is deleted.")


def _print(budget: "Budget", body: bytes | None, *, as_json: bool) -> None:
    if as_json:
        print_json(body)
        return
    from novitai_client.cli import tables

    console().print(tables.budget(budget))
