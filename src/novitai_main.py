"""The command `novitai`: finds out which of the programs is meant and hands over.

It stands outside the three packages because they never import one another: the first word decides between server,
simulator, demo and client, and only that one is loaded. The base install is the client; a verb whose program needs more
says which extra brings it.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from novitai_client.cli import Verb
from novitai_client.cli import main as client_main


class Program(NamedTuple):
    """A program beside the client: its module with `main(argv) -> int`, and the extra that brings what it needs."""

    module: str
    extra: str


SERVER = Program("novitai.cli", "server")
SIMULATOR = Program("novita_simulator.cli", "simulator")
DEMO = Program("novitai_demo", "server")
OUR_PACKAGES = frozenset({"novitai", "novitai_client", "novita_simulator", "novitai_demo"})


def main() -> int:
    """Run the command line of this process; the exit code."""
    argv = sys.argv[1:]
    for verb in VERBS:
        if tuple(argv[: len(verb.words)]) == verb.words:
            return verb.run(argv[len(verb.words) :])
    return client_main(argv, VERBS)


def run(program: Program, argv: Sequence[str]) -> int:
    """Load a program and run it. Without its extra: a message that names it, and 1."""
    try:
        code: int = import_module(program.module).main(list(argv))
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] in OUR_PACKAGES:
            raise
        sys.stderr.write(
            f"novitai: this needs the package {missing.name!r}, which is not installed."
            f" Install it with: pip install 'novitai[{program.extra}]'\n"
        )
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone, as `| head` does; what is still buffered must not complain at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _server(words: str, summary: str) -> Verb:
    named = tuple(words.split())
    return Verb(named, summary, "Server", lambda argv: run(SERVER, [*named, *argv]))


VERBS = (
    _server("serve", "Run the server; settings come from the environment and .env."),
    _server("config", "Print every setting with value, source and meaning."),
    _server("doctor", "Check the installation, and what it takes for granted about Novita."),
    _server("keys generate", "Make a first key, without a server."),
    _server("secrets rotate", "Encrypt what is stored with a new key, while no server runs."),
    Verb(
        ("simulate",),
        "Run a stand-in for Novita; nothing costs money.",
        "Trying it out",
        lambda argv: run(SIMULATOR, argv),
    ),
    Verb(("demo",), "See server and simulator work together.", "Trying it out", lambda argv: run(DEMO, argv)),
)


if __name__ == "__main__":
    sys.exit(main())
