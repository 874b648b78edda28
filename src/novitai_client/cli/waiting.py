"""`--wait [SECONDS]`: following an instance until it is ready, with each state as it comes and the time it took."""

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from novitai_client.cli.session import console

if TYPE_CHECKING:
    from novitai_client.cli.recorder import Recorder
    from novitai_client.models import Instance

DEFAULT_SECONDS = 1800.0
WaitOption = Annotated[
    float | None,
    typer.Option(
        "--wait",
        metavar="[SECONDS]",
        min=1,
        help=f"Wait until it is ready, at most so long (default {DEFAULT_SECONDS:.0f}).",
    ),
]

_MEANING = {
    "creating": "looking for a machine and asking Novita for it",
    "starting": "Novita is starting the machine",
    "running": "the machine runs; the application may not answer yet",
    "health_checking": "asking the application whether it answers",
    "ready": "the application answers",
    "migrating": "moving to another machine",
    "stopping": "stopping first",
}


class WaitingCommand(TyperCommand):
    """A verb with `--wait`, whose seconds may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(with_seconds(args)))


def with_seconds(args: Sequence[str]) -> Iterator[str]:
    """The arguments with the default behind each `--wait` that no number follows."""
    for place, word in enumerate(args):
        if word == "--":
            yield from args[place:]
            return
        following = args[place + 1] if place + 1 < len(args) else ""
        yield f"--wait={DEFAULT_SECONDS:.0f}" if word == "--wait" and not _number(following) else word


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def wait_until_ready(client: "Recorder", instance: str, seconds: float) -> "Instance":
    """Wait, telling each state on stderr. Raises what the client raises."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    out = console(stderr=True)
    begun = monotonic()
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as progress:
        spinner = progress.add_task("waiting for ready", total=None)

        def tell(state: "Instance") -> None:
            progress.update(spinner, description=f"{state.name} is {state.status}")
            out.print(line(state, monotonic() - begun))

        return client.wait_until_ready(instance, seconds, on_change=tell)


def line(state: "Instance", elapsed: float) -> str:
    """One state on one line: when, what, and what it means."""
    minutes, seconds = divmod(int(elapsed), 60)
    said = state.last_error.message if state.last_error else _MEANING.get(state.status, "")
    return f"{minutes:3}:{seconds:02}  {state.status:<15}  {said}".rstrip()
