"""Nothing stays behind: how doctor finds and removes the machines that it made, in this run and in earlier ones.

What was made bears doctor's mark: a name that begins with it, and a marker of an installation that cannot be. A machine
counts as gone when it was seen once and is not found any more; one that was just made may merely not be listed yet.
"""

import re
from collections.abc import Callable, Sequence

from novitai.doctor.money import CLEANUP_SECONDS
from novitai.doctor.upstream import CALL, Upstream
from novitai.domain.errors import Gone, ProviderFailure
from novitai.domain.ids import NAME_PART, InstanceId, MachineId, Marker, machine_name, marker_of
from novitai.domain.machine import Machine, MachineStatus

MARK = "nvdoctor"
NOBODY = "zzzz"
"""An installation that no server makes for itself: the letters of its ids end at `v`."""
_NAMED = re.compile(rf"^{MARK}-[a-v0-9]{{26}}-")
_PAUSE_SECONDS = 1.0


def name_for(run_id: str) -> str:
    """A machine's name as long as any that a server gives, with doctor's mark at both ends."""
    shown = f"{MARK}-{run_id}-".ljust(NAME_PART, "x")
    return machine_name(shown, Marker(NOBODY, InstanceId(f"inst_{run_id}"), 1))


def is_own(machine: Machine) -> bool:
    """Whether doctor made this machine, in whatever run; also when its name was shortened."""
    marker = marker_of(machine.name)
    return (marker is not None and marker.installation == NOBODY) or _NAMED.match(machine.name) is not None


class Removal:
    """What one run made. Times are Unix seconds."""

    def __init__(
        self, upstream: Upstream, *, run_id: str, settle_time: float, say: Callable[[str], None] = lambda _text: None
    ) -> None:
        self._upstream = upstream
        self._say = say
        self._run_id = run_id
        self._settle_time = settle_time
        self._made: dict[MachineId, float] = {}
        self._seen: set[MachineId] = set()
        self._unclear = False

    @property
    def made(self) -> tuple[MachineId, ...]:
        """Every machine of this run."""
        return tuple(self._made)

    def asking(self) -> None:
        """A create is about to be sent: until its outcome is known there may be a machine."""
        self._unclear = True

    def refused(self) -> None:
        """It clearly made nothing."""
        self._unclear = False

    def bought(self, machine_id: MachineId) -> None:
        """It made this one."""
        self._unclear = False
        self._made.setdefault(machine_id, self._upstream.clock.now())

    def saw(self, machine_id: MachineId) -> None:
        """Novita has shown it, so that "not found" means gone from now on."""
        self._seen.add(machine_id)

    def removed(self, machine_id: MachineId) -> None:
        """It is known to be gone."""
        self._made.pop(machine_id, None)

    @property
    def needed(self) -> bool:
        """Whether anything may still be there."""
        return self._unclear or bool(self._made)

    async def finish(self) -> tuple[MachineId, ...]:
        """Find and delete all of it; those that are still there at the end."""
        until = self._upstream.clock.now() + max(CLEANUP_SECONDS, self._settle_time)
        if self._unclear:
            await self._search()
        return tuple([one for one in self.made if not await self._remove(one, until)])

    async def _search(self) -> None:
        """A create that was not answered is looked for until the list can lag no more."""
        clock = self._upstream.clock
        until = clock.now() + self._settle_time
        while True:
            found = [one for one in await self._listed() if self._run_id in one.name]
            for machine in found:
                self.bought(machine.id)
                self.saw(machine.id)
            if found or clock.now() >= until:
                return
            await clock.sleep(min(_PAUSE_SECONDS, max(0.1, until - clock.now())))

    async def _remove(self, machine_id: MachineId, until: float) -> bool:
        """Whether it is gone in time. It is deleted also while it cannot be read."""
        clock, told, readable = self._upstream.clock, "", True
        while True:
            try:
                if not readable:
                    await self._upstream.provider.delete(machine_id, CALL)
                readable = False
                gone = await self._is_gone(machine_id)
                readable = True
                if gone:
                    return True
            except ProviderFailure as failure:
                if failure.message != told:
                    told = failure.message
                    self._say(f"  {told}")
            if clock.now() >= until:
                return False
            await clock.sleep(_PAUSE_SECONDS)

    async def _is_gone(self, machine_id: MachineId) -> bool:
        """Read it, and send it away unless it is on its way. Raises ProviderFailure."""
        provider = self._upstream.provider
        try:
            machine = await provider.machine(machine_id, CALL)
            self.saw(machine_id)
            if not machine.status.leaving:
                await provider.delete(machine_id, CALL)
        except Gone:
            return machine_id in self._seen
        return machine.status is MachineStatus.REMOVED

    async def _listed(self) -> Sequence[Machine]:
        try:
            return await self._upstream.machines()
        except ProviderFailure:
            return ()


async def remove_earlier(
    upstream: Upstream, machines: Sequence[Machine], *, settle_time: float
) -> tuple[MachineId, ...]:
    """Delete what earlier runs left; those that are still there at the end."""
    removal = Removal(upstream, run_id="", settle_time=settle_time)
    for machine in machines:
        removal.bought(machine.id)
        removal.saw(machine.id)
    return await removal.finish()
