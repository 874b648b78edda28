"""W1 and W2 under fire: no event is lost, and what comes twice can be recognised, while the server is killed again and again.

A driver asks a real server for creates, stops, starts and deletes; a receiver fails 30 % of what arrives; the server is killed with SIGKILL
each time a while after it is ready, and started again, until everything is told. Driver and receiver keep ledgers on disk, and a checker
that reads nothing else (and the simulator's machines at the end) judges. Each is a process of its own; see tests/proofs/ledger.
"""

from pathlib import Path
from types import ModuleType

import pytest

from proofs.planted import w1_early_answer, w1_memory_only, w1_two_commits
from support import sites
from support.ledger_site import PLACES, WITHOUT_DELETE, Outcome, Plan, keep_ledger
from support.processes import Forks

forks = sites.forks  # a fixture
SECONDS = 240
PLANTED = {"short": [w1_memory_only], "prove": [w1_memory_only, w1_early_answer, w1_two_commits]}


@pytest.mark.alone
@pytest.mark.timeout(700)
async def test_kills_and_a_bad_receiver_lose_no_event(forks: Forks, tmp_path: Path, scale, book) -> None:
    """W1: every event of an acknowledged request arrives, signed; W2: a repeat has the id and the bytes of the first."""
    events = scale.pick(short=150, prove=10_000, full=20_000)
    outcome = await keep_ledger(forks, tmp_path, fire(scale.name, events))
    verdict = outcome.verdict

    book.figure("W1", "different events that arrived", verdict["events"], at_least=events)
    book.figure("W1", "requests acknowledged", verdict["promises"])
    book.figure("W1", "arrivals, of which the receiver failed 30 %", verdict["arrivals"])
    book.figure("W1", "manners of failing that the receiver used, of 6", len(verdict["manners"]) - 1, exactly=6)
    book.figure("W1", "times the server was killed (SIGKILL)", outcome.kills, at_least=scale.pick(short=1, prove=15))
    book.figure("W1", "events lost", outcome.count("lost"), exactly=0)
    book.figure("W1", "promises forgotten, events untrue, machines that fit no promise", others(outcome), exactly=0)
    book.figure("W1", "bad signatures", outcome.count("unsigned"), exactly=0)
    book.figure("W1", "from the first start until all was told", outcome.seconds, unit="s", at_most=SECONDS, timed=True)
    book.figure("W2", "ids that came with differing bodies, under fire", outcome.count("bodies"), exactly=0)
    book.figure("W2", "events that came under more than one id, under fire", outcome.count("ids"), exactly=0)
    again = verdict["resent_heard"] / outcome.kills
    book.figure("W2", "sent again though acknowledged, for each kill", again, at_most=PLACES)


@pytest.mark.timeout(700)
async def test_the_ledger_turns_red_on_planted_bugs(tmp_path: Path, scale, book) -> None:
    """W1 can fail: a server that forgets what it promised is caught by the same checker."""
    for bug in scale.pick(**PLANTED):
        folder = tmp_path / bug.__name__.rpartition(".")[2]
        folder.mkdir()

        outcome = await _keep_planted(bug, folder, kills=3 if bug is w1_memory_only else 20)

        book.planted("W1", bug.BUG, caught=outcome.count("lost") > 0)


def fire(scale: str, events: int) -> Plan:
    """Short: few kills, close to one another, and no deletes: the proof that one is gone takes half a minute when the
    answer was lost to a kill.
    """
    if scale == "short":
        return Plan(
            events=events, lives=8, kill_after=0.5, most_kills=3, verbs=WITHOUT_DELETE, patience=15, longest=100
        )
    return Plan(events=events, lives=40, kill_after=2.0)


def others(outcome: Outcome) -> int:
    """What else must not be found."""
    return outcome.count("refused", "untrue", "machines")


async def _keep_planted(bug: ModuleType, folder: Path, *, kills: int) -> Outcome:
    """Some bugs show only when the kill falls between two writes, so there are more kills for them."""
    bugged = Forks(Path(str(bug.__file__)))
    plan = Plan(
        events=kills * 30,
        lives=10 + kills,
        kill_after=0.5,
        most_kills=kills,
        verbs=WITHOUT_DELETE,
        patience=1.5 if kills == 3 else 5.0,
        longest=120,
    )
    try:
        return await keep_ledger(bugged, folder, plan)
    finally:
        bugged.close()
