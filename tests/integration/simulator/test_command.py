"""The command runs as a process of its own and stops cleanly."""

import asyncio
import json
import signal
import sys

import aiohttp
import pytest


async def launch(*arguments):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "novita_simulator",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": "src", "PATH": ""},
    )


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
async def test_it_says_where_it_listens_and_ends_with_zero(stop_signal, tmp_path):
    """The first line is for machines, the settings for people; a signal ends it within seconds."""
    scenario = tmp_path / "scenario.json"
    scenario.write_text(json.dumps({"machines": [{"name": "m", "productId": "26"}], "key": "k-1"}))

    process = await launch("--port", "0", "--speed", "60", "--scenario", str(scenario))
    url = (await process.stdout.readline()).decode().removeprefix("listening on ").strip()
    async with aiohttp.ClientSession() as session, session.get(f"{url}/_sim/state") as response:
        state = await response.json()
    process.send_signal(stop_signal)
    output, errors = await asyncio.wait_for(process.communicate(), 10)

    assert state["config"]["speed"] == 60
    assert state["counts"] == {"running": 1}
    settings = dict(line.strip().split("=") for line in output.decode().splitlines() if "=" in line)
    assert settings == {
        "NOVITA_API_BASE_URL": f"{url}/gpu-instance/openapi",
        "NOVITA_INTERNAL_API_BASE_URL": url,
        "NOVITA_API_KEY": "k-1",
        "NOVITA_INTERNAL_API_KEY": "sim-internal-key",
        "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
        "HEALTH_CHECK_ALLOW_CIDRS": "127.0.0.0/8",
    }
    assert (process.returncode, errors) == (0, b"")


async def test_a_wrong_scenario_is_a_usage_error_that_names_the_field(tmp_path):
    """Exit code 2 and one line on standard error."""
    scenario = tmp_path / "scenario.json"
    scenario.write_text('{"switches": {"pageBase": "two"}}')

    process = await launch("--port", "0", "--scenario", str(scenario))
    output, errors = await asyncio.wait_for(process.communicate(), 10)

    assert (process.returncode, output) == (2, b"")
    assert b"switches.pageBase" in errors


async def test_a_port_that_is_taken_is_said(tmp_path):
    """Exit code 1."""
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]

    process = await launch("--port", str(port))
    _, errors = await asyncio.wait_for(process.communicate(), 10)
    taken.close()

    assert process.returncode == 1
    assert b"cannot listen" in errors
