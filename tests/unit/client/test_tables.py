"""Results as people read them: what others wrote is shown, and never obeyed by the terminal."""

from io import StringIO

import msgspec
import pytest
from rich.console import Console

from novitai_client.cli import tables
from novitai_client.models import Orphan

NAMED = {
    "novitaId": "feedfacefeedface",
    "kind": "foreign",
    "standing": "open",
    "status": "running",
    "firstSeenAt": "2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize("name", ["\x1b[2J\x1b[31mgone", "\x9b31m", "a\r\nb", "\u202eevil", "\x07bell"])
def test_a_machine_s_name_cannot_steer_the_terminal(name):
    """Anybody who can name a machine on the account could otherwise write over what an operator reads."""
    orphan = msgspec.convert(NAMED | {"name": name}, Orphan, strict=False)
    printed = StringIO()
    Console(file=printed, markup=False, width=400).print(tables.orphans([orphan]))

    head, row = printed.getvalue().splitlines()
    assert "NAME" in head
    assert not any(ord(character) < 32 or character in "\x7f\x9b\u202e" for character in row)


def test_markup_in_a_name_is_shown_as_it_is():
    """Square brackets are characters like any other."""
    orphan = msgspec.convert(NAMED | {"name": "[/red] é 💥"}, Orphan, strict=False)
    printed = StringIO()
    Console(file=printed, markup=False, width=400).print(tables.orphans([orphan]))

    assert "[/red] é 💥" in printed.getvalue()
