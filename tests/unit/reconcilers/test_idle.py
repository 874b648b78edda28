"""The idle stop in the whole program: what is idle is announced and stopped, and nothing else ever is."""

from urllib.parse import parse_qs, urlsplit

import pytest

from novitai.domain.automation import Part
from novitai.domain.errors import NoCapacity, Unclear
from novitai.domain.idle import AutoStop, SignalName
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.operations.snooze import LinkRefused
from support import builders
from support.clock import settle
from support.crashing import Fuse, World
from support.idling import ON, idle_from
from support.running import HOOK, House, context, running

MINUTE = 60.0


async def since_ready(house: House, instance_id: str) -> float:
    instance = await house.instance(instance_id)
    assert instance.ready_at is not None
    return house.clock.now() - instance.ready_at


async def link(house: House, instance_id: str) -> str:
    """The token of the latest announcement."""
    warnings = [event for event in await house.events(instance_id) if event.type == "instance.idle_warning"]
    return parse_qs(urlsplit(warnings[-1].data["snoozeUrl"]).query)["token"][0]


async def test_what_nobody_uses_is_announced_and_then_stopped():
    """The announcement comes the threshold less the warning after it was ready, the stop threshold after; both say on what evidence."""
    async with running(arrange=idle_from(), WEBHOOK_URL=HOOK, PUBLIC_URL="https://gpus.example.test", **ON) as house:
        made = await house.ready()
        ready_at = (await house.instance(made)).ready_at
        await house.until(made, State.STOPPED)
        events = {str(event.type): event for event in await house.events(made)}

    warned, stopping = events["instance.idle_warning"], events["instance.stopping"]
    assert warned.at - ready_at == pytest.approx(15 * MINUTE, abs=5.0)
    assert stopping.at - ready_at == pytest.approx(20 * MINUTE, abs=90.0)
    assert warned.data["snoozeUrl"].startswith(f"https://gpus.example.test/api/instances/{made}/snooze?token=")
    assert (stopping.actor, "gpu 0.0 % at" in stopping.reason, "cpu 2.0 % at" in stopping.reason) == (
        "idle",
        True,
        True,
    )


async def test_a_use_that_is_told_cancels_the_announcement():
    """The stop comes a whole threshold after that use, with an announcement of its own."""
    async with running(arrange=idle_from(), **ON) as house:
        made = await house.ready()
        await house.clock.advance(18 * MINUTE)
        await house.program.operations.verbs.last_used(made, None, context())
        used_at = house.clock.now()
        await house.until(made, State.STOPPING)
        events = await house.events(made)

    assert house.clock.now() - used_at == pytest.approx(20 * MINUTE, abs=90.0)
    assert [str(event.type) for event in events].count("instance.idle_warning") == 2


@pytest.mark.parametrize("load", [(80.0, 2.0), (0.0, 40.0)], ids=["only the GPU", "only the CPU"])
async def test_a_machine_that_works_is_left_alone(load):
    """One busy signal is enough, though nobody ever told of a use."""

    def arrange(provider):
        provider.load = lambda _machine, _at: load

    async with running(arrange=arrange, **ON) as house:
        made = await house.ready()
        await house.clock.advance(2 * 3600.0)

        assert house.state(made) is State.READY
        assert "idle_warning" not in await house.told(made)


async def test_measurements_that_are_missing_count_as_use():
    """Nobody can know what goes on on such a machine."""
    async with running(arrange=lambda provider: None, **ON) as house:
        made = await house.ready()
        await house.clock.advance(2 * 3600.0)

        assert house.state(made) is State.READY


async def test_metrics_that_cannot_be_read_stop_nothing():
    """Unread is not idle, and the machine is asked about again later."""
    async with running(arrange=idle_from(), **ON) as house:
        made = await house.ready()
        house.provider.trouble = lambda method: Unclear("timed out") if method == "metrics" else None
        await house.clock.advance(3600.0)
        before = house.state(made)
        house.provider.trouble = lambda _: None
        await house.until(made, State.STOPPED)

    assert before is State.READY


