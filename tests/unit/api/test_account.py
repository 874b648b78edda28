"""What can be had, and what is kept of it: offers, templates, regions, credentials, volumes, caches, keys, upstream, figures."""

import json

import jsonschema_rs
import pytest

from novitai.domain.errors import Code, TryLater, Unclear
from novitai.domain.keys import Scope
from novitai.domain.machine import BillingMode, Port
from novitai.domain.money import Usd
from novitai.domain.templates import NetworkStorage, RegistryAuth, Template
from novitai.operations import records
from novitai.policies.fanout import body as webhook_body
from support import builders
from support.api_house import House
from support.asking import create_body
from support.clock import settle
from support.scripted_provider import opened, upstream_view


async def test_offers_come_in_the_order_in_which_a_create_would_try_them(house: House, admin):
    """Each with the reason for its place, and the age of the prices."""
    cheap = builders.product("cheap", price_per_gpu=Usd(20_000), regions=(builders.INDIA.name,))
    gone = builders.product("gone", price_per_gpu=Usd(10_000), deployable=False, regions=(builders.INDIA.name,))
    house.provider.offered = builders.catalogue(builders.product(regions=(builders.HONG_KONG.name,)), cheap, gone)

    listed = (await admin.get("/api/offers?productName=rtx 4090&gpuNum=2")).json()

    assert [(one["rank"], one["productId"], one["fits"]) for one in listed["offers"]] == [
        (1, "cheap", True),
        (2, "4090.16c62g", True),
        (None, "gone", False),
    ]
    assert listed["offers"][0]["pricePerHour"] == 0.4
    assert listed["catalogueAgeSeconds"] == 0.0


async def test_an_old_catalogue_is_answered_from_and_read_anew_for_the_next(house: House, admin):
    """Nobody waits for Novita to see prices."""
    await admin.get("/api/offers")
    await house.clock.advance(120.0)

    old = (await admin.get("/api/offers")).json()
    await settle()
    new = (await admin.get("/api/offers")).json()

    assert (old["catalogueAgeSeconds"], new["catalogueAgeSeconds"]) == (120.0, 0.0)


async def test_a_cold_catalogue_that_cannot_be_read_is_novitas_trouble(house: House, admin):
    """With the status that says whose fault it is."""
    house.provider.script("catalogue", Unclear("timed out"))

    answer = await admin.get("/api/offers")

    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "UPSTREAM_TIMEOUT")


async def test_offers_have_pages(house: House, admin):
    """Like every list."""
    modes = (BillingMode.SPOT, BillingMode.ON_DEMAND)
    house.provider.offered = builders.catalogue(*(builders.product(billing_mode=mode) for mode in modes))

    first = (await admin.get("/api/offers?billingMode=auto&limit=4")).json()
    rest = (await admin.get("/api/offers", params={"billingMode": "auto", "cursor": first["nextCursor"]})).json()

    assert (len(first["offers"]), len(rest["offers"]), rest["nextCursor"]) == (4, 2, None)
    assert first["total"] == 6


async def test_templates_show_everything_but_the_values_of_their_environment(house: House, admin):
    """Environment values are secrets more often than not."""
    house.provider.known_templates["t1"] = Template(
        id="t1", name="trainer", image_url="x/y", ports=(Port(80, "http"),), envs=(("TOKEN", "hush"),)
    )

    listed, one = await admin.get("/api/templates"), await admin.get("/api/templates/t1")
    nowhere = await admin.get("/api/templates/t2")

    assert listed.json()["templates"] == [one.json()]
    assert one.json()["envs"] == [{"key": "TOKEN", "value": "***"}]
    assert "hush" not in listed.text
    assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (404, "TEMPLATE_NOT_FOUND")


async def test_regions_credentials_and_volumes_are_listed(house: House, admin):
    """Under the words by which a create names them."""
    house.provider.known_auths = (RegistryAuth(id="a1", name="docker", username="me"),)
    house.provider.known_storages = (
        NetworkStorage(id="s1", name="data", size_gb=100, cluster_id="us-ca-6", region="US-CA-06 (California)"),
    )

    regions = (await admin.get("/api/regions")).json()["regions"]
    auths = (await admin.get("/api/registry-auths")).json()["registryAuths"]
    volumes = (await admin.get("/api/network-storages")).json()["networkStorages"]

    assert regions[0] == {"id": "us-ca-6", "code": "US-CA-06", "name": "US-CA-06 (California)", "networkStorage": False}
    assert auths == [{"id": "a1", "name": "docker", "username": "me"}]
    assert volumes[0]["sizeGb"] == 100


