"""M6: idle means idle.

A fleet whose use is known to the second is watched through signals that lag, have holes and fail, by a clock that is set and a process that
is restarted. A stop is false when the machine was used within the threshold before it: told of until the stop itself, or busy, as far as
Novita can have shown it (a measurement may be three minutes old). The verdict comes from the made-up truth, which the rule never sees. The
whole program is then held against the simulated Novita on days of trouble: what counts there are the stops that arrived, and each must have
left its explanation behind.
"""

from collections import Counter
from collections.abc import Sequence
from time import process_time

import pytest

from proofs.planted import m6_missing_is_idle
from support.idle_fleet import Findings, Fleet
from support.idle_site import TROUBLES, IdleSite, Stop
from support.simulation_loop import run_virtually

LATE = 90.0


def watched(*, days: float, machines: int = 200, seed: int) -> Findings:
    return Fleet(machines=machines, seed=seed).run(days)


@pytest.mark.timeout(600)
def test_what_is_used_is_never_stopped_and_what_is_not_is_stopped_in_time(scale, book):
    """Told uses, busy GPUs and CPUs, holes, late and unreadable measurements, set clocks, restarts, crowds, postponements."""
    days = scale.pick(short=4.0, prove=500.0)
    began = process_time()

    found = watched(days=days, seed=6)

    book.figure("M6", "days simulated, in a fleet of 200", days, at_least=days)
    book.figure("M6", "stops", len(found.stops), at_least=int(days * 50))
    book.figure("M6", "stops of a machine that was used within the threshold", found.false, exactly=0)
    book.figure("M6", "stop after its deadline, worst", max(0.0, found.latest), at_most=LATE, unit="s")
    book.figure("M6", "from the announcement to the stop, shortest", found.shortest_notice, at_least=299.0, unit="s")
    unlucky = sum(stop.unlucky for stop in found.stops)
    book.figure("M6", "stops within a minute of a use that Novita had not shown yet", unlucky)
    readings = found.most_readings_in_a_minute
    book.figure("M6", "readings of metrics in any minute, most", readings, at_most=40)
    book.figure("M6", "time of one core for it", process_time() - began, unit="s")


def test_the_whole_program_stops_what_is_idle_in_time_and_can_say_why(scale, book, quiet):
    """Metrics, lists and stops that fail, a clock that is set, a process that is killed; what counts are the stops that arrive at Novita."""
    seeds = scale.pick(short=range(1), prove=range(4), full=range(40))
    stops: list[Stop] = []
    met: Counter[str] = Counter()
    for seed in seeds:
        site = lived(seed, hours=scale.pick(short=2.5, prove=8.0))
        stops += site.stops
        met += site.met

    book.figure("M6", "whole program: stops of idle machines", len(stops), at_least=len(seeds) * 5)
    book.figure("M6", "whole program: stops of a machine in use", sum(one.false for one in stops), exactly=0)
    book.figure(
        "M6", "whole program: stop after its deadline, worst", max(one.late_by for one in stops), at_most=LATE, unit="s"
    )
    unexplained = sum(not one.explained for one in stops)
    book.figure("M6", "whole program: stops without their evidence in the audit log", unexplained, exactly=0)
    kinds = len(+met)
    book.figure("M6", "whole program: kinds of trouble met", kinds, at_least=scale.pick(short=1, prove=len(TROUBLES)))


def lived(seed: int, *, hours: float, troubles: Sequence[str] = TROUBLES) -> IdleSite:
    """So many hours of eight machines under these kinds of trouble."""

    async def live() -> IdleSite:
        site = IdleSite(seed=seed, machines=8, troubles=troubles)
        await site.run(hours * 3600.0)
        return site

    return run_virtually(live())


def test_measurements_that_count_as_idle_when_they_are_missing_are_noticed(book, quiet):
    """Busy machines are stopped whenever Novita's metrics have a hole: seen in the fleet, and by the whole program's stops."""
    with m6_missing_is_idle.planted():
        found = watched(days=2.0, seed=6)
        site = lived(0, hours=2.5, troubles=("holes",))

    book.planted("M6", m6_missing_is_idle.BUG, caught=found.false > 0)
    book.planted("M6", f"{m6_missing_is_idle.BUG}, in the whole program", caught=any(one.false for one in site.stops))
