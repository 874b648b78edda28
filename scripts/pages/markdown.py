"""The little Markdown that generated pages need."""

from collections.abc import Iterable, Sequence

NOTICE = "<!-- Made by scripts/generate_docs.py; change the code, not this page. -->"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; bars inside of cells are escaped."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def page(*parts: str) -> str:
    """A whole page: the notice, then the parts with an empty line between them."""
    return "\n\n".join((NOTICE, *parts)) + "\n"
