"""One list poll serves everybody: what it costs, what it shows, and what a list that lies can not do."""

import pytest

from novitai.domain.errors import Broken, NotAllowed, TryLater, Unclear
from novitai.domain.ids import MachineId
from novitai.domain.instance import DesiredState, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus, SpotStatus
from novitai.ports.provider import UpstreamBreaker
from support import builders
from support.clock import FakeClock
from support.receivers import Receivers
from support.running import HOOK, House, running
from support.scripted_provider import closed, opened, upstream_view
from support.timed_provider import DOWN, GONE, LIES, UP, TimedProvider

MINUTE, HOUR = 60.0, 3600.0


def foreign(provider: TimedProvider, count: int) -> None:
    """Machines of somebody else on the same account."""
    for number in range(count):
        provider.keep(builders.machine(id=MachineId(f"f{number:015x}"), name=f"foreign-{number}"))


async def several(house: House, count: int) -> list[str]:
    """That many instances, all ready."""
    ids = [await house.create(name=f"m{number}") for number in range(count)]
    await house.clock.run_until(lambda: all(house.state(one) is State.READY for one in ids), within=HOUR)
    return ids


def reading(house: House, since: float) -> int:
    """Calls of the observer since then."""
    return sum(1 for one in house.provider.made("machines", "machine") if one.at > since)


# ── what it costs ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("machines", "pages"), [(0, 1), (1, 1), (100, 1), (101, 2), (1000, 10)])
async def test_quiet_costs_one_call_per_page_and_interval(machines, pages):
    """Calls of a steady poll grow with the pages, never with the machines."""
    async with running(arrange=lambda provider: foreign(provider, machines)) as house:
        await house.clock.advance(120.0)
        began = house.clock.now()
        await house.clock.advance(10 * MINUTE)

        assert reading(house, began) == pages * 20


async def test_more_pages_than_the_share_allows_stretch_the_interval():
    """50 pages do not fit 30 calls a minute twice: the interval grows, and is shown."""
    async with running(arrange=lambda provider: foreign(provider, 5000)) as house:
        await house.clock.advance(20 * MINUTE)

        assert reading(house, house.clock.now() - 10 * MINUTE) <= 310
        assert house.program.operations.freshness.interval == pytest.approx(100.0)
        assert not house.program.operations.freshness.stale


async def test_one_machine_in_motion_among_many_is_read_singly():
    """A fast tick costs min(pages, machines in motion) calls."""
    async with running(arrange=lambda provider: foreign(provider, 950)) as house:
        await house.clock.advance(61.0)
        house.provider.up = ((0.0, MachineStatus.PENDING), (300.0, MachineStatus.RUNNING))
        await house.create()
        await house.clock.advance(31.0)
        began = house.clock.now()
        await house.clock.advance(2 * MINUTE)

        singles = [one for one in house.provider.made("machine") if one.at > began]
        assert 30 <= len(singles) <= 40
        assert reading(house, began) - len(singles) == 40
        assert not house.program.operations.freshness.stale


async def test_many_in_motion_cost_a_sweep_each_tick():
    """Forty starting on one page: one call every three seconds, not forty."""
    async with running() as house:
        house.provider.up = ((0.0, MachineStatus.PENDING), (300.0, MachineStatus.RUNNING))
        for number in range(40):
            await house.create(name=f"m{number}")
        await house.clock.advance(10.0)
        began = house.clock.now()
        await house.clock.advance(MINUTE)

        assert 18 <= reading(house, began) <= 22


async def test_commits_about_moving_machines_do_not_hurry_the_observer_past_its_share():
    """With 20 pages a fast tick of sweeps takes 40 s; news of machines in motion does not shorten that."""
    async with running(arrange=lambda provider: foreign(provider, 1950)) as house:
        house.provider.up = (
            (0.0, MachineStatus.PENDING),
            (100.0, MachineStatus.STARTING),
            (900.0, MachineStatus.RUNNING),
        )
        for number in range(40):
            await house.create(name=f"m{number}")
        began = house.clock.now()
        await house.clock.advance(10 * MINUTE)

        assert reading(house, began) <= 10 * 30 + 40


# ── lists that lie ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lie", [*LIES, "error"])
async def test_a_list_that_lies_neither_hangs_the_observer_nor_makes_anything_look_gone(lie):
    """An hour of the same lie: everything stays as it is, and nothing was called."""
    async with running(arrange=lambda provider: foreign(provider, 230)) as house:
        ids = await several(house, 5)
        told, changes = len(await house.events()), len(house.provider.changes())
        house.provider.lie = lambda: lie
        await house.clock.advance(HOUR)

        assert {house.state(one) for one in ids} == {State.READY}
        assert len(await house.events()) == told
        assert len(house.provider.changes()) == changes
        assert reading(house, house.clock.now() - 10 * MINUTE) <= 320


