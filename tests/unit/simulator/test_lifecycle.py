"""Machines go through Novita's statuses at the times that were set."""

import pytest

from novita_simulator.errors import Refusal

CREATE = ["pending", "toCreate", "creating", "pulling", "running"]


def test_a_created_machine_comes_up_through_every_status(play):
    """pending, toCreate, creating, pulling, running; 56 seconds by default."""
    instance_id = play.create()

    assert play.statuses_during(60, instance_id) == CREATE
    assert play.machine(instance_id)["lastStartedAt"] == "1800000011"


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("stop", ["toStop", "stopping", "exited"]),
        ("restart", ["toRestart", "restarting", "running"]),
        ("delete", ["toRemove", "removing"]),
    ],
)
def test_an_action_on_a_running_machine_takes_its_path(play, verb, path):
    """Each action shows its own words on the way."""
    instance_id = play.running()

    play.act(verb, instance_id)

    assert play.statuses_during(30, instance_id) == path


def test_a_start_pulls_again_and_runs(play):
    """toStart, starting, pulling, running; lastStoppedAt stays for who wants to know."""
    instance_id = play.running()
    play.act("stop", instance_id)
    play.wait(12)

    play.act("start", instance_id)

    assert play.statuses_during(30, instance_id) == ["toStart", "starting", "pulling", "running"]
    assert play.machine(instance_id)["lastStoppedAt"] == str(1_800_000_000 + 56 + 12)


@pytest.mark.parametrize("verb", ["start", "migrate"])
def test_an_action_in_the_wrong_state_is_an_invalid_state_change(play, verb):
    """400 CONFLICT with the recorded message; the machine goes on as if nothing had been asked."""
    instance_id = play.create()

    with pytest.raises(Refusal) as refused:
        play.act(verb, instance_id)

    assert (refused.value.status, refused.value.reason) == (400, "CONFLICT")
    assert refused.value.message == "invalid state change"
    assert play.statuses_during(60, instance_id) == CREATE


def test_speed_divides_every_duration(rehearse):
    """At speed 60 a minute of coming up takes a second."""
    play = rehearse(speed=60)
    instance_id = play.create()

    play.wait(56 / 60)

    assert play.status(instance_id) == "running"


def test_delays_can_be_set_one_by_one(rehearse):
    """A scenario may make the pull last for ever."""
    play = rehearse(delays={"pulling": 1e9})
    instance_id = play.create()

    play.wait(86_400)

    assert play.status(instance_id) == "pulling"


def test_a_delete_overtakes_whatever_is_under_way(play):
    """Deleted while being created, a machine never comes up."""
    instance_id = play.create()
    play.wait(5)

    play.act("delete", instance_id)

    assert play.statuses_during(60, instance_id) == ["toRemove", "removing"]
    assert play.get("/gpu/instances")["total"] == 0


def test_a_deleted_machine_may_be_listed_as_removed_for_a_while(rehearse):
    """A switch: it is shown as `removed` for so long, then it is not found."""
    play = rehearse(switches={"removedListedSeconds": 60})
    instance_id = play.running()
    play.act("delete", instance_id)
    play.wait(10)

    assert play.get("/gpu/instances")["instances"][0]["status"] == "removed"
    play.wait(60)
    with pytest.raises(Refusal, match="RESOURCE_NOT_FOUND"):
        play.machine(instance_id)


def test_a_new_machine_may_be_missing_from_the_list_for_a_while(rehearse):
    """A switch: the list lags behind a create; another hides it from the single GET too."""
    play = rehearse(switches={"listLagSeconds": 30})
    instance_id = play.create()

    assert play.get("/gpu/instances") == {"instances": [], "total": 0}
    assert play.status(instance_id) == "pending"
    play.do("config", switches={"lagHidesGet": True})
    with pytest.raises(Refusal, match="RESOURCE_NOT_FOUND"):
        play.machine(instance_id)
    play.wait(30)
    assert play.get("/gpu/instances")["total"] == 1


def test_an_edit_takes_effect_within_a_minute_while_the_machine_runs(play):
    """Ports are replaced and the disk grows by what was asked."""
    instance_id = play.running()

    play.post("/gpu/instance/edit", instanceId=instance_id, ports=[{"port": 9000, "type": "http"}], expandRootDisk=20)
    before = play.machine(instance_id)
    play.wait(30)
    after = play.machine(instance_id)

    assert (before["rootfsSize"], after["rootfsSize"]) == (60, 80)
    assert [port["port"] for port in after["portMappings"]] == [9000]
    assert after["status"] == "running"


def test_an_upgrade_resets_the_machine_with_its_new_image(play):
    """toReset, resetting, running, on the same GPUs."""
    instance_id = play.running()

    play.post(
        "/gpu/instance/upgrade",
        instanceId=instance_id,
        imageUrl="docker.io/library/ubuntu:24.04",
        envs=[],
        command="",
        entrypoint="",
        save=True,
        networkVolume={"volumeMounts": []},
    )

    assert play.statuses_during(60, instance_id) == ["toReset", "resetting", "running"]
    assert play.machine(instance_id)["imageUrl"] == "docker.io/library/ubuntu:24.04"


def test_the_application_refuses_then_answers_502_then_answers(play):
    """The warm-up begins anew with each start; a stopped machine refuses."""
    instance_id = play.running()
    machine = play.world.machines[instance_id]
    phases = [play.world.app_phase(machine, play.now + seconds) for seconds in (0, 4.9, 5, 44.9, 45)]

    play.act("stop", instance_id)

    assert phases == ["refuse", "refuse", "502", "502", "ok"]
    assert play.world.app_phase(machine, play.now + 1000) == "refuse"


def test_without_money_nothing_is_created_or_started(rehearse):
    """403 NOT_ENOUGH_BALANCE once the balance has run out."""
    play = rehearse(balance=0.35)
    instance_id = play.running()
    play.wait(3600)

    with pytest.raises(Refusal) as refused:
        play.create()
    play.act("stop", instance_id)
    play.wait(15)
    with pytest.raises(Refusal, match="NOT_ENOUGH_BALANCE"):
        play.act("start", instance_id)

    assert (refused.value.status, refused.value.reason) == (403, "NOT_ENOUGH_BALANCE")


def test_a_monthly_machine_is_paid_ahead_and_cannot_be_deleted(play):
    """PREPAID_INSTANCE_NOT_SUPPORT_RELEASE; its end is in endTime."""
    instance_id = play.running(month=1)

    record = play.machine(instance_id)
    with pytest.raises(Refusal, match="PREPAID_INSTANCE_NOT_SUPPORT_RELEASE"):
        play.act("delete", instance_id)

    assert (record["billingMode"], record["endTime"]) == ("monthly", str(1_800_000_000 + 30 * 86_400))
    assert play.get("/openapi/v1/billing/bill/monthly/list")["bills"][0]["tradeType"] == "monthly_new_buy"
