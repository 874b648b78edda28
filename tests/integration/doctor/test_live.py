"""`--live` finds out how Novita really is, spends no more than allowed, and leaves nothing behind, whatever happens."""

import asyncio
import json
from typing import Any

import pytest

from integration.doctor.conftest import Clinic, Open, check
from novitai.doctor.facts import ROWS
from novitai.doctor.findings import FILE
from novitai.doctor.report import FAILED, OK, Level, exit_code

MOST = 0.20
SURVIVED: list[tuple[str, dict[str, Any], str, Any]] = [
    ("as taken", {}, "page-base", "both"),
    ("page 0 is first", {"pageBase": "zero"}, "page-base", "zero"),
    ("page 0 is refused", {"pageBase": "one"}, "page-base", "one"),
    ("pages of 20", {"maxPageSize": 20, "oversizedPages": "refused"}, "page-size", {"accepted": 20, "machines": 4}),
    ("everything", {"paging": "everything"}, "page-size", {"accepted": 100, "machines": 4}),
    ("prefix", {"nameFilter": "prefix"}, "name-filter", "prefix"),
    ("exact", {"nameFilter": "exact"}, "name-filter", "exact"),
    ("ignored", {"nameFilter": "ignored"}, "name-filter", "ignored"),
    ("contains", {"nameFilter": "contains"}, "name-filter", "contains"),
    ("404", {"notFoundStatus": 404}, "not-found", "404 RESOURCE_NOT_FOUND"),
    ("empty record", {"notFoundStatus": 200}, "not-found", "200 {}"),
    ("400", {"notFoundStatus": 400}, "not-found", "400 RESOURCE_NOT_FOUND"),
    ("short names", {"longestName": 64}, "name-length", 63),
    ("no content", {"actionAnswers": "no-content"}, "action-answers", dict.fromkeys(("stop", "start", "delete"), "204, no body")),
    ("empty body", {"actionAnswers": "empty-body"}, "action-answers", dict.fromkeys(("stop", "start", "delete"), "200, no body")),
    ("still listed", {"removedListedSeconds": 600}, "deleted-machine", None),
    ("a reason", {"stateChangeReason": "REQUEST"}, "repeated-actions", dict.fromkeys(("start", "stop", "delete"), "refused (400 REQUEST)")),
]  # fmt: skip


@pytest.mark.parametrize(("switches", "fact", "value"), [row[1:] for row in SURVIVED], ids=[row[0] for row in SURVIVED])
async def test_each_fact_is_found_out_and_survived(
    opened: Open, switches: dict[str, Any], fact: str, value: Any
) -> None:
    """Every fact is answered, the turned one as it is; the machine is gone and cost less than allowed."""
    clinic = await opened(**switches)
    clinic.furnish(3)

    found = await clinic.examine(live=MOST)

    assert exit_code(found.checks) == OK, [one.line() for one in found.checks]
    assert set(found.known.facts) == {row.fact for row in ROWS}
    assert value is None or found.known.facts[fact].value == value
    assert clinic.machines() == ["other-0", "other-1", "other-2"]
    assert 0 < clinic.spent() <= MOST


@pytest.mark.parametrize(
    ("switches", "fact", "names"),
    [
        ({"listLagSeconds": 90}, "list-lag", "NOVITA_SETTLE_TIME="),
        ({"longestName": 64, "longNames": "cut"}, "name-length", "at most 29 characters"),
        ({"priceUnitsPerUsd": 50_000}, "price-unit", "divide MAX_USD_PER_HOUR, DEFAULT_MAX_PRICE_PER_HOUR"),
        ({"paging": "first-page", "defaultPageSize": 2}, "page-size", "an account of its own"),
    ],
)
async def test_what_cannot_be_survived_is_named_with_what_to_do(
    opened: Open, switches: dict[str, Any], fact: str, names: str
) -> None:
    """It fails, says which setting or habit follows, and says so again without --live."""
    clinic = await opened(**switches)
    clinic.furnish(3)

    live = await clinic.examine(live=MOST)
    later = await clinic.examine()

    for found in (live, later):
        assert check(found, fact).level is Level.FAIL
        assert names in check(found, fact).advice
        assert exit_code(found.checks) == FAILED
    assert len(clinic.machines()) == 3


