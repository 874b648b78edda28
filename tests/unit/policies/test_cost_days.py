"""Days: cut at midnight, added up, and held against Novita's bill."""

import itertools

import msgspec
import pytest

from novitai.domain.costs import DAY, Day, DayRow, Rate, Segment, amount
from novitai.domain.ids import InstanceId, MachineId
from novitai.domain.money import Usd
from novitai.policies.cost_days import ROUNDING, Used, owned_by, rows, settle, sums, used, worth_telling
from novitai.policies.cost_report import GroupBy, Grouping, Total, by_key_and_label, forecast
from support.builders import NOW

START = int(NOW // DAY) * DAY
A, B = MachineId("a" * 16), MachineId("b" * 16)


def segment(since: float, until: float, *, machine: MachineId = A, rate: int = 24 * 100_000, **fields) -> Used:
    usual = {"instance": InstanceId("inst_1"), "name": "demo", "owner": "k1", "kind": "gpu", "labels": {"team": "a"}}
    return used(
        msgspec.convert(
            usual | {"machine": machine, "rate": rate, "since": since, "until": until} | fields, type=Segment
        )
    )


def row(machine: MachineId = A, **fields) -> DayRow:
    usual = {"instance": InstanceId("inst_1"), "name": "demo", "owner": "k1", "machine": machine}
    return DayRow(**(usual | fields))


def test_parts_of_a_charge_add_up_to_the_whole():
    """To the unit, however it is cut."""
    rate = Rate(1_234_567)
    cuts = [0.0, 0.4, 17.0, 3_599.5, 86_400.0, 200_001.25]

    parts = [amount(rate, since=0.0, start=one, end=other) for one, other in itertools.pairwise(cuts)]

    assert sum(parts) == amount(rate, since=0.0, start=0.0, end=cuts[-1])


def test_a_charge_over_midnight_lies_in_both_days():
    """An hour before, two after, at a dollar an hour."""
    charge = segment(START - 3600, START + 7200)

    before = rows([charge], start=START - DAY, end=START)
    after = rows([charge], start=START, end=START + DAY)

    assert [(one[0].gpu, one[0].gpu_seconds) for one in (before, after)] == [(100_000, 3600.0), (200_000, 7200.0)]
    assert rows([charge], start=START + DAY, end=START + 2 * DAY) == ()


def test_a_machine_has_a_row_for_each_set_of_labels():
    """GPU and disk of one set together."""
    charges = [
        segment(START, START + 3600),
        segment(START, START + 86_400, kind="disk", rate=20_000),
        segment(START + 3600, START + 7200, labels={"team": "b"}),
    ]

    found = rows(charges, start=START, end=START + DAY)

    assert [(one.labels["team"], one.gpu, one.disk) for one in found] == [("a", 100_000, 20_000), ("b", 100_000, 0)]


def test_sums_are_by_owner_label_and_both():
    """And of everybody."""
    day = Day(start=START, rows=(row(gpu=Usd(5), labels={"team": "a"}), row(B, gpu=Usd(2), owner="k2")))

    by = {one[:3]: one[3] for one in sums(day).by}

    assert by == {
        ("", "", ""): 7,
        ("k1", "", ""): 5,
        ("k2", "", ""): 2,
        ("", "team", "a"): 5,
        ("k1", "team", "a"): 5,
    }
    assert set(owned_by("k1", {"team": "a"})) <= set(by)


def test_a_day_is_adjusted_to_its_bill():
    """Ours and the adjustment are the bill; what is within its rounding is none."""
    day = Day(start=START, rows=(row(gpu=Usd(100_000), disk=Usd(20_000)), row(B, gpu=Usd(50_000))))

    settled, found = settle(day, {A: Usd(130_000), B: Usd(50_000 + ROUNDING)}, {}, at=NOW, final=False)

    assert [one.adjustment for one in settled.rows] == [10_000, 0]
    assert (found.ours, found.billed, found.machines) == (170_000, 180_000 + ROUNDING, 2)
    assert [(one.machine, one.ours, one.billed) for one in found.differences] == [(A, 120_000, 130_000)]
    assert worth_telling(found)


def test_a_bill_that_is_read_again_replaces_what_it_said_before():
    """It was not whole yet."""
    first, _ = settle(Day(start=START, rows=(row(gpu=Usd(100_000)),)), {A: Usd(60_000)}, {}, at=NOW, final=False)

    again, found = settle(first, {A: Usd(100_000)}, {}, at=NOW + DAY, final=False)

    assert (again.rows[0].adjustment, found.ours, found.differences) == (0, 100_000, ())
    assert not worth_telling(found)


@pytest.mark.parametrize(("final", "adjustment", "compared"), [(False, 0, 0), (True, -100_000, 1)])
def test_a_machine_that_the_bill_lacks_is_believed_to_be_free_only_in_the_end(final, adjustment, compared):
    """Before that its bill may be late; it is shown all the same."""
    settled, found = settle(Day(start=START, rows=(row(gpu=Usd(100_000)),)), {}, {}, at=NOW, final=final)

    assert (settled.rows[0].adjustment, found.machines) == (adjustment, compared)
    assert [one.billed for one in found.differences] == [None]
    assert worth_telling(found) is final


def test_what_is_billed_for_others_is_shown_and_what_is_ours_is_taken():
    """A machine known from another day belongs to its instance; a foreign one to nobody."""
    known = row(B, gpu=Usd(7), labels={"team": "a"})

    settled, found = settle(Day(start=START), {A: Usd(9_000), B: Usd(4_000)}, {B: known}, at=NOW, final=False)

    assert [(one.machine, one.total, one.labels) for one in settled.rows] == [(B, 4_000, {"team": "a"})]
    assert (found.elsewhere, found.ours, found.billed) == (9_000, 0, 4_000)


def grouping(dated, by: GroupBy) -> Grouping:
    found = Grouping(by)
    found.add(dated)
    return found


def grouped(dated, by: GroupBy) -> list[Total]:
    return grouping(dated, by).totals()


def test_groups_are_the_dearest_first_and_a_cost_stands_under_each_of_its_labels():
    """What has no label stands under none; days are the newest first."""
    dated = [
        (START, 1.0, row(gpu=Usd(5), labels={"team": "a", "job": "x"}, on_demand=Usd(9))),
        (START + DAY, 0.5, row(B, gpu=Usd(20), owner="k2")),
    ]

    assert [(one.word, one.total) for one in grouped(dated, GroupBy.LABEL)] == [("", 10), ("job=x", 5), ("team=a", 5)]
    assert [(one.word, one.total) for one in grouped(dated, GroupBy.KEY)] == [("k2", 10), ("k1", 5)]
    assert [one.total for one in grouped(dated, GroupBy.DAY)] == [10, 5]
    assert [(one.word, one.total) for one in by_key_and_label(dated)] == [
        ("k1\n", 5),
        ("k1\njob=x", 5),
        ("k1\nteam=a", 5),
        ("k2\n", 10),
    ]
    everything = grouping(dated, GroupBy.DAY).whole()
    assert (everything.total, everything.instances, everything.saved_on_demand) == (15, 1, -6)


def test_what_is_to_come_ends_with_the_day_and_the_month():
    """NOW is 2027-01-15 08:00 UTC."""
    found = forecast(Usd(100_000), now=NOW)

    assert (found.rest_of_day, found.rest_of_month) == (16 * 100_000, (16 + 16 * 24) * 100_000)
