"""What one run of the command line shares: where the server is, and how results are printed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from novitai_client.cli.recorder import Recorder

# Wide enough that a pipe gets whole rows; a terminal says its own width.
_PIPE_WIDTH = 220


class Session:
    """The global options, and whether the verb was asked for JSON."""

    def __init__(self, *, url: str | None, api_key: str | None) -> None:
        self._url = url
        self._api_key = api_key
        self.as_json = False

    @contextmanager
    def client(self) -> Iterator["Recorder"]:
        """A client of the server. Raises SettingsError."""
        from novitai_client.cli.recorder import Recorder

        with Recorder(self._url, self._api_key) as client:
            yield client


def session(ctx: typer.Context, *, as_json: bool = False) -> Session:
    """The session of this run; the verb says whether it prints JSON."""
    found = ctx.find_object(Session)
    assert found is not None  # the program's callback has put it there
    found.as_json = as_json
    return found


def console(*, stderr: bool = False) -> "Console":
    """Where results (or, on stderr, progress and failures) go: plain text without colour unless it is a terminal."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made = Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=_PIPE_WIDTH, no_color=True)
    return made


def print_json(body: bytes | Any, *, stderr: bool = False) -> None:
    """A result for programs: the server's own JSON, indented."""
    import msgspec

    text = body if isinstance(body, bytes) else msgspec.json.encode(body)
    typer.echo(msgspec.json.format(text, indent=2).decode(), err=stderr)
