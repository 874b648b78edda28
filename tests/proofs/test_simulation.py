"""A thousand bad days of the whole system, each from one seed: what was asked is done, once, and told truly.

The real program runs in one process and in virtual time, over a Novita, receivers and a disk that fail as the seed says, among people who ask and
hands outside of us that meddle; it ends at port calls and begins again over the same disk. After each day everything is given time to come to
rest and is judged from outside (tests/support/simulation_judge.py and its neighbours). A failure names its seed. To see that day again:

    SIMULATION_SEED=4711 .venv/bin/python -m pytest -p no:randomly tests/proofs/test_simulation.py
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proofs.planted import a4_no_reason, m1_blind_retry, m2_one_absence
from support.simulation import Outcome, simulate
from support.simulation_reasons import UNEXPLAINED
from support.simulation_stage import SPELLS, TROUBLES

PROCESSES = 2
FEW_IN_A_SHORT_RUN = 10
OUTSIDE = frozenset(
    {
        "process ended",
        "process stopped",
        "stopped by a policy",
        "answered again",
        "stopped outside",
        "started outside",
        "restarted outside",
        "deleted outside",
        "vanished",
        "moved",
        "noticed",
        "odd",
    }
)
EVERY_TROUBLE = {*TROUBLES, *SPELLS, *OUTSIDE}


def seeds_of(count: int) -> range:
    """The seeds of a run; one alone when it is named."""
    alone = os.environ.get("SIMULATION_SEED")
    return range(int(alone), int(alone) + 1) if alone else range(count)


def replay(seed: int) -> str:
    """How to see a day again."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    command = f"SIMULATION_SEED={seed} .venv/bin/python -m pytest -p no:randomly tests/proofs/test_simulation.py"
    return f"seed {seed} at commit {commit.stdout.strip() or 'unknown'}; again with: {command}"


def _run(seeds: range) -> Iterator[tuple[int, list[str], dict[str, int]]]:
    """Each seed with its findings and the troubles it met; many seeds are spread over processes."""
    if len(seeds) < 200:
        for outcome in map(simulate, seeds):
            yield outcome.seed, list(outcome.findings), outcome.hits
        return
    parts = [_elsewhere(_SOME, str(first), str(seeds.stop), str(PROCESSES)) for first in range(PROCESSES)]
    with ThreadPoolExecutor(PROCESSES) as readers:  # all at once: nobody waits because nobody reads
        for part, told in zip(parts, readers.map(lambda part: part.communicate()[0], parts), strict=True):
            assert part.returncode == 0, "a process of the simulation broke off"
            yield from map(json.loads, told.splitlines())


_SOME = """
import json, sys
from support.simulation import simulate
for seed in range(*map(int, sys.argv[1:])):
    outcome = simulate(seed)
    print(json.dumps([seed, outcome.findings, outcome.hits]))
"""
_ONE = "import sys; from support.simulation import simulate; print(simulate(int(sys.argv[1])).fingerprint)"


def _elsewhere(program: str, *arguments: str) -> subprocess.Popen[str]:
    """A process that can import what this one can, with an order of hashes of its own."""
    tests = Path(__file__).parents[1]
    paths = f"{tests.parent / 'src'}{os.pathsep}{tests}"
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "4711"}
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], env=environment, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.alone
@pytest.mark.timeout(900)
def test_on_no_bad_day_is_anything_lost_doubled_destroyed_or_told_wrongly(scale, book):
    """Promises M1, M2, S1, W1 and W2 together, under every kind of trouble at once; and whatever is done by itself has its reason (A4)."""
    seeds = seeds_of(scale.pick(short=40, prove=1_000, full=10_000))
    began, hits, red = time.monotonic(), Counter[str](), {}
    for seed, findings, troubles in _run(seeds):
        hits.update(troubles)
        if findings:
            red[seed] = findings
    seconds = time.monotonic() - began

    for seed, findings in sorted(red.items())[:5]:
        print(replay(seed), *findings, sep="\n    ")
    if len(seeds) == 1:
        print(simulate(seeds[0]).story())
        assert not red
        return
    book.figure("M2", "seeded simulation of the whole system: violations", sum(map(len, red.values())), exactly=0)
    unexplained = sum(finding.startswith(UNEXPLAINED) for found in red.values() for finding in found)
    book.figure("A4", "seeded simulation: things done or concluded by itself without a reason", unexplained, exactly=0)
    book.figure("M2", "seeded simulation of the whole system: seeds", len(seeds), at_least=len(seeds))
    _every_trouble_came(scale, book, hits)
    per_thousand = seconds * 1_000 / len(seeds)
    book.figure("M2", "seeded simulation: time for 1,000 seeds", per_thousand, at_most=60, unit="s", timed=True)


def _every_trouble_came(scale, book, hits: Counter[str]) -> None:
    """A simulation that never meets a trouble says nothing about it."""
    never = sorted(EVERY_TROUBLE - {kind for kind, count in hits.items() if count})
    spared = FEW_IN_A_SHORT_RUN if scale.name == "short" else 0
    print("never:", *never)
    book.figure(
        "M2", f"seeded simulation: of {len(EVERY_TROUBLE)} kinds of trouble, never met", len(never), at_most=spared
    )
    points = {kind for kind in hits if kind.startswith(("ended before ", "ended after "))}
    book.figure(
        "M2", "seeded simulation: kinds of port call before or after which the process ended", len(points), at_least=10
    )


def test_the_same_seed_goes_the_same_way_even_in_another_process():
    """A failure can be seen again: nothing depends on the clock, on addresses or on the order of hashes."""
    here = [simulate(17).fingerprint for _ in range(2)]
    told, _ = _elsewhere(_ONE, "17").communicate()

    assert {*here, told.strip()} == {here[0]}


def test_different_seeds_go_different_ways():
    """Each seed is a day of its own."""
    assert len({simulate(seed).fingerprint for seed in range(4)}) == 4


@pytest.mark.parametrize(
    "bug", [a4_no_reason, m1_blind_retry, m2_one_absence], ids=lambda bug: bug.__name__.rpartition(".")[2]
)
def test_a_planted_bug_is_found(bug, scale, book):
    """The judgement can fail: a program with this bug is caught within a few days."""
    with bug.planted():
        caught = _first_red(scale.pick(short=60, prove=200))

    book.planted("M2", f"seeded simulation: {bug.BUG}", caught=caught is not None)


def _first_red(count: int) -> Outcome | None:
    return next((outcome for outcome in map(simulate, range(count)) if outcome.findings), None)
