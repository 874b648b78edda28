"""Never pay for an idle machine, never stop one that is used, booting, or somebody else's.

The service before this one had its threshold set five times and its grace period four; it stopped machines that it had never made, and those
that had just been restarted, because the last use that it knew of lay before the restart.
"""

import json
from dataclasses import replace

from novita_simulator.settings import Delays
from support.stories import HOUR, MINUTE, told
from support.virtual_novita import VirtualNovita

ON = {
    "AUTO_STOP_ENABLED": "true",
    "AUTO_STOP_THRESHOLD": "20m",
    "AUTO_STOP_WARN": "5m",
    "INSTANCE_POLL_INTERVAL": "60s",
}


@told(**ON)
async def test_what_nobody_uses_is_announced_stopped_and_can_say_why(tale):
    """In time, with the evidence in the announcement and kept with the stop."""
    made = await tale.ready()
    await tale.until(made, "stopped")

    stopped_after = tale.site.made("stop")[0].received_at - tale.site.told(made, "ready")[0]["arrivedAt"]
    assert 20 * MINUTE <= stopped_after <= 20 * MINUTE + 90.0
    assert tale.told(made)[-3:] == ["idle_warning", "stopping", "stopped"]
    (because,) = await tale.because(made, "instance.stop")
    assert "no use is known since" in because
    assert "gpu 0.0 %" in because


def slow_to_warm_up(clock) -> VirtualNovita:
    return VirtualNovita(clock, delays=Delays(app_warmup=25 * MINUTE))


@told(novita=slow_to_warm_up, HEALTH_CHECK_MAX_WAIT_TIME_MS="3600000", **ON)
async def test_a_restarted_machine_that_still_warms_up_is_not_stopped(tale):
    """Its last use lies hours back and it warms up longer than the threshold: idleness begins when it is ready again."""
    made = await tale.ready()
    await tale.ask("PUT", f"/api/instances/{made}/last-used", {})
    await tale.until(made, "stopped")
    await tale.passes(2 * HOUR)

    await tale.say(made, "start")
    await tale.until(made, "ready")
    ready_at = tale.clock.now()
    await tale.until(made, "stopping")

    assert tale.clock.now() - ready_at >= 20 * MINUTE
    assert "startup_failed" not in tale.told(made)


@told(**ON)
async def test_a_last_use_from_before_the_restart_does_not_stop_the_restarted_machine(tale):
    """A stop and a start later, the old time is still stored. It is no evidence of anything."""
    made = await tale.ready()
    old = await tale.ask("PUT", f"/api/instances/{made}/last-used", {})
    await tale.say(made, "stop")
    await tale.until(made, "stopped")
    await tale.passes(2 * HOUR)
    await tale.say(made, "start")
    await tale.until(made, "ready")
    await tale.passes(19 * MINUTE)

    assert (await tale.see(made))["lastUsedAt"] == old.json()["lastUsedAt"]
    assert tale.state(made) == "ready"
    assert len(tale.site.made("stop")) == 1


@told(**ON)
async def test_a_machine_of_somebody_else_is_seen_and_never_touched(tale):
    """The predecessor adopted what it found on the account, and stopped it ten minutes later."""
    tale.site.perform("machines", name="colleague-training", productId="4090.16c62g", clusterId="us-ca-6")
    await tale.passes(2 * HOUR)

    orphans = (await tale.ask("GET", "/api/orphans")).json()["orphans"]
    assert [orphan["name"] for orphan in orphans] == ["colleague-training"]
    assert tale.site.made() == []
    assert [machine.status for machine in tale.site.present()] == ["running"]


@told(**ON)
async def test_stop_all_and_idle_stop_leave_other_peoples_machines_alone(tale):
    """Only what was made here, or taken in on purpose, is ever stopped."""
    tale.site.perform("machines", name="colleague-training", productId="4090.16c62g", clusterId="us-ca-6")
    made = await tale.ready()

    answer = await tale.ask("POST", "/api/instances/stop-all", {})
    await tale.until(made, "stopped")

    assert answer.json()["count"] == 1
    assert {machine.name: machine.status for machine in tale.site.present()}["colleague-training"] == "running"


@told(**ON)
async def test_a_machine_that_works_without_telling_anybody_is_not_idle(tale):
    """Nobody ever calls last-used: its GPU says enough."""
    made = await tale.ready()
    tale.site.perform("load", instanceId=tale.machine(made).id, gpu=85)
    await tale.passes(2 * HOUR)
    busy = tale.state(made)
    tale.site.perform("load", instanceId=tale.machine(made).id, gpu=0)
    await tale.until(made, "stopping")

    assert busy == "ready"


@told(**ON)
async def test_looking_at_a_machine_does_not_keep_it_running(tale):
    """A dashboard left open costs nothing."""
    made = await tale.ready()
    ready_at = tale.clock.now()
    while tale.state(made) == "ready":
        await tale.passes(MINUTE)
        await tale.see(made)

    assert tale.clock.now() - ready_at <= 22 * MINUTE


@told(**ON)
async def test_one_model_may_idle_longer_than_the_others(tale):
    """No more turning of a constant for everybody: the slow one says so itself, and one says never."""
    usual = await tale.ready(name="usual")
    slow = await tale.ready(name="slow", autoStop={"idleMinutes": 120})
    never = await tale.ready(name="never", autoStop={"enabled": False})

    await tale.until(usual, "stopped")
    await tale.passes(HOUR)
    before = tale.state(slow)
    await tale.until(slow, "stopped")

    assert before == "ready"
    assert tale.state(never) == "ready"


NONSENSE = ("", "soon", "-1", "NaN", "1e400", "2026-99-99T00:00:00Z", None, "18446744073709551616")


@told(**ON)
async def test_times_that_are_none_crash_nothing(tale):
    """ "Invalid time value": whatever Novita writes where a time belongs, looking goes on, and what is idle is stopped in time."""
    times = iter(NONSENSE * 100_000)

    def nonsense(request, reply):
        if "/gpu/instance" not in request.path or reply.status != 200 or not reply.body:
            return reply
        body = json.loads(reply.body)
        for machine in body.get("instances", [body]):
            for name in ("createdAt", "lastStartedAt", "lastStoppedAt", "spotReclaimTime", "endTime"):
                if name in machine:
                    machine[name] = next(times)
        return replace(reply, body=json.dumps(body).encode())

    tale.site.novita.spoil = nonsense
    made = await tale.ready()
    ready_at = tale.clock.now()
    await tale.until(made, "stopping")

    assert 20 * MINUTE <= tale.clock.now() - ready_at <= 22 * MINUTE
    assert (await tale.ask("GET", "/health")).status_code == 200


@told(**ON)
async def test_a_last_use_that_is_no_time_is_refused_by_name(tale):
    """The caller is told; the clock of idleness is not moved."""
    made = await tale.ready()

    answers = [await tale.ask("PUT", f"/api/instances/{made}/last-used", {"lastUsedAt": bad}) for bad in NONSENSE]

    assert {answer.status_code for answer in answers[:-2]} == {422}
    assert "lastUsedAt" in answers[1].text
    await tale.until(made, "stopping", within=21 * MINUTE)
