"""What the client makes of a Novita in trouble: over real sockets, judged by what the simulated Novita saw."""

import asyncio
import time

import msgspec
import pytest

from contract.provider.harness import ACT, BULK, SimulatorHarness, order_for
from novita_simulator.account import REGISTRY_AUTH_ID
from novita_simulator.settings import Switches
from novitai.domain.errors import Broken, Code, NotAllowed, QuotaExceeded, TryLater, Unclear
from novitai.ports.provider import ProviderJobQuery

CREATE = "POST .*instance/create"
STOP = "POST .*instance/stop"
LIST = "GET .*gpu/instances"
# Long enough for an answer over loopback, short enough to be waited for.
SOON = msgspec.structs.replace(ACT, deadline=0.4)

# What leaves the outcome of a change open: (mode, the rest of the fault).
UNCLEAR = [
    ("status", {"status": 500}),
    ("status", {"status": 502}),
    ("status", {"status": 503}),
    ("status", {"status": 504}),
    ("status", {"status": 408}),
    ("status", {"status": 302}),
    ("reset", {}),
    ("html", {}),
    ("html", {"status": 200}),
    ("malformed", {}),
    ("truncate", {}),
    ("wrong-types", {}),
    ("hang", {}),
    ("drip", {}),
    ("flood", {}),
]
# What passes, so that a read may be repeated.
PASSING = [
    ("status", {"status": 500}),
    ("status", {"status": 503}),
    ("status", {"status": 408}),
    ("status", {"status": 429}),
    ("reset", {}),
    ("html", {}),
    ("html", {"status": 200}),
    ("malformed", {}),
    ("truncate", {}),
]


@pytest.fixture
async def world():
    async with SimulatorHarness() as harness:
        yield harness


@pytest.mark.parametrize(("mode", "fault"), UNCLEAR)
async def test_a_create_without_a_clear_answer_is_unclear_and_sent_once(world, mode, fault):
    """Sending it again could pay twice."""
    offer = await world.offer()
    world.spoil(CREATE, mode, count=-1, **fault)

    with pytest.raises(Unclear):
        await world.provider.create(order_for(offer), SOON)

    assert len(world.arrived("create")) == 1


@pytest.mark.parametrize(("mode", "fault"), [one for one in UNCLEAR if one[0] != "wrong-types"])
async def test_a_stop_without_a_clear_answer_is_unclear_and_sent_once(world, mode, fault):
    """It may have been done; the machine will show."""
    machine_id = await world.running()
    world.spoil(STOP, mode, count=-1, **fault)

    with pytest.raises(Unclear):
        await world.provider.stop(machine_id, SOON)

    assert len(world.arrived("stop")) == 1


async def test_a_create_that_was_done_behind_a_500_is_unclear_too(world):
    """That is the case for which all this care is taken: the machine exists."""
    offer = await world.offer()
    world.spoil(CREATE, "status", status=500, afterEffect=True)

    with pytest.raises(Unclear):
        await world.provider.create(order_for(offer), ACT)

    assert world.machine_names() == ["train-1-nvtest"]


async def test_an_empty_success_is_enough_for_a_stop_and_too_little_for_a_create(world):
    """An action may answer with nothing; a create must give an id."""
    machine_id = await world.running()
    offer = await world.offer()
    world.spoil(STOP, "empty")
    world.spoil(CREATE, "empty")

    await world.provider.stop(machine_id, ACT)
    with pytest.raises(Unclear):
        await world.provider.create(order_for(offer), ACT)


@pytest.mark.parametrize(("mode", "fault"), PASSING)
async def test_a_read_gets_over_what_passes(world, mode, fault):
    """One more try, counted like any other call."""
    await world.running()
    before = len(world.arrived("gpu/instances"))
    world.spoil(LIST, mode, **fault)

    page = await world.provider.machines(1, 10, ACT)

    assert page.total == 1
    assert len(world.arrived("gpu/instances")) - before == 2


