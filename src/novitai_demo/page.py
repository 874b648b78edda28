"""What is printed: chapters, and lines with the seconds since the beginning at their left.

On a terminal there is colour; elsewhere it is plain text without a single control code. Nothing is wider than 100
columns but commands, which stay whole so that they can be copied.
"""

import textwrap
import time
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

WIDEST = 100
_MARGIN = 9


class Page:
    """`console` decides about colour; `line` and its like never interpret what they are given as markup."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._width = min(WIDEST, max(60, console.width))

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self._print(Text(f"\n{'':{_MARGIN}}{title}", style="bold"))

    def line(self, text: str, *, style: str = "", hang: int = 0) -> None:
        """One thing that happened now. A long one goes on in the next line, `hang` columns further in."""
        rows = textwrap.wrap(text, self._width - _MARGIN, subsequent_indent=" " * hang) or [""]
        seconds = Text(f"{time.monotonic() - self._began:6.1f}s  ", style="dim")
        self._print(Text("").append(seconds).append(f"\n{'':{_MARGIN}}".join(rows), style=style))

    def more(self, text: str, *, style: str = "", hang: int = 0) -> None:
        """Something that belongs to the line before."""
        rows = textwrap.wrap(text, self._width - _MARGIN, subsequent_indent=" " * hang) or [""]
        self._print(Text("\n".join(f"{'':{_MARGIN}}{row}" for row in rows), style=style))

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, faint_from: int | None = None) -> None:
        """Columns side by side; the last one may be long and is wrapped. Rows from `faint_from` on are faint."""
        widths = [max(len(row[place]) for row in (headings, *rows)) for place in range(len(headings) - 1)]
        hang = _MARGIN + sum(widths) + 2 * len(widths)
        for number, row in enumerate((headings, *rows)):
            cells = "".join(f"{cell:<{width}}  " for cell, width in zip(row, widths, strict=False))
            last = f"\n{'':{hang}}".join(textwrap.wrap(row[-1], self._width - hang))
            faint = faint_from is not None and number > faint_from
            style = "bold" if number == 0 else "bright_black" if faint else ""
            self._print(Text(f"{'':{_MARGIN}}{cells}{last}".rstrip(), style=style))

    def command(self, text: str) -> None:
        """Something to copy; never wrapped."""
        self._print(Text(f"    {text}", style="cyan"))

    def plain(self, text: str, *, style: str = "") -> None:
        """Text as it is, such as the end of a log."""
        self._print(Text(text, style=style))

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True, highlight=False)
