"""The verbs of `novitai keys`: create, list, revoke, on a running server with an admin key."""

from typing import Annotated

import typer

from novitai_client.cli import inputs
from novitai_client.cli.changing import confirm, require_terminal
from novitai_client.cli.session import console, print_json, session


def verbs() -> typer.Typer:
    """A new group of these verbs."""
    app = typer.Typer(help="API keys of the server: generate, create, list, revoke.", no_args_is_help=True)
    app.command("create")(create)
    app.command("list")(list_keys)
    app.command("revoke")(revoke)
    return app


def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.", show_default=False)],
    scope: Annotated[str, typer.Option(metavar="SCOPE", help="read, write or admin.")] = "write",
    as_json: inputs.AsJson = False,
) -> None:
    """Make a key. It is printed this one time."""
    with session(ctx, as_json=as_json).client() as client:
        made = client.create_key(name, scope=scope)
    if as_json:
        print_json(client.last_body)
        return
    if made.key is None:
        typer.echo(f"The text of key {made.id} was lost on its way; revoke it and make another.", err=True)
        raise typer.Exit(1)
    typer.echo(f"Key {made.id} ({made.name}, {made.scope or scope}). It cannot be shown again:", err=True)
    typer.echo(made.key)


def list_keys(ctx: typer.Context, as_json: inputs.AsJson = False) -> None:
    """List the keys, without their texts."""
    with session(ctx, as_json=as_json).client() as client:
        found = client.keys()
    if as_json:
        print_json(client.last_body)
        return
    from novitai_client.cli import tables

    console().print(tables.keys(found) if found else "No keys.")


def revoke(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key.", show_default=False)],
    yes: inputs.Yes = False,
    as_json: inputs.AsJson = False,
) -> None:
    """End a key. Programs that use it are refused from then on."""
    with session(ctx, as_json=as_json).client() as client:
        if not yes:
            require_terminal()
            confirm(f"Revoke the key {key_id}? Programs that use it will be refused.")
        client.revoke_key(key_id)
    if as_json:
        print_json(client.last_body or {"id": key_id})
        return
    typer.echo(f"{key_id} is revoked.")
