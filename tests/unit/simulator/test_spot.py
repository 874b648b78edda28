"""A spot machine is taken back as Novita takes it back."""

import pytest

from novita_simulator.errors import Refusal
from novita_simulator.fields import InvalidField

HOUR = 3600


def spot_of(play, instance_id):
    record = play.machine(instance_id)
    return record["status"], record["spotStatus"], int(record["spotReclaimTime"])


def test_a_reclaim_is_noticed_an_hour_ahead_and_leaves_an_exited_machine(play):
    """notified with the deadline; at the deadline reclaiming and stopping; then exited, terminated, the time unchanged."""
    instance_id = play.running(billingMode="spot")
    assert spot_of(play, instance_id) == ("running", "running", 0)

    play.do("reclaim", instanceId=instance_id)
    deadline = int(play.now) + HOUR
    assert spot_of(play, instance_id) == ("running", "notified", deadline)

    play.wait(HOUR - 1)
    assert spot_of(play, instance_id) == ("running", "notified", deadline)
    play.wait(1)
    assert spot_of(play, instance_id) == ("toStop", "reclaiming", deadline)
    play.wait(12)
    assert spot_of(play, instance_id) == ("exited", "terminated", deadline)
    play.wait(86_400)
    assert spot_of(play, instance_id) == ("exited", "terminated", deadline)


def test_a_reclaim_without_notice_shows_only_its_status(play):
    """noticeSeconds 0: no warning at all, but the spot fields tell what it was."""
    instance_id = play.running(billingMode="spot")

    play.do("reclaim", instanceId=instance_id, noticeSeconds=0)

    assert spot_of(play, instance_id)[:2] == ("toStop", "reclaiming")


def test_given_seconds_are_real_whatever_the_speed(rehearse):
    """The default notice is divided by speed, one that was given is not."""
    play = rehearse(speed=60)
    by_default, given = play.running(billingMode="spot"), play.running(billingMode="spot")

    play.do("reclaim", instanceId=by_default)
    play.do("reclaim", instanceId=given, noticeSeconds=90)

    assert spot_of(play, by_default)[2] == int(play.now) + 60
    assert spot_of(play, given)[2] == int(play.now) + 90


def test_a_user_stop_ends_the_matter(play):
    """Stopped by its owner, a machine is not reclaimed any more and does not look as if it had been."""
    instance_id = play.running(billingMode="spot")
    play.do("reclaim", instanceId=instance_id)

    play.act("stop", instance_id)
    play.wait(2 * HOUR)

    assert spot_of(play, instance_id) == ("exited", "running", 0)


def test_migration_waits_until_the_reclaim_is_over(play):
    """Refused while notified; from exited and terminated it brings the machine back under the same id."""
    instance_id = play.running(billingMode="spot")
    play.do("reclaim", instanceId=instance_id, noticeSeconds=60)
    with pytest.raises(Refusal, match="invalid state change"):
        play.act("migrate", instance_id)
    play.wait(80)

    job_id = play.act("migrate", instance_id)["jobId"]
    assert spot_of(play, instance_id)[0] == "migrating"
    assert play.machine(instance_id)["jobs"] == [{"id": job_id, "type": "instanceMigrate"}]
    play.wait(300)

    assert spot_of(play, instance_id) == ("running", "running", 0)
    assert play.get("/jobs", jobId=job_id)["jobs"][0]["state"]["state"] == "success"


def test_a_failed_migration_leaves_the_machine_migrating(rehearse):
    """The job says fail, the machine never leaves `migrating`, a delete still works."""
    play = rehearse(switches={"migrationOutcome": "fail"})
    instance_id = play.running()

    job_id = play.act("migrate", instance_id)["jobId"]
    play.wait(86_400)

    job = play.get("/jobs", state="fail")["jobs"][0]
    assert (job["Id"], job["instanceId"]) == (job_id, instance_id)
    assert job["state"]["errorMessage"]
    assert play.status(instance_id) == "migrating"
    assert play.act("delete", instance_id) == {}


def test_a_delete_may_be_refused_while_a_migration_runs(rehearse):
    """By a switch; the failed migration can be deleted all the same."""
    play = rehearse(switches={"deleteWhileMigrating": False, "migrationOutcome": "fail"})
    instance_id = play.running()
    play.act("migrate", instance_id)

    with pytest.raises(Refusal, match="invalid state change"):
        play.act("delete", instance_id)
    play.wait(300)

    assert play.act("delete", instance_id) == {}


def test_a_migration_needs_a_free_gpu_elsewhere(play):
    """MIGRATE_INSUFFICIENT_RESOURCE, and the machine goes on."""
    play.do("stock", productId="4090.16c62g", available=1)
    instance_id = play.running()

    with pytest.raises(Refusal, match="MIGRATE_INSUFFICIENT_RESOURCE"):
        play.act("migrate", instance_id)

    assert play.status(instance_id) == "running"


def test_a_migration_cannot_be_broken_off_but_an_image_job_can(play):
    """MIGRATION_JOB_NOT_BREAKABLE; a broken saveImage frees its machine for the next job."""
    moving, saving = play.running(), play.running()
    migration = play.act("migrate", moving)["jobId"]
    image = play.post("/job/save/image", instanceId=saving, image="registry.example.com/x:1")["jobId"]

    with pytest.raises(Refusal, match="MIGRATION_JOB_NOT_BREAKABLE"):
        play.post("/job/break", jobId=migration)
    assert play.post("/job/break", jobId=image) == {"jobId": image}

    assert play.get("/jobs", jobId=image)["jobs"][0]["state"]["state"] == "break"
    assert play.machine(saving)["jobs"] == []


def test_by_chance_no_spot_machine_is_taken_in_its_first_hour(rehearse):
    """With a mean lifetime set, notices come after the protected hour and never before."""
    play = rehearse(switches={"spotMeanLifetimeSeconds": 600}, seed=3)
    machines = [play.running(billingMode="spot") for _ in range(10)]

    play.wait(HOUR - 600)
    early = {spot_of(play, instance_id)[1] for instance_id in machines}
    play.wait(3 * HOUR)
    late = {spot_of(play, instance_id)[1] for instance_id in machines}

    assert early == {"running"}
    assert late & {"notified", "terminated"}


def test_only_a_spot_machine_that_runs_can_be_reclaimed(play):
    """The control action refuses the rest and names the field."""
    instance_id = play.running()

    with pytest.raises(InvalidField) as refused:
        play.do("reclaim", instanceId=instance_id)

    assert refused.value.field == "instanceId"