@pytest.mark.parametrize(
    ("mode", "fault", "failure"),
    [
        ("status", {"status": 503}, TryLater),
        ("status", {"status": 429}, TryLater),
        ("reset", {}, TryLater),
        ("malformed", {}, Broken),
        ("html", {"status": 200}, Broken),
        ("wrong-types", {}, Broken),
    ],
)
async def test_a_read_is_given_up_after_three_tries(world, mode, fault, failure):
    """No more than that, by anybody: the HTTP library repeats nothing of its own."""
    world.spoil(LIST, mode, count=-1, **fault)

    with pytest.raises(failure):
        await world.provider.machines(1, 10, ACT)

    assert len(world.arrived("gpu/instances")) == 3


async def test_a_reset_on_a_kept_connection_is_no_hidden_repetition(world):
    """The first call leaves a connection that the second one uses; the reset must cost exactly one call of ours."""
    await world.provider.machines(1, 10, ACT)
    world.spoil(LIST, "reset")

    await world.provider.machines(1, 10, ACT)

    assert len(world.arrived("gpu/instances")) == 3
    assert world.coordination.admitted == 3


async def test_a_slow_answer_is_an_answer(world):
    """As long as it comes in time."""
    world.spoil(LIST, "slow", seconds=0.05)

    page = await world.provider.machines(1, 10, ACT)

    assert page.total == 0
    assert len(world.arrived("gpu/instances")) == 1


@pytest.mark.parametrize(("mode", "fault"), [("hang", {}), ("drip", {"seconds": 0.1}), ("slow", {"seconds": 30})])
async def test_a_read_ends_at_its_deadline(world, mode, fault):
    """A byte now and then keeps no call alive."""
    await world.running()
    world.spoil(LIST, mode, count=-1, **fault)
    began = time.monotonic()

    with pytest.raises(TryLater) as failure:
        await world.provider.machines(1, 10, SOON)

    assert failure.value.code is Code.UPSTREAM_TIMEOUT
    assert 0.35 < time.monotonic() - began < 2


async def test_an_answer_without_end_is_cut_off(world):
    """At 16 MiB; asking again would bring it again."""
    world.spoil(LIST, "flood", count=-1)

    with pytest.raises(Broken):
        await world.provider.machines(1, 10, ACT)

    assert len(world.arrived("gpu/instances")) == 1


async def test_a_list_cut_short_keeps_its_total(world):
    """So that whoever reads it sees that something is missing."""
    await world.running()
    world.spoil(LIST, "short-list", count=-1)

    page = await world.provider.machines(1, 10, ACT)

    assert (len(page.machines), page.total) == (0, 1)


async def test_retry_after_is_waited_for_exactly(world):
    """By our clock, not by the jitter."""
    world.spoil(LIST, "status", status=429, retryAfter=7)
    before = world.clock.skipped

    await world.provider.machines(1, 10, ACT)

    assert world.clock.skipped - before == 7.0


async def test_a_retry_after_beyond_the_deadline_is_handed_on(world):
    """The caller knows better what to do meanwhile."""
    world.spoil(LIST, "status", status=503, retryAfter=120, count=-1)

    with pytest.raises(TryLater) as failure:
        await world.provider.machines(1, 10, ACT)

    assert failure.value.retry_after == 120.0
    assert len(world.arrived("gpu/instances")) == 1


@pytest.mark.parametrize("retry_after", [{}, {"retryAfter": 9}])
async def test_a_rate_limited_create_is_clear_and_sent_once(world, retry_after):
    """It may be the quota: whoever asked counts to three."""
    offer = await world.offer()
    world.spoil(CREATE, "status", status=429, **retry_after)

    with pytest.raises(TryLater) as failure:
        await world.provider.create(order_for(offer), ACT)

    assert failure.value.rate_limited
    assert failure.value.retry_after == retry_after.get("retryAfter")
    assert len(world.arrived("create")) == 1


