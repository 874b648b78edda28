"""The project's own files as tests of the documentation read them: pages, their fenced blocks, their links and headings."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_LEFT_OUT = {"__pycache__", "node_modules", "build", "dist", "novitai-data"}
_SHOWN = {".ci", ".github"}
_BLOCK = re.compile(r"^(`{3,})([^\n`]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block: where it stands, what its first line says (`python`, `sh run`), and what it holds."""

    page: Path
    info: str
    text: str


def files(*suffixes: str) -> list[Path]:
    """All files of the project that are meant to be committed, with one of the suffixes (all without)."""
    found: list[Path] = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [one for one in folders if (not one.startswith(".") or one in _SHOWN) and one not in _LEFT_OUT]
        folders[:] = [one for one in folders if not one.endswith(".egg-info")]
        found += [Path(folder, name) for name in names if not suffixes or name.endswith(suffixes)]
    return sorted(path for path in found if path.name != ".env")


def pages() -> list[Path]:
    """Every page for people."""
    return files(".md")


def named(path: Path) -> str:
    """A path as people call it."""
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for _, info, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        yield Block(page, info.strip(), text)


def links(page: Path) -> list[str]:
    """Targets of the links of a page; code is no prose."""
    prose = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", prose))


def anchors(page: Path) -> set[str]:
    """The names under which the headings of a page can be linked."""
    prose = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def make_targets() -> set[str]:
    """The words that `make` understands."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return {word for line in re.findall(r"^([a-z][a-z -]*):", makefile, re.MULTILINE) for word in line.split()}
