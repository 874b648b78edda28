"""Calls about offers, jobs, keys and the server itself."""

from datetime import UTC, datetime

import pytest

from novitai_client import Client, Conflict, KeyLimits, ServerAway
from unit.client.stand_in import Reply, StandIn, error


def test_offers_are_asked_for_in_the_words_of_create(server: StandIn, client: Client) -> None:
    offer = {
        "rank": 1,
        "productId": "p",
        "productName": "RTX 4090",
        "region": "CN-HK-01",
        "pricePerHour": 0.21,
        "fits": True,
    }
    server.on("GET", "/api/offers", Reply(body={"offers": [offer], "catalogueAgeSeconds": 4.2}))

    found = client.offers("RTX 4090", gpus=2, disk=60, region=["a", "b"], billing="auto", max_price=0.5)

    assert (found.offers[0].price_per_hour, found.catalogue_age_seconds) == (0.21, 4.2)
    assert server.asked[0].query == [
        ("productName", "RTX 4090"),
        ("gpuNum", "2"),
        ("rootfsSize", "60"),
        ("region", "a"),
        ("region", "b"),
        ("billingMode", "auto"),
        ("maxPricePerHour", "0.5"),
    ]


def test_an_unhealthy_server_is_an_answer(server: StandIn, client: Client) -> None:
    """Asking how it is must not fail because it is not well."""
    server.on("GET", "/health", Reply(503, {"status": "unhealthy", "uptime": 5, "services": {"store": "down"}}))

    found = client.health()

    assert (found.status, found.services) == ("unhealthy", {"store": "down"})
    assert len(server.asked) == 1


def test_a_503_that_does_not_come_from_the_server_is_no_health(server: StandIn, client: Client) -> None:
    server.on("GET", "/health", Reply(503, b"<html>no upstream</html>"))

    with pytest.raises(ServerAway):
        client.health()


def test_the_account_is_read(server: StandIn, client: Client) -> None:
    server.on("GET", "/api/templates", Reply(body={"templates": [{"id": "t1", "name": "torch"}]}))
    server.on("GET", "/api/templates/7", Reply(body={"id": 7, "name": "torch"}))
    server.on("GET", "/api/regions", Reply(body={"regions": [{"id": "1", "name": "CN-HK-01"}]}))
    server.on("GET", "/api/registry-auths", Reply(body={"registryAuths": [{"id": "a1", "username": "me"}]}))

    assert client.templates()[0].name == "torch"
    assert client.template(7).id == 7
    assert client.regions()[0].name == "CN-HK-01"
    assert client.registry_auths()[0].username == "me"


def test_jobs_are_listed_and_looked_after(server: StandIn, client: Client) -> None:
    job = {
        "id": "job_1",
        "type": "send_webhook",
        "status": "failed",
        "attempts": 3,
        "createdAt": "2026-01-01T00:00:00Z",
    }
    server.on("GET", "/api/jobs", Reply(body={"jobs": [job], "nextCursor": "c"}), Reply(body={"jobs": [job]}))
    server.on("GET", "/api/jobs/job_1", Reply(body=job))
    server.on("GET", "/api/jobs/stats", Reply(body={"pending": 0}))
    server.on("POST", "/api/jobs/job_1/retry", Reply(202, job))
    server.on("POST", "/api/jobs/job_1/cancel", error(409, "CONFLICT"))

    assert [found.attempts for found in client.jobs(status="failed", job_type="send_webhook")] == [3, 3]
    assert client.job("job_1").created_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert client.job_stats() == {"pending": 0}
    assert client.retry_job("job_1")["id"] == "job_1"
    with pytest.raises(Conflict):
        client.cancel_job("job_1")
    assert server.asked[0].query == [("type", "send_webhook"), ("status", "failed")]


def test_keys_are_made_listed_and_ended(server: StandIn, client: Client) -> None:
    """A new key's text is in the answer once; a revoked one answers nothing."""
    key = {"id": "k2", "name": "ci", "scope": "write", "expiresAt": "2026-02-01T00:00:00Z"}
    server.on("POST", "/api/keys", Reply(201, {**key, "key": "nvk_k2_abc"}))
    server.on("GET", "/api/keys", Reply(body={"keys": [key]}))
    server.on("DELETE", "/api/keys/k2", Reply(204, b""))

    made = client.create_key("ci", scope="write", expires_at=datetime(2026, 2, 1, tzinfo=UTC), limits=KeyLimits(gpus=4))
    listed = client.keys()
    client.revoke_key("k2")

    assert made.key == "nvk_k2_abc"
    assert server.asked[0].body == {
        "name": "ci",
        "scope": "write",
        "expiresAt": "2026-02-01T00:00:00+00:00",
        "limits": {"gpus": 4},
    }
    assert listed[0].expires_at == datetime(2026, 2, 1, tzinfo=UTC)


def test_figures_come_as_the_server_gives_them(server: StandIn, client: Client) -> None:
    server.on("GET", "/api/upstream", Reply(body={"public": {"reachable": True}}))
    server.on("GET", "/api/metrics", Reply(body={"instances": {"ready": 1}}))

    assert client.upstream()["public"]["reachable"] is True
    assert client.metrics()["instances"] == {"ready": 1}


def test_lists_are_read_to_their_end(server: StandIn, client: Client) -> None:
    """A server gives at most 200 at once; more keys than that are not left out."""
    server.on(
        "GET",
        "/api/keys",
        Reply(body={"keys": [{"id": "k1", "name": "a"}], "total": 2, "nextCursor": "more"}),
        Reply(body={"keys": [{"id": "k2", "name": "b"}], "total": 2, "nextCursor": None}),
    )

    found = client.keys()

    assert [key.id for key in found] == ["k1", "k2"]
    assert server.asked[1].query == [("cursor", "more")]


def test_a_key_whose_text_was_lost_on_its_way_is_still_told(server: StandIn, client: Client) -> None:
    """The first answer broke off; the replay has everything but the text, so that the key can be revoked."""
    replayed = {"id": "k1", "name": "ci", "scope": "write", "key": None}
    server.on("POST", "/api/keys", Reply(drop=True), Reply(201, replayed))

    made = client.create_key("ci")

    assert (made.id, made.key) == ("k1", None)
