"""When an extra machine may be deleted: only when it is surely extra, surely ours, and nothing about its instance is in doubt."""

import pytest

from novitai.domain.events import FactType
from novitai.domain.ids import MachineId, Marker, machine_name
from novitai.domain.instance import DesiredState
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.policies import strays
from support import builders
from support.builders import INSTANCE_ID, MACHINE_ID, NOW, instance

EXTRA = MachineId("extra")
HOUSE = "ours"


def extra(
    status: MachineStatus = MachineStatus.RUNNING, *, installation: str = HOUSE, owner: str = INSTANCE_ID, **fields
):
    name = machine_name("demo", Marker(installation, owner, 1))
    return builders.machine(status, **({"id": EXTRA, "name": name} | fields))


def owner(state: State = State.READY, **fields):
    return instance(state, **({"strays": (EXTRA,)} | fields))


def goes(holder, machine) -> bool:
    return strays.discard(holder, machine, installation=HOUSE, at=NOW).instance.discarded == (EXTRA,)


@pytest.mark.parametrize("state", [State.READY, State.STOPPED, State.HEALTH_CHECKING, State.FAILED])
def test_an_extra_machine_goes_and_the_present_one_is_kept(state):
    """It moves among those that are to be deleted, and the reason is told."""
    holder = owner(state)

    change = strays.discard(holder, extra(), installation=HOUSE, at=NOW)

    assert (change.instance.discarded, change.instance.strays) == ((EXTRA,), ())
    assert change.instance.machine == holder.machine
    [told] = change.facts
    assert (told.type, told.actor, told.data) == (
        FactType.ORPHAN_FOUND,
        "observer",
        {"machineId": EXTRA, "action": "deleting"},
    )
    assert "as the settings say" in told.reason


@pytest.mark.parametrize(
    "machine",
    [
        extra(name="demo"),
        extra(installation="abcd"),
        extra(owner="inst_" + "7" * 26),
        extra(id=MachineId("never-reported")),
        extra(id=MACHINE_ID),
        extra(MachineStatus.REMOVING),
        extra(MachineStatus.REMOVED),
    ],
    ids=["no marker", "another installation", "another instance", "unknown", "the present one", "going", "gone"],
)
def test_a_machine_that_is_not_surely_an_extra_one_of_this_instance_stays(machine):
    """Each sign must be there."""
    holder = owner()

    assert strays.discard(holder, machine, installation=HOUSE, at=NOW).instance is holder


@pytest.mark.parametrize(
    "fields",
    [
        {"spec": builders.spec(protect=True)},
        {"open_attempt": builders.open_attempt(2)},
        {"state": State.LOST},
        {"state": State.MIGRATING},
        {"state": State.CREATING, "machine": None},
        {"state": State.DELETING, "desired": builders.desired(DesiredState.DELETED)},
    ],
    ids=["protected", "a create is unclear", "lost", "migrating", "no machine yet", "deleted anyway"],
)
def test_nothing_goes_while_it_is_in_doubt_or_protected(fields):
    """Which machine is to be kept must be clear."""
    state = fields.get("state", State.READY)

    assert not goes(owner(state, **{name: value for name, value in fields.items() if name != "state"}), extra())


def test_even_the_present_machine_among_the_strays_stays():
    """What the instance holds is never deleted by this policy."""
    holder = owner(strays=(MACHINE_ID,))

    change = strays.discard(holder, extra(id=MACHINE_ID), installation=HOUSE, at=NOW)

    assert change.instance is holder


def test_two_readings_less_than_half_a_minute_apart_are_one():
    """Evidence is two pieces, apart in time."""
    assert not strays.confirmed(NOW, NOW + 29.9)
    assert strays.confirmed(NOW, NOW + 30.0)
