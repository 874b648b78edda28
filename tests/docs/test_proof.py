"""The page of proofs is complete and true to what was promised, the README says the same, and the page can say that something fails."""

import importlib
import re

import pytest

from support.pages import ROOT

PAGE = ROOT / "docs" / "reference" / "proof.md"
ROW = re.compile(
    r"^\| (?P<what>.+?) \| (?P<threshold>[=≤≥][^|]*) \| (?P<value>[^|]*) \| (?P<verdict>[^|]*) \|$", re.MULTILINE
)


@pytest.fixture
def promises(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("pages.promises").PROMISES


@pytest.fixture
def proof(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("pages.proof")


@pytest.fixture
def not_yet(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("pages.promises").NOT_SHOWN_YET


def section(key):
    """What the page says of one promise."""
    return PAGE.read_text(encoding="utf-8").partition(f"\n## {key}. ")[2].partition("\n## ")[0]


def found(
    what="machines",
    *,
    promise="M1",
    threshold="= 1",
    holds=True,
    planted=False,
    test="tests/proofs/test_m1_one.py::test",
):
    """A figure as a run writes it."""
    figure = {"promise": promise, "what": what, "value": 1, "unit": "", "threshold": threshold, "holds": holds}
    return figure | {"planted": planted, "left_out": "", "test": test}


def ended(outcome, test="tests/proofs/test_m1_one.py::test"):
    return {"test": test, "outcome": outcome, "why": "", "seconds": 1.0}


def test_the_page_shows_every_promise_and_each_holds_but_those_that_are_named(promises, not_yet):
    """Nobody reads of a promise that was not shown, and none stays on the list of exceptions once it holds."""
    heading = PAGE.read_text(encoding="utf-8").partition("\n## ")[0]
    summary = dict(re.findall(r"^\| ([A-Z]\d) \| [^|]+ \| ([^|]+) \|", heading, re.MULTILINE))

    assert set(summary) == {promise.key for promise in promises}
    assert {key for key, verdict in summary.items() if verdict != "holds"} == set(not_yet)


def test_every_figure_on_the_page_meets_its_threshold(promises, not_yet):
    """A verdict at the top and the figures below it agree."""
    rows = {promise.key: [row.groupdict() for row in ROW.finditer(section(promise.key))] for promise in promises}

    assert [key for key, lines in rows.items() if not lines] == []
    assert {key for key, lines in rows.items() for row in lines if row["verdict"] != "holds"} == set(not_yet)


def test_the_thresholds_on_the_page_are_those_that_were_promised(promises, proof, not_yet):
    """A threshold cannot be loosened where it is measured without being loosened where it is promised."""
    missing = [
        f"{promise.key}: {limit}"
        for promise in promises
        for limit in promise.limits
        if promise.key not in not_yet  # a proof that fails ends before its later figures
        and not any(proof.keeps(limit, row["what"], row["threshold"]) for row in ROW.finditer(section(promise.key)))
    ]

    assert missing == []


def test_every_planted_bug_was_caught(promises):
    """The checks that matter most were seen to fail."""
    bugs = re.findall(r"^\| (\w\d) \| (.+) \| (caught|missed) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert {promise.key for promise in promises if promise.planted} <= {key for key, _, _ in bugs}
    assert [bug for bug in bugs if bug[2] != "caught"] == []


def test_the_readme_quotes_the_page(promises, proof):
    """The figures that people see first are those of the page."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.partition(proof.OPENS)[2].partition(proof.CLOSES)[0]
    quoted = re.findall(r"^\| ([^|]+) \| (.+) \| ([=≤≥][^|]*) \| ([^|]*) \|$", block, re.MULTILINE)
    keys = {promise.title: promise.key for promise in promises}
    page = PAGE.read_text(encoding="utf-8")

    assert [keys[title] for title, *_ in quoted] == list(proof.HEADLINES)
    for title, what, threshold, value in quoted:
        assert f"| {what} | {threshold} | {value} | " in section(keys[title])
    assert f"from {re.search(r'date . ([-0-9]+)', page)[1]}" in block


def test_a_promise_holds_when_its_figures_do(promises, proof):
    """Each reason not to hold is told apart."""
    listed = importlib.import_module("pages.promises")
    m1 = listed.Promise("M1", "One", "One each.", (listed.Limit("machines", "=", 1),), planted=True)
    m2, bug = promises[1], found("a bug", planted=True)
    plain = proof.Run([found(), bug], [ended("passed")], {})

    assert proof.verdict(m1, plain) == "holds"
    assert proof.verdict(m2, plain) == "not shown"
    assert proof.verdict(m1, proof.Run([found()], [ended("passed")], {})) == "not shown: a planted bug"
    assert proof.verdict(m1, proof.Run([found("beasts"), bug], [ended("passed")], {})) == "not shown: machines = 1"
    assert proof.verdict(m1, proof.Run([found(holds=False)], [ended("failed")], {})) == "FAILS: machines"
    assert proof.verdict(m1, proof.Run([], [ended("failed")], {})) == "FAILS: test"


def test_a_looser_threshold_does_not_keep_a_limit(promises, proof):
    """Whoever weakens a proof has to say so in the list of promises."""
    limit = importlib.import_module("pages.promises").Limit("calls", "≤", 100)

    assert proof.keeps(limit, "most calls in any 60 s", "≤ 100")
    assert proof.keeps(limit, "most calls in any 60 s", "≤ 95")
    assert not proof.keeps(limit, "most calls in any 60 s", "≤ 1,000")
    assert not proof.keeps(limit, "most calls in any 60 s", "≥ 1")
    assert not proof.keeps(limit, "most polls", "≤ 100")


def test_a_failing_figure_is_written_down(proof):
    """The page is honest about a bad day."""
    about = {"date": "2026-01-31", "commit": "abc", "took": "1 minute"}
    page = proof.proof_page(proof.Run([found(holds=False)], [ended("failed")], about))

    assert "| M1 | One create, one machine | FAILS: machines |" in page
    assert "| machines | = 1 | 1 | **fails** |" in page
    assert "0 of " in page
