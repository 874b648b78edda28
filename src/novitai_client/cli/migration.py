"""`novitai migration`: whether moves are looked after, and machines that hang in one that failed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from novitai_client.cli import inputs
from novitai_client.cli.session import print_json, session

if TYPE_CHECKING:
    from novitai_client.models import FailedMigration, MigrationCheck, MigrationStatus

_DONE = {"replace": "replaced by", "tell": "told"}
_WOULD = {"replace": "would be replaced by", "tell": "would be told"}


def verbs() -> typer.Typer:
    """A new group of the verbs of `novitai migration`."""
    app = typer.Typer(help="Spot machines that are moved, and moves that failed.", no_args_is_help=True)
    app.command("status")(status)
    app.command("check-failed")(check_failed)
    app.command("trigger")(trigger)
    return app


def status(ctx: typer.Context, as_json: inputs.AsJson = False) -> None:
    """How moves are looked after: what was done, who is left alone and why, how long recovery took."""
    with session(ctx, as_json=as_json).client() as client:
        found = client.migration_status()
    if as_json:
        print_json(client.last_body)
        return
    _say(_status(found))


def check_failed(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")] = False,
    as_json: inputs.AsJson = False,
) -> None:
    """Look for machines that hang in a migration that failed, and replace them under the same id."""
    with session(ctx, as_json=as_json).client() as client:
        found = client.check_failed_migrations(immediate=None if dry_run else True, dry_run=dry_run or None)
    if as_json:
        print_json(client.last_body)
        return
    _say(_checked(found))


def trigger(ctx: typer.Context, as_json: inputs.AsJson = False) -> None:
    """Look after moves now, without waiting for the time of the next look."""
    with session(ctx, as_json=as_json).client() as client:
        done = client.trigger_migration()
    if as_json:
        print_json(client.last_body)
        return
    typer.echo(f"Job {done.job_id} looks after moves now: {done.message}.")


def _say(lines: Iterator[str]) -> None:
    from novitai_client.cli.tables import shown

    for line in lines:
        typer.echo(shown(line))


def _status(found: "MigrationStatus") -> Iterator[str]:
    from novitai_client.cli.tables import when

    moves, repairs, health = found.status, found.status.failed_migrations, found.health_details
    yield f"Moves are {health.status}" + (f": {'; '.join(health.issues)}" if health.issues else "")
    yield f"Last look {when(moves.last_execution) or 'none yet'}, every {moves.interval_minutes:g} minutes at the latest"
    yield f"In a week {moves.begun} begun, {moves.moved} moved, {moves.failed} failed; {moves.under_way} under way now"
    recovery = moves.recovery_seconds
    if recovery.median is not None and recovery.worst is not None:
        yield f"Recovery took {recovery.median:.0f} s (median), {recovery.worst:.0f} s at worst"
    yield (
        f"Failed migrations: {repairs.failed_jobs_found} found in {repairs.total_executions} checks; "
        f"{repairs.instances_recreated} replaced, {repairs.instances_told} told, {repairs.errors} put off"
    )
    for one in moves.skipped:
        yield f"{one.name} is left alone: {one.reason}"


def _checked(found: "MigrationCheck") -> Iterator[str]:
    yield found.message
    for one in found.result.candidates if found.result is not None else ():
        yield f"{one.name} ({one.instance_id}, machine {one.novita_instance_id}): {one.because}"
        if one.remedy != "nothing" or one.error:
            yield f"  {_came_of(one)}"


def _came_of(one: "FailedMigration") -> str:
    if one.outcome in {"put_off", "waits"}:
        return f"not now: {one.error}"
    if one.outcome == "told_before":
        return f"told before: {one.why}"
    words = (_WOULD if one.outcome == "would" else _DONE).get(one.remedy, one.remedy)
    where = ""
    if one.offer is not None:
        offer = one.offer
        where = f" {offer.product_name} in {offer.region} as {offer.billing_mode}, {offer.price_per_hour:g} USD/h"
    return f"{words}{where}: {one.why}"