async def test_the_accounts_quota_has_its_own_meaning():
    """When Novita says it as such."""
    async with SimulatorHarness(switches=Switches(apps=False, gpu_quota=1)) as world:
        await world.running()
        offer = await world.offer()

        with pytest.raises(QuotaExceeded):
            await world.provider.create(order_for(offer), ACT)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_shown_until_a_call_succeeds(status):
    """Both statuses are in use for it; nothing is repeated."""
    async with SimulatorHarness(switches=Switches(apps=False, bad_key_status=status)) as world:
        refused = world.another(api_key="bad-key")

        with pytest.raises(NotAllowed):
            await refused.machines(1, 10, ACT)

        assert (await refused.upstream())[0].auth_failed
        assert len(world.arrived("gpu/instances")) == 1


async def test_a_closed_port_is_a_call_that_was_never_made(world):
    """Clear even for a create: there was nobody to hear it."""
    offer = await world.offer()
    await world.simulator.stop()
    spoken: list[str] = []

    async def last_word() -> None:
        spoken.append("x")

    with pytest.raises(TryLater) as failure:
        await world.provider.create(order_for(offer), msgspec.structs.replace(ACT, before_send=last_word))

    assert failure.value.clear
    assert spoken == ["x"]
    assert world.coordination.reports[-1] is False


async def test_a_call_that_waits_for_a_connection_until_its_time_is_over_was_never_made(world):
    """All connections are taken, so nothing of it went out."""
    offer = await world.offer()
    narrow = world.another(pool_size=1)
    world.spoil(LIST, "hang")
    first = asyncio.create_task(narrow.machines(1, 10, msgspec.structs.replace(ACT, deadline=5)))
    while not world.arrived("gpu/instances"):
        await asyncio.sleep(0.005)

    with pytest.raises(TryLater):
        await narrow.create(order_for(offer), msgspec.structs.replace(ACT, deadline=0.1))

    first.cancel()
    assert world.arrived("create") == []


async def test_a_host_without_tls_is_a_call_that_was_never_made(world):
    """The handshake failed before the first byte of the request."""
    offer = await world.offer()
    secure = world.another(api_base_url=world.simulator.url.replace("http:", "https:"))

    with pytest.raises(TryLater):
        await secure.create(order_for(offer), ACT)

    assert world.machine_names() == []


async def test_a_cancelled_create_settles_its_slot(world):
    """Whoever gives up leaves nothing open behind."""
    offer = await world.offer()
    world.spoil(CREATE, "hang")
    task = asyncio.create_task(world.provider.create(order_for(offer), ACT))
    while not world.arrived("create"):
        await asyncio.sleep(0.005)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert world.coordination.open_slots == set()


async def test_jobs_come_through_the_internal_door_and_else_through_the_public_one():
    """A sick internal host costs detail, not the answer."""
    async with SimulatorHarness(internal_api_key="sim-internal-key") as world:
        query = ProviderJobQuery(type="instanceMigrate")

        inside = await world.provider.jobs(query, BULK)
        world.spoil("GET /api/v1/jobs", "status", status=503, count=-1)
        outside = await world.provider.jobs(query, BULK)

        assert (inside.source, outside.source) == ("internal", "public")
        public, internal = await world.provider.upstream()
        assert (public.reachable, internal.reachable, internal.enabled) == (True, False, True)
        assert set(internal.breakers) == {"internal"}


async def test_a_create_looks_its_credential_up_right_before_and_at_most_once_a_minute(world):
    """Its content is sent and never kept."""
    offer = await world.offer()

    for number in range(3):
        await world.provider.create(
            order_for(offer, machine_name=f"train-{number}-nvtest", image_auth_id=REGISTRY_AUTH_ID), ACT
        )

    assert (
        world.arrived()[-4:]
        == ["GET /gpu-instance/openapi/v1/repository/auths"] + ["POST /gpu-instance/openapi/v1/gpu/instance/create"] * 3
    )


@pytest.mark.parametrize("paging", ["first-page", "everything"])
async def test_a_list_that_ignores_pages_is_read_once_through(paging):
    """Each template comes once, and the reading ends."""
    async with SimulatorHarness(
        switches=Switches(apps=False, paging=paging, max_page_size=2, default_page_size=2)
    ) as world:
        templates = await world.provider.templates(BULK)

        ids = [template.id for template in templates]
        assert len(ids) == len(set(ids)) > 0
        assert len(world.arrived("templates")) <= 2
