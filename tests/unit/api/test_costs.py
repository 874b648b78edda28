"""`GET /api/cost`, the cost of one instance, and the month as CSV: money as callers see it."""

import csv
import io
from typing import Any

import pytest

from novitai.domain.costs import DAY, Day, DayRow, Difference, Reconciled, day_of
from novitai.domain.ids import InstanceId, MachineId
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.domain.money import Usd, usd
from novitai.operations import records
from novitai.policies.cost_days import sums
from novitai.ports.store import Commit
from support import builders
from support.api_house import House

PRICE = 0.35
HOUR = 3600.0


async def runs(house: House, name: str = "demo", *, disk: int = 60, number: int = 1, **labels: str) -> InstanceId:
    """An instance whose machine runs since now."""
    now = house.clock.now()
    instance = builders.instance(
        State.READY,
        id=InstanceId(f"inst_{number:026d}"),
        name=name,
        owner=f"key_{number}",
        machine=builders.seen_machine(
            MachineStatus.RUNNING, id=MachineId(f"{number:016x}"), started_at=now, since=now, rootfs_gb=disk
        ),
        spec=builders.spec(labels=labels),
    )
    await house.have(instance)
    return instance.id


async def booked(house: House, *rows: DayRow, days_ago: int = 2, reconciled: Reconciled | None = None) -> int:
    """Let a day have come to this."""
    start = day_of(house.clock.now()) - days_ago * DAY
    day, kept = Day(start=start, rows=rows), house.clock.now() + 400 * DAY
    puts = (
        records.put_cost_day(day, expires_at=kept),
        records.put_cost_sums(sums(day, reconciled=reconciled), expect=None, expires_at=kept),
    )
    await house.parts.store.commit(Commit(puts=puts))
    return start


def row(**fields: Any) -> DayRow:
    usual = {"instance": InstanceId("inst_9"), "name": "old", "owner": "k9", "machine": MachineId("9" * 16)}
    return DayRow(**(usual | fields))


async def asked(client: Any, path: str = "/api/cost") -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_costs_are_those_of_the_month_by_instance_with_what_is_to_come(house: House, admin):
    """GPUs, disks, forecast and savings; of the four lists only the one that was asked for."""
    await runs(house, disk=160, team="a")
    await house.clock.advance(HOUR)

    page = await asked(admin)

    disk = 100 * 0.005 / 24
    assert page["from"] == "2027-01-01T00:00:00.000Z"
    assert (page["gpu"], page["disk"]) == (PRICE, pytest.approx(disk, abs=1e-5))
    assert page["total"] == pytest.approx(PRICE + disk, abs=2e-5)
    [one] = page["instances"]
    assert (one["name"], one["labels"], one["key"], one["gpuHours"]) == ("demo", {"team": "a"}, "key_1", 1.0)
    assert page["forecast"]["perHour"] == pytest.approx(PRICE + disk, abs=1e-4)
    assert page["forecast"]["restOfDay"] == pytest.approx(15 * (PRICE + disk), abs=1e-3)
    assert {"labels", "keys", "days"} & set(page) == set()
    assert page["reconciliation"] == {"days": [], "waiting": 0}


@pytest.mark.parametrize(
    ("by", "field", "words"),
    [
        ("label", "labels", ["team=b", "team=a", None]),
        ("key", "keys", ["key_2", "key_1", "key_3"]),
        ("day", "days", ["2027-01-15"]),
    ],
)
async def test_costs_are_added_up_by_what_was_asked(house: House, admin, by, field, words):
    """The dearest first; what has no label stands under none."""
    await runs(house, number=1, team="a")
    await runs(house, number=2, team="b", disk=200)
    await house.clock.advance(600.0)
    await runs(house, number=3)
    await house.clock.advance(HOUR)

    page = await asked(admin, f"/api/cost?groupBy={by}")

    name = {"label": "label", "key": "key", "day": "date"}[by]
    assert [one[name] for one in page[field]] == words
    assert sum(one["total"] for one in page[field]) == pytest.approx(page["total"], abs=1e-4)
    assert page["count"] == len(words)


async def test_costs_can_be_narrowed_down_and_come_in_pages(house: House, admin):
    """By label, by key, by time; sums are over everything that matches."""
    for number in (1, 2, 3):
        await runs(house, f"n{number}", number=number, team="ab"[number % 2], disk=60 + number)
    await house.clock.advance(HOUR)

    first = await asked(admin, "/api/cost?label=team%3Db&limit=1")
    second = await asked(admin, f"/api/cost?label=team%3Db&limit=1&cursor={first['nextCursor']}")
    alone = await asked(admin, "/api/cost?key=key_2")
    before = await asked(admin, "/api/cost?to=2027-01-15T08:00:00Z")

    assert [one["instances"][0]["name"] for one in (first, second)] == ["n3", "n1"]
    assert (first["total"], second["nextCursor"], first["count"]) == (second["total"], None, 2)
    assert [one["name"] for one in alone["instances"]] == ["n2"]
    assert alone["forecast"]["perHour"] == pytest.approx(PRICE, abs=1e-3)
    assert before["total"] == 0


