"""Verbs about the whole fleet: stop-all, sync, orphans, pause and resume, audit."""

from typing import Annotated

import typer

from novitai_client.cli import inputs
from novitai_client.cli.changing import confirm, require_terminal
from novitai_client.cli.session import console, print_json, session

Label = Annotated[
    list[str] | None, typer.Option("--label", metavar="K=V", help="Only with this label; may be given again.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")]
Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why, for the event log and the audit log.")
]
Scope = Annotated[
    str | None,
    typer.Argument(
        metavar="[SCOPE]", help="adoption, idle, migration, schedule, budget or jobs; all but jobs when left out."
    ),
]
Machine = Annotated[str, typer.Argument(metavar="ID", help="Novita's id of the machine.", show_default=False)]


def orphan_verbs() -> typer.Typer:
    """A new group of the verbs of `novitai orphans`."""
    app = typer.Typer(help="Machines on the account that no instance has.", no_args_is_help=True)
    app.command("list")(list_orphans)
    app.command("adopt")(adopt)
    app.command("ignore")(ignore)
    app.command("delete")(delete)
    return app


def audit_verbs() -> typer.Typer:
    """A new group of the verbs of `novitai audit`."""
    app = typer.Typer(help="What was done, by whom; and whether that log is whole.", no_args_is_help=True)
    app.command("list")(list_audit)
    app.command("verify")(verify)
    return app


def stop_all(
    ctx: typer.Context,
    label: Label = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: inputs.Yes = False,
    as_json: inputs.AsJson = False,
) -> None:
    """Stop every managed instance that runs, or those with a label. Disks stay, and are billed."""
    labels = inputs.pairs(label, "--label")
    with session(ctx, as_json=as_json).client() as client:
        if not yes and not dry_run:
            require_terminal()
            would = client.stop_all(labels=labels, dry_run=True)
            confirm(f"Stop {would.count} instances?")
        done = client.stop_all(labels=labels, reason=reason, dry_run=dry_run or None)
    if as_json:
        print_json(client.last_body)
    else:
        from novitai_client.cli import tables

        console().print(tables.bulk(done))
    if not done.success:
        raise typer.Exit(4)


def sync(
    ctx: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="Read Novita's list anew even if it was just read.")] = False,
    dry_run: DryRun = False,
    as_json: inputs.AsJson = False,
) -> None:
    """Hold the server's records against everything on the account now."""
    with session(ctx, as_json=as_json).client() as client:
        done = client.sync(dry_run=dry_run or None, force=force or None)
    if as_json:
        print_json(client.last_body)
        return
    from novitai_client.cli import tables

    console().print(tables.sync(done))


def list_orphans(
    ctx: typer.Context,
    ignored: Annotated[bool, typer.Option("--ignored", help="With those that are to be left alone.")] = False,
    as_json: inputs.AsJson = False,
) -> None:
    """List them, with age and price."""
    with session(ctx, as_json=as_json).client() as client:
        found = client.orphans(ignored=ignored)
    if as_json:
        print_json(found)
        return
    from novitai_client.cli import tables

    console().print(
        tables.orphans(found) if found else "No orphans: every machine on the account belongs to an instance."
    )


def adopt(
    ctx: typer.Context,
    machine: Annotated[
        str, typer.Argument(metavar="MACHINE", help="Novita's id, or the machine's name.", show_default=False)
    ],
    as_json: inputs.AsJson = False,
) -> None:
    """Take a machine under management: from then on it is an instance like any other."""
    with session(ctx, as_json=as_json).client() as client:
        taken = client.adopt(machine)
    if as_json:
        print_json(client.last_body)
        return
    from novitai_client.cli import tables

    console().print(tables.instance(taken))


def ignore(ctx: typer.Context, machine: Machine, as_json: inputs.AsJson = False) -> None:
    """Leave a machine out of the list. It goes on costing what it costs."""
    with session(ctx, as_json=as_json).client() as client:
        client.ignore_orphan(machine)
    if as_json:
        print_json(client.last_body)
        return
    typer.echo(f"{machine} is ignored; `novitai orphans list --ignored` shows it still.")


def delete(ctx: typer.Context, machine: Machine, yes: inputs.Yes = False, as_json: inputs.AsJson = False) -> None:
    """Delete a machine that no instance has, with its disk."""
    with session(ctx, as_json=as_json).client() as client:
        if not yes:
            require_terminal()
            confirm(f"Delete the machine {machine} with its disk? Novitai did not create it, or has no record of that.")
        accepted = client.delete_orphan(machine)
    if as_json:
        print_json(client.last_body)
        return
    typer.echo(f"The delete is accepted; follow it with `novitai show {accepted.instance_id}`.")


def pause(ctx: typer.Context, scope: Scope = None, reason: Reason = None, as_json: inputs.AsJson = False) -> None:
    """Pause what acts by itself, all or a part. Nothing is lost: what is due waits."""
    with session(ctx, as_json=as_json).client() as client:
        switch = client.pause(scope, reason=reason)
    if as_json:
        print_json(client.last_body)
        return
    from novitai_client.cli import tables

    console().print(tables.automation(switch))


def resume(ctx: typer.Context, scope: Scope = None, reason: Reason = None, as_json: inputs.AsJson = False) -> None:
    """Let what acts by itself act again, all or a part."""
    with session(ctx, as_json=as_json).client() as client:
        switch = client.resume(scope, reason=reason)
    if as_json:
        print_json(client.last_body)
        return
    from novitai_client.cli import tables

    console().print(tables.automation(switch))


def list_audit(
    ctx: typer.Context,
    by: Annotated[
        str | None, typer.Option(metavar="WHO", help="Only of this one, such as user:KEY-ID or adoption.")
    ] = None,
    target: Annotated[str | None, typer.Option(metavar="ID", help="Only about this instance, key or machine.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="At most so many.", min=1)] = 50,
    as_json: inputs.AsJson = False,
) -> None:
    """What was done, newest first. Needs an admin key."""
    with session(ctx, as_json=as_json).client() as client:
        found = []
        for entry in client.audit(by=by, target=target):
            found.append(entry)
            if len(found) == limit:
                break
    if as_json:
        print_json(found)
        return
    from novitai_client.cli import tables

    console().print(tables.audit(found) if found else "Nothing was done yet.")


def verify(ctx: typer.Context, as_json: inputs.AsJson = False) -> None:
    """Walk along the chain of seals; ends with 1 when it does not hold. Needs an admin key."""
    with session(ctx, as_json=as_json).client() as client:
        report = client.verify_audit()
    if as_json:
        print_json(client.last_body)
    else:
        typer.echo(f"{report.entries} entries under {report.seals} seals; {report.unsealed} not sealed yet.")
        typer.echo(f"Head: {report.head or 'none'}. Kept elsewhere, it shows later whether the end was cut off.")
        for problem in report.problems:
            where = f"Seal {problem.seal}: " if problem.seal else ""
            typer.echo(f"{where}{problem.problem}", err=True)
        typer.echo("The chain holds." if report.intact else "THE CHAIN IS BROKEN.", err=not report.intact)
    if not report.intact:
        raise typer.Exit(1)
