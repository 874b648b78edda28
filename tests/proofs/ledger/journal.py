"""A file to which one process appends and which others read while it grows: how the programs of the crash ledger remember.

Each entry is one line of JSON, handed to the kernel in one write before anything is answered, so that it outlives whoever wrote it.
"""

import json
import os
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


class Journal:
    """Appends; nothing is kept back in a buffer."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, **entry: object) -> None:
        os.write(self._file, json.dumps(entry, separators=(",", ":")).encode() + b"\n")


class Follower:
    """Reads what was added since the last time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def news(self) -> list[Entry]:
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._at)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._at += len(whole)
        return [json.loads(line) for line in whole.splitlines()]
