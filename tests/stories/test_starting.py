"""Starting and restarting: refusals that are none, no GPU for a stopped machine, long boots, and deploys in the middle.

The service before this one deleted machines whose start was refused, called a start failed that had worked, and watched a start only as long as
its own process lived.
"""

import pytest

from novita_simulator.settings import Delays
from support.stories import HOUR, MINUTE, Tale, told
from support.virtual_novita import VirtualNovita


async def stopped(tale: Tale, **fields) -> str:
    made = await tale.ready(**fields)
    await tale.say(made, "stop")
    await tale.until(made, "stopped")
    return made


@told()
async def test_a_start_that_is_refused_and_yet_happens_is_a_start(tale):
    """Novita answers "invalid state change" and starts the machine all the same."""
    made = await stopped(tale)
    tale.site.novita.fault(
        "POST .*instance/start", "status", status=400, reason="INVALID_STATE_CHANGE", afterEffect=True
    )

    await tale.say(made, "start")
    await tale.until(made, "ready")

    assert tale.calls(made) == ["create", "stop", "start"]
    assert "startup_failed" not in tale.told(made)


@told()
async def test_a_start_without_a_free_gpu_leaves_the_machine_and_says_what_can_be_done(tale):
    """It was answered by deleting the machine, disk and all. Now it stands as it stood, and starts when there is room."""
    made = await stopped(tale)
    machine = tale.machine(made)
    tale.site.perform("stock", available=0)

    await tale.say(made, "start")
    await tale.when(lambda: "failed" in tale.told(made))
    seen = await tale.see(made)
    await tale.passes(HOUR)
    left = tale.machine(made).status
    tale.site.perform("stock", available=8)
    await tale.say(made, "start")
    await tale.until(made, "ready")

    assert seen["lastError"]["code"] == "NO_CAPACITY"
    assert left == "exited"
    assert tale.machine(made).id == machine.id
    assert "delete" not in tale.calls(made)


TROUBLE = {
    "no GPU is free": lambda tale, _made: tale.site.perform("stock", available=0),
    "Novita answers 500": lambda tale, _made: tale.site.novita.fault(
        "POST .*instance/start", "status", status=500, count=-1
    ),
    "it never comes up": lambda tale, _made: tale.site.perform("config", delays={"starting": 100_000}),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_a_failed_start_never_deletes(trouble):
    """Even where stopped machines are deleted after a while: this one is wanted, and its disk is there for the next try."""

    @told(AUTO_STOP_ENABLED="true", INSTANCE_STARTUP_TIMEOUT="5m")
    async def lived(tale):
        made = await stopped(tale, autoStop={"deleteAfterStoppedHours": 0.1})
        TROUBLE[trouble](tale, made)

        await tale.say(made, "start")
        await tale.passes(12 * MINUTE)

        assert len(tale.site.present(made)) == 1
        assert "delete" not in tale.calls(made)
        assert tale.told(made).count("ready") == 1

    lived()


@told()
async def test_an_application_that_never_answers_fails_once_and_its_machine_is_kept(tale):
    """Whether it is of use is for people to say; until then it is there to be looked into."""
    made = await stopped(tale)
    tale.site.perform("app", instanceId=tale.machine(made).id, mode="502")

    await tale.say(made, "start")
    await tale.passes(HOUR)

    assert tale.machine(made).status == "running"
    assert tale.told(made).count("startup_failed") == 1


def slow_model(clock) -> VirtualNovita:
    return VirtualNovita(clock, delays=Delays(app_warmup=30 * MINUTE))


@told(novita=slow_model, AUTO_STOP_ENABLED="true", AUTO_STOP_THRESHOLD="20m")
async def test_a_video_model_that_loads_for_thirty_minutes_is_waited_for(tale):
    """With a time-out that fits: ready when it answers, not before; not idle while it loads; no word repeated with every look."""
    made = await tale.order(healthCheck={"maxWaitTimeMs": 45 * 60_000})

    await tale.until(made, "ready", within=HOUR)
    machine = tale.machine(made)
    loaded_for = tale.clock.now() - machine.running_since
    await tale.passes(14 * MINUTE)
    still = tale.state(made)
    await tale.until(made, "stopped")

    assert 30 * MINUTE <= loaded_for <= 31 * MINUTE
    assert still == "ready"
    assert [word for word in tale.told(made) if word in {"running", "health_check_started", "ready"}] == [
        "running",
        "health_check_started",
        "ready",
    ]


@told(novita=slow_model)
async def test_a_model_slower_than_its_time_out_is_kept_and_its_late_ready_is_welcome(tale):
    """With the usual five minutes it fails truly and once; the machine is left to go on, and is ready when it answers."""
    made = await tale.order()

    await tale.until(made, "failed")
    seen = await tale.see(made)
    await tale.until(made, "ready", within=HOUR)

    assert seen["lastError"]["code"] == "HEALTH_CHECK_TIMEOUT"
    assert tale.calls(made) == ["create"]
    assert [word for word in tale.told(made) if word in {"startup_failed", "failed", "ready"}] == [
        "startup_failed",
        "ready",
    ]


@told()
async def test_running_is_not_ready(tale):
    """Novita says "running" long before the application answers; only its answer is told as ready."""
    made = await tale.ready()

    running, ready = (tale.site.told(made, kind)[0]["arrivedAt"] for kind in ("running", "ready"))
    assert ready - running >= 40.0


@told()
async def test_a_deploy_in_the_middle_of_a_start_loses_nothing(tale):
    """The process is killed while the machine boots: the next one goes on watching, and nobody asks for it again."""
    made = await stopped(tale)
    await tale.say(made, "start")
    await tale.passes(5.0)
    tale.site.kill()
    await tale.passes(6 * MINUTE)
    await tale.begin()

    await tale.until(made, "ready", within=MINUTE)

    assert tale.calls(made) == ["create", "stop", "start"]
    assert tale.told(made).count("ready") == 2


@told()
async def test_one_look_that_fails_is_not_a_failed_start(tale):
    """Novita answers with a page of HTML while a machine starts; the start goes on as if nothing had been."""
    made = await tale.order()
    await tale.passes(5.0)
    tale.site.novita.fault("GET .*", "html", count=10)

    await tale.until(made, "ready")

    assert "failed" not in " ".join(tale.told(made))


@told()
async def test_stopping_twice_is_stopping_once(tale):
    """Novita says `exited` where others say stopped: the second stop is answered, not sent, and told of once."""
    made = await stopped(tale)

    again = await tale.say(made, "stop")

    assert again["status"] == "stopped"
    assert tale.calls(made) == ["create", "stop"]
    assert tale.told(made).count("stopped") == 1
