"""Our programs as a user starts them: a new interpreter each time, which imports everything. For what is measured from the start of the
process; all else may be forked (processes.Forks), which takes a thirtieth of the time.
"""

import subprocess
import sys
from pathlib import Path

from support.processes import SOURCES, TESTS


class Fresh:
    """Starts our programs as new interpreters; used like `Forks`. `program`: a file that does the same after it has put something in place
    of a part of ours.
    """

    def __init__(self, program: Path = SOURCES / "novitai_main.py") -> None:
        self._program = program
        self._started: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, argv: list[str], environment: dict[str, str], folder: Path, *, output: int, errors: int) -> int:
        """The pid of a new process."""
        process = subprocess.Popen(
            [sys.executable, str(self._program), *argv],
            env=environment | {"PYTHONPATH": f"{SOURCES}:{TESTS}"},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        self._started[process.pid] = process
        return process.pid

    def wait(self, pid: int) -> int:
        """The exit code; blocks until the process has ended."""
        return self._started.pop(pid).wait()

    def close(self) -> None:
        """Nothing is kept."""
