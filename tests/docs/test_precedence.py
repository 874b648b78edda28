"""The page about who decides shows the table that decides, and names every voice."""

import re

import pytest

from novitai.policies.precedence import TABLE, Voice
from support.pages import ROOT

PAGE = (ROOT / "docs" / "explanation" / "who-decides.md").read_text(encoding="utf-8")


def words(cell):
    return re.findall(r"`(\w+)`", cell)


def shown(page, verb):
    """The cells of the table below the question that ends in the verb: (held, asking) to rule."""
    rows = page.split(f"**{verb}**?\n\n", 1)[1].split("\n\n", 1)[0].splitlines()
    head, *lines = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows if "---" not in row)
    asking = [word for cell in head[1:] for word in words(cell)]
    return {
        (held, voice): rule
        for cells in lines
        for held in words(cells[0])
        for voice, rule in zip(asking, cells[1:], strict=True)
    }


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_the_tables_on_the_page_are_the_one_that_rules(verb):
    """Who reads that a word stands finds that it does."""
    ruling = {
        (str(held), str(voice)): str(getattr(cell, verb)) for held, row in TABLE.items() for voice, cell in row.items()
    }

    assert shown(PAGE, verb) == ruling


def test_every_voice_is_explained():
    """A word in `desired.by` is on the page."""
    rows = PAGE.split("| voice | who that is |\n", 1)[1].split("\n\n", 1)[0].splitlines()

    told = {word for row in rows[1:] for word in words(row.split("|")[1])}

    assert told == {str(voice) for voice in Voice}