@pytest.mark.parametrize("units", [10_000, 1_000_000])
async def test_prices_that_make_no_sense_buy_nothing(opened: Open, units: int) -> None:
    """No worst case can be computed in a unit that is not known."""
    clinic = await opened(priceUnitsPerUsd=units)

    found = await clinic.examine(live=1000.0)

    assert check(found, "price-unit").level is Level.FAIL
    assert (clinic.spent(), clinic.machines()) == (0, [])


async def test_a_bill_that_is_late_is_read_by_a_later_examination(opened: Open) -> None:
    """Bills are settled by the hour; until then the unit of prices is not verified."""
    clinic = await opened(billLagSeconds=3600)

    early = await clinic.examine(live=MOST)
    between = await clinic.examine()
    clinic.clock.skipped += 4000
    late = await clinic.examine()

    assert "price-unit" not in early.known.facts
    assert "price-unit" not in between.known.facts
    assert late.known.facts["price-unit"].level == "ok"
    assert json.loads((clinic.data / FILE).read_text())["pending"] is None


async def test_nothing_is_rented_beyond_what_may_be_spent(opened: Open) -> None:
    """The worst case is computed before; when it is too much, nothing is asked of Novita that costs anything."""
    clinic = await opened()

    found = await clinic.examine(live=0.01)

    assert "--max-spend" in check(found, "live").advice
    assert (exit_code(found.checks), clinic.spent()) == (FAILED, 0)
    assert all(call.method == "GET" for call in clinic.simulator.calls.since(0))


async def test_nothing_is_rented_without_agreement(opened: Open) -> None:
    """The question says what it will cost at most; no is an answer."""
    clinic = await opened()
    clinic.agrees = False

    found = await clinic.examine(live=MOST)

    assert "at most $0.07" in clinic.said[0]
    assert (exit_code(found.checks), clinic.spent(), clinic.machines()) == (FAILED, 0, [])


async def test_a_sold_out_offer_is_passed_over(opened: Open) -> None:
    """The next cheapest one that may be spent is taken."""
    clinic = await opened()
    clinic.simulator.faults.clear()
    clinic.perform("faults", match="POST .*instance/create", mode="status", status=400, reason="INSUFFICIENT_RESOURCE")

    found = await clinic.examine(live=MOST)

    assert check(found, "live").level is Level.OK


FAILING = [
    ("POST .*instance/create", {"mode": "status", "status": 403, "reason": "NOT_ENOUGH_BALANCE", "count": 1}),
    ("POST .*instance/create", {"mode": "reset", "afterEffect": True, "count": 1}),
    ("POST .*instance/create", {"mode": "status", "status": 500, "afterEffect": True, "count": 1}),
    ("GET .*gpu/instances", {"mode": "status", "status": 400, "reason": "REQUEST", "count": 5}),
    ("GET .*gpu/instance$", {"mode": "html", "count": 9}),
    ("POST .*instance/stop", {"mode": "status", "status": 500, "count": 1}),
    ("POST .*instance/start", {"mode": "malformed", "status": 500, "count": -1}),
    ("POST .*instance/delete", {"mode": "status", "status": 500, "count": 2}),
]


@pytest.mark.parametrize(("match", "fault"), FAILING, ids=[f"{match[-8:]} {fault['mode']}" for match, fault in FAILING])
async def test_a_step_that_fails_leaves_no_machine(opened: Open, match: str, fault: dict[str, Any]) -> None:
    """It is said which step failed; what was made is removed, found by its name when its id is not known."""
    clinic = await opened()

    def once_agreed(text: str) -> None:
        if text.strip().startswith("create"):
            clinic.perform("faults", match=match, **fault)

    clinic.on_step = once_agreed
    found = await clinic.examine(live=MOST)

    assert clinic.machines() == []
    assert check(found, "live").level is Level.FAIL or "once more" in match
    assert clinic.spent() <= MOST


