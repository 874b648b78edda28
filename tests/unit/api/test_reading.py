"""Reading instances: lists, one, waiting for ready, and the whole account side by side."""

import asyncio

import msgspec
import pytest

from novitai.domain.change import with_fields
from novitai.domain.ids import InstanceId, MachineId
from novitai.domain.keys import Scope
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.domain.secrets import Sealed
from novitai.stores.crypto import KeySealer
from support import builders
from support.api_house import House, open_house
from support.clock import settle

ID = builders.INSTANCE_ID


async def have_many(house: House, count: int) -> None:
    await house.have(
        *(
            builders.instance(
                State.READY,
                id=InstanceId(f"inst_{number:026d}"),
                name=f"worker-{number}",
                created_at=builders.NOW + number,
            )
            for number in range(count)
        )
    )


async def test_a_list_has_its_pages_and_counts_all_that_match(house: House, admin):
    """`total` is of all pages."""
    await have_many(house, 5)

    first = (await admin.get("/api/instances?limit=2&sort=name")).json()
    second = (
        await admin.get("/api/instances", params={"limit": 2, "sort": "name", "cursor": first["nextCursor"]})
    ).json()

    assert [one["name"] for one in first["instances"] + second["instances"]] == [f"worker-{n}" for n in range(4)]
    assert first["total"] == second["total"] == 5


@pytest.mark.parametrize(
    ("query", "field", "told"),
    [
        ("colour=red", "colour", "allowed"),
        ("limit=201", "limit", "200"),
        ("limit=0", "limit", "1"),
        ("limit=ten", "limit", "integer"),
        ("limit=1&limit=2", "limit", "twice"),
        ("status=asleep", "status[0]", "ready"),
        ("sort=colour", "sort", "createdAt"),
        ("label=novalue", "label", "key=value"),
        ("billingMode=monthly", "billingMode", "spot"),
        ("cursor=nonsense", "cursor", "cursor"),
        ("status=deleted&status=ready", "status", "deleted"),
    ],
)
async def test_a_query_that_cannot_be_meant_says_what_is_allowed(admin, query, field, told):
    """api.md 7.10: unknown names and values are refused, not ignored."""
    answer = await admin.get(f"/api/instances?{query}")

    assert answer.status_code == 422
    (problem,) = answer.json()["error"]["validationErrors"]
    assert problem["field"] == field
    assert told in problem["message"]


async def test_parameters_of_the_earlier_service_are_taken(admin):
    """They never had an effect on this list."""
    query = "source=all&includeNovitaOnly=true&syncLocalState=false"

    assert (await admin.get(f"/api/instances?{query}")).status_code == 200


async def test_what_changes_by_itself_is_right_at_every_reading(house: House, admin):
    """Cost, last sync and staleness need no change of the record."""
    await house.have(builders.instance(State.READY))
    house.parts.freshness.saw(builders.machine(), house.clock.now())
    house.parts.freshness.last_complete_at = house.clock.now()

    before = (await admin.get(f"/api/instances/{ID}")).json()
    await house.clock.advance(3600.0)
    after = (await admin.get(f"/api/instances/{ID}")).json()

    assert after["costSoFar"] == pytest.approx(before["costSoFar"] + 0.35)
    assert (before["stale"], after["stale"]) == (False, True)
    assert after["lastSyncedAt"] == "2027-01-15T08:00:00.000Z"


async def test_a_change_is_seen_by_the_next_reader(house: House, admin):
    """What is kept for speed is thrown away with the change."""
    await house.have(builders.instance(State.READY))
    await admin.get("/api/instances?status=stopping")

    await admin.post(f"/api/instances/{ID}/stop")

    assert (await admin.get("/api/instances?status=stopping")).json()["total"] == 1
    assert (await admin.get("/api/instances")).json()["instances"][0]["status"] == "stopping"


async def test_deleted_instances_are_read_singly_and_listed_only_when_asked_for(house: House, admin):
    """For the time they are kept."""
    await house.have(builders.instance(State.DELETED, deleted_at=house.clock.now()))

    assert (await admin.get(f"/api/instances/{ID}")).json()["status"] == "deleted"
    assert (await admin.get("/api/instances")).json()["total"] == 0
    assert (await admin.get("/api/instances?status=deleted")).json()["instances"][0]["id"] == ID

    await house.clock.advance(7 * 86_400.0 + 1)
    assert (await admin.get(f"/api/instances/{ID}")).status_code == 404


async def test_credentials_are_for_admins_who_ask(house: House, admin):
    """Lists and details never have the password otherwise."""
    machine = builders.seen_machine(connection=builders.SSH, password=Sealed("sealed:hunter2"))
    await house.have(builders.instance(State.READY, machine=machine))
    where = f"/api/instances/{ID}?reveal=credentials"

    async with house.client(Scope.WRITE) as writer:
        refused = await writer.get(where)
    shown = (await admin.get(where)).json()
    usual = await admin.get(f"/api/instances/{ID}")

    assert refused.status_code == 403
    assert shown["connectionDetails"]["password"] == "hunter2"
    assert "hunter2" not in usual.text
    assert "password" not in usual.json()["connectionDetails"]


