"""Durable jobs over HTTP: live and finished ones in one list, trying again, giving up."""

import pytest

from novitai.domain.errors import Broken
from novitai.domain.ids import MachineId
from novitai.ports.provider import ProviderJob
from novitai.ports.store import Commit, Finish, JobStatus, Priority, Wake
from support import builders
from support.api_house import House, open_house
from support.asking import create_body


def wake(number: int, key: str | None = None, **fields) -> Wake:
    usual = {
        "key": key or f"trigger:{number}",
        "id": f"job_{number:026d}",
        "type": "sync_instances",
        "lane": "maintenance",
        "priority": Priority.NORMAL,
        "due": builders.NOW,
    }
    return Wake(**usual | fields)


async def want(house: House, *wakes: Wake) -> None:
    for one in wakes:
        await house.parts.store.commit(Commit(wakes=(one,)))


async def end(house: House, status: JobStatus = JobStatus.COMPLETED, error: str | None = None) -> None:
    """Work off everything that is due in the maintenance lane."""
    claims = await house.parts.store.claim("maintenance", owner="test", limit=100, lease_seconds=20.0)
    for claim in claims:
        await house.parts.store.commit(Commit(finish=Finish(claim=claim, status=status, error=error)))


async def ids(admin, query: str = "") -> list[str]:
    return [job["id"] for job in (await admin.get(f"/api/jobs{query}")).json()["jobs"]]


async def test_live_jobs_come_before_finished_ones_each_newest_first(house: House, admin):
    """What is to be done interests more than what was done."""
    await want(house, wake(1), wake(2))
    await end(house)
    await want(house, wake(3), wake(4))

    listed = (await admin.get("/api/jobs")).json()

    assert [job["id"][-1] for job in listed["jobs"]] == ["4", "3", "2", "1"]
    assert [job["status"] for job in listed["jobs"]] == ["pending", "pending", "completed", "completed"]
    assert listed["total"] == 4


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
async def test_pages_go_from_live_to_finished_jobs_without_a_gap(house: House, admin, limit):
    """Wherever a page ends."""
    await want(house, wake(1), wake(2), wake(3))
    await end(house)
    await want(house, wake(4), wake(5))
    whole = await ids(admin)

    found, cursor = [], ""
    while cursor is not None:
        page = (await admin.get("/api/jobs", params={"limit": limit, **({"cursor": cursor} if cursor else {})})).json()
        found += [job["id"] for job in page["jobs"]]
        cursor = page["nextCursor"]

    assert found == whole
    assert len(found) == 5


FILTERS = {
    "type": ("?type=stop_instance", {3}, 1),
    "status of live ones": ("?status=pending", {2, 3}, 2),
    "status of finished ones": ("?status=completed", {1}, 1),
    "priority": ("?priority=critical", {3}, 1),
    "instance": ("?instanceId=inst_x", {3}, 1),
    "nothing of the kind": ("?status=failed&type=stop_instance", set(), 0),
}


@pytest.mark.parametrize(("query", "expected", "total"), FILTERS.values(), ids=FILTERS)
async def test_jobs_are_found_by_type_status_priority_and_instance(house: House, admin, query, expected, total):
    """And counted as far as the filter reaches."""
    await want(house, wake(1))
    await end(house)
    await want(
        house, wake(2), wake(3, "instance:inst_x", type="stop_instance", lane="instances", priority=Priority.CRITICAL)
    )

    listed = (await admin.get(f"/api/jobs{query}")).json()

    assert {int(job["id"][4:]) for job in listed["jobs"]} == expected
    assert listed["total"] == total


async def test_a_job_is_read_by_its_id_while_it_lives_and_after(house: House, admin):
    """The same id, also when it has ended."""
    await want(house, wake(1))
    live = await admin.get("/api/jobs/job_00000000000000000000000001")
    await end(house, JobStatus.FAILED, "it broke")
    ended = await admin.get("/api/jobs/job_00000000000000000000000001")
    nowhere = await admin.get("/api/jobs/job_none")

    assert (live.json()["status"], live.json()["nextRetryAt"]) == ("pending", "2027-01-15T08:00:00.000Z")
    assert (ended.json()["status"], ended.json()["error"]) == ("failed", "it broke")
    assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (404, "JOB_NOT_FOUND")


