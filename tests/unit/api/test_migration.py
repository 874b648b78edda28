"""The check for failed migrations and the migration scheduler, over HTTP."""

import pytest

from novitai.domain.automation import Part
from novitai.domain.errors import TryLater
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus, SpotStatus
from novitai.operations.failed_migrations import CheckReport
from novitai.operations.triggers import Trigger
from novitai.ports.provider import ProviderJob
from novitai.ports.store import Commit, Finish, JobStatus
from support import builders
from support.api_house import House
from support.running import context

CHECK = "/api/instances/migration/check-failed"
STATUS = "/api/instances/migration/scheduler/status"
TRIGGER = "/api/instances/migration/scheduler/trigger"


async def stuck(house: House, **fields) -> None:
    """An instance whose machine hangs, as Novita tells it."""
    instance = builders.instance(State.MIGRATING, stopped_at=builders.NOW - 120.0, **fields)
    await house.have(instance)
    house.provider.hold(builders.machine(MachineStatus.MIGRATING))
    house.provider.known_jobs = (
        ProviderJob(
            id="j1",
            type="instanceMigrate",
            state="fail",
            error="no node",
            instance_id=builders.MACHINE_ID,
            created_at=builders.NOW - 90.0,
        ),
    )
    await house.clock.advance(600.0)
    await house.parts.catalogue.for_acceptance()


async def finish(house: House, trigger: Trigger, report: CheckReport | None) -> None:
    """Whoever runs jobs has run it."""
    (claim,) = await house.parts.store.claim("maintenance", owner="worker", limit=1, lease_seconds=20.0)
    if report is None:
        end = Finish(claim=claim, status=JobStatus.FAILED, error="Novita could not be asked for its jobs: bad gateway")
        await house.parts.store.commit(Commit(finish=end))
        return

    async def work() -> CheckReport:
        return report

    await trigger.serve(claim, work)


async def test_a_dry_run_names_what_would_be_repaired_and_how(house: House, admin):
    """With the evidence, and where another machine would be bought; nothing is written."""
    await stuck(house)
    before = await house.parts.store.revision()

    answer = await admin.post(CHECK, json={"dryRun": True})

    body, result = answer.json(), answer.json()["result"]
    assert (answer.status_code, body["success"], body["jobId"]) == (200, True, None)
    assert {name: result[name] for name in ("totalChecked", "failedJobsFound", "instancesRecreated", "errors")} == {
        "totalChecked": 1,
        "failedJobsFound": 1,
        "instancesRecreated": 0,
        "errors": 0,
    }
    assert (result["dryRun"], result["source"]) == (True, "public")
    (case,) = result["candidates"]
    assert (case["instanceId"], case["novitaInstanceId"]) == (builders.INSTANCE_ID, builders.MACHINE_ID)
    assert (case["finding"], case["remedy"], case["outcome"]) == ("failed", "replace", "would")
    assert case["job"]["error"] == "no node"
    assert case["offer"]["pricePerHour"] > 0
    assert await house.parts.store.revision() == before


async def test_a_dry_run_says_that_nothing_can_be_had(house: House, admin):
    """It is what a check would meet."""
    await stuck(house, spec=builders.spec(requirement=builders.requirement(max_price_per_hour=1)))

    (case,) = (await admin.post(CHECK, json={"dryRun": True})).json()["result"]["candidates"]

    assert (case["remedy"], case["outcome"]) == ("replace", "put_off")
    assert "no other machine can be had" in case["error"]


async def test_a_dry_run_without_a_migration_asks_novita_for_nothing(house: House, admin):
    """There is nothing to look for."""
    result = (await admin.post(CHECK, json={"dryRun": True})).json()["result"]

    assert (result["totalChecked"], result["source"], result["candidates"]) == (0, None, [])
    assert list(house.provider.asked("jobs")) == []


async def test_a_dry_run_says_when_novita_cannot_be_asked(house: House, admin):
    """With the code of what was wrong."""
    await stuck(house)
    house.provider.script("jobs", TryLater("bad gateway", status=502))

    answer = await admin.post(CHECK, json={"dryRun": True})

    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "UPSTREAM_ERROR")


@pytest.mark.parametrize("body", [None, {}, {"immediate": False}])
async def test_a_check_is_a_job_unless_its_result_is_wanted(house: House, admin, body):
    """Asked again while it waits it is the same one."""
    first, second = [await admin.post(CHECK, json=body) for _ in range(2)]

    assert (first.status_code, first.json()["result"]) == (202, None)
    assert first.json()["scheduledAt"] == "2027-01-15T08:00:00.000Z"
    assert first.json()["jobId"] == second.json()["jobId"]
    (job,) = (await admin.get("/api/jobs")).json()["jobs"]
    assert (job["id"], job["type"], job["key"]) == (
        first.json()["jobId"],
        "check_failed_migrations",
        "trigger:failed-migrations",
    )


