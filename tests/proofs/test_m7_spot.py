"""M7: what Novita takes back is brought back, at once, once, and only what is to run.

Weeks on a spot market: the whole program before the simulated Novita, machines taken with and without notice or gone at once, people who stop
and start, the idle stop, bad days of Novita, a process that is killed. Judged from the simulator's machines and its log of calls, and from the
receiver's events (tests/support/spot_verdict.py).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

import pytest

from proofs.planted import m7_blind_to_notices, m7_forgets_who_stopped_it, m7_second_replacement
from support.simulation_loop import run_virtually
from support.spot_market import HOUR, POLL, TROUBLES, SpotMarket
from support.spot_verdict import Findings, judge

TENANTS = 10
IN_TIME = 10.0


def lived(seed: int, *, days: float, rest: float, haste: float, troubles: Sequence[str]) -> tuple[SpotMarket, Findings]:
    """So many days of ten instances, judged."""

    async def live() -> tuple[SpotMarket, Findings]:
        market = SpotMarket(seed=seed, tenants=TENANTS, haste=haste, troubles=troubles)
        await market.run(days * 24 * HOUR, rest=rest)
        return market, judge(market)

    return run_virtually(live())


def glimpsed(seed: int) -> Findings:
    """Two hasty hours of four instances without trouble."""

    async def live() -> Findings:
        market = SpotMarket(seed=seed, tenants=4, troubles=(), haste=8.0)
        await market.run(2 * HOUR, rest=HOUR / 2)
        return judge(market)

    return run_virtually(live())


@pytest.mark.timeout(1200)
def test_what_is_taken_back_is_brought_back_once_and_only_what_is_to_run(scale, book, quiet):
    """Both strategies, under every kind of trouble; times are judged where there was none."""
    haste, calm, bad = scale.pick(short=(8.0, 0.1, 0.1), prove=(1.0, 1.5, 7.0), full=(1.0, 10.0, 50.0))
    rest = scale.pick(short=HOUR, prove=3 * HOUR)
    found, taken, met = Findings(), 0, Counter[str]()
    for seed, (days, troubles) in enumerate(((calm, ()), (bad, TROUBLES))):
        market, verdict = lived(seed, days=days, rest=rest, haste=haste, troubles=troubles)
        found.add(verdict)
        taken, met = taken + len(market.taken), met + market.met

    book.figure("M7", f"virtual days of {TENANTS} instances", calm + bad)
    book.figure("M7", "machines taken back", taken, at_least=scale.pick(short=10, prove=150))
    kinds = scale.pick(short=1, prove=len(TROUBLES))
    book.figure("M7", f"of {len(TROUBLES)} kinds of trouble, met", len(+met), at_least=kinds)
    _in_time(book, found)
    _as_it_should_be(book, found)


def _in_time(book, found: Findings) -> None:
    late = max(found.told_after) - POLL
    book.figure(
        "M7",
        "notice visible to `instance.spot_notice` told, beyond one poll interval, worst",
        late,
        at_most=1.0,
        unit="s",
    )
    book.figure("M7", "notices that nobody was told of", len(found.silent), exactly=0)
    worst = max(found.replaced_after)
    book.figure("M7", "`replace`: notice seen to the create call at Novita, worst", worst, at_most=IN_TIME, unit="s")
    worst = max(found.migrated_after)
    book.figure("M7", "`migrate`: stop seen to the migrate call at Novita, worst", worst, at_most=IN_TIME, unit="s")
    for words, times in (("", found.back_after), (", in trouble", found.back_after_trouble or [0.0])):
        book.figure("M7", f"recovery: notice or reclaim told to ready again{words}, median", median(times), unit="s")
        book.figure("M7", f"recovery: notice or reclaim told to ready again{words}, worst", max(times), unit="s")
    book.figure("M7", "without a machine that answers, median", median(found.down_for), unit="s")


def _as_it_should_be(book, found: Findings) -> None:
    _none(book, "reclaimed instances that were to run and were not brought back", found.not_recovered)
    _none(book, "calls that bring back what a person or the idle stop had stopped", found.brought_back)
    _none(book, "second replacements beside a live one", found.doubled)
    _none(book, "moves of protected and notify-only instances", found.moved_against_its_rule)
    _none(book, "machines left behind or running unasked at the end", found.left_behind)
    _none(book, "moves without their explanation in the audit log", found.unexplained)


def _none(book, what: str, found: Iterable[str]) -> None:
    told = list(found)
    print(*told[:5], sep="\n")
    book.figure("M7", what, len(told), exactly=0)


def test_bringing_back_what_somebody_stopped_is_noticed(book, quiet):
    """Whoever looks only at what Novita says starts machines that people stopped."""
    with m7_forgets_who_stopped_it.planted():
        found = _until_seen(lambda one: one.brought_back)

    book.planted("M7", m7_forgets_who_stopped_it.BUG, caught=bool(found))


def test_a_second_replacement_is_noticed(book, quiet):
    """Whoever forgets that a move is under way buys again with every look."""
    with m7_second_replacement.planted():
        found = _until_seen(lambda one: one.doubled)

    book.planted("M7", m7_second_replacement.BUG, caught=bool(found))


def test_a_notice_that_is_not_acted_on_is_noticed(book, quiet):
    """Whoever waits for the deadline recovers, but late."""
    with m7_blind_to_notices.planted():
        seen = _until_seen(lambda one: [after for after in one.replaced_after if after > IN_TIME])

    book.planted("M7", m7_blind_to_notices.BUG, caught=bool(seen))


def _until_seen(of: Callable[[Findings], list[Any]]) -> list[Any]:
    return next((seen for seed in range(6) if (seen := of(glimpsed(seed)))), [])
