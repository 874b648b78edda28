"""A4: everything that is changed through the API is written down in the same commit, and the log cannot be changed unnoticed.

Each route that changes something is called once, with what makes it change something; the commits that it makes are watched at the store.
Then a log on disk is harmed in the database's own bytes, one entry or seal at a time, and the chain must say so.
"""

import random
import re
import sqlite3
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from novitai.api.app import build_inner
from novitai.api.routing import CHANGING, GuardedRoute
from novitai.domain.automation import Part
from novitai.domain.budget import Period
from novitai.domain.ids import MachineId
from novitai.domain.keys import KeyLimits, Scope
from novitai.domain.lifecycle import State
from novitai.domain.money import usd
from novitai.domain.orphan import orphan_of
from novitai.operations import records
from novitai.operations.budget import BudgetRequest
from novitai.operations.receipts import Answer
from novitai.operations.sync import SyncOptions
from novitai.ports.store import Commit, Committed
from novitai.reconcilers.audit import AuditSealer
from novitai.stores.crypto import KeySealer
from novitai.stores.sqlite import open_sqlite
from support import builders
from support.api_house import House, open_house
from support.asking import create_body
from support.clock import FakeClock
from support.idling import announced
from support.running import context, running

ID = builders.INSTANCE_ID
FOREIGN = MachineId("feedfacefeedface")
RUNNING, STOPPED = State.READY, State.STOPPED

ASKED = {
    ("POST", "/api/instances"): (create_body(), RUNNING),
    ("POST", "/api/instances/start"): ({"instanceName": "demo"}, STOPPED),
    ("POST", "/api/instances/stop"): ({"instanceName": "demo"}, RUNNING),
    ("POST", "/api/instances/delete"): ({"instanceName": "demo"}, RUNNING),
    ("POST", "/api/instances/{instance_id}/start"): (None, STOPPED),
    ("POST", "/api/instances/{instance_id}/stop"): (None, RUNNING),
    ("POST", "/api/instances/{instance_id}/restart"): (None, RUNNING),
    ("DELETE", "/api/instances/{instance_id}"): (None, RUNNING),
    ("PATCH", "/api/instances/{instance_id}"): ({"ttl": "1h"}, RUNNING),
    ("PUT", "/api/instances/{instance_id}/last-used"): (None, RUNNING),
    ("POST", "/api/instances/{instance_id}/adopt"): (None, RUNNING),
    ("POST", "/api/instances/sync"): (None, RUNNING),
    ("POST", "/api/instances/stop-all"): (None, RUNNING),
    ("POST", "/api/instances/bulk"): ({"action": "delete", "ids": [ID]}, RUNNING),
    ("POST", "/api/instances/auto-stop/trigger"): ({"dryRun": False}, RUNNING),
    ("POST", "/api/instances/migration/check-failed"): (None, RUNNING),
    ("POST", "/api/instances/migration/scheduler/trigger"): (None, RUNNING),
    ("POST", "/api/instances/{instance_id}/snooze"): (None, RUNNING),
    ("POST", "/api/orphans/{novita_id}/adopt"): (None, RUNNING),
    ("POST", "/api/orphans/{novita_id}/ignore"): (None, RUNNING),
    ("POST", "/api/orphans/{novita_id}/delete"): (None, RUNNING),
    ("POST", "/api/jobs/{job_id}/retry"): (None, RUNNING),
    ("POST", "/api/jobs/{job_id}/cancel"): (None, RUNNING),
    ("POST", "/api/keys"): ({"name": "k"}, RUNNING),
    ("DELETE", "/api/keys/{key_id}"): (None, RUNNING),
    ("POST", "/api/budgets"): ({"name": "b", "limitUsd": 5, "period": "day"}, RUNNING),
    ("PATCH", "/api/budgets/{budget_id}"): ({"limitUsd": 6}, RUNNING),
    ("DELETE", "/api/budgets/{budget_id}"): (None, RUNNING),
    ("POST", "/api/cache/clear"): (None, RUNNING),
    ("POST", "/api/automation/pause"): (None, RUNNING),
    ("POST", "/api/automation/resume"): ({"scope": "idle"}, RUNNING),
}
"""What makes each changing route change something, and the state of the instance that it finds."""

KEY = b"k" * 32
RECEIPTS_ONLY = {records.RECEIPT}


def changing_routes(house: House) -> set[tuple[str, str]]:
    routes = [route for route in build_inner(house.parts).routes if isinstance(route, GuardedRoute)]
    return {(method, route.path_format) for route in routes for method in route.methods if method in CHANGING}


async def _furnished(house: House, state: State) -> dict[str, str]:
    """A house in which everything that a route may name is there."""
    await house.have(builders.instance(state))
    machine = builders.machine(id=FOREIGN, name="somebody-elses", created_at=builders.NOW)
    house.provider.hold(machine)
    house.parts.freshness.saw(machine, house.clock.now())
    await house.parts.orphans.record([orphan_of(machine, price=None, ours=False, at=house.clock.now())], None)
    key = await house.parts.keys.make(context(), name="old", scope=Scope.READ, expires_at=None, limits=KeyLimits())
    job = await house.parts.sync.request(SyncOptions(), context())
    await house.parts.automation.pause([Part.IDLE], "before", context())
    asked = BudgetRequest(name="old", limit=usd(5_000), period=Period.DAY)
    budget = await house.parts.budgets.make(asked, context(), lambda _: Answer(status=201, body=""))
    places = {"instance_id": ID, "novita_id": FOREIGN, "key_id": key.key.id, "job_id": job}
    return places | {"budget_id": budget.budget.id}