async def test_a_restarted_machine_that_is_still_warming_up_is_not_stopped():
    """Its last use lies hours back, but idleness counts from when it is ready again."""
    async with running(arrange=idle_from(), **ON) as house:
        made = await house.ready()
        await house.until(made, State.STOPPED)
        await house.clock.advance(2 * 3600.0)
        house.provider.up = ((0.0, builders.MachineStatus.STARTING), (540.0, builders.MachineStatus.RUNNING))
        await house.ask(made, Verb.START)
        await house.until(made, State.READY)
        await house.clock.advance(14 * MINUTE)

        assert house.state(made) is State.READY


async def test_a_video_model_with_a_boot_of_thirty_minutes_works():
    """Pulling and loading take longer than the threshold: that is no idleness."""
    async with running(arrange=idle_from(), INSTANCE_STARTUP_TIMEOUT="1h", **ON) as house:
        house.provider.up = ((0.0, builders.MachineStatus.STARTING), (1800.0, builders.MachineStatus.RUNNING))
        made = await house.ready()
        taken = house.clock.now() - (await house.instance(made)).created_at
        await house.clock.advance(14 * MINUTE)

        assert taken >= 1800.0
        assert house.state(made) is State.READY


async def test_a_machine_of_somebody_else_is_never_touched():
    """It is on the account, it is idle, and it is nobody's business."""
    async with running(arrange=idle_from(), **ON) as house:
        house.provider.keep(builders.machine(id="feedfeedfeedfeed", name="theirs"))
        await house.clock.advance(2 * 3600.0)

        assert house.provider.changes() == []
        assert [made for made in house.provider.made("metrics") if made.argument == "feedfeedfeedfeed"] == []


async def test_an_instance_can_say_otherwise():
    """Off, or with a threshold of its own."""
    async with running(arrange=idle_from(), **ON) as house:
        never = await house.ready(name="never", auto_stop=AutoStop(enabled=False))
        soon = await house.ready(name="soon", auto_stop=AutoStop(idle_seconds=360.0, warn_seconds=60.0))
        await house.until(soon, State.STOPPING)
        taken = await since_ready(house, soon)
        await house.clock.advance(3600.0)

    assert taken == pytest.approx(360.0, abs=90.0)
    assert house.state(never) is State.READY


async def test_switched_off_it_stops_only_who_asks_for_it():
    """The settings are a default."""
    settings = ON | {"AUTO_STOP_ENABLED": "false"}
    async with running(arrange=idle_from(), **settings) as house:
        usual = await house.ready(name="usual")
        asks = await house.ready(name="asks", auto_stop=AutoStop(enabled=True))
        await house.until(asks, State.STOPPED)

        assert house.state(usual) is State.READY


async def test_a_dry_run_watches_and_does_nothing():
    """For a first week: nothing is announced, nothing is stopped; what would be is in the log."""
    async with running(arrange=idle_from(), AUTO_STOP_DRY_RUN="true", **ON) as house:
        made = await house.ready()
        await house.clock.advance(2 * 3600.0)

        assert house.state(made) is State.READY
        assert "idle_warning" not in await house.told(made)
        assert len(house.provider.made("metrics")) < 30


async def test_who_only_observes_rehearses():
    """Nothing may be changed on Novita, nor asked for."""
    async with running(start=False, NOVITAI_MODE="observe", **ON) as house:
        assert house.program.operations.idleness.usual.dry_run


async def test_a_pause_holds_everything_back_until_it_is_lifted():
    """For a bad night; what is due then happens soon after."""
    async with running(arrange=idle_from(), **ON) as house:
        made = await house.ready()
        automation = house.program.operations.automation
        await automation.pause((Part.IDLE,), "looking", context())
        await house.clock.advance(3600.0)
        held = house.state(made)
        await automation.resume((Part.IDLE,), "", context())
        await house.until(made, State.STOPPED, within=600.0)

    assert held is State.READY


