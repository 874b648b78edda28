"""What every proof has at hand: how big it is to be, and a book in which its figures stand beside their thresholds.

A proof shows one promise of docs/reference/proof.md. The same code runs three ways: `short` in every test run, `prove` (minutes) and
`full` (every case). `PROOF_SCALE` says which. A figure that misses its threshold fails the proof; one that is a matter of speed is judged
only by `make prove`, where nothing else uses the machine. `PROOF_FILE` is where a run is written to, as JSON: its figures, and how each test
ended. scripts/prove.py makes the page from it.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog

_PROPERTY = "figure"
_FOUND: dict[str, list[dict[str, Any]]] = {"figures": [], "tests": []}


@dataclass(frozen=True)
class Scale:
    """How much of a proof is run."""

    name: Literal["short", "prove", "full"]

    def pick(self, *, short: Any, prove: Any, full: Any = None) -> Any:
        """The value for this scale; `full` is the same as `prove` unless it is given."""
        return {"short": short, "prove": prove, "full": prove if full is None else full}[self.name]


@dataclass(frozen=True)
class Figure:
    """One line of the page: what was counted or measured, and what was promised."""

    promise: str
    what: str
    value: float | int | str
    unit: str
    threshold: str
    holds: bool
    planted: bool = False
    left_out: str = ""


class Book:
    """Where a proof writes its figures. Promises are named as on the page: `M1`, `W7` and so on."""

    def __init__(self, scale: Scale, properties: list[tuple[str, object]]) -> None:
        self._scale = scale
        self._properties = properties

    def figure(
        self,
        promise: str,
        what: str,
        value: float,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
        exactly: float | None = None,
        unit: str = "",
        timed: bool = False,
    ) -> None:
        """Note a figure; fails the proof when it misses its threshold. Without a threshold it only informs. `timed`: a matter of speed."""
        holds, threshold = _judge(value, at_most, at_least, exactly)
        shown = round(value, 4) if isinstance(value, float) else value
        self._note(Figure(promise, what, shown, unit, threshold, holds))
        if timed and self._scale.name == "short":
            return
        assert holds, f"{promise}: {what}: {shown} {unit}, promised: {threshold}"

    def planted(self, promise: str, bug: str, *, caught: bool) -> None:
        """Note that a bug put in on purpose turned the proof red; fails when it went unnoticed."""
        self._note(Figure(promise, bug, "caught" if caught else "missed", "", "caught", caught, planted=True))
        assert caught, f"{promise}: the planted bug went unnoticed: {bug}"

    def left_out(self, promise: str, what: str, *, why: str) -> None:
        """Note that this machine lacks what a figure needs; the page says so, and nothing fails."""
        self._note(Figure(promise, what, "left out", "", "", holds=True, left_out=why))

    def _note(self, figure: Figure) -> None:
        self._properties.append((_PROPERTY, json.dumps(asdict(figure))))


def _judge(value: float, at_most: float | None, at_least: float | None, exactly: float | None) -> tuple[bool, str]:
    rules: tuple[tuple[str, float | None, Callable[[float, float], bool]], ...] = (
        ("≤", at_most, lambda found, limit: found <= limit),
        ("≥", at_least, lambda found, limit: found >= limit),
        ("=", exactly, lambda found, limit: found == limit),
    )
    asked = [(sign, limit, rule) for sign, limit, rule in rules if limit is not None]
    return all(rule(value, limit) for _, limit, rule in asked), " and ".join(
        f"{sign} {limit:,.10g}" for sign, limit, _ in asked
    )


@pytest.fixture(scope="session")
def scale() -> Scale:
    """How big the proofs of this run are."""
    name = os.environ.get("PROOF_SCALE", "short")
    assert name in {"short", "prove", "full"}, "PROOF_SCALE is short, prove or full"
    return Scale(name)  # type: ignore[arg-type]


@pytest.fixture
def quiet() -> Iterator[None]:
    """Nothing is logged: simulations make millions of steps."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.configure(**before)


@pytest.fixture
def book(scale: Scale, request: pytest.FixtureRequest) -> Book:
    """The figures of this proof."""
    return Book(scale, request.node.user_properties)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect the figures of a proof, and how it ended, in whichever process it ran."""
    if report.when == "call" or not report.passed:
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr or "")
        ended = {"outcome": report.outcome, "why": why[-400:], "seconds": round(report.duration, 2)}
        _FOUND["tests"].append({"test": report.nodeid} | ended)
    if report.when == "call":
        told = [json.loads(str(text)) for name, text in report.user_properties if name == _PROPERTY]
        _FOUND["figures"] += [figure | {"test": report.nodeid} for figure in told]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what was collected, in the process that collects."""
    target = os.environ.get("PROOF_FILE")
    if target and not hasattr(session.config, "workerinput"):
        Path(target).write_text(json.dumps(_FOUND, indent=1), encoding="utf-8")