STEPS = ["create", "wait until it is listed", "wait until it is running", "stop, once more", "start", "delete"]


@pytest.mark.parametrize("step", STEPS)
async def test_ctrl_c_leaves_no_machine(opened: Open, step: str) -> None:
    """At whatever step it is pressed; also while the create is under way and its answer never comes."""
    clinic = await opened()
    if step == "create":
        clinic.perform("faults", match="POST .*instance/create", mode="hang", afterEffect=True)
    made = asyncio.create_task(clinic.examine(live=MOST))

    def interrupt(text: str) -> None:
        if text.strip().startswith(step):
            asyncio.get_running_loop().call_later(0.05 if step == "create" else 0.0, made.cancel)

    clinic.on_step = interrupt
    with pytest.raises(asyncio.CancelledError):
        await made

    assert any(call.path.endswith("/create") for call in clinic.simulator.calls.since(0))
    assert clinic.machines() == []


async def test_what_was_found_before_ctrl_c_is_kept(opened: Open) -> None:
    """The list's habits were known by then."""
    clinic = await opened()
    made = asyncio.create_task(clinic.examine(live=MOST))
    clinic.on_step = lambda text: made.cancel() if text.strip() == "stop" else None
    with pytest.raises(asyncio.CancelledError):
        await made

    later = await clinic.examine()

    assert {"page-base", "list-lag", "name-filter", "not-found"} <= set(later.known.facts)


async def test_a_machine_that_is_not_shown_yet_is_removed_all_the_same(opened: Open) -> None:
    """ "Not found" right after a create does not mean gone."""
    clinic = await opened(listLagSeconds=30, lagHidesGet=True)
    made = asyncio.create_task(clinic.examine(live=MOST))
    clinic.on_step = lambda text: made.cancel() if text.strip() == "wait until it is listed" else None
    with pytest.raises(asyncio.CancelledError):
        await made

    assert clinic.machines() == []


async def test_a_machine_that_cannot_be_removed_is_told_with_its_price(opened: Open) -> None:
    """Loudly, and where to go."""
    clinic = await opened()
    clinic.perform("faults", match="POST .*instance/delete", mode="status", status=500, count=-1)

    found = await clinic.examine(live=MOST)

    assert check(found, "live").level is Level.FAIL
    told = next(one for one in found.checks if "may still be there, at $0.21 an hour" in one.found)
    assert "console" in told.advice
    assert found.live is not None
    assert len(found.live.left_behind) == len(clinic.machines()) == 1


async def test_what_an_earlier_run_left_is_deleted_when_agreed(opened: Open) -> None:
    """Only what bears doctor's own mark, and only when no run can be using it any more."""
    clinic = await opened()
    ours = f"nvdoctor-{'0' * 26}-xxxx-nvzzzz{'0' * 26}01"
    clinic.perform("machines", name=ours, productId="26", status="running")
    clinic.perform("machines", name="nvdoctor-of-the-house", productId="26", status="running")
    clinic.clock.skipped += 7200
    clinic.perform("machines", name=ours.replace("0", "1"), productId="26", status="running")

    plain = await clinic.examine()
    live = await clinic.examine(live=MOST)

    assert len([one for one in plain.checks if one.name == "leftover"]) == 2
    assert "deletes it" in check(plain, "leftover").advice
    assert clinic.machines() == ["nvdoctor-of-the-house", ours.replace("0", "1")]
    assert any("may belong to a run that is under way" in one.found for one in live.checks)


async def test_what_an_earlier_run_left_stays_when_not_agreed(opened: Open) -> None:
    """It is said that it costs money."""
    clinic: Clinic = await opened()
    clinic.agrees = False
    clinic.perform("machines", name=f"nvdoctor-{'0' * 26}-x", productId="26", status="running")
    clinic.clock.skipped += 7200

    found = await clinic.examine(live=MOST)

    assert any("costing money" in one.advice for one in found.checks)
    assert len(clinic.machines()) == 1
