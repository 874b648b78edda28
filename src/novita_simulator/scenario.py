"""A rehearsal written down: the settings, stock, machines and faults to begin with, and what happens when.

A scenario is a JSON object (documented in docs/reference/simulator.md). Everything in it is checked before the simulator starts, and
the complaint names the field. Its timeline is made of the same actions as the control API, each with the simulated second at
which it happens.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from novita_simulator.fields import Fields, InvalidField
from novita_simulator.settings import Settings
from novita_simulator.world import DEFAULT_BALANCE_USD

MACHINE_STATUSES = ("running", "exited")


@dataclass(frozen=True, kw_only=True)
class TimelineEntry:
    """An action of the control API, `at` simulated seconds after the start."""

    at: float
    action: str
    body: dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """How a simulated world begins. Parts that need a world to be checked against stay as they were written."""

    settings: Settings = field(default_factory=Settings)
    seed: int = 0
    balance_usd: float = DEFAULT_BALANCE_USD
    key: str = ""  # the one key that is valid; empty = any that does not begin with `bad-`
    internal_key: str = ""
    stock: tuple[dict[str, object], ...] = ()
    prices: tuple[dict[str, object], ...] = ()
    templates: tuple[dict[str, object], ...] = ()
    registry_auths: tuple[dict[str, object], ...] = ()
    machines: tuple[dict[str, object], ...] = ()
    faults: tuple[dict[str, object], ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()

    def with_speed(self, speed: float) -> "Scenario":
        return replace(self, settings=replace(self.settings, speed=speed))


def read_scenario(document: object) -> Scenario:
    fields = Fields(document)
    settings_patch = {name: value for name, value in fields.raw().items() if name in {"speed", "delays", "switches"}}
    for name in settings_patch:
        fields.has(name)
    scenario = Scenario(
        settings=Settings().merged(Fields(settings_patch)),
        seed=fields.whole("seed", 0, least=0),
        balance_usd=fields.number("balance", DEFAULT_BALANCE_USD),
        key=fields.text("key", ""),
        internal_key=fields.text("internalKey", ""),
        stock=_objects(fields, "stock"),
        prices=_objects(fields, "prices"),
        templates=_objects(fields, "templates"),
        registry_auths=_objects(fields, "registryAuths"),
        machines=_objects(fields, "machines"),
        faults=_objects(fields, "faults"),
        timeline=tuple(_entry(item) for item in fields.items("timeline")),
    )
    fields.refuse_unknown()
    return scenario


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file; whatever is wrong with it is an InvalidField."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidField(str(path), str(error)) from None
    return read_scenario(document)


def _objects(fields: Fields, name: str) -> tuple[dict[str, object], ...]:
    return tuple(item.raw() for item in fields.items(name))


def _entry(fields: Fields) -> TimelineEntry:
    body = fields.raw()
    body.pop("at", None)
    body.pop("action", None)
    return TimelineEntry(at=fields.number("at", least=0), action=fields.text("action", shortest=1), body=body)
