"""The hand on the scenery does what it says, and says what is wrong."""

import pytest

from novita_simulator.fields import InvalidField


def test_a_machine_can_be_put_there_by_nobodys_call(play):
    """Somebody else's machine: listed, running, billed, and not in the log of calls."""
    made = play.do("machines", name="foreign", productId="4090.16c62g", gpuNum=2)

    assert play.status(made["instanceId"]) == "running"
    assert play.stage.calls.since(0) == []


def test_a_machine_can_vanish_without_a_trace(play):
    """It is gone from list and GET at once; its bill stays."""
    instance_id = play.running()

    play.do("out-of-band", instanceId=instance_id, verb="vanish")

    assert play.get("/gpu/instances")["total"] == 0
    assert instance_id in play.world.gone


def test_a_machine_can_be_stopped_behind_the_callers_back(play):
    """As in the console: the usual statuses, no call in the log."""
    instance_id = play.running()

    play.do("out-of-band", instanceId=instance_id, verb="stop")

    assert play.statuses_during(20, instance_id) == ["toStop", "stopping", "exited"]


def test_a_machine_can_show_a_word_that_nobody_knows(play):
    """A status that is in no list, and an error beside it."""
    instance_id = play.running()

    play.do(
        "out-of-band",
        instanceId=instance_id,
        verb="status",
        status="hibernating",
        statusError={"state": "oom", "message": "out of memory"},
    )

    record = play.machine(instance_id)
    assert (record["status"], record["statusError"]["state"]) == ("hibernating", "oom")


def test_the_system_can_migrate_a_machine_by_itself(play):
    """The job is autoInstanceMigrate, made by the system."""
    instance_id = play.running()

    play.do("out-of-band", instanceId=instance_id, verb="migrate")

    job = play.get("/api/v1/jobs", type="autoInstanceMigrate")["jobs"][0]
    assert (job["instanceId"], job["creator"]) == (instance_id, "System")


def test_stock_is_set_for_every_pool_that_fits(play):
    """Without a billing mode all of them; `available` counts on top of what is held."""
    play.create(gpuNum=3)

    answer = play.do("stock", productId="4090.16c62g", clusterId="us-ca-6", available=5)

    pools = {pool["billingMode"]: pool for pool in answer["stock"]}
    assert set(pools) == {"onDemand", "spot", "monthly"}
    assert (pools["onDemand"]["stock"], pools["onDemand"]["available"]) == (8, 5)


@pytest.mark.parametrize(
    ("action", "body", "field"),
    [
        ("reclaim", {}, "instanceId"),
        ("reclaim", {"instanceId": "nope"}, "instanceId"),
        ("stock", {"stock": -1}, "stock"),
        ("stock", {"productId": "nope", "stock": 1}, "productId"),
        ("stock", {"productID": "26", "stock": 1}, "productID"),
        ("load", {"name": "nobody", "gpu": 1}, "name"),
        ("prices", {"productId": "nope"}, "productId"),
        ("config", {"speed": "fast"}, "speed"),
        ("config", {"switches": {"pageBase": "two"}}, "switches.pageBase"),
        ("balance", {}, "usd"),
        ("machines", {"name": "x"}, "productId"),
        ("dance", {}, "action"),
    ],
)
def test_bad_input_names_its_field_and_changes_nothing(play, action, body, field):
    """The control API answers 422 with this field."""
    before = play.world.settings

    with pytest.raises(InvalidField) as refused:
        play.do(action, **body)

    assert refused.value.field == field
    assert play.world.settings == before


def test_settings_change_from_now_on_and_the_rest_stays(play):
    """A patch names what changes."""
    play.do("config", speed=10, switches={"gpuQuota": 8}, delays={"appWarmup": 2})

    settings = play.world.settings
    assert (settings.speed, settings.switches.gpu_quota, settings.delays.app_warmup) == (10, 8, 2)
    assert settings.delays.pulling == 45
