"""What every answer has: ids, headers that keep browsers careful, and CORS for those origins that are allowed."""

from dataclasses import replace

import pytest

from novitai.api.parts import ApiSettings
from novitai.ports.store import StoreUnavailable
from novitai.stores.notifying import NotifyingStore
from novitai.stores.sqlite import open_sqlite
from support.api_house import House, open_house
from support.clock import FakeClock

ORIGIN = "https://ui.example.com"


async def test_ids_of_the_caller_are_returned(house: House):
    """One id tells the whole story, from the caller's log to ours."""
    async with house.client() as client:
        answer = await client.get("/api/nothing", headers={"X-Request-ID": "r-1", "X-Correlation-ID": "job:7"})

    assert (answer.headers["X-Request-ID"], answer.headers["X-Correlation-ID"]) == ("r-1", "job:7")
    assert (answer.json()["error"]["requestId"], answer.json()["error"]["correlationId"]) == ("r-1", "job:7")


@pytest.mark.parametrize("unsafe", ["a b", "x" * 129, "", "é", 'a"b', "a\tb", "{}"])
async def test_ids_that_are_unsafe_to_log_are_replaced(house: House, unsafe):
    """A log line stays one line, and nobody writes into it."""
    async with house.client() as client:
        answer = await client.get("/healthz", headers={"X-Request-ID": unsafe.encode()})

    assert answer.headers["X-Request-ID"].startswith("req_")


@pytest.mark.parametrize("path", ["/api/instances", "/api/nothing", "/healthz", "/docs"])
async def test_every_answer_keeps_browsers_careful(house: House, path):
    """Nothing is sniffed, framed, stored or told to other sites."""
    async with house.client() as client:
        headers = (await client.get(path)).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"
    assert "server" not in headers


async def test_pages_for_people_allow_nothing_from_elsewhere(house: House):
    """The documentation has no scripts, and its one style is known by its hash."""
    async with house.client(None) as client:
        page = await client.get("/docs")

    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "<script" not in page.text
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert "/api/instances/{instance_id}/start" in page.text


async def test_https_is_kept_only_when_we_serve_it():
    """HSTS on plain HTTP would be a lie."""
    async with open_house(replace(ApiSettings(), tls=True)) as house, house.client() as client:
        assert "max-age" in (await client.get("/healthz")).headers["Strict-Transport-Security"]


async def test_without_allowed_origins_there_is_no_cors(house: House):
    """Other people's pages have no business here."""
    async with house.client() as client:
        asked = await client.get("/api/instances", headers={"Origin": ORIGIN})
        before = await client.options(
            "/api/instances", headers={"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
        )

    assert "access-control-allow-origin" not in asked.headers
    assert before.status_code == 405


@pytest.mark.parametrize(
    ("allowed", "origin", "granted"),
    [((ORIGIN,), ORIGIN, ORIGIN), ((ORIGIN,), "https://evil.example", None), (("*",), "https://any.example", "*")],
)
async def test_allowed_origins_are_told_so(allowed, origin, granted):
    """The question before a call is answered without a key, since browsers send none with it."""
    settings = replace(ApiSettings(), allowed_origins=allowed)
    async with open_house(settings) as house, house.client() as client, house.client(None) as browser:
        answer = await client.get("/api/instances", headers={"Origin": origin})
        before = await browser.options(
            "/api/instances", headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
        )

    assert answer.headers.get("Access-Control-Allow-Origin") == granted
    assert (before.status_code == 204) is (granted is not None)
    offered = before.headers.get("Access-Control-Allow-Methods", "") if granted else "POST, PUT, PATCH, DELETE"
    assert {"POST", "PUT", "PATCH", "DELETE"} <= set(offered.split(", "))
    assert "Access-Control-Allow-Credentials" not in answer.headers


class Broken(NotifyingStore):
    """A store whose log cannot be read."""

    def __init__(self, inner, failure: Exception) -> None:
        super().__init__(inner)
        self._failure = failure

    async def read_log(self, *_args, **_kwargs):
        raise self._failure


async def events_of(failure: Exception):
    engine = await open_sqlite(None, clock=FakeClock())
    async with open_house(store=Broken(engine, failure)) as house, house.client() as client:
        return await client.get("/api/events")


async def test_a_store_that_is_away_is_a_503_with_a_time_to_come_back():
    """Nothing is acknowledged that was not written."""
    answer = await events_of(StoreUnavailable("disk full"))

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "STORE_UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) >= 1


async def test_a_fault_of_ours_is_a_500_that_tells_nothing():
    """The log has the exception under the request id."""
    answer = await events_of(RuntimeError("password=hunter2"))

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "INTERNAL_ERROR")
    assert "hunter2" not in answer.text


async def test_requests_are_counted_by_the_template_of_their_path(house: House):
    """A metric per instance would grow without end."""
    async with house.client() as client:
        await client.get("/api/instances/one")
        await client.get("/api/instances/other")
        await client.get("/api/nowhere")

    counted = house.parts.metrics.summary()["httpRequests"]
    assert {(entry["route"], entry["status"], entry["value"]) for entry in counted} == {
        ("/api/instances/{instance_id}", "404", 2),
        ("unmatched", "404", 1),
    }
