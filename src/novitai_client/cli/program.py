"""The program put together: global options, verbs in their groups, one place where failures become exit codes."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from novitai_client.cli import Verb, budgets, changing, costs, explain, fleet, keys, migration, reading
from novitai_client.cli.session import Session
from novitai_client.cli.waiting import WaitingCommand

INSTANCES, LOOKING, FLEET = "Instances", "Looking around", "The whole fleet"
_HELP = """GPU instances on Novita, through your own Novitai server.

The server is found by NOVITAI_URL (default http://127.0.0.1:3000); the key is read from NOVITAI_API_KEY, or from the file
that NOVITAI_API_KEY_FILE names.

Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused by state or capacity, 5 not allowed, 6 server away, 7 timed
out waiting.
"""


class Program(TyperGroup):
    """The group of all verbs: what the client raises is told to a person (or, with --json, to a program) and ends here."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            from novitai_client.cli.failures import exit_code, report

            code = exit_code(error)
            if code is None:
                raise
            session = ctx.find_object(Session)
            report(error, as_json=session is not None and session.as_json)
            raise typer.Exit(code) from error


def program(others: Sequence[Verb] = ()) -> typer.Typer:
    """The whole command line, with the verbs of other programs."""
    app = typer.Typer(cls=Program, help=_HELP, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_global)
    app.command("create", rich_help_panel=INSTANCES, cls=WaitingCommand)(changing.create)
    app.command("list", rich_help_panel=INSTANCES)(reading.list_instances)
    app.command("show", rich_help_panel=INSTANCES)(reading.show)
    app.command("explain", rich_help_panel=INSTANCES)(explain.explain)
    app.command("start", rich_help_panel=INSTANCES, cls=WaitingCommand)(changing.start)
    app.command("stop", rich_help_panel=INSTANCES)(changing.stop)
    app.command("restart", rich_help_panel=INSTANCES, cls=WaitingCommand)(changing.restart)
    app.command("delete", rich_help_panel=INSTANCES)(changing.delete)
    app.command("offers", rich_help_panel=LOOKING)(reading.offers)
    app.command("prices", rich_help_panel=LOOKING)(reading.prices)
    app.command("cost", rich_help_panel=LOOKING)(costs.cost)
    app.add_typer(budgets.verbs(), name="budgets", rich_help_panel=LOOKING)
    app.command("events", rich_help_panel=LOOKING)(reading.events)
    app.command("jobs", rich_help_panel=LOOKING)(reading.jobs)
    app.command("stop-all", rich_help_panel=FLEET)(fleet.stop_all)
    app.command("sync", rich_help_panel=FLEET)(fleet.sync)
    app.add_typer(fleet.orphan_verbs(), name="orphans", rich_help_panel=FLEET)
    app.add_typer(migration.verbs(), name="migration", rich_help_panel=FLEET)
    app.command("pause", rich_help_panel=FLEET)(fleet.pause)
    app.command("resume", rich_help_panel=FLEET)(fleet.resume)
    app.add_typer(fleet.audit_verbs(), name="audit", rich_help_panel=FLEET)
    groups = {"keys": keys.verbs()}
    app.add_typer(groups["keys"], name="keys", rich_help_panel="Keys")
    for verb in others:
        first = verb.words[0]
        if len(verb.words) > 1 and first not in groups:
            groups[first] = typer.Typer(help=verb.summary, no_args_is_help=True)
            app.add_typer(groups[first], name=first, rich_help_panel=verb.group)
        _add(groups[first] if len(verb.words) > 1 else app, verb)
    return app


class _Foreign(TyperCommand):
    """A verb of another program: every argument, `--help` too, is that program's business."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.args = list(args)
        return []


def _add(app: typer.Typer, verb: Verb) -> None:
    def run(ctx: typer.Context) -> None:
        raise typer.Exit(verb.run(ctx.args))

    app.command(verb.words[-1], help=verb.summary, rich_help_panel=verb.group, cls=_Foreign)(run)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"novitai {version('novitai')}\n")
        raise typer.Exit


def _global(
    ctx: typer.Context,
    url: Annotated[str | None, typer.Option(help="Address of the server, instead of NOVITAI_URL.")] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            help="API key. Other users of this machine can see it in the list of processes: better use the environment."
        ),
    ] = None,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    ctx.obj = Session(url=url, api_key=api_key)
