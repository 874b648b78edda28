"""What each verb asks of the server and shows to a person or a program."""

import json

import pytest
from typer.testing import Result

from unit.client.stand_in import Reply, StandIn, accepted, created, instance

CREATE = ("create", "trainer", "--product", "RTX 4090 24GB", "--image", "img:1")


def test_create_sends_every_option(server: StandIn, novitai) -> None:
    server.on("POST", "/api/instances", Reply(201, created()))

    done: Result = novitai(
        *("create", "trainer", "--product-id", "p1", "--template", "t1", "--gpus", "2", "--disk", "80"),
        *(
            "--region",
            "CN-HK-01",
            "--region",
            "US-CA-06",
            "--billing",
            "auto",
            "--max-price",
            "0.5",
            "--port",
            "8080/http",
        ),
        *("--port", "22/tcp", "--env", "A=1=2", "--label", "team=nlp", "--webhook", "https://me/hook", "--dry-run"),
        *("--ttl", "4h", "--schedule-start", "0 8 * * 1-5", "--timezone", "Europe/Berlin"),
    )

    assert done.exit_code == 0
    assert server.asked[0].body == {
        "name": "trainer",
        "productId": "p1",
        "templateId": "t1",
        "gpuNum": 2,
        "rootfsSize": 80,
        "region": ["CN-HK-01", "US-CA-06"],
        "billingMode": "auto",
        "maxPricePerHour": 0.5,
        "ports": [{"port": 8080, "type": "http"}, {"port": 22, "type": "tcp"}],
        "envs": [{"key": "A", "value": "1=2"}],
        "labels": {"team": "nlp"},
        "webhookUrl": "https://me/hook",
        "ttl": "4h",
        "schedule": {"start": "0 8 * * 1-5", "timezone": "Europe/Berlin"},
        "dryRun": True,
    }


def test_a_time_zone_without_a_schedule_is_a_wrong_call(novitai) -> None:
    """Exit code 2, before anything is asked."""
    assert novitai(*CREATE, "--timezone", "Europe/Berlin").exit_code == 2


def test_create_tells_what_was_chosen_and_why(server: StandIn, novitai) -> None:
    server.on("POST", "/api/instances", Reply(201, created()))

    done = novitai(*CREATE)

    assert done.exit_code == 0
    assert "inst_1" in done.stdout
    assert "0.42 USD an hour" in done.stdout
    assert "the cheapest that fits" in done.stdout


def test_a_dry_run_shows_every_offer_that_was_compared(server: StandIn, novitai) -> None:
    """It needs no instance, and does not wait for one."""
    plan = {
        key: value
        for key, value in created(status="planned", dryRun=True).items()
        if key not in ("instanceId", "links")
    }
    offers = [
        {"rank": None, "productName": "RTX 4090 24GB", "region": "US-CA-06", "fits": False, "reason": "above the cap"}
    ]
    server.on("POST", "/api/instances", Reply(200, {**plan, "offers": offers}))

    done = novitai(*CREATE, "--dry-run", "--wait")

    assert done.exit_code == 0
    assert "planned" in done.stdout
    assert "above the cap" in done.stdout
    assert server.asked[0].body["dryRun"] is True


@pytest.mark.parametrize("wait", [("--wait",), ("--wait", "60"), ("--wait=60",)])
def test_create_can_wait_until_it_is_ready(server: StandIn, novitai, wait: tuple[str, ...]) -> None:
    """Progress goes to stderr, the result to stdout; the seconds may be left out."""
    server.on("POST", "/api/instances", Reply(201, created()))
    server.on(
        "GET", "/api/instances/inst_1", *(Reply(body=instance(status=one)) for one in ("creating", "running", "ready"))
    )

    done = novitai(*CREATE, *wait)

    assert done.exit_code == 0
    assert [line.split()[1] for line in done.stderr.splitlines() if line.strip()[:2] == "0:"] == [
        "creating",
        "running",
        "ready",
    ]
    assert "http://10.0.0.1:8080" in done.stdout


def test_wait_with_json_prints_the_ready_instance_alone(server: StandIn, novitai) -> None:
    server.on("POST", "/api/instances", Reply(201, created()))
    server.on("GET", "/api/instances/inst_1", Reply(body=instance()))

    done = novitai(*CREATE, "--wait", "--json")

    assert json.loads(done.stdout)["status"] == "ready"


def test_json_is_the_servers_own(server: StandIn, novitai) -> None:
    """Fields that this client does not know are there, too."""
    server.on("GET", "/api/instances/trainer", Reply(body=instance()))

    done = novitai("show", "trainer", "--json")

    assert json.loads(done.stdout) == instance()


def test_list_shows_every_page_in_one_table(server: StandIn, novitai) -> None:
    pages = [
        {"instances": [instance(f"inst_{n}")], "total": 2, "nextCursor": more} for n, more in ((1, "c"), (2, None))
    ]
    server.on("GET", "/api/instances", *(Reply(body=page) for page in pages))

    done = novitai("list", "--status", "ready", "--label", "team=nlp")

    assert done.stdout.split("\n")[0].split() == ["NAME", "ID", "STATUS", "GPU", "REGION", "BILLING", "USD/H"]
    assert "inst_1" in done.stdout
    assert "inst_2" in done.stdout
    assert server.asked[0].query == [("status", "ready"), ("label", "team=nlp")]


