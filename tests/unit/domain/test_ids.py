"""The marker: by it a machine on Novita is traced to the attempt that asked for it."""

import random
import re

import pytest

from novitai.domain.ids import MAX_ATTEMPTS, InstanceId, Marker, machine_name, marker_of
from support.builders import INSTANCE_ID

NAMES = ("a", "demo", "with_underscore", "with-hyphen", "nv", "-", "_", "x" * 60, "y" * 100, "nv" + "a" * 32, "A-B_c-9")


@pytest.mark.parametrize("name", NAMES)
def test_every_attempt_can_be_read_back_from_the_name_of_its_machine(name):
    """Name and marker are put together and taken apart without loss, for attempts 1 to 1023."""
    for attempt in range(1, MAX_ATTEMPTS + 1):
        marker = Marker("ab12", INSTANCE_ID, attempt)
        assert marker_of(machine_name(name, marker)) == marker


def test_attempts_of_one_instance_have_different_names():
    """Two machines of one instance can be told apart."""
    names = {machine_name("demo", Marker("ab12", INSTANCE_ID, attempt)) for attempt in range(1, MAX_ATTEMPTS + 1)}

    assert len(names) == MAX_ATTEMPTS


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_name_holds_only_what_novita_accepts_and_is_not_too_long(name):
    """Letters, digits and hyphens; at most 60 characters of ours, a hyphen and the marker of 34."""
    full = machine_name(name, Marker("ab12", INSTANCE_ID, 1))

    assert re.fullmatch(r"[A-Za-z0-9-]+", full)
    assert len(full) <= 60 + 1 + 34
    assert re.fullmatch(r"nv[a-z0-9]{32}", str(Marker("ab12", INSTANCE_ID, 1023)))


@pytest.mark.parametrize(
    "name", ["", "demo", "nv", "demo-nvshort", "demo-nv" + "a" * 31, "demo-nv" + "A" * 32, "demonv" + "a" * 32]
)
def test_a_name_without_our_marker_is_nobodys(name):
    """What does not end in a whole marker is not taken for ours."""
    assert marker_of(name) is None


def test_ids_of_every_alphabet_position_survive():
    """Any id that is made can be found again."""
    chance = random.Random(1)
    for _ in range(200):
        ours = InstanceId("inst_" + "".join(chance.choices("0123456789abcdefghijklmnopqrstuv", k=26)))
        found = marker_of(machine_name("demo", Marker("zz99", ours, 17)))
        assert found == Marker("zz99", ours, 17)
