"""Real third-party clients of Novita, each in a process of its own, against a simulator in another."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PEER_PYTHON = ROOT / ".peers" / "bin" / "python"
DRIVERS = Path(__file__).parent / "drivers"
SPEED = "400"


def pytest_collection_modifyitems(items):
    """Without their environment the peers cannot run; say how to get it."""
    if PEER_PYTHON.exists():
        return
    for item in items:
        if item.get_closest_marker("peers"):
            item.add_marker(pytest.mark.skip(reason="the third-party clients are not installed: run `make setup`"))


@pytest.fixture
async def simulator_url():
    """A simulator as a user starts it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "novita_simulator",
        "--port",
        "0",
        "--speed",
        SPEED,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
    )
    try:
        line = await process.stdout.readline()
        yield line.decode().removeprefix("listening on ").strip()
    finally:
        process.terminate()
        await process.communicate()


@pytest.fixture
def drive(simulator_url):
    """Run a driver with the peers' own Python; what it prints as JSON is the answer."""

    async def run(driver, *arguments):
        process = await asyncio.create_subprocess_exec(
            PEER_PYTHON,
            DRIVERS / driver,
            simulator_url,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"NOVITA_API_KEY": "sim-key", "PATH": "", "LANG": "C.UTF-8"},
        )
        output, errors = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, errors.decode() + output.decode()
        return json.loads(output)

    return run
