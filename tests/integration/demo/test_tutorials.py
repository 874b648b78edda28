"""The tutorials, run as they are written: their shell blocks one after the other in one shell, on ports that are free."""

import os
import re
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What a reader does once, before the tutorial proper; here it is done already.
INSTALLING = re.compile(r"^(make|pip install|\. \.venv/bin/activate).*\n", re.MULTILINE)
PORTS = ("8088", "8090", "3000")


def free_ports(count: int) -> list[str]:
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [str(probe.getsockname()[1]) for probe in probes]


def script_of(page: Path) -> str:
    """The page's commands, with other ports."""
    text = INSTALLING.sub("", "".join(BLOCK.findall(page.read_text(encoding="utf-8"))))
    for port, free in zip(PORTS, free_ports(len(PORTS)), strict=True):
        text = re.sub(rf"\b{port}\b", free, text)
        if port == "3000":
            text = f"export PORT={free} NOVITAI_URL=http://127.0.0.1:{free}\n{text}"
    return f"set -e\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{text}"


@pytest.mark.parametrize("name", ["first-instance", "rehearse"])
def test_the_commands_of_a_tutorial_work(name: str, tmp_path: Path) -> None:
    """A reader who copies every block ends with the result that the page tells of, and no command fails."""
    (tmp_path / "client-examples").symlink_to(ROOT / "client-examples")
    kept = {"HOME": os.environ.get("HOME", "/"), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    done = subprocess.run(
        ["bash", "-c", script_of(ROOT / "docs" / "tutorial" / f"{name}.md")],
        env={**kept, "PYTHONUNBUFFERED": "1", "INSTANCE_POLL_INTERVAL": "2s", "PYTHONPATH": str(ROOT / "src")},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )

    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert re.search(r"status +ready", told)
    if name == "first-instance":
        assert re.search(r"^ +9  instance\.ready +ready", told, re.MULTILINE)
        assert "\n401\n" in told
    else:
        assert told.count('"name": "second-') == 1
        assert "instance.reclaimed" in told