def test_list_as_json_is_one_answer_however_many_pages(server: StandIn, novitai) -> None:
    pages = [
        {"instances": [instance(f"inst_{n}")], "total": 2, "nextCursor": more} for n, more in ((1, "c"), (2, None))
    ]
    server.on("GET", "/api/instances", *(Reply(body=page) for page in pages))

    done = novitai("list", "--json")

    assert json.loads(done.stdout) == {
        "instances": [instance("inst_1"), instance("inst_2")],
        "total": 2,
        "nextCursor": None,
    }


def test_show_tells_what_a_person_asks_about(server: StandIn, novitai) -> None:
    more = {"lastError": {"code": "HEALTH_CHECK_TIMEOUT", "message": "no answer on 8080 [/up]"}, "stale": True}
    server.on("GET", "/api/instances/trainer", Reply(body=instance(status="failed", **more)))

    done = novitai("show", "trainer")

    assert "failed (not seen lately)" in done.stdout
    assert "running, by user:k1" in done.stdout
    assert "no answer on 8080 [/up] (HEALTH_CHECK_TIMEOUT)" in done.stdout
    assert "1.50 USD" in done.stdout


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [("start", "start", "starting"), ("stop", "stop", "stopping"), ("restart", "restart", "starting")],
)
def test_verbs_say_what_the_state_is_now(server: StandIn, novitai, verb: str, path: str, status: str) -> None:
    server.on("POST", f"/api/instances/trainer/{path}", Reply(202, accepted(status)))

    done = novitai(verb, "trainer")

    assert (done.exit_code, done.stdout) == (0, f"inst_1 is {status}: accepted\n")


def test_start_can_wait(server: StandIn, novitai) -> None:
    server.on("POST", "/api/instances/trainer/start", Reply(202, accepted("starting")))
    server.on("GET", "/api/instances/inst_1", Reply(body=instance()))

    done = novitai("start", "trainer", "--wait", "30")

    assert done.exit_code == 0
    assert "inst_1 is starting" in done.stderr


def test_delete_with_yes_does_not_ask(server: StandIn, novitai) -> None:
    server.on("DELETE", "/api/instances/trainer", Reply(202, accepted("deleting")))

    done = novitai("delete", "trainer", "--yes", "--json")

    assert json.loads(done.stdout) == accepted("deleting")


def test_prices_are_shown_with_the_cheapest_below(server: StandIn, novitai) -> None:
    """What holds now, what it was, and where it is least."""
    at = "2027-01-15T08:00:00.000Z"
    where = {
        "productId": "4090",
        "productName": "RTX 4090 24GB",
        "region": "US-CA-06 (California)",
        "clusterId": "us-ca-6",
        "billingMode": "spot",
    }
    row = where | {
        "now": {"pricePerGpuHour": 0.35, "inventory": "high", "since": at},
        "cheapest": {"pricePerGpuHour": 0.2, "at": at},
        "average": 0.31,
        "availableFraction": 0.75,
        "changes": [],
    }
    cheapest = where | {"pricePerGpuHour": 0.2, "at": at}
    server.on("GET", "/api/prices", Reply(body={"prices": [row], "total": 1, "cheapestInWindow": cheapest}))

    done = novitai("prices", "--product", "RTX 4090", "--days", "7", "--billing", "spot")

    assert done.exit_code == 0
    assert all(word in done.stdout for word in ("0.35", "0.20", "0.31", "75%", "In these days the cheapest"))
    assert "Now the cheapest" not in done.stdout


def test_costs_are_shown_with_what_is_to_come(server: StandIn, novitai) -> None:
    """By label; a month is from its first second to the next one's."""
    saved = {"againstOnDemand": 3.5, "againstDearest": 9.25}
    group = {"total": 12.5, "gpu": 12.0, "disk": 0.5, "adjustment": 0.0, "gpuHours": 34.2, "savings": saved}
    day = {"date": "2026-12-30", "at": "2026-12-31T04:00:00Z", "ours": 5.0, "billed": 6.0, "differencePercent": 16.7}
    body = group | {
        "groupBy": "label",
        "labels": [group | {"label": "team=a", "instances": 2}],
        "forecast": {"perHour": 0.35, "restOfDay": 1.0, "restOfMonth": 77.7},
        "savings": saved,
        "balance": {"amount": 50.0, "at": "2027-01-15T08:00:00Z", "hoursLeft": 142.9},
        "reconciliation": {"days": [day], "waiting": 0},
    }
    server.on("GET", "/api/cost", Reply(body=body))

    done = novitai("cost", "--by", "label", "--month", "2026-12")

    assert done.exit_code == 0
    said = ("team=a", "12.5000", "$77.7000 more", "lasts 143 hours", "2026-12-30: the bill says $6.0000", "$9.2500")
    assert [word for word in said if word not in done.stdout] == []
    asked = dict(server.asked[-1].query)
    assert (asked["groupBy"], asked["from"], asked["to"]) == (
        "label",
        "2026-12-01T00:00:00+00:00",
        "2027-01-01T00:00:00+00:00",
    )