async def test_a_day_that_is_over_is_shown_with_its_bill(house: House, admin):
    """Our figure, the adjustment, and which machines differed."""
    difference = Difference(instance=InstanceId("inst_9"), machine=MachineId("9" * 16), ours=usd(2.0), billed=usd(2.5))
    reconciled = Reconciled(at=house.clock.now(), ours=usd(2.0), billed=usd(2.5), machines=1, differences=(difference,))
    cost = row(gpu=usd(2.0), adjustment=usd(0.5), on_demand=usd(4.0), dearest=usd(5.0), gpu_seconds=7200.0)
    await booked(house, cost, reconciled=reconciled)
    await booked(house, row(gpu=usd(1.0)), days_ago=1)

    page = await asked(admin, "/api/cost?groupBy=day")

    assert [(day["date"], day["total"], day["adjustment"]) for day in page["days"]] == [
        ("2027-01-14", 1.0, 0.0),
        ("2027-01-13", 2.5, 0.5),
    ]
    assert page["savings"] == {"againstOnDemand": 1.0, "againstDearest": 2.0}
    [day] = page["reconciliation"]["days"]
    assert (day["date"], day["ours"], day["billed"], day["differencePercent"]) == ("2027-01-13", 2.0, 2.5, 20.0)
    assert day["differences"][0]["billed"] == 2.5
    assert page["reconciliation"]["waiting"] == 1


async def test_a_day_that_is_over_and_cut_counts_in_proportion(house: House, admin):
    """Its rows are known as wholes."""
    await booked(house, row(gpu=usd(2.4)))

    page = await asked(admin, "/api/cost?from=2027-01-13T06:00:00Z&to=2027-01-13T12:00:00Z")

    assert page["total"] == 0.6


async def test_an_instances_cost_has_all_its_rates_and_the_adjustments_of_its_days(house: House, admin):
    """What runs first, then what ended, page by page; `costSoFar` says the same."""
    instance_id = await runs(house, disk=160)
    await booked(house, row(instance=instance_id, adjustment=usd(0.25)))
    await house.clock.advance(HOUR)
    held = house.parts.reads.get(instance_id)
    assert held is not None
    stopped = builders.with_machine(held.instance, status=MachineStatus.STOPPED, stopped_at=house.clock.now())
    await house.change(stopped)
    await house.clock.advance(HOUR)

    cost = await asked(admin, f"/api/instances/{instance_id}/cost")
    so_far = (await asked(admin, f"/api/instances/{instance_id}"))["costSoFar"]

    disk = 100 * 0.005 / 24
    assert [(one["kind"], one["until"] is None) for one in cost["segments"]] == [("disk", True), ("gpu", False)]
    assert (cost["gpu"], cost["adjustment"]) == (PRICE, 0.25)
    assert cost["total"] == so_far == pytest.approx(PRICE + 0.25 + 2 * disk, abs=3e-5)
    assert cost["forecast"]["perHour"] == pytest.approx(disk, abs=1e-5)


async def test_a_month_is_a_spreadsheet_by_key_and_label(house: House, admin):
    """A line for all of a key, and one for each of its labels."""
    await booked(house, row(gpu=usd(2.0), gpu_seconds=3600.0, labels={"team": "a", "job": "x"}), row(disk=usd(0.5)))

    answer = await admin.get("/api/cost/monthly.csv?month=2027-01")

    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-type"].startswith("text/csv")
    assert "novitai-cost-2027-01.csv" in answer.headers["content-disposition"]
    assert [(one["key"], one["label"], one["totalUsd"]) for one in lines] == [
        ("k9", "", "2.50000"),
        ("k9", "job=x", "2.00000"),
        ("k9", "team=a", "2.00000"),
    ]
    assert (await admin.get("/api/cost/monthly.csv?month=2031-05")).text.count("\n") == 1


@pytest.mark.parametrize("label", ["=cmd|' /C calc'!A1", "+1", "-1", "@SUM(A1)", "\tx"])
async def test_no_label_becomes_a_formula(house: House, admin, label):
    """Spreadsheets run what begins like one."""
    await booked(house, row(gpu=Usd(10), on_demand=Usd(10), labels={label: "x"}, owner=label))

    answer = await admin.get("/api/cost/monthly.csv?month=2027-01")

    cells = [cell for line in csv.reader(io.StringIO(answer.text)) for cell in line]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))]
    assert f"'{label}=x" in cells


@pytest.mark.parametrize(
    "query",
    [
        "groupBy=colour",
        "label=team",
        "from=yesterday",
        "from=2027-01-15",
        "from=2028-01-01T00:00:00Z",
        "from=2020-01-01T00:00:00Z&to=2027-01-01T00:00:00Z",
        "from=2027-01-10T00:00:00Z&to=2027-01-09T00:00:00Z",
        "cursor=x",
    ],
)
async def test_what_cannot_be_meant_is_refused(house: House, admin, query):
    """With what is allowed."""
    answer = await admin.get(f"/api/cost?{query}")

    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("month", ["2027-13", "2027-00", "0000-01", "27-01", "2027-1"])
async def test_what_is_no_month_is_refused(house: House, admin, month):
    """It looks like 2027-01."""
    assert (await admin.get(f"/api/cost/monthly.csv?month={month}")).status_code == 422


async def test_the_cost_of_nobody_is_not_found(house: House, admin):
    """Whatever the form of the id."""
    assert (await admin.get("/api/instances/inst_unknown/cost")).status_code == 404
