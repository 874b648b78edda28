"""What every keeper of the Provider port promises."""

import asyncio

import msgspec
import pytest

from contract.provider.harness import ACT, BULK, HARNESSES, Harness, cheapest, order_for
from novitai.domain.errors import Gone, InvalidState, NoCapacity, RegistryAuthMissing
from novitai.domain.ids import MachineId
from novitai.domain.machine import BillingMode, MachineStatus
from novitai.ports.provider import ClientName, ProviderJobQuery

NOBODY = MachineId("0000000000000000")


@pytest.fixture(params=list(HARNESSES))
async def world(request):
    async with HARNESSES[request.param]() as harness:
        yield harness


async def buy(world: Harness, **changes) -> MachineId:
    offer = cheapest(await world.provider.catalogue(BULK))
    return await world.provider.create(order_for(offer, **changes), ACT)


async def test_the_catalogue_has_both_ways_to_pay_and_names_its_regions(world):
    """Each product stands in regions that the same catalogue knows, at a price above nothing."""
    catalogue = await world.provider.catalogue(BULK)

    assert {product.billing_mode for product in catalogue.products} == {BillingMode.SPOT, BillingMode.ON_DEMAND}
    assert all(product.price_per_gpu > 0 for product in catalogue.products)
    assert all(catalogue.region(name) for product in catalogue.products for name in product.regions)


async def test_a_machine_bought_is_a_machine_found(world):
    """By its name in the list, and by its id with its details."""
    machine_id = await buy(world)

    page = await world.provider.machines(1, 100, ACT)
    machine = await world.provider.machine(machine_id, ACT)

    assert [(one.id, one.name) for one in page.machines] == [(machine_id, "train-1-nvtest")]
    assert (page.total, page.unreadable) == (1, 0)
    assert (machine.name, machine.billing_mode, machine.gpu_num) == ("train-1-nvtest", BillingMode.SPOT, 1)
    assert machine.status.going
    assert machine.detailed


async def test_a_machine_comes_up_and_says_how_to_reach_it(world):
    """After a while it runs; port and SSH are then known."""
    machine_id = await buy(world)

    await world.pass_time(3600)
    machine = await world.provider.machine(machine_id, ACT)

    assert machine.status is MachineStatus.RUNNING
    assert machine.started_at > 0
    assert [port.port for port in machine.ports] == [8080]
    assert machine.connection is not None
    assert machine.connection.has_ssh
    assert machine.password
    assert machine.password not in repr(machine)


async def test_the_list_comes_in_pages(world):
    """Each machine stands on one page, and the total is of all."""
    ids = {await buy(world, machine_name=f"train-{number}-nvtest") for number in range(3)}

    first = await world.provider.machines(1, 2, ACT)
    second = await world.provider.machines(2, 2, ACT)

    assert {machine.id for machine in first.machines + second.machines} == ids
    assert (first.total, len(first.machines), len(second.machines)) == (3, 2, 1)


async def test_nothing_is_bought_when_nothing_is_free(world):
    """A clear refusal: the next offer may be tried at once."""
    offer = cheapest(await world.provider.catalogue(BULK))
    world.sell_out()

    with pytest.raises(NoCapacity) as refusal:
        await world.provider.create(order_for(offer), ACT)

    assert refusal.value.clear
    assert world.machine_names() == []


async def test_a_machine_stops_starts_and_restarts(world):
    """Each verb does what it says."""
    machine_id = await buy(world)
    await world.pass_time(3600)

    await world.provider.restart(machine_id, ACT)
    await world.pass_time(3600)
    await world.provider.stop(machine_id, ACT)
    await world.pass_time(3600)
    stopped = await world.provider.machine(machine_id, ACT)
    await world.provider.start(machine_id, ACT)
    started = await world.provider.machine(machine_id, ACT)

    assert stopped.status is MachineStatus.STOPPED
    assert started.status.going


async def test_a_start_of_what_runs_is_an_invalid_state(world):
    """So is a stop of what is stopped: look, then decide again."""
    machine_id = await buy(world)
    await world.pass_time(3600)

    with pytest.raises(InvalidState):
        await world.provider.start(machine_id, ACT)


