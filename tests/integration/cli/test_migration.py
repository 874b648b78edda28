"""`novitai migration`: what people read of moves and of those that failed."""

import pytest

from unit.client.stand_in import Reply, StandIn

CHECK, SCHEDULER = "/api/instances/migration/check-failed", "/api/instances/migration/scheduler"
CASE = {
    "instanceId": "inst_1",
    "novitaInstanceId": "37d3",
    "name": "trainer",
    "migratingSince": "2027-01-15T08:00:00.000Z",
    "finding": "failed",
    "because": "Novita's move of the machine failed (job j1: no node)",
    "remedy": "replace",
    "why": "it is wanted running",
    "outcome": "done",
    "error": None,
    "job": None,
    "offer": {
        "productId": "p",
        "productName": "RTX 4090",
        "region": "US-CA-06",
        "billingMode": "spot",
        "pricePerHour": 0.35,
    },
}
LOOP = {
    "isRunning": False,
    "isEnabled": True,
    "lastExecution": "2027-01-15T08:00:00.000Z",
    "nextExecution": None,
    "totalExecutions": 4,
    "failedExecutions": 0,
    "currentJobId": None,
    "uptime": 60.0,
    "intervalMinutes": 15.0,
    "lastError": None,
}
STATUS = {
    "success": True,
    "message": "well",
    "retrievedAt": "2027-01-15T08:00:00.000Z",
    "healthDetails": {"healthy": False, "status": "paused", "issues": ["it is paused"]},
    "status": LOOP
    | {
        "dryRun": False,
        "paused": True,
        "maxConcurrent": 5,
        "checked": 1,
        "underWay": 0,
        "begun": 3,
        "moved": 2,
        "failed": 1,
        "skipped": [{"instanceId": "inst_2", "name": "web", "step": "wait", "reason": "it is crowded", "nextAt": None}],
        "recoverySeconds": {"last": 80.0, "median": 95.4, "p95": 200.0, "worst": 210.2, "lastAt": None},
        "failedMigrations": LOOP
        | {"checked": 4, "failedJobsFound": 2, "instancesRecreated": 1, "instancesTold": 1, "errors": 0},
    },
}


def checked(*cases: dict) -> dict:
    result = {
        "totalChecked": len(cases),
        "failedJobsFound": len(cases),
        "instancesRecreated": 0,
        "instancesTold": 0,
        "errors": 0,
        "dryRun": False,
        "source": "public",
        "candidates": list(cases),
    }
    return {"success": True, "message": "1 of 1 migrations have failed", "duration": 5, "result": result}


def test_a_check_waits_for_what_it_found_and_tells_each_case(server: StandIn, novitai) -> None:
    """The evidence, what was done, where, and why."""
    server.on("POST", CHECK, Reply(200, checked(CASE)))

    done = novitai("migration", "check-failed")

    assert done.exit_code == 0
    assert server.asked[-1].body == {"immediate": True}
    assert done.stdout.splitlines() == [
        "1 of 1 migrations have failed",
        "trainer (inst_1, machine 37d3): Novita's move of the machine failed (job j1: no node)",
        "  replaced by RTX 4090 in US-CA-06 as spot, 0.35 USD/h: it is wanted running",
    ]


@pytest.mark.parametrize(
    ("case", "line"),
    [
        ({"outcome": "would"}, "would be replaced by RTX 4090 in US-CA-06"),
        ({"outcome": "put_off", "error": "nothing fits", "offer": None}, "not now: nothing fits"),
        ({"outcome": "told_before", "remedy": "tell", "offer": None}, "told before: it is wanted running"),
        ({"outcome": "done", "remedy": "tell", "offer": None}, "told: it is wanted running"),
    ],
)
def test_a_dry_run_and_every_other_outcome_has_its_words(server: StandIn, novitai, case, line) -> None:
    """Whatever came of it."""
    server.on("POST", CHECK, Reply(200, checked(CASE | case)))

    done = novitai("migration", "check-failed", "--dry-run")

    assert server.asked[-1].body == {"dryRun": True}
    assert line in done.stdout


def test_a_check_that_goes_on_says_as_which_job(server: StandIn, novitai) -> None:
    """There is nothing to list yet."""
    answer = {"success": True, "message": "the check goes on; see /api/jobs/job_1", "jobId": "job_1", "duration": 5}
    server.on("POST", CHECK, Reply(202, answer))

    assert novitai("migration", "check-failed").stdout == "the check goes on; see /api/jobs/job_1\n"


def test_the_status_is_a_few_sentences(server: StandIn, novitai) -> None:
    """Whether it is well, what it did, how long that took, and who is left alone."""
    server.on("GET", f"{SCHEDULER}/status", Reply(200, STATUS))

    lines = novitai("migration", "status").stdout.splitlines()

    assert lines == [
        "Moves are paused: it is paused",
        "Last look 2027-01-15 08:00:00Z, every 15 minutes at the latest",
        "In a week 3 begun, 2 moved, 1 failed; 0 under way now",
        "Recovery took 95 s (median), 210 s at worst",
        "Failed migrations: 2 found in 4 checks; 1 replaced, 1 told, 0 put off",
        "web is left alone: it is crowded",
    ]


def test_a_trigger_names_its_job(server: StandIn, novitai) -> None:
    """And what the server said."""
    answer = {"success": True, "message": "see /api/jobs/job_1", "jobId": "job_1", "duration": 1}
    server.on("POST", f"{SCHEDULER}/trigger", Reply(202, answer | {"triggeredAt": "2027-01-15T08:00:00.000Z"}))

    assert "job_1" in novitai("migration", "trigger").stdout


@pytest.mark.parametrize(
    ("words", "method", "path", "answer"),
    [
        (("status",), "GET", f"{SCHEDULER}/status", STATUS),
        (("check-failed",), "POST", CHECK, checked(CASE)),
    ],
)
def test_json_is_what_the_server_said(server: StandIn, novitai, words, method, path, answer) -> None:
    """For programs."""
    server.on(method, path, Reply(200, answer))

    assert '"success": true' in novitai("migration", *words, "--json").stdout
