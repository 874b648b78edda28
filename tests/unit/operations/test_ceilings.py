"""Ceilings are checked before any money is spent, and two who ask at once cannot both take the last place."""

import asyncio

import pytest

from novitai.domain.errors import Code, NoCapacity, Refusal, TryLater
from novitai.domain.instance import Verb
from novitai.domain.keys import KeyLimits
from novitai.domain.lifecycle import State
from novitai.domain.money import Usd
from novitai.operations.receipts import Answer
from novitai.operations.requests import VerbRequest
from support import builders
from support.running import context, running


async def refusals(*asking) -> list[Refusal]:
    """What was refused of several who ask at once."""
    results = await asyncio.gather(*asking, return_exceptions=True)
    return [result for result in results if isinstance(result, Refusal)]


async def test_two_creates_at_once_do_not_both_take_the_last_place():
    """One is accepted, one refused, one machine made."""
    async with running(MAX_INSTANCES="1") as house:
        [refused] = await refusals(house.create(name="a"), house.create(name="b"))
        await house.clock.advance(60.0)

        assert refused.code is Code.BUDGET_EXCEEDED
        assert refused.details == {"limit": "MAX_INSTANCES"}
        assert len(house.provider.present()) == 1


async def test_two_starts_at_once_do_not_both_take_the_last_place():
    """A start takes up room like a create."""
    async with running(MAX_USD_PER_HOUR="0.5") as house:
        ids = []
        for name in ("a", "b"):
            made = await house.ready(name=name)
            await house.ask(made, Verb.STOP)
            await house.until(made, State.STOPPED)
            ids.append(made)
        [refused] = await refusals(*(house.ask(one, Verb.START) for one in ids))

        assert refused.details == {"limit": "MAX_USD_PER_HOUR"}


async def test_a_create_and_a_start_at_once_do_not_both_take_the_last_place():
    """Whoever asks how."""
    async with running(MAX_INSTANCES="1") as house:
        made = await house.ready()
        await house.ask(made, Verb.STOP)
        await house.until(made, State.STOPPED)

        assert len(await refusals(house.ask(made, Verb.START), house.create(name="b"))) == 1


async def test_the_place_of_a_deleted_instance_is_free_again():
    """And that of one whose create failed."""
    async with running(MAX_INSTANCES="1") as house:
        made = await house.ready()
        await house.ask(made, Verb.DELETE)
        await house.until(made, State.DELETED)
        house.provider.fail("create", *[NoCapacity("full")] * 3)
        failed = await house.create(name="b")
        await house.until(failed, State.FAILED)
        await house.clock.advance(600.0)

        await house.ready(name="c")


async def test_a_place_is_not_kept_for_a_create_that_was_not_committed():
    """A request that fails on the way leaves room for the next."""
    async with running(MAX_INSTANCES="1") as house:
        ledger = house.program.operations.ledger
        commit = ledger.commit

        async def lost(*args, **kwargs):
            raise RuntimeError("a fault of ours")

        ledger.commit = lost
        with pytest.raises(RuntimeError):
            await house.create()
        ledger.commit = commit

        await house.ready()


@pytest.mark.parametrize("limits", [KeyLimits(gpus=1), KeyLimits(usd_per_hour=Usd(50_000))])
async def test_a_keys_own_limits_count_its_own_instances(limits):
    """Others' do not."""
    async with running() as house:
        await house.create(name="a", limits=limits)
        with pytest.raises(Refusal) as refused:
            await house.create(name="b", limits=limits)

        assert refused.value.code is Code.BUDGET_EXCEEDED
        await house.create(name="c")


async def test_what_a_key_started_counts_for_it_whoever_made_it():
    """A limit of one GPU is not one GPU at a time of everybody's."""
    async with running() as house:
        stopped = []
        for name in ("a", "b"):
            made = await house.ready(name=name)
            await house.ask(made, Verb.STOP)
            await house.until(made, State.STOPPED)
            stopped.append(made)
        verbs, limited = house.program.operations.verbs, context(owner="key_2", limits=KeyLimits(gpus=1))

        async def start(instance_id):
            await verbs.perform(instance_id, Verb.START, VerbRequest(), limited, lambda _: Answer(status=202, body=""))

        await start(stopped[0])
        with pytest.raises(Refusal) as refused:
            await start(stopped[1])

        assert refused.value.code is Code.BUDGET_EXCEEDED


async def test_ceilings_are_checked_again_when_the_machine_is_bought():
    """A price that rose since acceptance must still fit."""
    async with running(MAX_USD_PER_HOUR="0.5") as house:
        house.provider.fail("create", TryLater("busy", retry_after=60.0), sent=False)
        made = await house.create()
        house.provider.offered = builders.catalogue(builders.product(price_per_gpu=Usd(60_000)))
        failed = await house.until(made, State.FAILED)

        assert failed.last_error.code is Code.BUDGET_EXCEEDED
        assert not house.provider.made("create")
