"""A scenario file begins the world and plays its timeline; what is wrong in it is named."""

import pytest

from novita_simulator.fields import InvalidField
from novita_simulator.scenario import load_scenario, read_scenario
from novita_simulator.stage import Stage

NOW = 1_800_000_000.0


def test_machines_stock_and_templates_are_there_from_the_start(rehearse):
    """A rehearsal begins in the middle: with a fleet, prices and limits of its own."""
    play = rehearse(
        machines=[
            {"name": "old", "productId": "4090.16c62g", "status": "exited"},
            {"name": "busy", "productId": "H100-80GB.20c240g", "billingMode": "spot", "load": {"gpu": 90}},
        ],
        stock=[{"productId": "5090.24c96g", "stock": 0}],
        prices=[{"productId": "26", "price": 50_000}],
        templates=[{"Id": "9", "name": "mine", "image": "ubuntu", "rootfsSize": 20}],
        registryAuths=[{"name": "ghcr.io", "username": "u", "password": "p"}],
        balance=5,
    )

    assert {machine.name: machine.status for machine in play.world.machines.values()} == {
        "old": "exited",
        "busy": "running",
    }
    assert play.get("/products", productName="5090", clusterId="us-ca-6")["data"][0]["availableDeploy"] is False
    assert play.get("/template", templateId="9")["template"]["name"] == "mine"
    assert len(play.get("/repository/auths")["data"]) == 2


def test_the_timeline_happens_at_its_simulated_seconds(rehearse):
    """Entries are control actions, found by the machine's name; speed divides when they happen."""
    play = rehearse(
        speed=10,
        machines=[{"name": "m", "productId": "4090.16c62g", "billingMode": "spot"}],
        timeline=[
            {"at": 600, "action": "reclaim", "name": "m", "noticeSeconds": 30},
            {"at": 300, "action": "faults", "match": "GET .*instances", "mode": "reset"},
        ],
    )
    play.wait(59)
    assert len(list(play.stage.faults)) == 1
    assert play.get("/gpu/instances")["instances"][0]["spotStatus"] == "running"

    play.wait(1)

    assert play.get("/gpu/instances")["instances"][0]["spotStatus"] == "notified"


def test_a_timeline_entry_that_no_longer_applies_is_noted(rehearse):
    """A machine that was deleted meanwhile cannot be reclaimed; the rest of the timeline goes on."""
    play = rehearse(timeline=[{"at": 5, "action": "reclaim", "name": "nobody"}])

    play.wait(10)

    assert play.stage.timeline_errors == ["timeline[0].name: no such machine"]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "body"),
        ({"sped": 60}, "sped"),
        ({"speed": 0}, "speed"),
        ({"delays": {"pullling": 3}}, "delays.pullling"),
        ({"delays": {"pulling": -3}}, "delays.pulling"),
        ({"switches": {"notFoundStatus": 500}}, "switches.notFoundStatus"),
        ({"switches": {"paging": "odd"}}, "switches.paging"),
        ({"switches": {"apps": "yes"}}, "switches.apps"),
        ({"machines": [{"productId": "no-such"}]}, "machines[0]"),
        ({"machines": [{"productId": "26", "colour": "red"}]}, "machines[0].colour"),
        ({"stock": [{"productId": "no-such", "stock": 1}]}, "stock[0].productId"),
        ({"timeline": [{"at": 1, "action": "dance"}]}, "timeline[0].action"),
        ({"faults": [{"match": "x", "mode": "boom"}]}, "faults[0].mode"),
    ],
)
def test_what_is_wrong_in_a_scenario_is_named(document, field):
    """The simulator does not start on a misspelt rehearsal."""
    with pytest.raises(InvalidField) as refused:
        Stage(read_scenario(document), now=NOW)

    assert refused.value.field == field


def test_a_file_that_is_not_json_is_named(tmp_path):
    """The path stands in the complaint."""
    path = tmp_path / "broken.json"
    path.write_text("{")

    with pytest.raises(InvalidField, match=r"broken\.json"):
        load_scenario(path)


def test_the_same_seed_makes_the_same_world(rehearse):
    """Ids and chances repeat, so a rehearsal can be told to somebody else."""
    first, second, other = (rehearse(seed=seed) for seed in (7, 7, 8))

    assert first.create() == second.create() != other.create()


def test_a_reset_begins_the_scenario_anew(rehearse):
    """Machines, faults and the log are as at the start; the ids repeat."""
    play = rehearse(machines=[{"name": "m", "productId": "26"}])
    before = list(play.world.machines)
    play.create()
    play.do("faults", match=".", mode="reset")

    play.stage.reset(play.now)

    assert list(play.world.machines) == before
    assert list(play.stage.faults) == []