async def test_a_postponed_stop_comes_a_threshold_later_and_the_link_works_once():
    """The link is worth one postponement; the next announcement has one of its own."""
    async with running(arrange=idle_from(), **ON) as house:
        made = await house.ready()
        await house.clock.advance(16 * MINUTE)
        snooze, token = house.program.operations.snooze, await link(house, made)
        await snooze.postpone(made, token, context())
        postponed_at = house.clock.now()
        with pytest.raises(LinkRefused) as again:
            await snooze.postpone(made, token, context())
        await house.until(made, State.STOPPING)
        stats = await house.program.operations.idleness.stats()

    assert again.value.spent
    assert house.clock.now() - postponed_at == pytest.approx(20 * MINUTE, abs=90.0)
    assert (stats.warned, stats.postponed, stats.stopped) == (2, 1, 1)


async def test_a_link_that_was_made_elsewhere_is_refused():
    """The token is signed for one instance and one announcement."""
    async with running(arrange=idle_from(), **ON) as house:
        made = await house.ready()
        await house.clock.advance(16 * MINUTE)
        snooze, token = house.program.operations.snooze, await link(house, made)

        for wrong in ("", "x", token[:-1], token + "0", f"other.{token.rpartition('.')[2]}", "ü" * 100):
            with pytest.raises(LinkRefused) as refused:
                await snooze.postpone(made, wrong, context())
            assert not refused.value.spent


async def test_what_a_stop_saves_is_counted_until_the_next_start():
    """The price of the machine for the time in which the stop held."""
    async with running(arrange=idle_from(), **ON) as house:
        made = await house.ready()
        await house.until(made, State.STOPPED)
        stopped_at = (await house.instance(made)).desired.at
        await house.clock.advance(2 * 3600.0)
        while_stopped = (await house.program.operations.idleness.stats()).saved
        await house.ask(made, Verb.START)
        started_at = house.clock.now()
        await house.until(made, State.READY)
        await house.clock.advance(10 * MINUTE)
        after = (await house.program.operations.idleness.stats()).saved
        price = (await house.instance(made)).price_per_hour

    assert while_stopped > 2 * price
    assert after == pytest.approx(price * (started_at - stopped_at) / 3600, abs=2)


async def test_a_stopped_instance_is_deleted_only_where_that_was_asked_for():
    """Two stages: off by default, forbidden by `protect`, and announced."""
    later = AutoStop(delete_after_stopped_seconds=2 * 3600.0)
    async with running(arrange=idle_from(), **ON) as house:
        kept = await house.ready(name="kept")
        guarded = await house.ready(name="guarded", auto_stop=later, protect=True)
        goes = await house.ready(name="goes", auto_stop=later)
        for instance_id in (kept, guarded, goes):
            await house.until(instance_id, State.STOPPED)
        stopped_at = house.clock.now()
        await house.until(goes, State.DELETED, within=3 * 3600.0)
        taken = house.clock.now() - stopped_at
        deeds = [event.data["action"] for event in await house.events(goes) if event.type == "instance.idle_warning"]

    assert taken == pytest.approx(2 * 3600.0, abs=120.0)
    assert deeds == ["stop", "delete"]
    assert {house.state(kept), house.state(guarded)} == {State.STOPPED}


async def test_what_runs_but_never_answered_is_stopped_a_threshold_after_the_failure():
    """It is kept and bills; its idleness counts from the failure."""
    async with running(arrange=idle_from(), HEALTH_CHECK_MAX_WAIT_TIME_MS="60000", **ON) as house:
        house.receivers.healthy = False
        made = await house.create()
        await house.until(made, State.FAILED)
        failed_at = (await house.instance(made)).state_since
        await house.until(made, State.STOPPING)

    assert house.clock.now() - failed_at == pytest.approx(20 * MINUTE, abs=90.0)


