"""Pages of a list, as Novita is seen to cut them (novita-wire.md 1.5).

Official and unofficial clients begin at page 0 or at page 1 and both find the newest entry there, so by default both are the first
page; a switch decides otherwise. A size above the limit is taken down to it, or refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from novita_simulator.fields import Fields, InvalidField
from novita_simulator.settings import Switches

_Item = TypeVar("_Item")

_FIRST_PAGE = {"zero": 0, "one": 1}


@dataclass(frozen=True, kw_only=True)
class PageOf(Generic[_Item]):
    items: list[_Item]
    total: int
    number: int
    size: int


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    number: int  # as it was asked
    size: int
    skip: int
    everything: bool = False

    def cut(self, items: Iterable[_Item]) -> PageOf[_Item]:
        found = list(items)
        page = found if self.everything else list(islice(found, self.skip, self.skip + self.size))
        return PageOf(items=page, total=len(found), number=self.number, size=self.size)


def read_page(
    query: Fields, switches: Switches, *, number_field: str = "pageNum", default_size: int | None = None
) -> PageRequest:
    """The page asked for in a query string; other names are nobody's business and ignored."""
    default = default_size or switches.default_page_size
    number = query.whole(number_field, 1, least=0)
    asked = query.whole("pageSize", default, least=0) or default
    if asked > switches.max_page_size and switches.oversized_pages == "refused":
        raise InvalidField(query.name("pageSize"), f"must be at most {switches.max_page_size}")
    size = min(asked, switches.max_page_size)
    if switches.paging != "normal":
        return PageRequest(number=number, size=default, skip=0, everything=switches.paging == "everything")
    if not query.has(number_field):
        return PageRequest(number=number, size=size, skip=0)
    first = _FIRST_PAGE.get(switches.page_base, 1 if number else 0)
    if number < first:
        raise InvalidField(query.name(number_field), f"must be from {first}")
    return PageRequest(number=number, size=size, skip=(number - first) * size)
