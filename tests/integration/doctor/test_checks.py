"""Without --live doctor looks and changes nothing: each thing is ok, worth a warning, or failed, with what to do about it."""

import base64
import fcntl
import sqlite3
from contextlib import closing

import pytest

from integration.doctor.conftest import Clinic, Open, check
from novitai.app import sealing
from novitai.doctor.report import FAILED, OK, Level, exit_code
from novitai.stores.sqlite import open_sqlite
from novitai_client import webhooks
from support.receiver import Receiver

SECRET = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0"


async def used_installation(clinic: Clinic) -> None:
    """A data directory in which a server has run."""
    settings = clinic.examination().settings
    settings.store.data_dir.mkdir(mode=0o700)
    store = await open_sqlite(settings.store.database, clock=clinic.clock)
    await sealing.check_key(store, sealing.keyring_of(settings))
    await store.close()


async def test_a_fresh_installation_is_well_and_nothing_is_made(opened: Open) -> None:
    """What is missing is made at the first start; only the facts are not verified."""
    clinic = await opened()

    found = await clinic.examine()

    assert {one.name for one in found.checks if one.level is not Level.OK} == {"facts"}
    assert exit_code(found.checks) == OK
    assert not clinic.data.exists()
    assert all(call.method == "GET" for call in clinic.simulator.calls.since(0))


async def test_a_used_installation_is_well(opened: Open) -> None:
    """The store is whole, of today's schema, and opens with the key beside it."""
    clinic = await opened()
    await used_installation(clinic)

    found = await clinic.examine()

    assert "opens the store" in check(found, "secrets key").found
    assert "is whole, schema" in check(found, "store").found
    assert exit_code(found.checks) == OK


@pytest.mark.parametrize(
    ("name", "mode", "level"), [("data directory", 0o755, Level.WARN), ("data directory", 0o700, Level.OK)]
)
async def test_a_data_directory_is_for_its_owner(opened: Open, name: str, mode: int, level: Level) -> None:
    """Others who can enter are worth a warning."""
    clinic = await opened()
    clinic.data.mkdir()
    clinic.data.chmod(mode)

    assert check(await clinic.examine(), name).level is level


async def test_a_data_directory_that_is_a_file_fails(opened: Open) -> None:
    """No server could start."""
    clinic = await opened()
    clinic.data.write_text("")

    found = await clinic.examine()

    assert check(found, "data directory").level is Level.FAIL
    assert exit_code(found.checks) == FAILED


async def test_a_key_that_others_can_read_is_worth_a_warning(opened: Open) -> None:
    """With what to type."""
    clinic = await opened()
    await used_installation(clinic)
    (clinic.data / "secrets.key").chmod(0o644)

    found = check(await clinic.examine(), "secrets key")

    assert (found.level, "chmod 600" in found.advice) == (Level.WARN, True)


@pytest.mark.parametrize("how", ["another", "missing", "no key at all"])
async def test_a_key_that_does_not_open_the_store_fails(opened: Open, how: str) -> None:
    """Before a server finds out."""
    clinic = await opened()
    await used_installation(clinic)
    path = clinic.data / "secrets.key"
    path.unlink()
    if how != "missing":
        path.write_bytes(base64.b64encode(b"k" * 32) if how == "another" else b"nonsense")
        path.chmod(0o600)

    assert check(await clinic.examine(), "secrets key").level is Level.FAIL
    assert path.exists() == (how != "missing")


@pytest.mark.parametrize(("version", "level"), [("v0000", Level.WARN), ("v9999", Level.FAIL)])
async def test_a_store_of_another_schema_is_told(opened: Open, version: str, level: Level) -> None:
    """An older one is migrated at the next start; a newer one cannot be served."""
    clinic = await opened()
    await used_installation(clinic)
    with closing(sqlite3.connect(clinic.data / "novitai.db")) as conn:
        conn.execute("UPDATE alembic_version SET version_num = ?", (version,))
        conn.commit()

    assert check(await clinic.examine(), "store").level is level


async def test_a_damaged_store_fails(opened: Open) -> None:
    """It is said where it is."""
    clinic = await opened()
    await used_installation(clinic)
    (clinic.data / "novitai.db").write_bytes(b"not a database at all " * 400)

    assert check(await clinic.examine(), "store").level is Level.FAIL


