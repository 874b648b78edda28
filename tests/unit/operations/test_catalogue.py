"""What can be bought, as known here: one reading whoever asks, and offers that refused are skipped longer each time."""

import asyncio

import pytest

from novitai.domain.errors import Broken, Code, Gone, NotAllowed, Refusal
from novitai.domain.machine import BillingMode, Port
from novitai.domain.offers import OfferKey
from novitai.domain.templates import NetworkStorage, RegistryAuth, Template
from novitai.operations.catalogue import CatalogueBook
from novitai.ports.coordination import Share
from support.clock import FakeClock, settle
from support.running import running
from support.timed_provider import TimedProvider

KEY = OfferKey("4090.16c62g", "us-ca-6", BillingMode.SPOT)


def book() -> tuple[CatalogueBook, TimedProvider, FakeClock]:
    clock = FakeClock()
    provider = TimedProvider(clock=clock)
    return CatalogueBook(provider=provider, clock=clock), provider, clock


async def test_many_who_ask_at_once_cost_one_reading():
    """Single flight."""
    known, provider, clock = book()
    provider.seconds["catalogue"] = 2.0
    asking = [asyncio.create_task(known.fresh(max_age=30.0, share=Share.BULK)) for _ in range(50)]
    await clock.advance(3.0)

    assert len({id(one.result()) for one in asking}) == 1
    assert len(provider.made("catalogue")) == 1


async def test_one_who_gives_up_does_not_end_the_reading_of_the_others():
    """A caller that went away takes nothing with it."""
    known, provider, clock = book()
    provider.seconds["catalogue"] = 2.0
    first, second = (asyncio.create_task(known.fresh(max_age=30.0, share=Share.BULK)) for _ in range(2))
    await settle()
    first.cancel()
    await clock.advance(3.0)

    assert second.result() is known.known


async def test_a_reading_that_failed_is_made_again_by_the_next():
    """Everybody who waited is told; nothing sticks."""
    known, provider, _ = book()
    provider.fail("catalogue", Broken("bad gateway"))
    results = await asyncio.gather(
        *(known.fresh(max_age=30.0, share=Share.BULK) for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(one, Broken) for one in results)

    assert await known.fresh(max_age=30.0, share=Share.BULK) is known.known


async def test_a_fresh_catalogue_is_not_read_again():
    """Only when it is older than asked for."""
    known, provider, clock = book()
    await known.fresh(max_age=30.0, share=Share.BULK)
    await clock.advance(30.0)
    await known.fresh(max_age=30.0, share=Share.BULK)
    assert len(provider.made("catalogue")) == 1

    await clock.advance(1.0)
    await known.fresh(max_age=30.0, share=Share.BULK)
    assert len(provider.made("catalogue")) == 2


async def test_an_offer_that_refuses_in_a_row_cools_longer_each_time():
    """3 minutes, 6, 12 … up to 30; an acceptance or a long quiet ends the row."""
    known, _, clock = book()
    pauses = []
    for _ in range(6):
        known.refused(KEY)
        pauses.append(known.cooling()[KEY] - clock.now())
        await clock.advance(pauses[-1] + 1.0)
    assert pauses == [180.0, 360.0, 720.0, 1440.0, 1800.0, 1800.0]

    known.accepted(KEY)
    assert known.cooling() == {}
    known.refused(KEY)
    await clock.advance(3600.0)
    known.refused(KEY)
    assert known.cooling()[KEY] - clock.now() == 180.0


async def test_acceptance_takes_the_known_catalogue_however_old():
    """Novita may be away for hours: creates are still accepted."""
    async with running() as house:
        house.provider.trouble = lambda method: Broken("bad gateway")
        await house.clock.advance(7200.0)
        calls = len(house.provider.log)
        await house.create()

        assert len(house.provider.log) == calls


async def test_a_cold_catalogue_that_cannot_be_read_refuses_with_its_meaning():
    """The caller learns why."""
    async with running(arrange=lambda provider: provider.fail("catalogue", *[NotAllowed("invalid key")] * 3)) as house:
        with pytest.raises(Refusal) as refused:
            await house.create()

        assert refused.value.code is Code.UPSTREAM_AUTH_FAILED


async def test_the_catalogue_is_refreshed_by_itself():
    """Every five minutes, sooner while it could not be read at all."""
    async with running(arrange=lambda provider: provider.fail("catalogue", Broken("bad gateway"))) as house:
        assert house.program.operations.catalogue.known is None
        await house.clock.advance(6.0)
        assert house.program.operations.catalogue.known is not None
        before = len(house.provider.made("catalogue"))
        await house.clock.advance(3000.0)

        assert len(house.provider.made("catalogue")) - before == 10


# ── templates and the like ────────────────────────────────────────────────────────────────────────────────────────────

TEMPLATE = Template(
    id="t1", name="llm", image_url="docker.io/llm:1", ports=(Port(8000, "http"),), envs=(("A", "1"),), rootfs_gb=70
)


async def test_many_creates_from_one_template_read_it_once():
    """Two hundred at once must not spend the limiter on the same thing."""
    async with running() as house:
        house.provider.known_templates = {"t1": TEMPLATE}
        house.provider.seconds["template"] = 1.0
        asking = [
            asyncio.create_task(house.create(name=f"m{number}", template_id="t1", image_url=None, ports=None))
            for number in range(50)
        ]
        await house.clock.advance(2.0)

        assert all(one.done() and one.exception() is None for one in asking)
        assert len(house.provider.made("template")) == 1
        spec = (await house.instance(asking[0].result())).spec
        assert (spec.image_url, spec.ports, spec.requirement.rootfs_gb) == (
            "docker.io/llm:1",
            (Port(8000, "http"),),
            70,
        )


async def test_a_template_that_is_not_there_is_refused_by_name():
    """And asked for again the next time."""
    async with running() as house:
        with pytest.raises(Refusal) as refused:
            await house.create(template_id="t1", image_url=None)
        assert refused.value.code is Code.TEMPLATE_NOT_FOUND

        house.provider.known_templates = {"t1": TEMPLATE}
        await house.create(template_id="t1", image_url=None, ports=None)


async def test_a_registry_credential_must_exist():
    """Its content is never read here."""
    async with running() as house:
        house.provider.known_auths = (RegistryAuth(id="a1", name="hub", username="me"),)
        await house.create(image_auth_id="a1")
        with pytest.raises(Refusal) as refused:
            await house.create(image_auth_id="a2")

        assert refused.value.code is Code.REGISTRY_AUTH_NOT_FOUND


async def test_a_network_volume_decides_the_region():
    """It can be mounted only where it lies."""
    async with running() as house:
        house.provider.known_storages = (
            NetworkStorage(id="v1", name="data", size_gb=10, cluster_id="as-in-1", region="AS-IN-01"),
        )
        made = await house.ready(network_storages=(("v1", "/data"),))
        assert (await house.instance(made)).offer.cluster_id == "as-in-1"
        with pytest.raises(Refusal) as refused:
            await house.create(network_storages=(("v2", "/data"),))

        assert refused.value.code is Code.NETWORK_STORAGE_NOT_FOUND


async def test_trouble_of_novitas_while_a_caller_waits_is_said_with_its_meaning():
    """A failed reading is not kept."""
    async with running() as house:
        house.provider.fail("template", Broken("bad gateway"), Gone("no such template"))
        with pytest.raises(Refusal) as refused:
            await house.create(template_id="t1", image_url=None)

        assert refused.value.code is Code.UPSTREAM_ERROR
