"""The processes of the demo: how they begin, what they may know of the caller, and how they surely end.

A child sees a settings-free environment and an empty folder, so neither the caller's variables nor a `.env` reach it.
What it says goes into a file, whose last lines are shown when something goes wrong.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from novitai_demo.errors import DemoFailed

STOP_SECONDS = 10.0
TAIL_LINES = 15
_SERVED = re.compile(r"request_served.* status=2\d\d")
_KEPT = ("PATH", "HOME", "LANG")


class Child:
    """A running `novitai` command. `log` holds what it said."""

    def __init__(self, name: str, arguments: Sequence[str], *, settings: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self._process = _spawn(arguments, settings=settings, folder=folder, log=log)

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def check(self) -> None:
        """Raises DemoFailed when the process has ended by itself."""
        if self.ended:
            raise DemoFailed(f"the {self.name} ended by itself with exit code {self._process.returncode}")

    def said(self) -> str:
        """Everything that it said so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def tail(self) -> str:
        """The last lines of what it said, without the requests that went well: those were our own."""
        lines = [line for line in self.said().splitlines() if not _SERVED.search(line)]
        return "\n".join(lines[-TAIL_LINES:])

    def stop(self) -> None:
        """Ask it to end and wait; after ten seconds it is killed. Stopping twice is fine."""
        if not self.ended:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


def output_of(arguments: Sequence[str], *, folder: Path) -> str:
    """What a short `novitai` command prints. Raises DemoFailed."""
    command = [sys.executable, "-m", "novitai_main", *arguments]
    done = subprocess.run(  # noqa: S603 - our own program
        command, env=environment({}), cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise DemoFailed(f"novitai {' '.join(arguments)} ended with exit code {done.returncode}:\n{done.stderr}")
    return done.stdout.strip()


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """All that a child gets to know: how to find programs, and these settings."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    places = [str(Path(place).resolve()) for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    if places:
        kept["PYTHONPATH"] = os.pathsep.join(places)
    return {**kept, **settings}


def _spawn(
    arguments: Sequence[str], *, settings: Mapping[str, str], folder: Path, log: IO[bytes]
) -> "subprocess.Popen[bytes]":
    # A session of its own: Ctrl-C in the terminal is for the demo, which then ends its children in order.
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "novitai_demo.leash", *arguments],
        env=environment(settings),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
