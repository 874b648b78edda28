"""What may be asked of migration for one instance over HTTP, and how an instance looks while its machine is replaced."""

import msgspec

from novitai.domain.ids import MachineId
from novitai.domain.instance import Former, Verb
from novitai.domain.keys import Scope
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from support import builders
from support.api_house import House
from support.builders import ENDPOINT, INSTANCE_ID, MACHINE_ID, SSH

HERE = f"/api/instances/{INSTANCE_ID}"
NEW = MachineId("feedfacefeedface")


async def test_an_instance_shows_its_rule_of_migration_with_sources(house: House):
    """A change says only what it changes, and null makes all of it the settings' again."""
    await house.have(builders.instance(State.READY))
    async with house.client() as client:
        usual = (await client.get(HERE)).json()["policies"]["migration"]
        await client.patch(HERE, json={"migration": {"strategy": "replace"}})
        changed = (await client.patch(HERE, json={"migration": {"enabled": False}})).json()["policies"]["migration"]
        cleared = (await client.patch(HERE, json={"migration": None})).json()["policies"]["migration"]

    assert usual["strategy"] == {"value": "migrate", "source": "default"}
    assert changed["strategy"] == {"value": "replace", "source": "request"}
    assert changed["enabled"] == {"value": False, "source": "request"}
    assert cleared == usual


async def test_while_its_machine_is_replaced_an_instance_shows_the_one_that_serves(house: House):
    """Users reach it there until the other is ready; both belong to the instance."""
    new = builders.seen_machine(MachineStatus.STARTING, id=NEW, ports=())
    former = Former(machine=builders.seen_machine(), offer=builders.offer(), ready_at=builders.NOW - 20.0)
    moving = msgspec.structs.replace(
        builders.instance(State.MIGRATING), machine=new, former=former, operation=builders.accepted(Verb.MIGRATE)
    )
    await house.have(moving)
    async with house.client(Scope.READ) as client:
        shown = (await client.get(HERE)).json()
        by_new = await client.get(f"/api/instances/{NEW}")

    assert (shown["status"], shown["novitaInstanceId"]) == ("migrating", MACHINE_ID)
    assert shown["portMappings"][0]["endpoint"] == ENDPOINT
    assert shown["connectionDetails"]["host"] == SSH.host
    assert by_new.json()["id"] == INSTANCE_ID
