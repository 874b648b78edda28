"""When the service calls itself unhealthy, degraded, or ready for traffic."""

import msgspec
import pytest

from novitai.api.health import Overall, Polling, Service, SystemHealth, accepts_traffic, judge
from novitai.ports.provider import ClientName
from support.api_house import House
from support.scripted_provider import opened, upstream_view

WELL = SystemHealth()
POLLING = Polling(failures_in_a_row=0, stale=False)
PUBLIC = upstream_view()
INTERNAL = upstream_view(ClientName.INTERNAL, enabled=False)


def verdict(system=WELL, public=PUBLIC, internal=INTERNAL, polling=POLLING):
    return judge(system, (public, internal), polling)


def breaker(name: str):
    return upstream_view(breakers=PUBLIC.breakers | {name: opened()})


CASES = {
    "all is well": (verdict(), Overall.HEALTHY, {}),
    "the store is away": (verdict(SystemHealth(store_ok=False)), Overall.UNHEALTHY, {"store": Service.DOWN}),
    "the store is away but work goes on": (
        verdict(SystemHealth(store_ok=False, store_fallback=True)),
        Overall.DEGRADED,
        {"store": Service.DEGRADED},
    ),
    "a timer is 60 s late": (verdict(SystemHealth(timer_late_seconds=60.0)), Overall.HEALTHY, {}),
    "a timer is later than that": (
        verdict(SystemHealth(timer_late_seconds=60.1)),
        Overall.UNHEALTHY,
        {"jobQueue": Service.DOWN},
    ),
    "three polls failed": (
        verdict(polling=Polling(failures_in_a_row=3, stale=False)),
        Overall.DEGRADED,
        {"novitaApi": Service.DEGRADED},
    ),
    "more than three polls failed": (
        verdict(polling=Polling(failures_in_a_row=4, stale=True)),
        Overall.UNHEALTHY,
        {"novitaApi": Service.DOWN, "sync": Service.DEGRADED},
    ),
    "Novita's breaker is open": (verdict(public=breaker("gpu")), Overall.UNHEALTHY, {"novitaApi": Service.DOWN}),
    "only the account host's breaker is open": (
        verdict(public=breaker("account")),
        Overall.DEGRADED,
        {"novitaApi": Service.DEGRADED},
    ),
    "Novita refuses the key": (
        verdict(public=upstream_view(auth_failed=True)),
        Overall.DEGRADED,
        {"novitaApi": Service.DEGRADED},
    ),
    "the internal API is away": (
        verdict(internal=upstream_view(ClientName.INTERNAL, breakers={"internal": opened()})),
        Overall.DEGRADED,
        {"novitaInternalApi": Service.DEGRADED},
    ),
    "webhooks are unwell": (
        verdict(SystemHealth(webhooks=Service.DEGRADED)),
        Overall.DEGRADED,
        {"webhooks": Service.DEGRADED},
    ),
}


@pytest.mark.parametrize(("found", "overall", "services"), CASES.values(), ids=CASES)
def test_the_rule_of_health(found, overall, services):
    """api.md, `GET /health`: what makes it unhealthy is listed; everything else that is away only degrades it."""
    usual = dict.fromkeys(("novitaApi", "store", "jobQueue", "webhooks", "sync"), Service.UP)
    internal = {"novitaInternalApi": Service.DISABLED}

    assert found.status is overall
    assert found.services == usual | internal | services


@pytest.mark.parametrize(
    ("system", "shutting_down", "accepts"),
    [
        (WELL, False, True),
        (WELL, True, False),
        (SystemHealth(started=False), False, False),
        (SystemHealth(store_ok=False), False, False),
        (SystemHealth(store_ok=False, store_fallback=True), False, True),
        (SystemHealth(loop_lag_seconds=6.0), False, False),
    ],
)
def test_traffic_is_accepted_only_while_it_can_be_served(system, shutting_down, accepts):
    """`/readyz` takes this replica out of a load balancer, and nothing else."""
    assert accepts_traffic(system, shutting_down=shutting_down) is accepts


async def test_without_a_key_health_is_short_and_with_one_it_has_details(house: House):
    """The short form tells no version, no counts and no addresses."""
    async with house.client(None) as stranger, house.client() as admin:
        short, full = (await stranger.get("/health")).json(), (await admin.get("/health")).json()

    assert set(short) == {"status", "timestamp", "uptime", "services", "details"}
    assert short["details"] is None
    assert set(short["services"].values()) <= {"up", "down", "degraded", "disabled"}
    assert set(full["services"]["sync"]) == {"status", "lastSync", "running", "counts", "error"}
    assert full["details"]["mode"] == "control"


async def test_unhealthy_answers_503_while_the_process_still_lives(house: House):
    """Containers ask `/healthz`, so that an outage of Novita does not restart us."""
    house.provider.views = (breaker("gpu"), INTERNAL)
    house.health[0] = msgspec.structs.replace(WELL, store_ok=False)

    async with house.client(None) as client:
        answers = [await client.get(path) for path in ("/health", "/healthz", "/readyz")]

    assert [answer.status_code for answer in answers] == [503, 200, 503]


async def test_probes_may_ask_for_the_head_alone(house: House):
    """Some load balancers do."""
    async with house.client(None) as client:
        assert (await client.head("/readyz")).status_code == 200


async def test_health_asks_nobody(house: House):
    """A probe every second must not become a call to Novita every second."""
    async with house.client(None) as client:
        await client.get("/health")

    assert house.provider.calls == []
