"""The demo as a process: how a test starts it, and what can be seen of it from outside."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
Living = Callable[[], dict[int, str]]


def environment(folder: Path) -> dict[str, str]:
    """The caller's, with everything in it that a demo must not heed; what it writes goes below `folder`."""
    hostile = {
        "NOVITA_API_KEY": "a-real-key",
        "NOVITA_API_BASE_URL": "http://127.0.0.1:9",
        "NOVITAI_URL": "http://127.0.0.1:9",
        "NOVITAI_API_KEY": "nvk_of_another_server",
        "NOVITAI_MODE": "observe",
        "WEBHOOK_URL": "http://127.0.0.1:9/hooks",
        "HEALTH_CHECK_INTERVAL": "not a duration",
        "PORT": "9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, **hostile, "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(folder)}


def run_demo(folder: Path, *, stdout: int = subprocess.PIPE, **more: str) -> "subprocess.Popen[str]":
    """Start the demo in a place whose `.env` is wrong, too."""
    here = folder / "here"
    here.mkdir()
    (here / ".env").write_text("PORT=none\nNOVITA_API_KEY=another-real-key\n", encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-m", "novitai_main", "demo"],
        env={**environment(folder), **more},
        cwd=here,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes_below(folder: Path) -> dict[int, str]:
    """Processes that work below a folder, by id, with their command."""
    found = {}
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdigit() and (place / "cwd").readlink().is_relative_to(folder):
                found[int(place.name)] = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A demo that ran to its end: what it told, how it ended, and what was left of it."""

    story: str
    exit_code: int
    processes: dict[int, str]
    files: list[str]
