"""What a server says when it cannot start: one readable line for each thing that is wrong, no stack trace, no secret, an exit code."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from support.sites import KEY, NOVITA_KEY, WEBHOOK_SECRET, Site

FAILED, USAGE = 1, 2
ANOTHER_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

WRONG_SETTINGS: dict[str, tuple[dict[str, str | None], list[list[str]]]] = {
    "no Novita key": ({"NOVITA_API_KEY": None}, [["NOVITA_API_KEY", "not set"]]),
    "a Novita key too short": ({"NOVITA_API_KEY": "abc"}, [["NOVITA_API_KEY=***", "at least 6"]]),
    "a duration without its unit": ({"REQUEST_TIMEOUT": "30000"}, [["REQUEST_TIMEOUT=30000", "did you mean 30s?"]]),
    "a duration that is none": ({"NOVITA_SETTLE_TIME": "soon"}, [["NOVITA_SETTLE_TIME=soon", "Allowed"]]),
    "an unknown value": ({"NOVITAI_MODE": "watch"}, [["NOVITAI_MODE=watch", "control", "observe"]]),
    "a port beyond all ports": ({"PORT": "70000"}, [["PORT=70000", "65535"]]),
    "a store of an unknown kind": ({"NOVITAI_STORE": "mysql://db"}, [["NOVITAI_STORE", "sqlite"]]),
    "a secrets key that is none": (
        {"NOVITAI_SECRETS_KEY": "tell-nobody"},
        [["NOVITAI_SECRETS_KEY=***", "openssl rand"]],
    ),
    "a secret file that is not there": (
        {"NOVITA_API_KEY": None, "NOVITA_API_KEY_FILE": "/gone"},
        [["NOVITA_API_KEY_FILE=/gone"]],
    ),
    "several at once": (
        {"PORT": "http", "LOG_LEVEL": "loud", "WEBHOOK_RETRY_ON": "2xx"},
        [["PORT=http"], ["WEBHOOK_RETRY_ON=2xx"], ["LOG_LEVEL=loud", "debug"]],
    ),
}


@pytest.mark.parametrize(("settings", "expected"), WRONG_SETTINGS.values(), ids=list(WRONG_SETTINGS))
async def test_a_wrong_setting_is_told_in_one_line_of_its_own(
    site: Site, settings: dict[str, str | None], expected: list[list[str]]
) -> None:
    """One line per variable: its name, what was found, what is allowed."""
    process = await site.run("serve", **settings)

    code = await process.end()

    assert code == USAGE
    assert process.lines[0] == "novitai cannot start; these settings are wrong:"
    assert len(process.lines) == 1 + len(expected)
    for line, words in zip(process.lines[1:], expected, strict=True):
        assert all(word in line for word in words), line
    assert_tells_no_secret(process.lines)


def occupied(site: Site) -> dict[str, str]:
    taken = socket.create_server(("127.0.0.1", 0))
    site.belongings.append(taken)
    return {"PORT": str(taken.getsockname()[1])}


def no_directory(site: Site) -> dict[str, str]:
    site.data.write_text("a file")
    return {}


def unwritable(site: Site) -> dict[str, str]:
    """Nobody may write below /proc, not even root, whom the mode of a directory does not stop."""
    if os.geteuid() == 0:
        return {"NOVITAI_DATA_DIR": "/proc/novitai-data"}
    site.data.mkdir(mode=0o500)
    return {}


def damaged(site: Site) -> dict[str, str]:
    site.data.mkdir(mode=0o700)
    (site.data / "novitai.db").write_bytes(b"no database " * 1000)
    return {}


def key_file_damaged(site: Site) -> dict[str, str]:
    site.data.mkdir(mode=0o700)
    (site.data / "secrets.key").write_text("no key\n")
    return {}


BAD_GROUND: dict[str, tuple[Any, list[str]]] = {
    "no key of our own": (lambda _: {"NOVITAI_API_KEY": None}, ["novitai keys generate", "NOVITAI_API_KEY"]),
    "the port is taken": (occupied, ["cannot listen on 127.0.0.1", "already in use"]),
    "the data directory is a file": (no_directory, ["{data}"]),
    "nothing can be written": (unwritable, ["{data}"]),
    "the database is damaged": (damaged, ["{data}/novitai.db", "not a database"]),
    "the key file is damaged": (key_file_damaged, ["{data}/secrets.key", "does not hold a key"]),
}


@pytest.mark.parametrize(("spoil", "expected"), BAD_GROUND.values(), ids=list(BAD_GROUND))
async def test_a_start_that_fails_ends_with_one_readable_line(site: Site, spoil: Any, expected: list[str]) -> None:
    """The line names what is wrong and where; the process ends by itself, at once."""
    settings = spoil(site)
    data = settings.get("NOVITAI_DATA_DIR", str(site.data))

    process = await site.run("serve", **settings)
    code = await process.end(seconds=10)

    told = [entry for entry in process.entries() if entry["level"] == "error"]
    assert code == FAILED
    assert [entry["event"] for entry in told] == ["cannot_start"]
    assert all(word.format(data=data) in told[0]["why"] for word in expected), told[0]["why"]
    assert len(told[0]["why"].splitlines()) == 1
    assert_tells_no_secret(process.lines)
    if "PORT" in settings:
        assert settings["PORT"] in told[0]["why"]


async def test_a_second_server_on_one_directory_is_refused_by_name(site: Site) -> None:
    """One process at a time serves a store; the first one does not notice."""
    first = await site.serve()

    second = await site.run("serve")
    code = await second.end(seconds=10)

    why = second.entries()[-1]["why"]
    assert code == FAILED
    assert str(site.data / "novitai.db") in why
    assert f"pid {first.process.pid}" in why
    assert (await first.ask("GET", "/healthz"))[0] == 200


async def test_a_store_that_was_sealed_with_another_key_is_not_served(site: Site) -> None:
    """Found out at the start, not when a machine is bought without its environment."""
    first = await site.serve()
    await first.create("sealed", envs=[{"key": "TOKEN", "value": "hidden"}])
    await first.process.terminate()

    second = await site.run("serve", NOVITAI_SECRETS_KEY=ANOTHER_KEY)
    code = await second.end(seconds=10)

    assert code == FAILED
    assert "NOVITAI_SECRETS_KEY" in second.entries()[-1]["why"]
    assert_tells_no_secret([*second.lines, *first.process.lines], ANOTHER_KEY, "hidden")


def assert_tells_no_secret(lines: list[str], *more: str) -> None:
    text = "\n".join(lines)
    for secret in (KEY, NOVITA_KEY, WEBHOOK_SECRET, "tell-nobody", *more):
        assert secret not in text
    assert "Traceback" not in text
    assert Path(__file__).name not in text
