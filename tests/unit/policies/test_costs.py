"""When a machine costs money, from what is seen of it."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novitai.domain.costs import Charge, ChargeKind, Meter
from novitai.domain.ids import MachineId
from novitai.domain.instance import Former, Instance
from novitai.domain.lifecycle import State
from novitai.domain.machine import BillingMode, MachineStatus
from novitai.domain.money import Usd
from novitai.policies.costs import NoTariff, keep, sighted, unseen
from support import builders
from support.builders import MACHINE_ID, NOW

S = MachineStatus
PRICE = builders.offer().price_per_hour
OTHER = MachineId("00000000000000ff")


class Prices:
    """On demand everything costs twice as much as what was bought, and what was bought has become dearer."""

    def price(self, _product_id: str, mode: BillingMode, gpus: int, /) -> Usd | None:
        return Usd(round(PRICE * (2 if mode is BillingMode.ON_DEMAND else 1.5)) * gpus)


def with_machine(status: MachineStatus, *, of: Instance | None = None, **fields: Any) -> Instance:
    of = of or builders.instance(State.READY)
    return msgspec.structs.replace(of, machine=builders.seen_machine(status, **fields))


def kept(instance: Instance, *, now: float, tariff: Any = None, floor: float = 0.0) -> Instance:
    return keep(instance, tariff=tariff or NoTariff(), floor=floor, now=now)


def running(instance: Instance) -> dict[str, float]:
    return {str(one.kind): one.since for one in instance.meter.running}


def ended(instance: Instance) -> list[tuple[str, float, float]]:
    return [(str(one.kind), one.since, one.until) for one in instance.meter.closed]


def test_a_machine_costs_from_the_start_that_novita_tells():
    """Not from when it was first seen, which may be later; its disk beyond 60 GB from the same moment."""
    seen = with_machine(S.RUNNING, started_at=NOW - 100, rootfs_gb=100)

    found = kept(seen, now=NOW)

    assert running(found) == {"gpu": NOW - 100, "disk": NOW - 100}
    assert {one.rate for one in found.meter.running} == {PRICE * 24, 40 * 500}
    assert found.meter.until(NOW).gpu == round(PRICE * 100 / 3600)


@pytest.mark.parametrize("status", [S.PENDING, S.STARTING])
def test_a_machine_that_has_not_been_pulled_costs_nothing(status):
    """Billing begins with the pulling of the image."""
    assert kept(with_machine(status, rootfs_gb=500), now=NOW).meter == Meter()


def test_pulling_costs_and_what_follows_goes_on_with_it():
    """One charge through pulling, running, a restart and stopping."""
    found = kept(with_machine(S.PULLING, since=NOW - 50), now=NOW - 50)
    for status in (S.RUNNING, S.RESTARTING, S.RUNNING, S.STOPPING):
        found = kept(with_machine(status, of=found, started_at=NOW - 20), now=NOW)

    assert running(found) == {"gpu": NOW - 50}
    assert ended(found) == []


def test_a_stop_ends_the_gpu_when_novita_says_and_the_disk_goes_on():
    """The time between the stop and our seeing it costs nothing."""
    before = kept(with_machine(S.RUNNING, started_at=NOW - 3600, rootfs_gb=100), now=NOW - 3600)

    found = kept(with_machine(S.STOPPED, of=before, stopped_at=NOW - 30, started_at=NOW - 3600, rootfs_gb=100), now=NOW)

    assert ended(found) == [("gpu", NOW - 3600, NOW - 30)]
    assert running(found) == {"disk": NOW - 3600}


def test_a_stop_of_which_novita_tells_no_time_ends_when_it_was_first_seen():
    """A time of an earlier stop is none of this one."""
    before = kept(with_machine(S.RUNNING, started_at=NOW - 3600), now=NOW - 3600)

    found = kept(with_machine(S.STOPPED, of=before, stopped_at=NOW - 9_000, since=NOW - 20), now=NOW)

    assert ended(found) == [("gpu", NOW - 3600, NOW - 20)]


def test_a_stop_and_a_start_between_two_looks_are_two_runs():
    """The second one at the price of its own start."""
    before = kept(with_machine(S.RUNNING, started_at=NOW - 3600), now=NOW - 3600, tariff=Prices())

    seen = with_machine(S.RUNNING, of=before, started_at=NOW - 60, stopped_at=NOW - 600)
    found = kept(seen, now=NOW, tariff=Prices())

    assert ended(found) == [("gpu", NOW - 3600, NOW - 600)]
    [charge] = found.meter.running
    assert (charge.since, charge.rate, charge.on_demand) == (NOW - 60, round(PRICE * 1.5) * 24, PRICE * 2 * 24)


def test_a_whole_run_between_two_looks_is_counted_once():
    """Stopped before, stopped now, and told to have run in between; seen again it is nothing new."""
    before = kept(with_machine(S.RUNNING, started_at=NOW - 9_000), now=NOW - 9_000)
    before = kept(with_machine(S.STOPPED, of=before, started_at=NOW - 9_000, stopped_at=NOW - 8_000), now=NOW - 7_990)

    seen = with_machine(S.STOPPED, of=before, started_at=NOW - 600, stopped_at=NOW - 60)
    found = kept(seen, now=NOW)

    assert ended(found)[1:] == [("gpu", NOW - 600, NOW - 60)]
    assert kept(found, now=NOW + 30) is found


def test_a_move_of_novitas_costs_the_disk_alone():
    """The GPU again from its end, at the price of then."""
    before = kept(with_machine(S.RUNNING, started_at=NOW - 3600, rootfs_gb=100), now=NOW - 3600, tariff=Prices())
    moving = kept(with_machine(S.MIGRATING, of=before, since=NOW - 600, rootfs_gb=100), now=NOW - 600, tariff=Prices())
    assert running(moving) == {"disk": NOW - 3600}

    found = kept(with_machine(S.RUNNING, of=moving, started_at=NOW - 300, rootfs_gb=100), now=NOW, tariff=Prices())

    assert running(found) == {"disk": NOW - 3600, "gpu": NOW - 300}


def test_a_delete_ends_everything_when_novita_accepted_it():
    """Whatever is shown of the machine for a while, and when it is confirmed to be gone."""
    before = kept(with_machine(S.RUNNING, started_at=NOW - 3600, rootfs_gb=100), now=NOW - 3600)
    asked = msgspec.structs.replace(before, delete_sent=((MACHINE_ID, NOW - 100),))

    found = kept(asked, now=NOW - 99)
    gone = kept(with_machine(S.REMOVED, of=found), now=NOW)

    assert ended(found) == [("gpu", NOW - 3600, NOW - 100), ("disk", NOW - 3600, NOW - 100)]
    assert gone.meter == found.meter


def test_a_delete_without_effect_costs_on_without_a_gap():
    """Long after, Novita still shows the machine running."""
    before = kept(with_machine(S.RUNNING, started_at=NOW - 3600), now=NOW - 3600)
    asked = kept(msgspec.structs.replace(before, delete_sent=((MACHINE_ID, NOW - 900),)), now=NOW - 899)

    found = kept(with_machine(S.RUNNING, of=asked, started_at=NOW - 3600), now=NOW)

    assert running(found) == {"gpu": NOW - 900}


def test_a_machine_that_is_lost_and_found_again_was_there_all_the_time():
    """What was taken for its end was none."""
    before = kept(with_machine(S.RUNNING, started_at=NOW - 3600), now=NOW - 3600)
    lost = msgspec.structs.replace(
        with_machine(S.RUNNING, of=before, started_at=NOW - 3600, missing=(NOW - 500, NOW - 400)), state=State.LOST
    )
    lost = kept(lost, now=NOW - 400)
    assert ended(lost) == [("gpu", NOW - 3600, NOW - 500)]

    back = msgspec.structs.replace(with_machine(S.RUNNING, of=lost, started_at=NOW - 3600), state=State.READY)

    assert running(kept(back, now=NOW)) == {"gpu": NOW - 500}


def test_labels_that_change_part_a_charge():
    """What was before stays under the old ones."""
    labelled = msgspec.structs.replace(builders.instance(State.READY), spec=builders.spec(labels={"team": "a"}))
    before = kept(with_machine(S.RUNNING, of=labelled, started_at=NOW - 3600), now=NOW - 3600)

    other = msgspec.structs.replace(before, spec=builders.spec(labels={"team": "b"}))
    found = kept(other, now=NOW)

    assert [(one.labels, one.until) for one in found.meter.closed] == [({"team": "a"}, NOW)]
    assert (found.meter.labels, running(found)) == ({"team": "b"}, {"gpu": NOW})


def test_days_that_are_accounted_for_get_nothing_more():
    """A start before them counts from their end, and a stop in them at their end."""
    found = kept(with_machine(S.RUNNING, started_at=NOW - 3600), now=NOW, floor=NOW - 100)
    assert running(found) == {"gpu": NOW - 100}

    stopped = with_machine(S.STOPPED, of=found, stopped_at=NOW - 50, started_at=NOW - 3600)
    assert ended(kept(stopped, now=NOW, floor=NOW - 20)) == [("gpu", NOW - 100, NOW - 20)]


def test_a_machine_paid_by_the_month_has_no_rate():
    """It was paid ahead."""
    assert kept(with_machine(S.RUNNING, billing_mode=BillingMode.MONTHLY), now=NOW).meter.running == ()


def test_the_machine_that_is_being_replaced_costs_beside_the_new_one():
    """Each at the price that it was bought for; what is not the instance's any more costs nothing."""
    before = kept(with_machine(S.RUNNING, started_at=NOW - 3600), now=NOW - 3600)
    former = Former(machine=before.machine, offer=before.offer)
    dearer = builders.offer(price_per_hour=Usd(90_000))
    replaced = msgspec.structs.replace(before, former=former, offer=dearer)
    replaced = with_machine(S.RUNNING, of=replaced, id=OTHER, started_at=NOW - 60)

    both = kept(replaced, now=NOW)
    alone = kept(msgspec.structs.replace(both, former=None), now=NOW + 60)

    rates = {one.machine: one.rate for one in both.meter.running}
    assert rates == {MACHINE_ID: PRICE * 24, OTHER: 90_000 * 24}
    assert [(one.machine, one.until) for one in alone.meter.closed] == [(MACHINE_ID, NOW + 60)]


