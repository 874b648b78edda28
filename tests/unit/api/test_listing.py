"""Lists: what is in them, in which order, and that pages neither skip nor repeat."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novitai.api.listing import SORTS, Filter, arrange
from novitai.api.paging import pack
from novitai.domain.errors import Refusal
from novitai.domain.ids import InstanceId
from novitai.domain.lifecycle import State
from novitai.domain.machine import BillingMode
from novitai.domain.money import Usd
from novitai.operations.ledger import Snapshot
from support import builders


def snapshot(number: int, state: State = State.READY, **fields) -> Snapshot:
    usual = {"id": InstanceId(f"inst_{number:026d}"), "name": f"worker-{number}", "created_at": builders.NOW + number}
    return Snapshot(instance=builders.instance(state, **usual | fields), version=1)


def names(snapshots) -> list[str]:
    return [one.instance.name for one in snapshots]


def all_pages(arranged, limit: int) -> list[str]:
    found, cursor = [], None
    while True:
        page, cursor = arranged.page(cursor=cursor, limit=limit)
        found += names(page)
        if cursor is None:
            return found


def test_without_conditions_the_newest_comes_first():
    """What people look for is usually what they made last."""
    arranged = arrange([snapshot(1), snapshot(3), snapshot(2)], Filter())

    assert names(arranged.page(cursor=None, limit=10)[0]) == ["worker-3", "worker-2", "worker-1"]


CONDITIONS = {
    "status": (Filter(statuses=frozenset({"stopped", "failed"})), ["b"]),
    "part of the name": (Filter(name="a"), ["a"]),
    "label": (Filter(labels=(("team", "x"),)), ["a"]),
    "labels that do not all match": (Filter(labels=(("team", "x"), ("env", "prod"))), []),
    "region by code": (Filter(region="cn-hk-01"), ["b"]),
    "region by id": (Filter(region="us-ca-6"), ["a"]),
    "billing mode": (Filter(billing_mode="onDemand"), ["b"]),
    "several at once": (Filter(name="a", region="us-ca-6", billing_mode="spot"), ["a"]),
}


@pytest.mark.parametrize(("wanted", "expected"), CONDITIONS.values(), ids=CONDITIONS)
def test_every_condition_must_hold(wanted, expected):
    """Conditions narrow a list; none widens it."""
    first = snapshot(1, name="a", spec=builders.spec(labels={"team": "x"}))
    offer = builders.offer(builders.HONG_KONG, billing_mode=BillingMode.ON_DEMAND)
    second = snapshot(2, State.STOPPED, name="b", offer=offer)

    assert names(arrange([first, second], wanted).page(cursor=None, limit=10)[0]) == expected


PRICES = st.lists(st.integers(0, 5), max_size=30)


@given(PRICES, st.sampled_from(sorted(SORTS)), st.booleans(), st.integers(1, 7))
def test_pages_together_are_the_whole_list_once(prices, sort, descending, limit):
    """However many are equal in what they are sorted by."""
    snapshots = [
        snapshot(number, offer=builders.offer(price_per_hour=Usd(price))) for number, price in enumerate(prices)
    ]
    arranged = arrange(snapshots, Filter(sort=f"-{sort}" if descending else sort))

    whole, end = arranged.page(cursor=None, limit=len(prices) + 1)

    assert end is None
    assert all_pages(arranged, limit) == names(whole)
    assert sorted(names(whole)) == sorted(names(snapshots))


@given(st.sets(st.integers(0, 40), min_size=8), st.sets(st.integers(0, 40)), st.sets(st.integers(41, 60)))
def test_instances_that_come_and_go_between_pages_shift_nothing(there, gone, new):
    """Who was there all the time is seen exactly once."""
    before = arrange([snapshot(number) for number in there], Filter())
    after = arrange([snapshot(number) for number in (there - gone) | new], Filter())

    first, cursor = before.page(cursor=None, limit=4)
    rest, _ = after.page(cursor=cursor, limit=100)

    stayed = [f"worker-{number}" for number in sorted(there - gone, reverse=True)]
    seen = names(first) + names(rest)
    assert [name for name in seen if name in stayed] == stayed


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "AAAA",
        "é",
        pack("name", "a", "b"),
        pack("-createdAt", "text", "id"),
        pack("-createdAt", 1.0),
        "=" * 900,
    ],
)
def test_a_cursor_of_another_list_is_refused(cursor):
    """Cursors are opaque; a guessed one must not lead anywhere."""
    with pytest.raises(Refusal, match="cursor"):
        arrange([snapshot(1)], Filter()).page(cursor=cursor, limit=1)
