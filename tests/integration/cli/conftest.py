"""The command line in this process against the stand-in server, and as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from novitai_client.cli.program import program
from unit.client.stand_in import StandIn

SOURCE = Path(__file__).resolve().parents[3] / "src"
Novitai = Callable[..., Result]
Process = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def novitai(server: StandIn) -> Novitai:
    """Run a command line in this process."""

    def run(*args: str) -> Result:
        return CliRunner(env={"NOVITAI_URL": server.url, "NOVITAI_API_KEY": "nvk_k1_s"}).invoke(program(), list(args))

    return run


@pytest.fixture
def environment(server: StandIn) -> dict[str, str]:
    """The environment of a process that runs the command line."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("NOVITAI", "NO_COLOR", "FORCE_COLOR"))
    }
    return {**kept, "PYTHONPATH": str(SOURCE), "NOVITAI_URL": server.url, "NOVITAI_API_KEY": "nvk_k1_s"}


@pytest.fixture
def process(environment: dict[str, str]) -> Process:
    """Run a command line as a process without a terminal."""

    def run(*args: str, **more: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "novitai_main", *args]
        return subprocess.run(
            command,
            env={**environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    return run