def test_a_stray_costs_from_its_start_until_it_is_not_seen_any_more():
    """It is read from the list alone."""
    owner = msgspec.structs.replace(builders.instance(State.READY), strays=(OTHER,))
    stray = builders.machine(S.RUNNING, id=OTHER, started_at=NOW - 500, rootfs_gb=60)

    found = sighted(owner, stray, tariff=NoTariff(), floor=0.0, at=NOW)
    gone = unseen(found, OTHER, floor=0.0, at=NOW + 60)

    assert running(found) == {"gpu": NOW - 500}
    assert ended(gone) == [("gpu", NOW - 500, NOW + 60)]
    assert kept(msgspec.structs.replace(gone, machine=None), now=NOW + 90).meter == gone.meter


_MOMENTS = st.lists(
    st.tuples(
        st.sampled_from([S.PENDING, S.PULLING, S.RUNNING, S.STOPPING, S.STOPPED, S.MIGRATING, S.REMOVING, S.FROZEN]),
        st.integers(1, 500),  # since the look before
        st.integers(0, 600),  # how long ago it was started, as told; 0: not told
        st.integers(0, 600),  # and stopped
    ),
    max_size=12,
)


@given(_MOMENTS)
def test_no_second_is_counted_twice_whatever_is_seen(moments):
    """Charges of one kind never overlap, end before they begin, or reach into the future; the sums are those of the parts."""
    instance, now = builders.instance(State.READY), NOW
    segments: list[Any] = []
    for status, later, started, stopped in moments:
        now += later
        told = {"started_at": started and now - started, "stopped_at": stopped and now - stopped}
        instance = kept(with_machine(status, of=instance, since=now, rootfs_gb=100, **told), now=now)
        segments += instance.meter.closed
        instance = msgspec.structs.replace(instance, meter=msgspec.structs.replace(instance.meter, closed=()))
        assert kept(instance, now=now) is instance

    for kind in ChargeKind:
        spans = sorted((one.since, one.until) for one in segments if one.kind is kind)
        spans += [(one.since, now) for one in instance.meter.running if one.kind is kind]
        assert all(start <= end <= now for start, end in spans)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    whole = Meter()
    for one in segments:
        charge = Charge(machine=one.machine, kind=one.kind, rate=one.rate, since=one.since)
        whole = msgspec.structs.replace(whole, settled=whole.settled.and_then(charge, one.until))
    assert whole.settled.total == instance.meter.settled.total