async def test_a_waiting_job_is_run_at_once_when_it_is_tried_again(house: House, admin):
    """Its due time is now."""
    await want(house, wake(1, due=builders.NOW + 500))

    answer = await admin.post("/api/jobs/job_00000000000000000000000001/retry")

    assert (answer.status_code, answer.json()["nextRetryAt"]) == (202, "2027-01-15T08:00:00.000Z")


async def test_a_failed_job_is_tried_again_as_a_new_one(house: House, admin):
    """The old one stays in the log; a completed one has nothing to try."""
    await want(house, wake(1))
    await end(house, JobStatus.FAILED, "it broke")
    again = await admin.post("/api/jobs/job_00000000000000000000000001/retry")
    await end(house)
    done = await admin.post(f"/api/jobs/{again.json()['id']}/retry")

    assert again.json()["id"] != "job_00000000000000000000000001"
    assert again.json()["key"] == "trigger:1"
    assert done.status_code == 409


async def test_a_job_is_given_up_and_an_instances_work_never_is(house: House, admin):
    """An instance whose work was cancelled would bill for ever."""
    await want(house, wake(1))
    await admin.post("/api/instances", json=create_body())
    work = (await ids(admin, "?type=create_instance"))[0]

    given_up = await admin.post("/api/jobs/job_00000000000000000000000001/cancel")
    again = await admin.post("/api/jobs/job_00000000000000000000000001/cancel")
    refused = await admin.post(f"/api/jobs/{work}/cancel")

    assert given_up.json()["status"] == "cancelled"
    assert (again.status_code, refused.status_code) == (409, 409)
    assert "stop or delete" in refused.json()["error"]["message"]


async def test_a_delivery_goes_to_the_dead_letters_with_its_job_and_comes_back_with_it():
    """Without its job it would wait for ever."""
    async with open_house(webhook_url="https://example.com/hook") as house, house.client() as admin:
        made = (await admin.post("/api/instances", json=create_body())).json()
        where = f"/api/instances/{made['instanceId']}/deliveries"
        job = (await ids(admin, "?type=send_webhook"))[0]

        await admin.post(f"/api/jobs/{job}/cancel")
        dead = (await admin.get(where)).json()["deliveries"][0]
        await admin.post(f"/api/jobs/{job}/retry")
        alive = (await admin.get(where)).json()["deliveries"][0]

    assert (dead["status"], dead["nextAttemptAt"]) == ("dead", None)
    assert (alive["status"], alive["nextAttemptAt"]) == ("pending", "2027-01-15T08:00:00.000Z")


async def test_statistics_say_how_much_is_to_do_and_was_done(house: House, admin):
    """And how long the oldest has waited beyond its time."""
    await want(house, wake(1), wake(2))
    await end(house)
    await want(house, wake(3), wake(4, due=builders.NOW + 1000))
    await house.clock.advance(30.0)

    stats = (await admin.get("/api/jobs/stats")).json()

    assert stats["counts"] == {"sync_instances": {"pending": 2, "completed": 2}}
    assert stats["oldestPendingAgeSeconds"] == 30.0
    assert stats["donePerMinute"] == 2.0


async def test_jobs_of_novita_are_asked_for_once_in_half_a_minute(house: House, admin):
    """A dashboard that refreshes must not use up the limit of calls."""
    house.provider.known_jobs = (
        ProviderJob(
            id="j1", type="instanceMigrate", state="running", error="", instance_id="abc", created_at=builders.NOW
        ),
        ProviderJob(
            id="j2", type="instanceMigrate", state="running", error="no", instance_id="def", created_at=builders.NOW
        ),
    )

    first = await admin.get("/api/novita/jobs?type=instanceMigrate")
    await admin.get("/api/novita/jobs?type=instanceMigrate&instanceId=abc")
    await house.clock.advance(31.0)
    await admin.get("/api/novita/jobs?type=instanceMigrate")

    assert first.json()["source"] == "public"
    assert [job["error"] for job in first.json()["jobs"]] == [None, "no"]
    assert len(list(house.provider.asked("jobs"))) == 2