@pytest.mark.parametrize("what", ["credentials", "envs"])
async def test_what_the_present_key_cannot_open_is_refused_in_words(what):
    """After a restore with another key: a clear answer instead of a 500, and everything else is still told."""
    lost, present = KeySealer(bytes(32)), KeySealer(b"1" * 32)
    async with open_house(sealer=present) as house, house.client() as admin:
        machine = builders.seen_machine(connection=builders.SSH, password=lost.seal("hunter2"))
        instance = builders.instance(State.READY, machine=machine)
        spec = msgspec.structs.replace(instance.spec, envs=(("TOKEN", lost.seal("hunter3")),))
        await house.have(msgspec.structs.replace(instance, spec=spec))

        refused = await admin.get(f"/api/instances/{ID}?reveal={what}")
        usual = await admin.get(f"/api/instances/{ID}")

    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "INVALID_STATE")
    assert lost.key_id in refused.json()["error"]["message"]
    assert usual.json()["envs"] == [{"key": "TOKEN", "value": "***"}]


# ── ?wait=ready ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_waiting_for_ready_ends_with_ready(house: House, admin):
    """One request instead of a hundred."""
    await house.have(builders.instance(State.RUNNING))
    task = asyncio.create_task(admin.get(f"/api/instances/{ID}?wait=ready"))
    await settle()
    assert not task.done()

    held = house.parts.reads.get(ID).instance
    await house.change(with_fields(held, state=State.READY))

    assert (await task).json()["status"] == "ready"


@pytest.mark.parametrize("state", [State.READY, State.LOST, State.DELETING])
async def test_waiting_has_no_sense_when_it_is_settled(house: House, admin, state):
    """The answer comes at once."""
    await house.have(builders.instance(state))

    assert (await admin.get(f"/api/instances/{ID}?wait=ready")).json()["status"] == state


async def test_waiting_ends_with_the_present_state_when_time_is_over_or_the_server_stops(house: House, admin):
    """It is no error not to be ready yet."""
    await house.have(builders.instance(State.RUNNING))
    short = asyncio.create_task(admin.get(f"/api/instances/{ID}?wait=ready&timeout=5"))
    await settle()
    await house.clock.advance(5.0)
    long = asyncio.create_task(admin.get(f"/api/instances/{ID}?wait=ready&timeout=300"))
    await settle()
    house.parts.shutting_down.set()

    assert (await short).json()["status"] == "running"
    assert (await long).json()["status"] == "running"


async def test_waiting_for_an_instance_that_is_deleted_meanwhile_ends(house: House, admin):
    """It will never be ready."""
    await house.have(builders.instance(State.RUNNING))
    task = asyncio.create_task(admin.get(f"/api/instances/{ID}?wait=ready"))
    await settle()

    held = house.parts.reads.get(ID).instance
    await house.change(with_fields(held, state=State.DELETED, deleted_at=house.clock.now()))

    assert (await task).json()["status"] == "deleted"


# ── the whole account ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_whole_account_is_shown_side_by_side(house: House, admin):
    """Managed with a machine, managed without, and not managed at all."""
    await house.have(
        builders.instance(State.READY),
        builders.instance(State.CREATING, id=InstanceId(f"inst_{'c4' * 13}"), machine=None),
    )
    house.parts.freshness.saw(builders.machine(), house.clock.now())
    house.parts.freshness.saw(builders.machine(id=MachineId("f" * 16), name="stranger"), house.clock.now())

    everything = (await admin.get("/api/instances/comprehensive")).json()
    managed = (await admin.get("/api/instances/comprehensive?includeNovitaOnly=false")).json()
    named = (await admin.get("/api/instances/comprehensive?name=STRANG")).json()
    first = (await admin.get("/api/instances/comprehensive?limit=2")).json()

    assert everything["sources"] == {"local": 1, "novita": 1, "merged": 1}
    assert {one["name"]: one["source"] for one in everything["instances"]}["stranger"] == "novita"
    assert managed["total"] == 2
    assert [one["name"] for one in named["instances"]] == ["stranger"]
    assert (len(first["instances"]), first["total"], first["nextCursor"] is None) == (2, 3, False)
    assert house.provider.calls == []


@pytest.mark.parametrize(
    ("state", "status", "since", "expected"),
    [
        (State.READY, MachineStatus.RUNNING, -100, "consistent"),
        (State.READY, MachineStatus.STOPPED, -100, "novita-newer"),
        (State.STOPPING, MachineStatus.RUNNING, 0, "consistent"),
        (State.STOPPED, MachineStatus.RUNNING, 10, "local-newer"),
        (State.READY, MachineStatus.UNKNOWN, -100, "consistent"),
    ],
)
async def test_consistency_says_whose_view_is_newer(house: House, admin, state, status, since, expected):
    """So that a person sees at a glance whether to wait or to look."""
    await house.have(builders.instance(state, state_since=house.clock.now() + since))
    house.parts.freshness.saw(builders.machine(status), house.clock.now())

    (shown,) = (await admin.get("/api/instances/comprehensive")).json()["instances"]

    assert (shown["dataConsistency"], shown["novitaStatus"]) == (expected, str(status))
