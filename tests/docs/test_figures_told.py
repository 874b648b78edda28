"""Figures in the text of a page are those of the code: who changes one is told which sentence became wrong."""

import pytest

from novitai.api.cost_csv import COLUMNS
from novitai.config.costs import Costs
from novitai.config.idle import AutoStop
from novitai.config.migration import Migration
from novitai.config.variables import declared
from novitai.domain.budget import USUAL_THRESHOLDS
from novitai.operations.costs import DAYS_KEPT_SECONDS, SEGMENTS_KEPT_SECONDS
from novitai.operations.standing import PROBE_SECONDS
from novitai.policies.costs import DISK_RATE_PER_GB, FREE_DISK_GB
from novitai.policies.failed_migrations import YOUNGEST_SECONDS
from novitai.policies.migration import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, MOST_MOVES, WINDOW_SECONDS
from novitai.policies.moves import REMEMBERED_SECONDS, STUCK_SECONDS
from novitai.policies.successors import SEARCH_SECONDS
from novitai.reconcilers.costs import FINAL_AFTER_SECONDS, LOOK_SECONDS
from support.pages import ROOT

DEFAULTS = {
    variable.name: variable.default for group in (Costs, AutoStop, Migration) for _, variable in declared(group)
}
WORDS = {1: "a", 3: "three", 5: "five"}

SPOT, BUDGET, COST = "howto/survive-spot-reclaims.md", "howto/keep-to-a-budget.md", "howto/see-what-it-costs.md"
LEDGER, LOST, IDLE = "explanation/the-cost-ledger.md", "explanation/what-can-be-lost.md", "howto/stop-idle-machines.md"

FIGURES = [
    (SPOT, f"{MOST_MOVES} moves in {WINDOW_SECONDS / 3600:g} hours"),
    (SPOT, f"{SEARCH_SECONDS / 60:g} minutes after it fell"),
    (SPOT, f"begins after {WORDS[FIRST_PAUSE_SECONDS / 60]} minute, then after ever longer (at most an hour)"),
    (SPOT, f"`MIGRATION_MAX_CONCURRENT` ({DEFAULTS['MIGRATION_MAX_CONCURRENT']})"),
    (SPOT, f"`MIGRATION_INTERVAL_MINUTES` ({2 * int(DEFAULTS['MIGRATION_INTERVAL_MINUTES'].rstrip('m'))} minutes)"),
    (SPOT, "A move that takes longer than an hour is told of"),
    (SPOT, f"for less than {YOUNGEST_SECONDS / 60:g} minutes is left alone"),
    (LOST, "after six moves in 24 hours"),
    (BUDGET, "{}, {} and {} unless you say otherwise".format(*USUAL_THRESHOLDS)),
    (COST, f"`BALANCE_ALERT_HOURS` ({DEFAULTS['BALANCE_ALERT_HOURS']})"),
    (COST, f"{WORDS[int(DEFAULTS['COST_BILL_DELAY'].rstrip('h'))].title()} hours after the end of each day"),
    (COST, f"on the next {WORDS[FINAL_AFTER_SECONDS / 86_400]} days its bill is read"),
    (COST, f"is read every {WORDS[LOOK_SECONDS / 60]} minutes"),
    (COST, f"at most {WORDS[PROBE_SECONDS / 60]} minutes apart"),
    (COST, f"{DAYS_KEPT_SECONDS / 86_400:g} days, single rates for {SEGMENTS_KEPT_SECONDS / 86_400:g}"),
    (COST, f"beyond {FREE_DISK_GB} GB, at ${DISK_RATE_PER_GB / 100_000} per GB and day"),
    (COST, ",".join(COLUMNS) + "\n```\n"),
    (LEDGER, f"beyond {FREE_DISK_GB} GB (${DISK_RATE_PER_GB / 100_000} per GB and day)"),
    (IDLE, f"`AUTO_STOP_THRESHOLD` ({DEFAULTS['AUTO_STOP_THRESHOLD'].rstrip('m')} minutes)"),
]


@pytest.mark.parametrize(("page", "sentence"), FIGURES)
def test_a_figure_on_a_page_is_the_one_that_rules(page, sentence):
    """Who plans by a figure of a page is not surprised."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")

    assert sentence in text or sentence in " ".join(text.split())


def test_figures_that_pages_tell_in_words_have_not_changed():
    """Where a page says "six", "an hour" or "a week", that is what rules."""
    assert (MOST_MOVES, WINDOW_SECONDS) == (6, 24 * 3600)
    assert (LONGEST_PAUSE_SECONDS, STUCK_SECONDS, REMEMBERED_SECONDS) == (3600, 3600, 7 * 86_400)
