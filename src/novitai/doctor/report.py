"""What was looked at and what was found: one line each, and one exit code for all."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from novitai.doctor.facts import ROWS
from novitai.doctor.findings import Findings

OK, FAILED, USAGE = 0, 1, 2
_FACTS_HEAD = "What rests on facts about Novita that no document states:"


class Level(StrEnum):
    """How a thing stands."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at. `advice` is what to do about it, empty when there is nothing to do."""

    name: str
    level: Level
    found: str
    advice: str = ""

    def line(self) -> str:
        """As people read it."""
        return f"{self.level:<5} {self.name:<17} {self.found}{f' → {self.advice}' if self.advice else ''}"


def ok(name: str, found: str) -> Check:
    """Nothing to do."""
    return Check(name=name, level=Level.OK, found=found)


def warn(name: str, found: str, advice: str = "") -> Check:
    """Worth knowing; it works."""
    return Check(name=name, level=Level.WARN, found=found, advice=advice)


def fail(name: str, found: str, advice: str = "") -> Check:
    """It does not work, or not as it should."""
    return Check(name=name, level=Level.FAIL, found=found, advice=advice)


def exit_code(checks: Sequence[Check]) -> int:
    """1 when something failed."""
    return FAILED if any(check.level is Level.FAIL for check in checks) else OK


def fact_lines(findings: Findings) -> list[str]:
    """The table of facts: what each is for, and whether it was verified."""
    lines = [_FACTS_HEAD]
    for row in ROWS:
        finding = findings.facts.get(row.fact)
        stand = "not verified" if finding is None else f"verified on {finding.verified_at[:10]}: {finding.words}"
        lines.append(f"  {row.fact:<17} {stand}\n  {'':<17} rests on it: {row.rests_on}")
    return lines


def as_json(checks: Sequence[Check], findings: Findings, *, live: "LiveSummary | None") -> bytes:
    """Everything for programs."""
    facts = []
    for row in ROWS:
        found = findings.facts.get(row.fact)
        facts.append(
            {
                "fact": row.fact,
                "question": row.question,
                "expected": row.expected,
                "restsOnIt": row.rests_on,
                "verifiedAt": found.verified_at if found else None,
                "value": found.value if found else None,
                "level": found.level if found else None,
                "advice": found.advice if found else "",
            }
        )
    return msgspec.json.format(
        msgspec.json.encode({"exitCode": exit_code(checks), "checks": checks, "facts": facts, "live": live}), indent=2
    )


class LiveSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `--live` did: the machines that it made, and what they cost (USD). `billed` is null while Novita has billed
    nothing yet.
    """

    machines: tuple[str, ...]
    worst_case_usd: float
    estimated_usd: float
    billed_usd: float | None
    left_behind: tuple[str, ...]