def test_one_instances_cost_is_every_rate_that_was_paid(server: StandIn, novitai) -> None:
    """What runs has no end yet."""
    segment = {"kind": "disk", "novitaInstanceId": "feed", "perHour": 0.00833, "since": "2027-01-15T08:00:00Z"}
    body = {"instanceId": "inst_1", "name": "demo", "total": 1.25, "segments": [segment | {"until": None, "cost": 0.2}]}
    server.on("GET", "/api/instances/demo/cost", Reply(body=body))

    done = novitai("cost", "demo")

    assert all(word in done.stdout for word in ("disk", "0.2000", "demo has cost $1.2500"))


def test_a_month_comes_as_the_server_wrote_it(server: StandIn, novitai) -> None:
    """Nothing is added, so that it can be put into a file."""
    server.on("GET", "/api/cost/monthly.csv", Reply(chunks=[b"month,key\r\n2026-12,k1\r\n"]))

    done = novitai("cost", "--csv", "--month", "2026-12")

    assert done.stdout.replace("\r\n", "\n") == "month,key\n2026-12,k1\n"
    assert server.asked[-1].query == [("month", "2026-12")]


@pytest.mark.parametrize("words", [("--by", "colour"), ("--month", "December"), ("--month", "2026-13")])
def test_a_cost_that_cannot_be_meant_is_refused_before_it_is_asked(server: StandIn, novitai, words) -> None:
    """With what is allowed."""
    assert novitai("cost", *words).exit_code == 2
    assert server.asked == []


def test_offers_are_shown_in_their_order_with_reasons(server: StandIn, novitai) -> None:
    offer = {
        "rank": 1,
        "productName": "RTX 4090",
        "region": "CN-HK-01",
        "pricePerHour": 0.2,
        "reason": "the cheapest that fits",
    }
    server.on("GET", "/api/offers", Reply(body={"offers": [offer], "catalogueAgeSeconds": 1}))

    done = novitai("offers", "--product", "RTX 4090", "--gpus", "1")

    assert "the cheapest that fits" in done.stdout
    assert "0.20" in done.stdout


def test_events_of_one_instance_are_shown(server: StandIn, novitai) -> None:
    event = {
        "id": "e",
        "type": "instance.ready",
        "instanceId": "inst_1",
        "at": "2026-01-01T00:00:00Z",
        "before": "running",
        "after": "ready",
    }
    server.on("GET", "/api/instances/trainer/events", Reply(body={"events": [event]}))

    done = novitai("events", "trainer")

    assert done.stdout.split() == ["2026-01-01", "00:00:00Z", "instance.ready", "inst_1", "running", "→", "ready"]


def test_jobs_are_shown_with_their_errors(server: StandIn, novitai) -> None:
    job = {"id": "job_1", "type": "send_webhook", "status": "failed", "attempts": 3, "error": {"message": "410 Gone"}}
    server.on("GET", "/api/jobs", Reply(body={"jobs": [job]}))

    done = novitai("jobs", "--status", "failed")

    assert "410 Gone" in done.stdout
    assert server.asked[0].query == [("status", "failed"), ("limit", "50")]


def test_a_new_key_is_alone_on_stdout(server: StandIn, novitai) -> None:
    """So that a script can put it where it belongs."""
    server.on("POST", "/api/keys", Reply(201, {"id": "k2", "name": "ci", "scope": "read", "key": "nvk_k2_abc"}))

    done = novitai("keys", "create", "ci", "--scope", "read")

    assert done.stdout == "nvk_k2_abc\n"
    assert server.asked[0].body == {"name": "ci", "scope": "read"}


def test_keys_are_listed_and_revoked(server: StandIn, novitai) -> None:
    server.on("GET", "/api/keys", Reply(body={"keys": [{"id": "k2", "name": "ci", "scope": "read"}]}))
    server.on("DELETE", "/api/keys/k2", Reply(204, b""))

    listed, revoked, as_json = (
        novitai("keys", "list"),
        novitai("keys", "revoke", "k2", "--yes"),
        novitai("keys", "revoke", "k2", "--yes", "--json"),
    )

    assert "ci" in listed.stdout
    assert revoked.stdout == "k2 is revoked.\n"
    assert json.loads(as_json.stdout) == {"id": "k2"}


@pytest.mark.parametrize("verb", [("list", "instances"), ("jobs", "jobs"), ("offers", "offers"), ("keys list", "keys")])
def test_nothing_is_said_in_words(server: StandIn, novitai, verb: tuple[str, str]) -> None:
    words, plural = verb
    path = {"instances": "/api/instances"}.get(plural, f"/api/{plural}")
    server.on("GET", path, Reply(body={plural: [], "total": 0, "nextCursor": None}))

    assert novitai(*words.split()).stdout.startswith("No ")