async def test_a_deleted_machine_is_gone(world):
    """From the list and for good."""
    machine_id = await buy(world)

    await world.provider.delete(machine_id, ACT)
    await world.pass_time(3600)

    with pytest.raises(Gone):
        await world.provider.machine(machine_id, ACT)
    assert (await world.provider.machines(1, 100, ACT)).machines == ()


@pytest.mark.parametrize("verb", ["machine", "start", "stop", "restart", "delete", "migrate"])
async def test_what_does_not_exist_is_gone_for_every_verb(world, verb):
    """One meaning, whatever was asked."""
    with pytest.raises(Gone):
        await getattr(world.provider, verb)(NOBODY, ACT)


async def test_an_objection_at_the_last_moment_buys_nothing(world):
    """`before_send` is asked after admission; what it raises comes back as it is."""
    offer = cheapest(await world.provider.catalogue(BULK))
    objection = LookupError("the lease is lost")

    async def object_() -> None:
        raise objection

    with pytest.raises(LookupError) as raised:
        await world.provider.create(order_for(offer), msgspec.structs.replace(ACT, before_send=object_))

    assert raised.value is objection
    assert world.machine_names() == []


async def test_the_last_word_is_spoken_once_and_before_the_purchase(world):
    """At that moment nothing exists yet."""
    offer = cheapest(await world.provider.catalogue(BULK))
    seen: list[list[str]] = []

    async def look() -> None:
        seen.append(world.machine_names())

    await world.provider.create(order_for(offer), msgspec.structs.replace(ACT, before_send=look))

    assert seen == [[]]
    assert world.machine_names() == ["train-1-nvtest"]


async def test_a_private_image_is_bought_with_the_accounts_credential(world):
    """The order names it by id; its content is the provider's business."""
    (auth,) = (await world.provider.registry_auths(BULK))[:1]

    machine_id = await buy(world, image_auth_id=auth.id)

    assert machine_id
    assert auth.username


async def test_a_missing_credential_is_told_and_nothing_is_bought(world):
    """Also when the order is otherwise fine."""
    spoken: list[str] = []

    async def last_word() -> None:
        spoken.append("x")

    offer = cheapest(await world.provider.catalogue(BULK))
    with pytest.raises(RegistryAuthMissing):
        await world.provider.create(
            order_for(offer, image_auth_id="nobody"), msgspec.structs.replace(ACT, before_send=last_word)
        )

    assert spoken == []
    assert world.machine_names() == []


async def test_templates_are_listed_and_found_by_id(world):
    """The private ones of the account; an unknown one is gone."""
    templates = await world.provider.templates(BULK)

    found = await world.provider.template(templates[0].id, BULK)

    assert found == templates[0]
    assert found.image_url
    with pytest.raises(Gone):
        await world.provider.template("1", BULK)


async def test_volumes_are_listed(world):
    """Each with its size and region, since it can be mounted only there."""
    for volume in await world.provider.network_storages(BULK):
        assert volume.id
        assert volume.size_gb > 0
        assert volume.cluster_id


async def test_jobs_come_from_the_public_api_without_an_internal_key(world):
    """An empty account has none."""
    jobs = await world.provider.jobs(ProviderJobQuery(type="instanceMigrate"), BULK)

    assert (jobs.jobs, jobs.total, jobs.source) == ((), 0, "public")


async def test_the_provider_shows_both_clients(world):
    """The public one with its two breakers; the internal one is off without a key."""
    await world.provider.machines(1, 10, ACT)

    public, internal = await world.provider.upstream()

    assert (public.client, public.enabled, public.reachable, public.auth_failed) == (
        ClientName.PUBLIC,
        True,
        True,
        False,
    )
    assert set(public.breakers) == {"gpu", "account"}
    assert public.latency_p50_ms is not None
    assert (internal.client, internal.enabled) == (ClientName.INTERNAL, False)


async def test_many_calls_may_be_under_way_at_once(world):
    """They do not disturb one another."""
    ids = [await buy(world, machine_name=f"train-{number}-nvtest") for number in range(5)]

    machines = await asyncio.gather(*(world.provider.machine(machine_id, ACT) for machine_id in ids * 4))

    assert [machine.id for machine in machines] == ids * 4


async def test_closing_twice_is_fine(world):
    """Whoever ends may end again."""
    await world.provider.close()
    await world.provider.close()