async def _commits_of(method: str, path: str) -> list[Commit]:
    """The commits that one successful call of a route makes, receipts alone not counted."""
    body, state = ASKED[method, path]
    async with open_house() as house:
        address = await _place(house, path, state)
        seen: list[Commit] = []

        def note(commit: Commit, _result: Committed) -> None:
            seen.append(commit)

        house.parts.store.subscribe(note)
        answer = await house.client().request(method, address, json=body)
        assert answer.status_code < 300, (method, path, answer.text)
        return [commit for commit in seen if _changes(commit)]


async def _place(house: House, path: str, state: State) -> str:
    """The address of a route in a house that has what it names."""
    if path.endswith("/snooze"):
        return await announced(house)
    places = await _furnished(house, state)
    if path == "/api/instances/{instance_id}/adopt":
        places["instance_id"] = FOREIGN
    return re.sub(r"{(\w+)}", lambda found: places[found[1]], path)


def _changes(commit: Commit) -> bool:
    kinds = {put.kind for put in commit.puts} | {delete.kind for delete in commit.deletes}
    return bool(kinds - RECEIPTS_ONLY or commit.appends or commit.wakes or commit.cancels)


def _entries(commit: Commit) -> int:
    return sum(append.log == records.AUDIT for append in commit.appends)


async def test_every_change_is_written_down_in_its_own_commit(book):
    """A new route that changes something fails here until it says what it takes to be called."""
    async with open_house() as house:
        routes = changing_routes(house)
    assert routes == set(ASKED)

    commits = {route: await _commits_of(*route) for route in sorted(routes)}
    silent = [route for route, made in commits.items() if not made]
    without = [route for route, made in commits.items() for commit in made if _entries(commit) != 1]
    book.figure("A4", "routes that change something", len(routes))
    book.figure("A4", "of these without a change when called", len(silent), exactly=0)
    book.figure("A4", "their commits without exactly one audit entry", len(without), exactly=0)


# ── the chain ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _lived_in(path: Path, changes: int) -> None:
    """A store on disk whose log holds so many entries, under several seals."""
    async with _at_rest(path) as house:
        operations = house.program.operations
        sealer = AuditSealer(audit=operations.audit, store=house.store, clock=house.clock)
        lease = await house.store.acquire("loop:audit", owner="proof", seconds=3600.0)
        for number in range(changes):
            await operations.ledger.write_down(context(), "cache.clear", target=f"cache-{number}")
            if number % 3 == 2:
                await house.clock.advance(1.5)
                await sealer.run(lease)


@asynccontextmanager
async def _at_rest(path: Path):
    """A program over this store, in which nothing runs by itself."""
    clock = FakeClock()
    async with running(clock=clock, store=await open_sqlite(path, clock=clock), start=False) as house:
        house.program.operations.audit._sealer = KeySealer(KEY)
        yield house


async def _problems(path: Path) -> int:
    async with _at_rest(path) as house:
        return len((await house.program.operations.audit.verify()).breaks)


def _harm(path: Path, chance: random.Random, how: str) -> None:
    """Change the log behind the back of the program."""
    with closing(sqlite3.connect(path)) as database, database:
        entries = database.execute("SELECT position, body FROM log_entries WHERE log = ?", (records.AUDIT,)).fetchall()
        seals = database.execute("SELECT id, body FROM records WHERE kind = ? ORDER BY id", (records.SEAL,)).fetchall()
        position, body = chance.choice(entries)
        seal, sealed = chance.choice(seals[:-1])  # without its last link a chain is whole: who kept its head can tell
        match how:
            case "edited":
                database.execute(
                    "UPDATE log_entries SET body = ? WHERE position = ?", (_one_byte_off(body, chance), position)
                )
            case "deleted":
                database.execute("DELETE FROM log_entries WHERE position = ?", (position,))
            case "seal edited":
                changed = re.sub(rb'"count":(\d+)', rb'"count":1\1', sealed)
                database.execute("UPDATE records SET body = ? WHERE kind = ? AND id = ?", (changed, records.SEAL, seal))
            case "seal deleted":
                database.execute("DELETE FROM records WHERE kind = ? AND id = ?", (records.SEAL, seal))
                database.execute("DELETE FROM list_entries WHERE kind = ? AND id = ?", (records.SEAL, seal))


def _one_byte_off(body: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(body))
    return body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]


@pytest.mark.parametrize("how", ["edited", "deleted", "seal edited", "seal deleted"])
async def test_a_log_that_was_changed_on_disk_is_found_out(how, tmp_path, scale, book):
    """Untouched it holds; one byte changed, and it does not."""
    tries = scale.pick(short=1, prove=10, full=40)
    path = tmp_path / "novitai.db"
    await _lived_in(path, changes=12)
    assert await _problems(path) == 0
    whole = path.read_bytes()
    caught = 0
    for seed in range(tries):
        path.write_bytes(whole)
        _harm(path, random.Random(seed), how)
        caught += await _problems(path) > 0

    book.figure("A4", f"audit log harmed on disk ({how}) and not found out, of {tries}", tries - caught, exactly=0)
