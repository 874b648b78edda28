"""The program as a value: opened, started, stopped; wired so that nothing is asked of Novita before it runs."""

import asyncio

import pytest

from novitai.app import groups
from novitai.app.foundation import Replaced
from novitai.app.identity import installation_id
from novitai.app.program import Program
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.stores.sqlite import open_sqlite
from support.clock import FakeClock, FakeIds, settle
from support.receivers import Receivers
from support.running import HOOK, running, settings
from support.timed_provider import TimedProvider


async def test_opening_asks_novita_for_nothing():
    """Serving does not wait for Novita."""
    async with running(start=False) as house:
        await settle()

        assert house.provider.log == []


async def test_stopping_twice_is_fine_and_leaves_no_task_behind():
    """Everything that was begun has ended."""
    before = asyncio.all_tasks()
    async with running(WEBHOOK_URL=HOOK) as house:
        house.receivers.healthy = False
        await house.create()
        await house.clock.advance(30.0)
        await house.program.stop(grace=0.0)
        await house.program.stop(grace=0.0)

    assert asyncio.all_tasks() == before


async def test_a_program_that_cannot_read_its_store_lets_go_of_it():
    """Opening fails whole: nothing is left open."""
    clock = FakeClock()
    store = await open_sqlite(None, clock=clock)
    closed = []

    async def unreadable(*args, **kwargs):
        raise ValueError("a record that makes no sense")

    async def close():
        closed.append(True)

    store.list, store.close = unreadable, close
    replaced = Replaced(
        clock=clock, ids=FakeIds(), store=store, provider=TimedProvider(clock=clock), egress=Receivers(clock)
    )
    with pytest.raises(ValueError, match="no sense"):
        await Program.open(settings({}), replaced)

    assert closed


async def test_unfinished_work_goes_on_after_a_restart():
    """What was accepted before the end is done after it, within seconds."""
    clock = FakeClock()
    provider, receivers, ids, store = (
        TimedProvider(clock=clock),
        Receivers(clock),
        FakeIds(),
        await open_sqlite(None, clock=clock),
    )
    close, store.close = store.close, settle
    async with running(clock=clock, provider=provider, receivers=receivers, ids=ids, store=store) as house:
        made = await house.ready()
        await house.program.stop(grace=0.0)
        await house.ask(made, Verb.STOP)
    async with running(clock=clock, provider=provider, receivers=receivers, ids=ids, store=store) as house:
        began = clock.now()
        await house.until(made, State.STOPPED)

        assert clock.now() - began <= 15.0
    await close()


async def test_what_starts_to_move_is_looked_at_within_a_fast_interval():
    """The observer does not sleep through the quiet interval when something begins."""
    async with running() as house:
        await house.clock.advance(10.0)
        await house.create()
        began = house.clock.now()
        await house.clock.run_until(lambda: house.provider.made("machines")[-1].at > began)

        assert house.clock.now() - began <= 3.5


async def test_gauges_tell_how_things_stand():
    """Instances by state, jobs, breakers and limiters."""
    async with running() as house:
        await house.ready()
        await house.program.sample()
        summary = house.program.base.metrics.summary()

        assert {row["state"]: row["value"] for row in summary["instances"]} == {"ready": 1}
        assert {row["client"] for row in summary["limiterLimit"]} == {"public", "internal"}
        assert {(row["type"], row["status"]) for row in summary["jobsFinished"]} >= {
            ("create_instance", "completed"),
            ("monitor_instance", "completed"),
        }


async def test_lateness_is_that_of_the_latest_loop():
    """Zero while everything runs in time."""
    async with running() as house:
        await house.clock.advance(100.0)

        assert house.program.latest_timer() == 0.0


async def test_an_installation_keeps_its_name():
    """Configured, else stored, else made once; two that begin at once agree."""
    store, ids = await open_sqlite(None, clock=FakeClock()), FakeIds()
    assert await installation_id(store, ids, "abcd") == "abcd"
    first, second = await asyncio.gather(installation_id(store, ids, None), installation_id(store, ids, None))
    assert first == second == await installation_id(store, FakeIds(7), None)
    assert len(first) == 4
    await store.close()


def test_settings_reach_the_parts_in_their_own_words():
    """Seconds, calls and 1/100000 USD."""
    asked = settings(
        {
            "INSTANCE_POLL_INTERVAL": "20s",
            "NOVITA_SETTLE_TIME": "2s",
            "MAX_USD_PER_HOUR": "1.5",
            "WEBHOOK_RETRY_SCHEDULE": "1s,2s",
            "NOVITAI_MODE": "observe",
            "HEALTH_CHECK_TIMEOUT_MS": "1500",
        }
    )
    watching = groups.observer(asked, "abcd")

    assert (watching.quiet_interval, watching.settle_time, watching.calls_per_minute) == (20.0, 2.0, 30.0)
    assert groups.lifecycle(asked).observe
    assert groups.lifecycle(asked).limits.settle_time == 2.0
    assert groups.ceilings(asked).usd_per_hour == 150_000
    assert groups.webhooks(asked).schedule == (1.0, 2.0)
    assert groups.health_check(asked).timeout_ms == 1500
    assert groups.novita(asked).api_key == "sk_test_0123456789"
