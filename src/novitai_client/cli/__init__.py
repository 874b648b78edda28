"""The command line: verbs for people and scripts, built on the client alone; it can do nothing that the client cannot.

`main` runs it. Programs that share the command (`novitai serve`, `novitai simulate`) are handed in as verbs, so that help
and completion know them; this package never imports them.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Verb(NamedTuple):
    """A verb of another program: its words (`serve`, `keys generate`), what it does, the group of the help it belongs
    to, and how to run it with the arguments after the words.
    """

    words: tuple[str, ...]
    summary: str
    group: str
    run: Callable[[Sequence[str]], int]


def main(argv: Sequence[str] | None = None, others: Sequence[Verb] = ()) -> int:
    """Run a command line (of this process when `argv` is None); the exit code."""
    from novitai_client.cli.program import program

    try:
        program(others)(args=None if argv is None else list(argv), prog_name="novitai")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0
