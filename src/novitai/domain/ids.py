"""Identifiers, and the marker by which a machine on Novita can be traced to the attempt that asked for it.

Our ids are `<prefix>_<26 characters>`: a version 7 UUID in base32 with the extended hex alphabet (RFC 4648, 7), whose
text sorts as the UUIDs do, by creation. A machine's name on Novita is our name, cut and with `_` as `-`, then `-`, then
the marker: `nv`, 4 characters of the installation, the 26 of the instance, 2 of the attempt. The alphabet is `[a-z0-9]`
throughout, because that is all Novita is known to accept beside the hyphen. Because the whole id stands in the name, an
emptied store can restore our ids from Novita's list.
"""

import re
from typing import NewType

import msgspec

InstanceId = NewType("InstanceId", str)
MachineId = NewType("MachineId", str)
"""Novita's id of a machine, 16 hexadecimal characters (novita-wire.md 1.3)."""

INSTANCE_PREFIX = "inst"
NAME_PART = 60
MAX_ATTEMPTS = 32 * 32 - 1
_ALPHABET = "0123456789abcdefghijklmnopqrstuv"
_MARKER = re.compile(r"(?:^|-)nv([a-z0-9]{4})([a-v0-9]{26})([a-v0-9]{2})$")


class Marker(msgspec.Struct, frozen=True):
    """Who asked for a machine: installation, instance and the number of the attempt (1 to 1023)."""

    installation: str
    instance_id: InstanceId
    attempt: int

    def __str__(self) -> str:
        high, low = divmod(self.attempt, 32)
        return f"nv{self.installation}{self.instance_id.removeprefix(INSTANCE_PREFIX + '_')}{_ALPHABET[high]}{_ALPHABET[low]}"


def machine_name(name: str, marker: Marker) -> str:
    """The name to give a machine on Novita: at most 60 characters of ours, then the marker."""
    return f"{name[:NAME_PART].replace('_', '-')}-{marker}"


def marker_of(machine_name: str) -> Marker | None:
    """The marker at the end of a machine's name, or None when it bears none."""
    found = _MARKER.search(machine_name)
    if found is None:
        return None
    installation, instance, attempt = found.groups()
    number = _ALPHABET.index(attempt[0]) * 32 + _ALPHABET.index(attempt[1])
    return Marker(installation=installation, instance_id=InstanceId(f"{INSTANCE_PREFIX}_{instance}"), attempt=number)
