"""Whatever a create call comes to, there is one machine for an accepted request and none for a refused one (promise M1, M4)."""

import pytest

from novitai.domain.errors import (
    Code,
    NoBalance,
    NoCapacity,
    NotAllowed,
    QuotaExceeded,
    RegistryAuthMissing,
    Rejected,
    TryLater,
    Unclear,
)
from novitai.domain.instance import AttemptOutcome, Verb
from novitai.domain.keys import KeyLimits, Scope
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.domain.money import Usd
from novitai.domain.offers import BillingChoice
from support import builders
from support.running import House, context, running
from support.timed_provider import TimedProvider

FULL = NoCapacity("nothing free")


def busy() -> TryLater:
    return TryLater("too many requests", code=Code.RATE_LIMIT_EXCEEDED, status=429, retry_after=1.0, rate_limited=True)


def creates(house: House) -> int:
    return len(house.provider.made("create"))


async def test_an_accepted_create_makes_one_machine():
    """The usual way: one call, one machine, ready."""
    async with running() as house:
        made = await house.ready()

        assert len(house.provider.present()) == creates(house) == 1
        assert [attempt.outcome for attempt in await house.attempts(made)] == [AttemptOutcome.ACCEPTED]


async def test_a_refused_offer_is_followed_by_the_next_best_at_once():
    """No capacity is not the end: the next offer is tried within the same moment."""
    async with running() as house:
        house.provider.fail("create", FULL, FULL)
        made = await house.create()
        await house.clock.advance(0.5)

        asked = [one.argument.offer.cluster_id for one in house.provider.made("create")]
        assert len(asked) == len(set(asked)) == 3
        assert (await house.instance(made)).machine is not None
        assert len(house.provider.present()) == 1


async def test_when_every_offer_refuses_the_create_fails_with_their_names():
    """The caller is told NO_CAPACITY once, with each offer that refused."""
    async with running() as house:
        house.provider.fail("create", *[FULL] * 9)
        made = await house.create()
        failed = await house.until(made, State.FAILED)

        assert failed.last_error is not None
        assert failed.last_error.code is Code.NO_CAPACITY
        assert len(failed.last_error.offers) == 3
        assert (await house.told(made)).count("failed") == 1
        assert not house.provider.present()


async def test_a_refused_offer_is_skipped_for_three_minutes_by_other_requests():
    """What one request learned spares the next one a call."""
    async with running() as house:
        house.provider.fail("create", FULL)
        await house.ready()
        refused = house.provider.made("create")[0].argument.offer.key

        await house.ready(name="second")

        assert house.provider.made("create")[-1].argument.offer.key != refused


@pytest.mark.parametrize("lag", [0.0, 20.0, 55.0])
async def test_a_create_whose_answer_is_lost_is_adopted_by_its_marker(lag):
    """Unclear but done: the machine is found, even when the list shows it late, and the call is not sent again."""
    async with running() as house:
        house.provider.list_lag = lag
        house.provider.fail("create", Unclear("connection reset"), effect=True)
        made = await house.ready()

        assert creates(house) == 1
        assert len(house.provider.present()) == 1
        assert [attempt.outcome for attempt in await house.attempts(made)] == [AttemptOutcome.ADOPTED]
        assert (await house.told(made)).count("created") == 1


async def test_a_lost_answer_is_found_within_a_fast_poll_or_two():
    """Somebody waits: the search does not rest for a quiet interval."""
    async with running() as house:
        house.provider.fail("create", Unclear("timeout"), effect=True)
        made = await house.create()
        began = house.clock.now()
        await house.clock.run_until(lambda: house.program.operations.reads.get(made).instance.machine is not None)

        assert house.clock.now() - began <= 10.0


async def test_after_an_unclear_answer_nothing_is_sent_before_a_sweep_has_proved_it():
    """Unclear and not done: sent again only after a complete sweep that began after the settle time."""
    async with running() as house:
        house.provider.fail("create", Unclear("timeout"))
        made = await house.create()
        began = house.clock.now()
        await house.until(made, State.READY)

        first, second = house.provider.made("create")
        sweeps = [one.at for one in house.provider.made("machines") if began + 60.0 <= one.at <= second.at]
        assert second.at - first.at >= 60.0
        assert sweeps
        assert second.at - first.at <= 70.0
        assert len(house.provider.present()) == 1
        assert [a.outcome for a in await house.attempts(made)] == [AttemptOutcome.ABSENT, AttemptOutcome.ACCEPTED]


async def test_a_call_that_takes_longer_than_the_settle_time_is_not_disproved_under_way():
    """The settle time counts from the end of the call: a slow answer that is lost at last has still made one machine."""
    async with running(REQUEST_TIMEOUT="2m", NOVITA_SETTLE_TIME="30s") as house:
        house.provider.seconds["create"] = 100.0
        house.provider.list_lag = 25.0
        house.provider.fail("create", Unclear("timeout"), effect=True)
        await house.ready()

        assert creates(house) == 1
        assert len(house.provider.present()) == 1