async def test_a_check_that_takes_long_goes_on_as_a_job(admin):
    """Nobody waits for ever."""
    answer = await admin.post(CHECK, json={"immediate": True})

    assert (answer.status_code, answer.json()["result"]) == (202, None)
    assert answer.json()["jobId"] in answer.json()["message"]


async def test_the_report_of_a_check_is_that_of_a_run_which_began_after_it_was_asked_for(house: House):
    """An earlier run under the same id answers nobody who came later; a failed one says why."""
    trigger = house.parts.failed_migrations.trigger
    report = CheckReport(began_at=house.clock.now(), at=house.clock.now(), dry_run=False, source="", cases=())
    job_id = await trigger.request(context())
    await finish(house, trigger, report)

    assert await trigger.outcome(job_id, asked_at=house.clock.now()) == report
    assert await trigger.outcome(job_id, asked_at=house.clock.now() + 1.0) is None

    failed = await trigger.request(context())
    await finish(house, trigger, None)
    with pytest.raises(Exception, match="bad gateway"):
        await trigger.outcome(failed, asked_at=house.clock.now())


async def test_a_cancelled_check_says_so(house: House, admin):
    """Somebody did not want it."""
    trigger, asked_at = house.parts.failed_migrations.trigger, house.clock.now()
    job_id = await trigger.request(context())
    await admin.post(f"/api/jobs/{job_id}/cancel")

    with pytest.raises(Exception, match="cancelled"):
        await trigger.outcome(job_id, asked_at=asked_at)


async def test_a_trigger_is_a_job_that_looks_after_moves(admin):
    """Written down with who asked."""
    answer = await admin.post(TRIGGER)

    body = answer.json()
    assert (answer.status_code, body["success"], body["triggeredAt"]) == (202, True, "2027-01-15T08:00:00.000Z")
    (job,) = (await admin.get("/api/jobs")).json()["jobs"]
    assert (job["id"], job["type"], job["key"]) == (body["jobId"], "migrate_instance", "trigger:migration")
    assert "migration.trigger" in [entry["action"] for entry in (await admin.get("/api/audit")).json()["entries"]]


async def test_a_trigger_while_migration_is_paused_says_that_nothing_will_move(house: House, admin):
    """It is a job all the same."""
    await house.parts.automation.pause([Part.MIGRATION], "", context())

    assert "paused" in (await admin.post(TRIGGER)).json()["message"]


async def test_the_status_tells_whom_the_scheduler_leaves_alone_and_why(house: House, admin):
    """An instance with a notice, whose strategy waits until it stands still."""
    noticed = builders.with_machine(
        builders.instance(State.READY),
        spot_status=SpotStatus.NOTIFIED,
        reclaim_at=builders.NOW + 3600.0,
        taken_since=builders.NOW,
    )
    await house.have(noticed)

    body = (await admin.get(STATUS)).json()

    status = body["status"]
    assert (body["success"], body["healthDetails"]) == (True, {"healthy": True, "status": "healthy", "issues": []})
    assert (status["isEnabled"], status["isRunning"], status["paused"], status["dryRun"]) == (True, False, False, False)
    assert (status["intervalMinutes"], status["failedMigrations"]["intervalMinutes"]) == (15.0, 30.0)
    assert (status["checked"], status["moved"], status["failed"]) == (1, 0, 0)
    (left,) = status["skipped"]
    assert (left["instanceId"], left["step"]) == (noticed.id, "wait")
    assert "stands still" in left["reason"]


async def test_the_status_names_the_job_that_waits(admin):
    """As clients of the earlier service look for it."""
    triggered = (await admin.post(TRIGGER)).json()["jobId"]

    status = (await admin.get(STATUS)).json()["status"]

    assert (status["currentJobId"], status["failedMigrations"]["currentJobId"]) == (triggered, None)


async def test_a_paused_scheduler_is_not_well(house: House, admin):
    """And says why."""
    await house.parts.automation.pause([Part.MIGRATION], "", context())

    body = (await admin.get(STATUS)).json()

    assert (body["status"]["paused"], body["healthDetails"]["status"]) == (True, "paused")


async def test_a_check_that_could_not_be_made_is_an_issue(house: House, admin):
    """Until one is made again."""
    house.parts.failed_migrations.note_failure("Novita could not be asked for its jobs")

    body = (await admin.get(STATUS)).json()

    checks = body["status"]["failedMigrations"]
    assert body["healthDetails"] == {
        "healthy": False,
        "status": "degraded",
        "issues": ["Novita could not be asked for its jobs"],
    }
    assert (checks["totalExecutions"], checks["failedExecutions"]) == (1, 1)
