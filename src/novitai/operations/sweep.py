"""One reading of all pages of Novita's list, with what it is worth.

A sweep is *complete* when the unique ids reach the greatest total that any page told, every record could be read and no
page failed. Novita may ignore paging, repeat, reorder or shorten pages: a page that shows nothing new ends the sweep,
incomplete. What machines mean is not known here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from novitai.domain.ids import MachineId
from novitai.domain.machine import Machine
from novitai.ports.provider import Call, Provider
from novitai.ports.world import Clock

PAGE_SIZE = 100
MOST_PAGES = 1_000
"""More than any account has; a list that shows ever new machines ends here."""


@dataclass
class Sweep:
    """One reading of all pages. `began` is Unix seconds."""

    began: float
    seen: set[MachineId] = field(default_factory=set)
    total: int = 0
    calls: int = 0
    unreadable: int = 0

    @property
    def complete(self) -> bool:
        return self.unreadable == 0 and len(self.seen) >= self.total

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be expected of another page."""
        return len(self.seen) + self.unreadable >= self.total or self.calls >= MOST_PAGES


async def read_pages(
    provider: Provider,
    call: Call,
    *,
    page_size: int = PAGE_SIZE,
    clock: Clock,
    take: Callable[[Machine, float], Awaitable[None]],
) -> Sweep:
    """Read page after page and give each new machine to `take`, with the time at which its page was asked for."""
    sweep = Sweep(began=clock.now())
    while True:
        sweep.calls += 1
        read_at = clock.now()
        page = await provider.machines(sweep.calls, page_size, call)
        sweep.total = max(sweep.total, page.total)
        sweep.unreadable += page.unreadable
        new = {machine.id: machine for machine in page.machines if machine.id not in sweep.seen}
        sweep.seen |= new.keys()
        for machine in new.values():
            await take(machine, read_at)
        if not new or sweep.ended:
            return sweep
