"""One thing out of everything that can happen to an instance, drawn for a `Rehearsal`: somebody asks, Novita refuses or does not answer
clearly, machines are slow, exit, move or are meddled with, spot machines are taken back.
"""

import random
from contextlib import suppress

from novitai.domain.errors import Refusal
from novitai.domain.instance import Verb
from novitai.domain.machine import MachineStatus, SpotStatus
from support.rehearsal import DOWN, GONE, RESTART, UP, Rehearsal

VERBS = (Verb.START, Verb.STOP, Verb.RESTART, Verb.DELETE)
CREATES = ("ok", "no capacity", "unclear", "vanished", "refused")
ACTIONS = ("ok", "ok", "unclear", "vanished", "refused", "invalid state", "no capacity")
NEVER = ((0.0, MachineStatus.PENDING),)
EXITS = ((0.0, MachineStatus.PENDING), (9.0, MachineStatus.STOPPED))
SLOW_DOWN = ((0.0, MachineStatus.STOPPING), (200.0, MachineStatus.STOPPED))
PULLS = ((0.0, MachineStatus.PULLING), (300.0, MachineStatus.STARTING), (320.0, MachineStatus.RUNNING))
MOVE = ((0.0, MachineStatus.MIGRATING), (60.0, MachineStatus.RUNNING))
ODD = ((0.0, MachineStatus.FROZEN), (30.0, MachineStatus.UNKNOWN), (60.0, MachineStatus.RUNNING))
OUTSIDE = (UP, DOWN, RESTART, MOVE, ODD, GONE)


def trouble(chance: random.Random, rehearsal: Rehearsal) -> None:
    """See the module's text."""
    match chance.randrange(8):
        case 0 | 1 | 2:
            with suppress(Refusal):
                rehearsal.ask(chance.choice(VERBS))
        case 3:
            action = chance.choice(("start", "stop", "restart", "delete"))
            rehearsal.answers[action] = [chance.choice(ACTIONS) for _ in range(chance.randrange(3))]
        case 4:
            rehearsal.answers["create"] = [chance.choice(CREATES) for _ in range(chance.randrange(3))]
        case 5:
            rehearsal.up = chance.choice((UP, UP, UP, NEVER, EXITS, PULLS))
            rehearsal.down = chance.choice((DOWN, DOWN, SLOW_DOWN))
            rehearsal.ssh = chance.random() < 0.7
            rehearsal.app_answers_after = chance.choice((0.0, 4.0, 400.0, None))
        case 6 if rehearsal.machines:
            machine = chance.choice(list(rehearsal.machines.values()))
            if machine.status is not MachineStatus.REMOVED:
                machine.follow(chance.choice(OUTSIDE), now=rehearsal.now)
        case 7 if rehearsal.machines:
            machine = chance.choice(list(rehearsal.machines.values()))
            machine.spot = chance.choice(tuple(SpotStatus))
            if machine.spot is SpotStatus.TERMINATED and machine.status is MachineStatus.RUNNING:
                machine.follow(DOWN, now=rehearsal.now)
        case _:
            pass
