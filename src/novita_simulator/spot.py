"""How Novita takes a spot machine back (novita-wire.md 7.2).

A spot machine is safe for its first hour. Then a notice may come, an hour ahead: `notified`, with the deadline in
`spotReclaimTime`. At the deadline it is `reclaiming` and being stopped; then `exited` and `terminated`, the time unchanged. A stop by the
account holder ends the matter before the deadline. Reclaims come by script, or by chance when a mean lifetime is set.
"""

from functools import partial

from novita_simulator.lifecycle import EXITED, GOING_AWAY, RUNNING, STOP
from novita_simulator.machine import Machine
from novita_simulator.world import World


def expect(world: World, machine: Machine, now: float) -> None:
    """Called when a spot machine is ordered or started: decide whether and when chance will take it back."""
    mean = world.settings.switches.spot_mean_lifetime_seconds
    if machine.is_spot and mean:
        lifetime = world.settings.delay("spot_protection") + world.rng.expovariate(1 / world.settings.real(mean))
        world.agenda.add(now + lifetime, partial(_by_chance, world, machine, machine.spot.round))


def announce(world: World, machine: Machine, *, notice: float, now: float) -> None:
    """Give notice now, with the deadline `notice` real seconds ahead; 0 takes the machine back without a word."""
    machine.spot.round += 1
    machine.spot.reclaim_at = now + notice
    machine.spot.status = "notified"
    if notice:
        world.agenda.add(now + notice, partial(_take_back, world, machine, machine.spot.round))
    else:
        _take_back(world, machine, machine.spot.round, now)


def call_off(machine: Machine) -> None:
    """The occupation that a notice spoke of is over: nothing is left to be taken back."""
    machine.spot.round += 1
    if machine.is_spot:
        machine.spot.status = "running"
        machine.spot.reclaim_at = 0


def _by_chance(world: World, machine: Machine, round_: int, now: float) -> None:
    if machine.spot.round == round_ and machine.status == RUNNING:
        announce(world, machine, notice=world.settings.delay("spot_notice"), now=now)


def _take_back(world: World, machine: Machine, round_: int, now: float) -> None:
    if machine.spot.round != round_ or machine.status in GOING_AWAY | {EXITED}:
        return
    machine.spot.status = "reclaiming"
    world.send(machine, STOP, now)
