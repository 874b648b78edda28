"""The page that explains Novita's refusals to people says what the code does."""

import re
from pathlib import Path

from novitai.novita.errors import REASONS, Meaning

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "novita-failures.md"
ROW = re.compile(r"^\| `([A-Z_]+)` \| (.+) \|$", re.MULTILINE)


def test_every_reason_stands_on_the_page_with_its_meaning():
    """Nothing in the table is undocumented, and nothing is documented that does not exist."""
    documented = dict(ROW.findall(PAGE.read_text()))

    assert documented == {reason: meaning.value for reason, meaning in REASONS.items()}


def test_every_meaning_is_explained():
    """Each meaning has a row that says what Novitai does about it."""
    page = PAGE.read_text()

    assert all(re.search(rf"^\| {re.escape(meaning.value)} \| `", page, re.MULTILINE) for meaning in Meaning)