def novita_job(number: int, machine_id: str) -> ProviderJob:
    return ProviderJob(
        id=f"j{number}",
        type="instanceMigrate",
        state="fail",
        error="no node",
        instance_id=machine_id,
        created_at=builders.NOW - number,
    )


async def test_the_jobs_of_one_machine_are_found_on_whatever_page_of_novitas_they_are(house: House, admin):
    """Novita cannot be asked for them; the total is of theirs, and pages are of them."""
    house.provider.known_jobs = tuple(novita_job(n, "rare" if n in (7, 130, 249) else "other") for n in range(250))

    first = (await admin.get("/api/novita/jobs?instanceId=rare&pageSize=2")).json()
    second = (await admin.get("/api/novita/jobs?instanceId=rare&pageSize=2&page=2")).json()

    assert (first["total"], [job["id"] for job in first["jobs"]]) == (3, ["j7", "j130"])
    assert (second["total"], [job["id"] for job in second["jobs"]]) == (3, ["j249"])
    assert len(list(house.provider.asked("jobs"))) == 3


async def test_the_jobs_of_an_instance_are_those_of_its_machine(house: House, admin):
    """Our id will do as well as Novita's."""
    instance = builders.with_machine(builders.instance(), id=MachineId("abc"))
    await house.have(instance)
    house.provider.known_jobs = (novita_job(1, "abc"), novita_job(2, "def"))

    found = (await admin.get("/api/novita/jobs", params={"instanceId": instance.id})).json()

    assert [(job["id"], job["instanceId"], job["error"]) for job in found["jobs"]] == [("j1", "abc", "no node")]


@pytest.mark.parametrize("wrong", ["type=migrate", "state=failed", "pageSize=101", "page=0"])
async def test_what_novitas_jobs_cannot_be_asked_for_is_refused(admin, wrong):
    """With what is allowed."""
    answer = await admin.get(f"/api/novita/jobs?{wrong}")

    assert answer.status_code == 422
    assert answer.json()["error"]["validationErrors"][0]["field"] == wrong.partition("=")[0]


async def test_a_novita_that_tells_no_jobs_is_said_so(house: House, admin):
    """With the code for what was wrong, and nothing of it is kept."""
    house.provider.script("jobs", Broken("<html>"))

    failed = await admin.get("/api/novita/jobs")
    again = await admin.get("/api/novita/jobs")

    assert (failed.status_code, failed.json()["error"]["code"]) == (502, "UPSTREAM_ERROR")
    assert again.status_code == 200


@pytest.mark.parametrize("moment", ["2027-01-15T08:00:00Z", "1800000000"])
async def test_times_of_novitas_jobs_are_given_as_dates_or_numbers(house: House, admin, moment):
    """Both are common; both reach Novita as Unix seconds."""
    await admin.get("/api/novita/jobs", params={"startTime": moment})

    assert [query.start_time for query in house.provider.asked("jobs")] == [1_800_000_000]


async def test_a_time_that_is_none_is_refused(admin):
    """Instead of asking Novita for something else."""
    assert (await admin.get("/api/novita/jobs?startTime=yesterday")).status_code == 422


async def test_the_work_of_an_instance_names_it_and_its_request(house: House, admin):
    """From a job back to who asked."""
    made = await admin.post("/api/instances", json=create_body(), headers={"X-Correlation-ID": "story-1"})

    (job,) = (await admin.get("/api/jobs")).json()["jobs"]

    assert (job["instanceId"], job["correlationId"]) == (made.json()["instanceId"], "story-1")