@pytest.mark.parametrize("lie", ["truncated", "blank", "endless", "error"])
async def test_an_incomplete_list_proves_nothing(lie):
    """As long as no sweep is complete, an unclear create is not sent again."""
    async with running() as house:
        house.provider.lie = lambda: lie
        house.provider.keep(builders.machine(name="foreign"))
        house.provider.fail("create", Unclear("timeout"))
        made = await house.create()
        await house.clock.advance(600.0)
        assert creates(house) == 1

        house.provider.lie = lambda: ""
        await house.until(made, State.READY)
        assert creates(house) == 2


@pytest.mark.parametrize("lie", ["empty", "short"])
async def test_a_list_that_a_single_read_contradicts_proves_nothing(lie):
    """A list that forgets machines which exist cannot tell that one was not made."""
    async with running() as house:
        for number in range(4):
            await house.ready(name=f"steady{number}")
        house.provider.fail("create", Unclear("timeout"), effect=True)
        house.provider.lie = lambda: lie
        made = await house.create()
        await house.clock.advance(600.0)
        house.provider.lie = lambda: ""
        await house.until(made, State.READY)

        assert creates(house) == len(house.provider.present()) == 5


async def test_three_times_too_many_means_the_quota():
    """429 on create may be the account's quota: after three it is said so."""
    async with running() as house:
        house.provider.fail("create", busy(), busy(), busy())
        made = await house.create()
        failed = await house.until(made, State.FAILED)

        assert failed.last_error is not None
        assert failed.last_error.code is Code.QUOTA_EXCEEDED
        assert creates(house) == 3
        assert not house.provider.present()


async def test_too_many_twice_is_waited_out():
    """Two of them are an ordinary rush."""
    async with running() as house:
        house.provider.fail("create", busy(), busy())
        await house.ready()

        assert creates(house) == 3
        assert len(house.provider.present()) == 1


async def test_a_refused_key_makes_creates_wait_until_it_is_accepted():
    """Nothing works until a person acts; then everything goes on by itself."""
    async with running() as house:
        house.provider.trouble = lambda method: NotAllowed("invalid key", status=401)
        made = await house.create()
        await house.clock.advance(600.0)
        assert house.state(made) is State.CREATING

        house.provider.trouble = lambda method: None
        await house.until(made, State.READY)
        assert len(house.provider.present()) == 1


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (NoBalance("no money"), Code.INSUFFICIENT_BALANCE),
        (QuotaExceeded("enough machines"), Code.QUOTA_EXCEEDED),
        (RegistryAuthMissing("no such credential"), Code.REGISTRY_AUTH_NOT_FOUND),
        (Rejected("bad image"), Code.UPSTREAM_ERROR),
    ],
)
async def test_what_will_not_help_is_not_tried_again(failure, code):
    """A clear refusal of the request itself ends the create, with its meaning."""
    async with running() as house:
        house.provider.fail("create", failure)
        made = await house.create()
        failed = await house.until(made, State.FAILED)
        await house.clock.advance(600.0)

        assert failed.last_error is not None
        assert failed.last_error.code is code
        assert creates(house) == 1
        assert [a.outcome for a in await house.attempts(made)] == [AttemptOutcome.REFUSED]


@pytest.mark.parametrize("sent", [False, True])
async def test_what_was_not_done_now_is_tried_again_later(sent):
    """Whether it never left us or Novita was busy: tried again, and made once."""
    async with running() as house:
        house.provider.fail(
            "create", TryLater("breaker open", code=Code.CIRCUIT_BREAKER_OPEN, retry_after=20.0), sent=sent
        )
        made = await house.create()
        await house.until(made, State.READY)

        assert len(house.provider.present()) == 1
        last = house.provider.made("create")[-1]
        assert last.at - (await house.instance(made)).created_at >= 19.0


async def test_a_price_that_rose_past_the_cap_before_the_call_is_not_paid():
    """The offer is ranked again, under the cap, when the call is sent."""
    async with running() as house:
        cap = Usd(40_000)
        house.provider.fail("create", TryLater("busy", retry_after=60.0), sent=False)
        made = await house.create(max_price_per_hour=cap)
        house.provider.offered = builders.catalogue(builders.product(price_per_gpu=Usd(50_000)))
        failed = await house.until(made, State.FAILED)

        assert failed.last_error is not None
        assert failed.last_error.code is Code.NO_OFFER_WITHIN_CAP
        assert creates(house) == 0


async def test_waiting_for_capacity_goes_round_until_there_is_some():
    """With `waitForCapacity` every offer is tried again and again within the time; what waits is told per round."""
    async with running() as house:
        house.provider.fail("create", *[FULL] * 5)
        made = await house.create(wait_for_capacity_seconds=3600.0)
        await house.until(made, State.READY)

        assert len(house.provider.present()) == 1
        assert (await house.told(made)).count("creating") >= 2


