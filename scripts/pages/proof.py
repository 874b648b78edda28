"""The page of proofs and its short form in the README, from what one run of all proofs found.

Pure: a run in, text out. What was promised is in pages/promises.py; a promise holds when its proof ran, every figure meets its threshold,
no limit is without a figure, and each bug put in on purpose was caught.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pages.markdown import table
from pages.promises import PROMISES, Limit, Promise

NOTICE = "<!-- Made by `make prove` (scripts/prove.py); run it, do not edit this page. -->"
OPENS, CLOSES = "<!-- proof -->", "<!-- /proof -->"
# Promises that the README shows, in the order of what people fear most.
HEADLINES = ("M1", "M2", "W1", "W7", "U1", "S1")
HOW_TO_READ = """## How to read this page

Each check judges from outside: by the calls, machines and bill that the stand-in for Novita recorded, by what receivers wrote down, by
listeners that must hear nothing. None asks the server's own database whether all went well. A check that cannot fail shows nothing, so
some bugs are put in on purpose (`tests/proofs/planted/`), each a small replacement of one real function, and the same check has to find
them.

Figures without a threshold only inform. Figures of speed hold for the machine above with nothing else running on it.

Whatever is random comes from seeds that stand in the proofs, and a failure prints the seed, or the shortest steps, that led to it.
`make prove ARGS="--only {example}"` runs one promise again (without writing this page); `PROOF_SCALE=prove .venv/bin/pytest -m "" {test}`
shows it in the words of its test. `make prove-full` runs every case; `make test` runs the same proofs in short form."""


@dataclass(frozen=True)
class Run:
    """What one run found: `figures` and `tests` as tests/proofs/conftest.py writes them, and `about` the run in words."""

    figures: list[dict[str, Any]]
    tests: list[dict[str, Any]]
    about: dict[str, str]

    def measured(self, key: str) -> list[dict[str, Any]]:
        """The figures of a promise, file by file, those that bear its name first."""
        own = [figure for figure in self.figures if figure["promise"] == key and not figure["planted"]]
        return sorted(own, key=lambda one: (key.lower() not in words_of(one["test"]), one["test"].partition("::")[0]))

    def planted(self, key: str) -> list[dict[str, Any]]:
        """The bugs put in on purpose under a promise."""
        return [figure for figure in self.figures if figure["promise"] == key and figure["planted"]]

    def unlisted(self) -> list[str]:
        """Promises that figures were noted for, and that nobody made."""
        return sorted({figure["promise"] for figure in self.figures} - {promise.key for promise in PROMISES})

    def of(self, key: str) -> list[dict[str, Any]]:
        """The tests that belong to a promise: by their figures, or by the name of their file."""
        own = {figure["test"] for figure in self.figures if figure["promise"] == key}
        return [test for test in self.tests if test["test"] in own or key.lower() in words_of(test["test"])]


def words_of(test: str) -> list[str]:
    """The words in the name of a test's file."""
    return test.partition("::")[0].rpartition("/")[2].removesuffix(".py").split("_")


def verdict(promise: Promise, run: Run) -> str:
    """`holds`, or why it does not: what failed, or what was not shown."""
    figures = run.measured(promise.key) + run.planted(promise.key)
    failed = [f["what"] for f in figures if not f["holds"]]
    failed = failed or [test["test"].rpartition("::")[2] for test in run.of(promise.key) if test["outcome"] == "failed"]
    if failed:
        return "FAILS: " + "; ".join(failed)
    if missing := not_shown(promise, run):
        return "not shown" + (": " + "; ".join(missing) if run.measured(promise.key) else "")
    return "holds"


def not_shown(promise: Promise, run: Run) -> list[str]:
    """What a promise's figures lack."""
    judged = [(f["what"], f["threshold"]) for f in run.measured(promise.key) if f["threshold"]]
    missing = [str(limit) for limit in promise.limits if not any(keeps(limit, *one) for one in judged)]
    if promise.planted and not run.planted(promise.key):
        missing.append("a planted bug")
    return missing if judged else ["any figure", *missing]


def keeps(limit: Limit, what: str, threshold: str) -> bool:
    """Whether a line is the one that a limit names, and is judged at least as strictly."""
    found = re.search(rf"{limit.sign} (\S+)", threshold)
    if not found or limit.words not in what:
        return False
    value = float(found[1].replace(",", ""))
    return {"=": value == limit.value, "≤": value <= limit.value, "≥": value >= limit.value}[limit.sign]


