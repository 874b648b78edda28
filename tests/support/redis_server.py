"""A real redis-server of one's own: on a free port, in a folder that is thrown away, with its append-only file on."""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_READY = "Ready to accept connections"


class RedisServer:
    """A server that can be stopped and started again over the same data and port."""

    def __init__(self, program: str, folder: Path, *, appendfsync: str) -> None:
        self._program = program
        self._folder = folder
        self._appendfsync = appendfsync
        self._process: subprocess.Popen[str] | None = None
        self.port = _free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it; returns when it accepts connections."""
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._folder),
            "save": "",
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([self._program, *arguments], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        told = []
        for line in self._process.stdout:
            told.append(line)
            if _READY in line:
                return
        raise RuntimeError("redis-server did not start:\n" + "".join(told))

    def stop(self, *, kill: bool = False) -> None:
        """End it, in order or as by a power cut of the process; stopping twice is fine."""
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.communicate()
        self._process = None


@contextlib.contextmanager
def running_redis(folder: Path, *, appendfsync: str = "everysec") -> Iterator[RedisServer]:
    """A started server, stopped at the end. Skips the test where no redis-server is installed."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server, which is not installed (Debian: apt-get install redis-server)")
    server = RedisServer(program, folder, appendfsync=appendfsync)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