async def test_a_start_that_was_refused_never_leads_to_a_delete():
    """Somebody wants it to run: it stands stopped against that wish."""
    later = AutoStop(delete_after_stopped_seconds=1800.0)
    async with running(arrange=idle_from(), **ON) as house:
        made = await house.ready(auto_stop=later)
        await house.until(made, State.STOPPED)
        house.provider.fail("start", *[NoCapacity("no GPU is free", status=400) for _ in range(50)])
        await house.ask(made, Verb.START)
        await house.clock.advance(3 * 3600.0)

        assert house.state(made) in {State.STOPPED, State.FAILED}
        assert house.provider.made("delete") == []


async def test_a_restart_of_the_program_forgets_no_announcement_and_repeats_none():
    """The memory is in the store; the deadline that was announced holds."""
    world = await World.begin()
    idle_from()(world.provider)
    async with world.house(Fuse(), **ON) as house:
        made = await house.ready()
        await house.clock.advance(16 * MINUTE)
    await world.ended()
    async with world.house(Fuse(), **ON) as house:
        token = await link(house, made)
        warned = await house.program.operations.snooze.announced(made, token)
        await house.until(made, State.STOPPED)
        events = await house.events(made)
        stopping = next(event for event in events if event.type == "instance.stopping")
    await world.close()

    assert [str(event.type) for event in events].count("instance.idle_warning") == 1
    assert stopping.at == pytest.approx(warned.acts_at, abs=30.0)


async def test_a_use_told_while_the_stop_is_being_asked_for_undoes_it():
    """What was decided on is checked in the commit."""
    async with running(arrange=idle_from(), **ON) as house:
        made = await house.ready()
        verbs = house.program.operations.verbs
        perform = verbs.perform

        async def late(*args, **kwargs):
            verbs.perform = perform  # type: ignore[method-assign]
            await verbs.last_used(made, None, context())
            return await perform(*args, **kwargs)

        verbs.perform = late  # type: ignore[method-assign]
        await house.clock.advance(25 * MINUTE)
        await settle()

        assert verbs.perform == perform
        assert house.state(made) is State.READY


async def test_a_clock_that_was_set_forward_does_not_make_anything_idle():
    """With uses that are told as the only signal, an hour that did not pass must not count."""
    only_told = AutoStop(signals=(SignalName.LAST_USED,))
    async with running(arrange=idle_from(), **ON) as house:
        made = await house.ready(auto_stop=only_told)
        idle = house.program.keepers.idle_stop
        idle._steady = _Behind(house.clock, 3600.0)
        await house.clock.advance(16 * MINUTE)
        told = await house.told(made)

    assert "idle_warning" not in told


async def test_a_clock_that_was_set_stays_in_mind_over_a_restart():
    """What was told by the clock as it was is no truer to the next process."""
    world = await World.begin()
    async with world.house(Fuse(), **ON) as house:
        await house.ready()
        house.program.keepers.idle_stop._steady = _Behind(house.clock, 3600.0)
        await house.clock.advance(6 * MINUTE)
        noticed = house.program.operations.idleness.trusted_since
    await world.ended()
    async with world.house(Fuse(), **ON) as house:
        known = house.program.operations.idleness.trusted_since
    await world.close()

    assert noticed > 0.0
    assert known == noticed


class _Behind:
    """A steady clock, seen from one that was set forward."""

    def __init__(self, clock, seconds):
        self._clock, self._seconds = clock, seconds

    def now(self):
        return self._clock.now() - self._seconds

    async def sleep(self, seconds):
        await self._clock.sleep(seconds)


async def test_looking_is_not_use_and_readings_stay_within_the_cap():
    """Thirty machines fall idle together: never more than 20 readings in a minute."""
    async with running(arrange=idle_from(), MAX_INSTANCES="100", UPSTREAM_RATE_LIMIT="1000", **ON) as house:
        made = [await house.create(name=f"n{number}") for number in range(30)]
        for one in made:
            await house.until(one, State.READY)
        await house.clock.advance(25 * MINUTE)
        times = [call.at for call in house.provider.made("metrics")]
        states = {house.state(one) for one in made}

    assert states <= {State.STOPPED, State.STOPPING}
    assert max(sum(at <= other < at + 60.0 for other in times) for at in times) <= 20
