"""W2: whoever hears something twice can tell. Without trouble nothing comes twice; with a receiver that fails, a repeat has the id and the
bytes of the first.

The ledger is that of W1 (tests/proofs/ledger), without kills; with them W2 is judged in test_w1_crash_ledger.py.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from proofs.planted import w2_new_body, w2_new_id
from support import sites
from support.ledger_site import WITHOUT_DELETE, Outcome, Plan, keep_ledger
from support.processes import Forks

forks = sites.forks  # a fixture
CALM = Plan(events=60, lives=6, kill_after=None, failing=0.0, verbs=WITHOUT_DELETE, patience=15, longest=100)


@pytest.mark.timeout(300)
async def test_without_trouble_every_event_comes_once(forks: Forks, tmp_path: Path, scale, book) -> None:
    """W2: no kills and a well-behaved receiver: no duplicates at all."""
    plan = replace(CALM, events=scale.pick(short=60, prove=2_000), lives=scale.pick(short=6, prove=20))

    outcome = await keep_ledger(forks, tmp_path, plan)

    verdict = outcome.verdict
    assert outcome.count("lost") == 0
    book.figure("W2", "events told without trouble", verdict["events"], at_least=plan.events)
    book.figure("W2", "duplicates without trouble", verdict["arrivals"] - verdict["events"], exactly=0)


@pytest.mark.timeout(300)
async def test_the_ledger_turns_red_on_repeats_that_nobody_can_recognise(tmp_path: Path, scale, book) -> None:
    """W2 can fail: a repeat with another id or other bytes is caught by the same checker."""
    for bug in scale.pick(short=[w2_new_id], prove=[w2_new_id, w2_new_body]):
        folder = tmp_path / bug.__name__.rpartition(".")[2]
        folder.mkdir()
        bugged = Forks(Path(str(bug.__file__)))

        outcome = await keep_ledger(bugged, folder, replace(CALM, failing=0.3, patience=5))

        bugged.close()
        book.planted("W2", bug.BUG, caught=unrecognisable(outcome) > 0)


def unrecognisable(outcome: Outcome) -> int:
    """Ids with differing bodies, events with more than one id."""
    return outcome.count("bodies", "ids")
