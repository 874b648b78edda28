"""Secrets that are planted to be found again: each with its name, and the ways in which it could stand somewhere."""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus


@dataclass(frozen=True)
class Hit:
    """A secret where it does not belong, with what is around it."""

    canary: str
    place: str
    around: str


def hits(canaries: Mapping[str, str], places: Mapping[str, bytes]) -> list[Hit]:
    """Every secret, in every spelling, in every place."""
    found = []
    for name, secret in canaries.items():
        for spelling in spellings(secret):
            for place, content in places.items():
                at = content.find(spelling)
                if at >= 0:
                    around = content[max(0, at - 60) : at + len(spelling) + 10].decode(errors="replace")
                    found.append(Hit(canary=name, place=place, around=around))
    return found


def spellings(secret: str) -> set[bytes]:
    """Plain, as in JSON, in addresses, in hexadecimal, in UTF-16, and inside anything that is base64."""
    texts = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    texts |= {repr(secret)[1:-1], quote(secret, safe=""), quote(secret), quote_plus(secret)}
    plain = secret.encode()
    coded = {plain.hex().encode(), plain.hex().upper().encode(), secret.encode("utf-16-le")}
    return {text.encode() for text in texts} | coded | set(_in_base64(plain))


def _in_base64(plain: bytes) -> Iterable[bytes]:
    """How it stands in base64 behind 0, 1 or 2 other bytes; cut at the edges, which depend on its neighbours."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + plain).rstrip(b"=")
        inner = whole[(before * 8 + 5) // 6 : -1 if (before + len(plain)) % 3 else None]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def files_below(*folders: Path) -> dict[str, bytes]:
    """Every file there, with its content; files that come and go are read if they are still there."""
    found = {}
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                if path.is_file():
                    found[f"file {path.relative_to(folder)}"] = path.read_bytes()
            except FileNotFoundError:
                continue
    return found


def seen_of(pid: int) -> dict[str, bytes]:
    """What everybody on the machine sees of a process. Its environment is its user's alone, and is what that user gave it."""
    folder = Path(f"/proc/{pid}")
    names = ["cmdline", "comm", "status", *(f"task/{task.name}/comm" for task in (folder / "task").iterdir())]
    return {f"process {name}": (folder / name).read_bytes() for name in names}