async def test_a_machine_that_never_runs_is_replaced_by_another_offer_once():
    """Our machine is deleted, the next offer tried, and in the end there is one machine."""
    async with running(INSTANCE_STARTUP_TIMEOUT="60s") as house:
        house.provider.up = ((0.0, MachineStatus.PENDING),)
        made = await house.create()
        await house.clock.run_until(lambda: creates(house) == 1)
        house.provider.up = TimedProvider(clock=house.clock).up
        await house.until(made, State.READY)
        await house.clock.advance(60.0)

        assert creates(house) == 2
        assert len(house.provider.present()) == 1


async def test_a_stop_during_an_unclear_create_leaves_nothing_running():
    """The attempt is resolved first, then the machine is stopped."""
    async with running() as house:
        house.provider.fail("create", Unclear("timeout"), effect=True)
        house.provider.list_lag = 30.0
        made = await house.create()
        await house.clock.advance(2.0)
        await house.ask(made, Verb.STOP)
        await house.until(made, State.STOPPED)

        [machine] = house.provider.present()
        assert machine.status is MachineStatus.STOPPED
        assert creates(house) == 1


async def test_a_delete_during_an_unclear_create_leaves_no_machine():
    """Delete wins: the attempt is resolved and its machine deleted."""
    async with running() as house:
        house.provider.fail("create", Unclear("timeout"), effect=True)
        house.provider.list_lag = 30.0
        made = await house.create()
        await house.clock.advance(2.0)
        await house.ask(made, Verb.DELETE)
        await house.until(made, State.DELETED)

        assert not house.provider.present()
        assert creates(house) == 1


async def test_a_late_second_machine_is_told_and_goes_with_the_instance():
    """A machine with our marker beyond the settle time is shown as a stray, not stopped, and deleted only with its instance."""
    async with running() as house:
        house.provider.list_lag = 300.0
        house.provider.fail("create", Unclear("timeout"), effect=True)
        made = await house.create()
        await house.clock.run_until(lambda: creates(house) == 2)
        await house.clock.advance(600.0)
        assert (await house.told(made)).count("orphan_found") == 1
        assert len(house.provider.present()) == 2
        assert not house.provider.made("stop", "delete")

        await house.ask(made, Verb.DELETE)
        await house.until(made, State.DELETED)
        assert not house.provider.present()


async def test_a_machine_that_shows_up_after_its_instance_was_deleted_is_deleted_too():
    """Delete is for every machine of the instance, also one that the list showed too late."""
    async with running() as house:
        house.provider.list_lag = 400.0
        house.provider.fail("create", Unclear("timeout"), effect=True)
        made = await house.create()
        await house.clock.advance(2.0)
        await house.ask(made, Verb.DELETE)
        await house.until(made, State.DELETED)
        assert len(house.provider.present()) == 1

        await house.clock.advance(900.0)
        assert not house.provider.present()


async def test_two_hundred_creates_at_once_make_two_hundred_machines():
    """Half of the answers are lost; each request still has exactly one machine."""
    async with running() as house:
        house.provider.seconds["create"] = 1.0
        for number in range(200):
            if number % 2:
                house.provider.fail("create", Unclear("reset"), effect=True)
        ids = [await house.create(name=f"m{number}") for number in range(200)]
        await house.clock.run_until(lambda: all(house.state(i) is State.READY for i in ids), within=7200.0)

        assert len(house.provider.present()) == creates(house) == 200


async def test_either_billing_mode_may_be_taken():
    """`auto` takes the cheaper of both."""
    async with running() as house:
        await house.ready(billing=BillingChoice.AUTO)

        assert len(house.provider.present()) == 1


async def test_the_next_best_offer_does_not_pass_the_limits_of_the_key_that_asked():
    """A key's dollars an hour hold for the machine that is bought, not only for the offer that was best at acceptance."""
    cheap, dear = builders.product(), builders.product("4090.dear", price_per_gpu=Usd(90_000))
    regions = (builders.CALIFORNIA,)

    def offer_both(provider: TimedProvider) -> None:
        provider.offered = builders.catalogue(cheap, dear, regions=regions)

    async with running(arrange=offer_both) as house:
        limits = KeyLimits(usd_per_hour=Usd(cheap.price_per_gpu + 1))
        keys = house.program.operations.keys
        made_key = await keys.make(context(), name="team", scope=Scope.WRITE, expires_at=None, limits=limits)

        house.provider.fail("create", FULL)
        made = await house.create(limits=limits, owner=made_key.key.id)
        failed = await house.until(made, State.FAILED)

        assert failed.last_error is not None
        assert failed.last_error.code is Code.BUDGET_EXCEEDED
        assert creates(house) == 1
