"""How long a machine's name may be, as far as one process has learnt it.

255 characters are documented (novita-wire.md 3.4) and ours have at most 95. Where longer names turn out to be refused
or cut, what stands before the marker is shortened from then on: a machine without its marker could not be found again
after an unclear create.
"""

import re
from collections import OrderedDict

from novitai.domain.errors import Rejected
from novitai.domain.ids import MachineId
from novitai.domain.machine import Machine

TAIL = 35
"""The marker and the hyphen before it (domain/ids.py), which are never cut by us."""
SHORTER = (63, 40)
"""What is tried, in this order, where a longer name is refused; 63 is the longest label of a host name."""
_REMEMBERED = 256
_ABOUT_NAMES = re.compile(r"\bname\b", re.IGNORECASE)


class Naming:
    """What is known of names."""

    def __init__(self) -> None:
        self._longest: int | None = None
        self._sent: OrderedDict[MachineId, str] = OrderedDict()

    def fit(self, name: str) -> str:
        """The name as it is to be sent."""
        if self._longest is None or len(name) <= self._longest or self._longest < TAIL:
            return name
        return name[: self._longest - TAIL] + name[-TAIL:]

    def refused(self, name: str, refusal: Rejected) -> bool:
        """A create with this name was refused; whether a shorter name may help, and is sent from now on."""
        shorter = next((one for one in SHORTER if one < len(name)), None)
        if shorter is None or _ABOUT_NAMES.search(refusal.message) is None:
            return False
        self._longest = shorter
        return True

    def sent(self, machine_id: MachineId, name: str) -> None:
        """A create with this name was accepted."""
        self._sent[machine_id] = name
        while len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)

    def seen(self, machine: Machine) -> None:
        """A machine as Novita shows it: if its name was cut, names are shorter from now on."""
        name = self._sent.pop(machine.id, "")
        if machine.name and len(machine.name) < len(name) and name.startswith(machine.name):
            self._longest = len(machine.name)
