"""One rehearsal under way: the world, the faults that wait, the calls so far.

It is built from a scenario at a given moment and can be begun anew. Everything here is driven by the time it is given, like the world.
"""

import random
from functools import partial

from novita_simulator import control
from novita_simulator.calls import CallLog
from novita_simulator.faults import Faults
from novita_simulator.fields import Fields, InvalidField
from novita_simulator.library import read_template, save_registry_auth
from novita_simulator.scenario import Scenario, TimelineEntry
from novita_simulator.world import World


class Stage:
    """`world`, `faults` and `calls` are replaced by `reset`, so hold on to the stage, not to them."""

    def __init__(self, scenario: Scenario, *, now: float) -> None:
        self.scenario = scenario
        self.reset(now)

    def reset(self, now: float) -> None:
        """Begin the scenario anew: the same seed, an empty log."""
        rng = random.Random(self.scenario.seed)  # noqa: S311 - a rehearsal must be repeatable
        self.world = World(settings=self.scenario.settings, rng=rng, now=now, balance_usd=self.scenario.balance_usd)
        self.faults = Faults(random.Random(self.scenario.seed))  # noqa: S311 - as above
        self.calls = CallLog()
        self.timeline_errors: list[str] = []
        self._furnish(now)

    def perform(self, action: str, body: object, now: float) -> dict[str, object]:
        """Do one action of the control API; what is wrong with it is an InvalidField."""
        self.world.advance(now)
        return control.perform(self.world, self.faults, action, Fields(body), now)

    def _furnish(self, now: float) -> None:
        scenario = self.scenario
        for index, item in enumerate(scenario.registry_auths):
            save_registry_auth(self.world, Fields(item, f"registryAuths[{index}]"))
        for index, item in enumerate(scenario.templates):
            self._add_template(Fields(item, f"templates[{index}]"), now)
        for action, items in (
            ("stock", scenario.stock),
            ("prices", scenario.prices),
            ("machines", scenario.machines),
            ("faults", scenario.faults),
        ):
            for index, item in enumerate(items):
                control.perform(self.world, self.faults, action, Fields(item, f"{action}[{index}]"), now)
        for index, entry in enumerate(scenario.timeline):
            self._schedule(entry, f"timeline[{index}]", now)

    def _add_template(self, fields: Fields, now: float) -> None:
        template_id = fields.text("Id", shortest=1)
        self.world.account.templates[template_id] = read_template(
            fields, template_id=template_id, channel="private", now=now, created_at=int(now)
        )

    def _schedule(self, entry: TimelineEntry, where: str, now: float) -> None:
        if entry.action not in control.ACTIONS:
            raise InvalidField(f"{where}.action", f"must be one of {', '.join(sorted(control.ACTIONS))}")
        self.world.agenda.add(now + self.world.settings.real(entry.at), partial(self._play, entry, where))

    def _play(self, entry: TimelineEntry, where: str, now: float) -> None:
        """A timeline cannot know what the account holder did meanwhile: what no longer applies is noted, not raised."""
        try:
            control.perform(self.world, self.faults, entry.action, Fields(entry.body, where), now)
        except InvalidField as error:
            self.timeline_errors.append(str(error))
