"""`novitai doctor` as people and programs run it: exit codes, JSON, Ctrl-C, and no secret in what it prints."""

import json
import os
import signal
import socket

import pytest

from support.sites import KEY, NOVITA_KEY, WEBHOOK_SECRET, Site

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
FIELDS = {"exitCode", "checks", "facts", "live"}
SECRETS = (KEY, NOVITA_KEY, WEBHOOK_SECRET, "sim-internal-key")


async def test_doctor_beside_a_running_server(site: Site) -> None:
    """The store is left to its holder, who is asked; JSON has a fixed form, and no secret is printed."""
    port = _free_port()
    await site.serve(PORT=str(port))

    process = await site.run("doctor", "--json", "--ping", PORT=str(port))
    code, output = await process.end(), await process.output()

    told = json.loads(output)
    checks = {one["name"]: one for one in told["checks"]}
    assert (code, set(told), told["exitCode"], told["live"]) == (OK, FIELDS, OK, None)
    assert all(set(one) == {"name", "level", "found", "advice"} for one in told["checks"])
    assert {one["level"] for one in told["checks"]} <= {"ok", "warn", "FAIL"}
    assert all(
        set(one) == {"fact", "question", "expected", "restsOnIt", "verifiedAt", "value", "level", "advice"}
        for one in told["facts"]
    )
    assert "open in a running process" in checks["store"]["found"]
    assert "is healthy" in checks["own server"]["found"]
    assert checks["webhook ping"]["level"] == "ok"
    assert not [secret for secret in SECRETS if secret in output + "\n".join(process.lines)]


async def test_a_live_run_as_a_process(site: Site) -> None:
    """It says each step, ends with 0, leaves no machine and prints no secret."""
    process = await site.run("doctor", "--live", "--max-spend", "0.2", "--yes")
    code, output = await process.end(seconds=60), await process.output()

    assert code == OK, output
    assert "lived and is gone" in output
    assert any("wait until it is running" in line for line in process.lines)
    assert len(site.simulator.world.gone) == 1
    assert site.simulator.world.machines == {}
    assert not [secret for secret in SECRETS if secret in output + "\n".join(process.lines)]


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, FAILED)])
async def test_a_signal_in_the_middle_leaves_no_machine(site: Site, number: signal.Signals, expected: int) -> None:
    """The machine is there, somebody has enough of it, and it is gone before the process is."""
    site.perform("config", {"speed": 4})
    process = await site.run("doctor", "--live", "--yes")
    await site.until(lambda: bool(site.simulator.world.machines))

    site.perform("config", {"speed": 400})
    os.kill(process.pid, number)
    code = await process.end()

    assert code == expected
    assert site.simulator.world.machines == {}
    assert "interrupted" in await process.output()


@pytest.mark.parametrize(
    "argv", [("--live",), ("--max-spend", "1"), ("--yes",), ("--live", "--yes", "--max-spend", "0"), ("--no-such",)]
)
async def test_what_makes_no_sense_is_refused(site: Site, argv: tuple[str, ...]) -> None:
    """Without a terminal nobody can agree, so --yes must stand there."""
    process = await site.run("doctor", *argv)

    assert await process.end() == USAGE
    assert site.calls() == []


async def test_an_installation_that_only_observes_rents_nothing(site: Site) -> None:
    """NOVITAI_MODE=observe changes nothing on Novita."""
    process = await site.run("doctor", "--live", "--yes", NOVITAI_MODE="observe")

    assert await process.end() == USAGE
    assert site.calls() == []


async def test_each_wrong_setting_is_a_line(site: Site) -> None:
    """All at once, with what is allowed."""
    process = await site.run("doctor", AUTO_STOP_THRESHOLD="20", PORT="-1", NOVITA_SETTLE_TIME="soon")
    code, output = await process.end(), await process.output()

    failed = [line for line in output.splitlines() if line.startswith("FAIL")]
    assert code == FAILED
    assert all(any(name in line for line in failed) for name in ("PORT", "NOVITA_SETTLE_TIME"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