async def test_a_store_in_use_is_left_alone(opened: Open) -> None:
    """Whoever has it open is named and asked; when nobody answers, that fails."""
    clinic = await opened()
    await used_installation(clinic)
    lock = (clinic.data / "novitai.db.lock").open("r+")
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.write("4711\n")
    lock.flush()

    found = await clinic.examine(PORT="1")
    lock.close()

    assert "pid 4711" in check(found, "store").found
    assert check(found, "own server").level is Level.FAIL


@pytest.mark.parametrize(("ahead", "level"), [(2, Level.OK), (20, Level.WARN), (-20, Level.WARN), (90, Level.FAIL)])
async def test_the_clock_is_compared_with_novitas(opened: Open, ahead: float, level: Level) -> None:
    """By the date of its answers."""
    clinic = await opened()
    clinic.clock.skipped += ahead

    assert check(await clinic.examine(), "clock").level is level


async def test_a_key_that_novita_refuses_fails(opened: Open) -> None:
    """Nothing else is asked of it then."""
    clinic = await opened()

    found = await clinic.examine(live=1.0, NOVITA_API_KEY="bad-key-of-the-tests")

    assert "NOVITA_API_KEY" in check(found, "novita").advice
    assert exit_code(found.checks) == FAILED
    assert clinic.machines() == []


async def test_a_novita_that_cannot_be_reached_fails(opened: Open) -> None:
    """And the rest is looked at all the same."""
    clinic = await opened()

    found = await clinic.examine(NOVITA_API_BASE_URL="http://127.0.0.1:1/gpu-instance/openapi")

    assert check(found, "novita").level is Level.FAIL
    assert check(found, "webhooks").level is Level.OK


async def test_without_a_key_of_novitas_the_rest_is_looked_at(opened: Open) -> None:
    """It says which variable is missing."""
    clinic = await opened()

    found = await clinic.examine(NOVITA_API_KEY="")

    assert "NOVITA_API_KEY" in check(found, "novita").found
    assert exit_code(found.checks) == FAILED


@pytest.mark.parametrize(
    ("key", "level", "words"),
    [
        ("", Level.OK, "disabled"),
        ("sim-internal-key", Level.OK, "accepted"),
        ("bad-internal", Level.WARN, "falls back"),
    ],
)
async def test_the_internal_client_is_told_apart(opened: Open, key: str, level: Level, words: str) -> None:
    """Disabled, accepted, or quietly replaced by the public one."""
    clinic = await opened()

    found = check(await clinic.examine(NOVITA_INTERNAL_API_KEY=key), "novita internal")

    assert (found.level, words in found.found) == (level, True)


@pytest.mark.parametrize(
    ("settings", "level", "words"),
    [
        ({"WEBHOOK_URL": "http://127.0.0.1:9/"}, Level.FAIL, "WEBHOOK_ALLOW_CIDRS"),
        ({"WEBHOOK_URL": "http://no-such-host.invalid/"}, Level.FAIL, "WEBHOOK_URL"),
        ({"WEBHOOK_URL": "http://127.0.0.1:9/", "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8"}, Level.WARN, "WEBHOOK_SECRET"),
    ],
)
async def test_a_receiver_that_cannot_be_called_is_told(
    opened: Open, settings: dict[str, str], level: Level, words: str
) -> None:
    """Before the first webhook fails."""
    clinic = await opened()

    found = check(await clinic.examine(**{"WEBHOOK_ALLOW_CIDRS": "", **settings}), "webhooks")

    assert (found.level, words in found.advice) == (level, True)


async def test_a_ping_is_signed_like_any_webhook(opened: Open) -> None:
    """The receiver verifies it with the client's own function; what it answers is told."""
    clinic = await opened()
    receiver = Receiver()
    await receiver.start()
    clinic.settings = {"WEBHOOK_URL": receiver.url, "WEBHOOK_SECRET": SECRET}

    silent = await clinic.examine()
    assert receiver.ledger == []
    pinged = await clinic.examine(ping=True)
    await receiver.stop()
    unanswered = await clinic.examine(ping=True)

    (arrival,) = receiver.ledger
    assert webhooks.verify(arrival.body, arrival.headers, SECRET).type == "test.ping"
    assert all(one.name != "webhook ping" for one in silent.checks)
    assert check(pinged, "webhook ping").level is Level.OK
    assert check(unanswered, "webhook ping").level is Level.FAIL


async def test_what_was_found_about_one_novita_says_nothing_about_another(opened: Open) -> None:
    """The simulator's habits are not the real ones."""
    clinic = await opened()
    await clinic.examine(live=0.20)
    other = await opened()

    assert len((await clinic.examine()).known.facts) == 11
    assert (await other.examine()).known.facts == {}