# ── what is seen ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_vanished_machine_is_lost_after_two_pieces_of_evidence_half_a_minute_apart():
    """Missing from complete sweeps and not found when read singly, twice."""
    async with running() as house:
        [made] = await several(house, 1)
        machine = (await house.instance(made)).machine
        gone_at = house.clock.now()
        house.provider.vanish(machine.id)
        lost = await house.until(made, State.LOST)

        first, second = lost.machine.missing
        assert second - first >= 30.0
        assert house.clock.now() - gone_at <= 2 * MINUTE + 5.0
        assert (await house.told(made))[-1] == "lost"
        assert not house.provider.made("stop", "delete")


async def test_a_machine_not_found_once_is_not_lost():
    """One piece of evidence is none: a machine that is back the next time was never lost."""
    async with running() as house:
        [made] = await several(house, 1)
        machine_id = (await house.instance(made)).machine.id
        kept = house.provider.kept[machine_id]
        house.provider.vanish(machine_id)
        await house.clock.run_until(lambda: house.program.operations.reads.get(made).instance.machine.missing)
        house.provider.kept[machine_id] = kept
        await house.clock.advance(10 * MINUTE)

        assert (await house.instance(made)).state is State.READY
        assert (await house.instance(made)).machine.missing == ()


async def test_a_lost_machine_that_is_seen_again_is_taken_back():
    """Lost is not an end."""
    async with running() as house:
        [made] = await several(house, 1)
        machine_id = (await house.instance(made)).machine.id
        kept = house.provider.kept[machine_id]
        house.provider.vanish(machine_id)
        await house.until(made, State.LOST)
        house.provider.kept[machine_id] = kept

        await house.until(made, State.READY)


async def test_a_machine_stopped_outside_is_told_within_two_polls():
    """Somebody's hand in Novita's console counts as a user's word."""
    async with running() as house:
        [made] = await several(house, 1)
        stopped_at = house.clock.now()
        house.provider.becomes((await house.instance(made)).machine.id, DOWN)
        stopped = await house.until(made, State.STOPPED)

        assert house.clock.now() - stopped_at <= 61.0
        assert (stopped.desired.state, stopped.desired.by) == (DesiredState.STOPPED, "outside")
        assert (await house.told(made))[-1] == "stopped"


async def test_a_machine_started_outside_is_told_and_becomes_ready():
    """The same for a start."""
    async with running() as house:
        [made] = await several(house, 1)
        await house.ask(made, Verb.STOP)
        await house.until(made, State.STOPPED)
        house.provider.becomes((await house.instance(made)).machine.id, UP)
        ready = await house.until(made, State.READY)

        assert (ready.desired.state, ready.desired.by) == (DesiredState.RUNNING, "outside")
        assert not house.provider.made("start")


async def test_a_machine_deleted_outside_ends_its_instance():
    """`removing` seen on Novita means deleted, by somebody else."""
    async with running() as house:
        [made] = await several(house, 1)
        house.provider.gone = GONE
        house.provider.becomes(
            (await house.instance(made)).machine.id, ((0.0, MachineStatus.REMOVING), (45.0, MachineStatus.REMOVED))
        )
        await house.until(made, State.DELETED)

        assert (await house.instance(made)).desired.by == "outside"
        assert not house.provider.made("delete")


async def test_thirty_machines_stopped_outside_at_once_are_all_told():
    """More surprises than one sweep settles: the rest follows at the pace of the share."""
    async with running() as house:
        ids = await several(house, 30)
        for one in ids:
            house.provider.becomes((await house.instance(one)).machine.id, ((0.0, MachineStatus.STOPPED),))
        began = house.clock.now()
        await house.clock.run_until(lambda: all(house.state(one) is State.STOPPED for one in ids))

        assert house.clock.now() - began <= 2 * MINUTE
        assert reading(house, began) <= 65


async def test_a_spot_notice_is_told_once():
    """Visible within a poll, told once."""
    async with running() as house:
        [made] = await several(house, 1)
        house.provider.becomes(
            (await house.instance(made)).machine.id,
            (),
            spot_status=SpotStatus.NOTIFIED,
            reclaim_at=house.clock.now() + 3600.0,
        )
        await house.clock.advance(10 * MINUTE)

        assert (await house.told(made)).count("spot_notice") == 1
        assert not house.provider.made("stop", "delete")


async def test_a_single_read_that_fails_keeps_no_other_machine_from_being_seen():
    """Two in motion among ten pages, one of which Novita cannot tell: the other becomes ready in time."""
    async with running(arrange=lambda provider: foreign(provider, 950)) as house:
        await house.clock.advance(61.0)
        sick, well = [await house.create(name=name) for name in ("sick", "well")]
        await house.clock.advance(2.0)
        bad = (await house.instance(sick)).machine.id
        machine = house.provider.machine

        async def machine_or_not(machine_id, call):
            if machine_id == bad:
                raise Broken("not a machine")
            return await machine(machine_id, call)

        house.provider.machine = machine_or_not
        began = house.clock.now()
        await house.until(well, State.READY)

        assert house.clock.now() - began <= 35.0


