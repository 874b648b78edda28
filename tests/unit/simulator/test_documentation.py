"""The reference page tells the whole truth: its example runs, and nothing that can be set is missing from it."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from novita_simulator import control
from novita_simulator.account import TEMPLATES, default_account
from novita_simulator.faults import MODES
from novita_simulator.fields import camel
from novita_simulator.scenario import read_scenario
from novita_simulator.settings import Delays, Switches
from novita_simulator.stage import Stage

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "simulator.md").read_text(encoding="utf-8")
SETTINGS = [camel(field.name) for group in (Delays, Switches) for field in dataclasses.fields(group)]
CONSTANTS = [*default_account().registry_auths, *(template.id for template in TEMPLATES)]


@pytest.mark.parametrize("word", [*SETTINGS, *MODES, *CONSTANTS])
def test_every_setting_mode_and_constant_is_on_the_page(word):
    """In code marks, as a reader would search for it."""
    assert f"`{word}`" in PAGE


@pytest.mark.parametrize("action", sorted(control.ACTIONS))
def test_every_control_action_is_on_the_page(action):
    """With its path."""
    assert f"`POST /_sim/{action}`" in PAGE


def test_the_example_scenario_plays_to_its_end():
    """It is read, begins, and nothing in its timeline fails."""
    document = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])
    stage = Stage(read_scenario(document), now=0)

    stage.world.advance(1800)

    assert stage.timeline_errors == []
    assert {machine.name for machine in stage.world.machines.values()} == {"somebody-elses", "nightly"}
    assert {machine.spot.status for machine in stage.world.machines.values()} == {"", "terminated"}