async def test_caches_are_counted_and_forgotten_by_name_or_all(house: House, admin):
    """Under the words of the earlier service, too."""
    await admin.get("/api/templates")
    await admin.get("/api/templates")

    stats = (await admin.get("/api/cache/stats")).json()
    cleared = (await admin.post("/api/cache/clear", json={"cacheName": "templates"})).json()
    unknown = await admin.post("/api/cache/clear", json={"cacheName": "nothing"})
    await admin.get("/api/templates")

    assert stats["cacheManager"]["stats"]["templates"] == {"entries": 1, "hits": 1, "misses": 1, "hitRatio": 0.5}
    assert stats["summary"]["totalHits"] == 1
    assert cleared["entriesRemoved"] == 1
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "CACHE_NOT_FOUND")
    assert len(list(house.provider.asked("templates"))) == 2


async def test_upstream_shows_the_worse_of_two_breakers(house: House, admin):
    """One glance says whether something is wrong."""
    house.provider.views = (
        upstream_view(breakers={"gpu": upstream_view().breakers["gpu"], "account": opened()}, last_error="502"),
    )

    shown = (await admin.get("/api/upstream")).json()

    assert shown["public"]["circuitBreaker"]["state"] == "OPEN"
    assert shown["public"]["circuitBreakers"]["gpu"]["state"] == "CLOSED"
    assert shown["public"]["rateLimiter"]["limit"] == 100
    assert shown["internal"]["enabled"] is False


@pytest.mark.parametrize(
    ("path", "accept", "form"),
    [
        ("/api/metrics", "*/*", "application/json"),
        ("/api/metrics", "text/plain", "text/plain; version=0.0.4; charset=utf-8"),
        ("/api/metrics?format=prometheus", "*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("/api/metrics?format=json", "text/plain", "application/json"),
        ("/metrics", "*/*", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
async def test_figures_come_in_the_form_that_is_asked_for(admin, path, accept, form):
    """JSON for people and scripts, Prometheus' form for Prometheus."""
    answer = await admin.get(path, headers={"Accept": accept})

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, form)


async def test_a_key_has_its_scope_its_end_and_its_limits(house: House, admin):
    """Made, used, listed, revoked."""
    body = {
        "name": "ci",
        "scope": "write",
        "expiresAt": "2027-02-01T00:00:00+01:00",
        "limits": {"requestsPerMinute": 1, "gpus": 2, "usdPerHour": 1.5},
    }

    made = (await admin.post("/api/keys", json=body)).json()
    async with house.client(None, Authorization=f"Bearer {made['key']}") as client:
        used = [await client.get("/api/instances") for _ in range(2)]
    revoked = (await admin.delete(f"/api/keys/{made['id']}")).json()
    listed = (await admin.get("/api/keys")).json()["keys"]

    assert [answer.status_code for answer in used] == [200, 429]
    assert made["expiresAt"] == "2027-01-31T23:00:00.000Z"
    assert made["limits"] == {"requestsPerMinute": 1, "gpus": 2, "usdPerHour": 1.5}
    assert revoked["revokedAt"] is not None
    assert revoked in listed
    assert not any("key" in key for key in listed)


@pytest.mark.parametrize(
    "end", ["2020-01-01T00:00:00Z", "tomorrow", "2030-01-01T00:00:00", "0001-01-01T00:00:00+23:59"]
)
async def test_a_key_that_has_already_ended_or_never_would_is_refused(admin, end):
    """The end is a moment in the future, with its zone."""
    assert (await admin.post("/api/keys", json={"name": "x", "expiresAt": end})).status_code == 422


async def test_keys_are_for_admins(house: House):
    """Whoever could make keys could make an admin."""
    async with house.client(Scope.WRITE) as writer:
        assert (await writer.get("/api/keys")).status_code == 403


async def test_every_webhook_that_is_told_fits_its_published_schema(house: House, admin):
    """The schemas are what receivers are built on."""
    schemas = (await admin.get("/api/webhooks/schemas")).json()["schemas"]
    made = (await admin.post("/api/instances", json=create_body())).json()
    await admin.post(f"/api/instances/{made['instanceId']}/stop")
    log = await house.parts.store.read_log(records.EVENTS, "all")

    for entry in log.entries:
        event = records.read_event(entry.body)
        jsonschema_rs.validate(schemas[str(event.type)], json.loads(webhook_body(event)))

    assert len(log.entries) == 2


async def test_novitas_jobs_that_cannot_be_read_say_when_to_come_back(house: House, admin):
    """An open breaker is 503, with the time it is tried again."""
    house.provider.script("jobs", TryLater("the breaker is open", code=Code.CIRCUIT_BREAKER_OPEN, retry_after=42.0))

    answer = await admin.get("/api/novita/jobs")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "42")


@pytest.mark.parametrize("strange", ["*", "%2A", "a%00b", "x" * 200])
async def test_a_template_id_that_can_be_none_is_not_there(house: House, admin, strange):
    """Whatever was read before; and Novita is not asked for it."""
    await admin.get("/api/templates")

    answer = await admin.get(f"/api/templates/{strange}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "TEMPLATE_NOT_FOUND")
    assert "template" not in [method for method, _ in house.provider.calls]
