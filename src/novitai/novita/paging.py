"""How Novita numbers and cuts the pages of a list, as far as one process has learnt it.

Whether the first page is 0 or 1, how large a page may be, and whether a larger one is cut or refused is not documented
(novita-wire.md 1.5, 11). We ask for page 1 at the size that we want, which is right for every server seen; what an
answer contradicts is learnt here. Nothing rests on a guess: while page 0 may be another page than 1, both are read.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from novitai.domain.errors import Rejected
from novitai.ports.provider import MachinePage

SMALLER_SIZES = (50, 20, 10)
"""What is tried, in this order, where a larger page is refused."""

T = TypeVar("T")
Ask = Callable[[int, int], Awaitable[T]]
"""Reads the page of a number (as Novita counts) at a size."""


class Paging:
    """What is known of one list."""

    def __init__(self) -> None:
        self.from_zero = False
        """Whether page 0 may be another page than 1."""
        self._worked = False
        self._largest: int | None = None

    async def page(self, page: int, size: int, ask: Ask[MachinePage]) -> MachinePage:
        """A page, counted from 1; where page 0 differs from 1, the first one holds both. Raises what `ask` raises."""
        if page == 1 and self.from_zero:
            return await self._from_zero(size, ask)
        found = await self.sized(page, size, ask)
        missing = not found.machines and not found.unreadable and found.total > (page - 1) * self._fitting(size)
        if not missing or self.from_zero:
            return found
        self.from_zero = True
        return await self._from_zero(size, ask, one=found) if page == 1 else found

    async def sized(self, page: int, size: int, ask: Ask[T]) -> T:
        """A page at the size asked for, or at the largest that is accepted. Raises what `ask` raises."""
        size = self._fitting(size)
        while True:
            try:
                found = await ask(page, size)
            except Rejected:
                smaller = next((one for one in SMALLER_SIZES if one < size), None)
                if smaller is None or self._worked:
                    raise
                self._largest = size = smaller
            else:
                self._worked = True
                return found

    async def _from_zero(self, size: int, ask: Ask[MachinePage], one: MachinePage | None = None) -> MachinePage:
        try:
            zero = await ask(0, self._fitting(size))
        except Rejected:
            self.from_zero = False
            return await self.sized(1, size, ask) if one is None else one
        if len(zero.machines) + zero.unreadable >= zero.total:
            return zero
        if one is None:
            one = await self.sized(1, size, ask)
        if _ids(zero) == _ids(one):
            self.from_zero = False
            return one
        return MachinePage(
            machines=zero.machines + tuple(machine for machine in one.machines if machine.id not in _ids(zero)),
            total=max(zero.total, one.total),
            unreadable=zero.unreadable + one.unreadable,
        )

    def _fitting(self, size: int) -> int:
        return min(size, self._largest or size)


def _ids(page: MachinePage) -> set[str]:
    return {machine.id for machine in page.machines}