def proof_page(run: Run) -> str:
    """The whole page."""
    example = min((test["test"] for test in run.tests), default="tests/proofs")
    reading = HOW_TO_READ.format(example="M1,W7", test=example.partition("::")[0])
    sections = [section(promise, run) for promise in PROMISES]
    parts = (NOTICE, heading(run), summary(run), *sections, planted_bugs(run), reading)
    return "\n\n".join(part for part in parts if part) + "\n"


def heading(run: Run) -> str:
    """What the page is, and of which run."""
    kept = sum(verdict(promise, run) == "holds" for promise in PROMISES)
    return (
        f"# What Novitai promises, and how it was shown\n\n{kept} of {len(PROMISES)} promises hold in the run below. "
        "[How to read this page](#how-to-read-this-page) is at its end; `make prove` makes it anew on your machine.\n\n"
        + table(("this run", ""), run.about.items())
    )


def summary(run: Run) -> str:
    """All promises with their verdicts."""
    rows = ((p.key, p.title, verdict(p, run), f"{sum(t['seconds'] for t in run.of(p.key)):.0f} s") for p in PROMISES)
    return table(("", "promise", "verdict", "took"), rows)


def section(promise: Promise, run: Run) -> str:
    """One promise: its sentence, its figures."""
    text = f"## {promise.key}. {promise.title}\n\n{promise.says}"
    if figures := run.measured(promise.key):
        text += "\n\n" + table(("figure", "promised", "measured", ""), map(row, figures))
        files = sorted({f"`{figure['test'].partition('::')[0]}`" for figure in figures})
        text += f"\n\nShown by {', '.join(files)}."
    broken = [test for test in run.of(promise.key) if test["outcome"] == "failed"]
    return text + "".join(f"\n\nFailed: `{test['test']}`." for test in broken)


def row(figure: dict[str, Any]) -> tuple[str, str, str, str]:
    """The line of a figure."""
    if figure["left_out"]:
        return figure["what"], "", f"left out: {figure['left_out']}", ""
    return figure["what"], figure["threshold"], measured(figure), judged(figure)


def measured(figure: dict[str, Any]) -> str:
    """A value with its unit, as people read it."""
    value = figure["value"]
    shown = value if isinstance(value, str) else f"{value:,}"
    return f"{shown} {figure['unit']}".strip()


def judged(figure: dict[str, Any]) -> str:
    """The verdict on one line."""
    if not figure["threshold"]:
        return ""
    return "holds" if figure["holds"] else "**fails**"


def planted_bugs(run: Run) -> str:
    """Which bugs were put in on purpose, and whether the check saw them."""
    bugs = [(p.key, bug["what"], bug["value"]) for p in PROMISES for bug in run.planted(p.key)]
    return "## Planted bugs\n\n" + table(("promise", "a bug put in on purpose", "the check"), bugs) if bugs else ""


def headlines(run: Run) -> Iterable[tuple[str, str, str, str]]:
    """Of each promise that the README shows, the figure of its first limit."""
    for promise in PROMISES:
        lines = [f for f in run.measured(promise.key) if keeps(promise.limits[0], f["what"], f["threshold"])]
        if promise.key in HEADLINES and lines:
            yield promise.title, lines[0]["what"], lines[0]["threshold"], measured(lines[0])


def readme_block(run: Run) -> str:
    """What stands between the two marks of the README, the marks included."""
    kept = sum(verdict(promise, run) == "holds" for promise in PROMISES)
    told = (
        f"`make prove` shows {kept} of {len(PROMISES)} promises, each with its figure, its threshold and, where it matters most, a planted "
        f"bug that the check must catch. Some of them, from {run.about['date']}; all are on [the page of proofs](docs/reference/proof.md):"
    )
    lines = table(("promise", "figure", "promised", "measured"), headlines(run))
    return f"{OPENS}\n{told}\n\n{lines}\n{CLOSES}"


def with_block(readme: str, block: str) -> str:
    """The README with its block replaced."""
    before, _, rest = readme.partition(OPENS)
    return before + block + rest.partition(CLOSES)[2]
