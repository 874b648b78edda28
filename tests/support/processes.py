"""Our programs as real processes: started, waited for by what they log, told to stop, killed."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).resolve().parents[2] / "src"
TESTS = Path(__file__).resolve().parents[1]


class Forks:
    """Starts our programs by forking a process that has imported them; see forking.py.

    Another program may stand in for that one: it does the same, after it has put something in place of a part of ours.
    """

    def __init__(self, program: Path = TESTS / "support" / "forking.py") -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._wire = ours
        environment = plain_environment() | {"PYTHONPATH": f"{SOURCES}{os.pathsep}{TESTS}"}
        self._process = subprocess.Popen(
            [sys.executable, str(program), str(theirs.fileno())], env=environment, pass_fds=(theirs.fileno(),)
        )
        theirs.close()
        assert self._answer() == "ready"

    def start(self, argv: list[str], environment: dict[str, str], folder: Path, *, output: int, errors: int) -> int:
        """The pid of a new process."""
        request = {"argv": argv, "environment": environment, "folder": str(folder)}
        socket.send_fds(self._wire, [json.dumps(request).encode()], [output, errors])
        return self._answer()

    def wait(self, pid: int) -> int:
        """The exit code; blocks until the process has ended."""
        self._wire.send(json.dumps({"wait": pid}).encode())
        return self._answer()

    def close(self) -> None:
        self._wire.close()
        self._process.wait(10)

    def _answer(self) -> Any:
        return json.loads(self._wire.recv(4096))


class Process:
    """One of our programs as a process. `lines` is what it wrote to standard error."""

    def __init__(self, pid: int, forks: Forks, output: asyncio.StreamReader, errors: asyncio.StreamReader) -> None:
        self.pid = pid
        self.lines: list[str] = []
        self.code: int | None = None
        self._forks = forks
        self._news = asyncio.Condition()
        self._ended = False
        self._output = asyncio.create_task(output.read())
        self._reading = asyncio.create_task(self._read(errors))

    @classmethod
    async def start(cls, forks: Forks, argv: list[str], environment: dict[str, str], folder: Path) -> "Process":
        output, output_end = await _pipe()
        errors, errors_end = await _pipe()
        try:
            pid = forks.start(argv, environment, folder, output=output_end, errors=errors_end)
        finally:
            os.close(output_end)
            os.close(errors_end)
        return cls(pid, forks, output, errors)

    async def end(self, *, seconds: float = 20.0) -> int:
        """Wait for its end; the exit code. It is killed when that takes too long."""
        if self.code is None:
            try:
                async with asyncio.timeout(seconds):
                    await asyncio.shield(self._reading)
            except TimeoutError:
                self._send(signal.SIGKILL)
                raise
            finally:
                await self._reading
                self.code = self._forks.wait(self.pid)
        return self.code

    async def output(self) -> str:
        """What it wrote to standard output, at its end."""
        return (await self._output).decode()

    async def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self._send(signal.SIGKILL)
        await self.end()

    async def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self._send(signal.SIGTERM)
        return await self.end()

    async def logged(self, event: str, *, seconds: float = 20.0) -> dict[str, Any]:
        """Wait for the first event of a name in the log."""

        def found() -> dict[str, Any] | None:
            return next((entry for entry in self.entries() if entry.get("event") == event), None)

        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: found() is not None or self._ended)
        entry = found()
        assert entry is not None, f"ended without {event}:\n" + "\n".join(self.lines)
        return entry

    def entries(self) -> list[dict[str, Any]]:
        """The log, entry by entry."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def _send(self, number: signal.Signals) -> None:
        if self.code is None:
            os.kill(self.pid, number)  # not reaped before `end`, so the pid is still its own

    async def _read(self, errors: asyncio.StreamReader) -> None:
        while line := await errors.readline():
            async with self._news:
                self.lines.append(line.decode(errors="replace").rstrip("\n"))
                self._news.notify_all()
        async with self._news:
            self._ended = True
            self._news.notify_all()


def plain_environment() -> dict[str, str]:
    """What a process of ours needs of this one's environment, without any setting."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"PYTHONPATH": str(SOURCES), "NO_COLOR": "1"}


async def _pipe() -> tuple[asyncio.StreamReader, int]:
    reading, writing = os.pipe()
    reader = asyncio.StreamReader(limit=2**22)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", buffering=0)
    )
    return reader, writing