# ── Novita in trouble ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_refused_key_is_told_once_and_recovers_by_itself():
    """One alert, one poll per quiet interval, and the first success ends it."""
    async with running() as house:
        await several(house, 1)
        house.provider.trouble = lambda method: NotAllowed("invalid key", status=401, reason="INVALID_API_KEY")
        began = house.clock.now()
        await house.clock.advance(HOUR)
        assert (await house.told()).count("upstream.auth_failed") == 1
        assert 110 <= reading(house, began) <= 122

        house.provider.trouble = lambda method: None
        await house.clock.advance(MINUTE)
        assert house.program.operations.freshness.last_error is None
        house.provider.trouble = lambda method: NotAllowed("invalid key", status=401)
        await house.clock.advance(HOUR)
        assert (await house.told()).count("upstream.auth_failed") == 2


async def test_an_outage_is_not_amplified():
    """At complete failure the observer asks no more often than in quiet times, and says so."""
    async with running() as house:
        await several(house, 3)
        house.provider.trouble = lambda method: Broken("bad gateway", status=502)
        began = house.clock.now()
        await house.clock.advance(HOUR)

        assert reading(house, began) <= 1.2 * 120
        assert house.program.operations.freshness.failures_in_a_row > 100
        assert house.program.operations.freshness.last_error == "bad gateway"
        assert house.program.operations.freshness.stale


async def test_a_failed_sweep_is_made_again_soon():
    """A failure does not count as a look: the sweep is due until it was made."""
    async with running() as house:
        await house.clock.advance(1.0)
        house.provider.fail("machines", Broken("bad gateway"))
        await house.clock.run_until(lambda: house.program.operations.freshness.failures_in_a_row == 1)
        failed_at = house.clock.now()
        await house.clock.run_until(lambda: house.program.operations.freshness.failures_in_a_row == 0)

        assert house.clock.now() - failed_at <= 4.0


async def test_retry_after_is_obeyed():
    """Novita says when to come again."""
    async with running() as house:
        await house.clock.advance(1.0)
        house.provider.fail("machines", TryLater("too many", retry_after=120.0, rate_limited=True))
        await house.clock.run_until(lambda: house.program.operations.freshness.failures_in_a_row == 1)
        failed_at = house.clock.now()
        await house.clock.advance(119.0)

        assert reading(house, failed_at) == 0


async def test_an_open_breaker_is_told_once_and_so_is_its_closing():
    """From the first opening to the closing, through half-open and opening again: one event each."""
    async with running(WEBHOOK_URL=HOOK) as house:
        await house.clock.advance(31.0)
        for breaker in (
            opened(),
            UpstreamBreaker(state="HALF_OPEN", failure_count=5, opened_at=None, retry_at=None),
            opened(),
            closed(),
        ):
            house.provider.views = (upstream_view(breakers={"gpu": breaker, "account": closed()}),)
            await house.clock.advance(31.0)

        told = [event for event in await house.events() if event.type.startswith("upstream.")]
        assert [str(event.type) for event in told] == ["upstream.circuit_opened", "upstream.circuit_closed"]
        assert told[0].data == {"client": "public", "circuit": "gpu", "failureCount": 5}
        assert house.receivers.events() == ["upstream.circuit_opened", "upstream.circuit_closed"]


# ── observe only ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_observe_mode_changes_nothing_on_novita():
    """Reads, polls, explains; not one call that changes anything."""
    async with running(NOVITAI_MODE="observe") as house:
        made = await house.create()
        await house.clock.advance(HOUR)
        await house.ask(made, Verb.DELETE)
        await house.clock.advance(HOUR)

        assert house.provider.changes() == []


async def test_observe_mode_over_a_fleet_in_use_sees_and_does_not_touch():
    """A second look at an account that another process controls: what is seen is taken, nothing is sent."""
    clock = FakeClock()
    provider, receivers = TimedProvider(clock=clock), Receivers(clock)
    async with running(clock=clock, provider=provider, receivers=receivers, NOVITAI_MODE="observe") as house:
        made = await house.create()
        provider.fail("create", Unclear("nobody should call this"))
        await house.ask(made, Verb.STOP)
        await house.clock.advance(10 * MINUTE)

        assert house.state(made) is State.STOPPED
        assert provider.changes() == []


async def test_sweeps_are_counted():
    """Metrics tell complete from partial readings."""
    async with running(arrange=lambda provider: foreign(provider, 150)) as house:
        house.provider.lists.extend(["truncated"])
        await house.clock.advance(61.0)
        summary = house.program.base.metrics.summary()

        assert {row["result"]: row["value"] for row in summary["observerSweeps"]} == {"complete": 2, "partial": 1}
        assert summary["observerMachines"] == 150
