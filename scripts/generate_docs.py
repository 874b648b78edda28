"""Writes the pages of the documentation that are made from code; with `--check` it only says which are out of date.

A page is a path and a function that returns its text. To add one, write the function in `scripts/pages/` and list it in PAGES. The pages
are committed, so that they can be read without running anything; the check keeps them true.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from pages.endpoints import endpoints_page
from pages.events import events_page
from pages.lifecycle import lifecycle_page
from pages.metrics import metrics_page
from pages.settings import settings_page

ROOT = Path(__file__).resolve().parent.parent

PAGES: tuple[tuple[str, Callable[[], str]], ...] = (
    ("docs/reference/settings.md", settings_page),
    ("docs/reference/metrics.md", metrics_page),
    ("docs/reference/lifecycle.md", lifecycle_page),
    ("docs/reference/events.md", events_page),
    ("docs/api/endpoints.md", endpoints_page),
)


def stale(path: str, text: str) -> bool:
    """Whether the committed page differs from what the code says now."""
    place = ROOT / path
    return not place.is_file() or place.read_text(encoding="utf-8") != text


def main(arguments: list[str]) -> int:
    """Write what is stale; with `--check` write nothing and return 1 when something is."""
    changed = [(path, text) for path, render in PAGES if stale(path, text := render())]
    if arguments == ["--check"]:
        for path, _ in changed:
            print(f"{path} is out of date: run scripts/generate_docs.py")
        return 1 if changed else 0
    for path, text in changed:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
