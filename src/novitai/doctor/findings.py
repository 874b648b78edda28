"""What was found out about Novita, kept as `novita-findings.json` in the data directory.

Findings are about one address of Novita: what the simulator does says nothing about the real service. A later run
replaces what it found out anew and keeps the rest. `pending` is a machine whose bill had not come yet.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

FILE = "novita-findings.json"


class Finding(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An answer. `value` is for programs and `words` for people; `level` is `ok`, `warn` or `FAIL` for our code;
    `advice` names the setting that follows; `how` tells how it was verified.
    """

    fact: str
    value: Any
    words: str
    expected: str
    level: str
    verified_at: str
    how: str
    advice: str = ""


class Pending(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A machine that is gone and not yet billed; money in 1/100000 USD, times in Unix seconds."""

    machine_id: str
    expected: int
    began: float
    ended: float


class Findings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All of them, by fact. `against` is the address they are about."""

    against: str
    facts: dict[str, Finding] = {}
    pending: Pending | None = None

    def having(self, found: Iterable[Finding]) -> "Findings":
        """These, with newer ones in place of what they replace."""
        return msgspec.structs.replace(self, facts=self.facts | {one.fact: one for one in found})


def load(data_dir: Path, against: str) -> Findings:
    """What is known about this address; nothing when the file is missing, unreadable or about another."""
    try:
        found = msgspec.json.decode((data_dir / FILE).read_bytes(), type=Findings)
    except (OSError, ValueError):
        return Findings(against=against)
    return found if found.against == against else Findings(against=against)


def save(data_dir: Path, findings: Findings) -> Path:
    """Replace the file as a whole; the path. Raises OSError."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = data_dir / FILE
    draft = path.with_suffix(".new")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "wb") as opened:
        opened.write(msgspec.json.format(msgspec.json.encode(findings), indent=2) + b"\n")
    draft.replace(path)
    return path
