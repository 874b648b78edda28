"""Which instances, in which order: filters, sorting and the cursor of `GET /api/instances`, over what is in memory.

The outcome for a query is kept until an instance changes, so a list that is asked for again costs only its rendering.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence

import msgspec

from novitai.api.paging import not_a_cursor, pack, unpack
from novitai.domain.instance import Instance
from novitai.domain.offers import Region
from novitai.operations.ledger import Snapshot
from novitai.operations.reads import ReadModel

SortKey = str | float

SORTS: dict[str, Callable[[Instance], SortKey]] = {
    "createdAt": lambda instance: instance.created_at,
    "name": lambda instance: instance.name,
    "pricePerHour": lambda instance: instance.price_per_hour,
    "status": lambda instance: str(instance.state),
    "region": lambda instance: instance.offer.region,
    "productName": lambda instance: instance.offer.product_name,
    "gpuNum": lambda instance: instance.offer.gpu_num,
    "startedAt": lambda instance: instance.started_at or 0.0,
    "readyAt": lambda instance: instance.ready_at or 0.0,
}
"""By what lists can be sorted; with `-` in front the largest comes first. Equal ones follow by id, that is by creation."""

SORTS_OF_TEXT = frozenset({"name", "status", "region", "productName"})
NEWEST_FIRST = "-createdAt"
_KEPT_QUERIES = 64


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What must be true of an instance to be listed, and the order. Empty: no condition."""

    statuses: frozenset[str] = frozenset()
    name: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    region: str = ""
    billing_mode: str = ""
    sort: str = NEWEST_FIRST

    def admits(self, instance: Instance) -> bool:
        """Whether an instance is in the list."""
        offer = instance.offer
        return (
            (not self.statuses or instance.state in self.statuses)
            and (not self.name or self.name.casefold() in instance.name.casefold())
            and all(instance.spec.labels.get(key) == value for key, value in self.labels)
            and (not self.billing_mode or offer.billing_mode == self.billing_mode)
            and (not self.region or Region(offer.cluster_id, offer.region).answers_to(self.region))
        )


class Arranged(msgspec.Struct, frozen=True):
    """What a filter admits, smallest first, with the keys by which it is in order."""

    snapshots: tuple[Snapshot, ...]
    keys: tuple[tuple[SortKey, str], ...]
    sort: str

    def page(self, *, cursor: str | None, limit: int) -> tuple[Sequence[Snapshot], str | None]:
        """The page after a cursor, and the next cursor. Instances that came or went meanwhile shift nothing."""
        place = self._place(cursor) if cursor is not None else None
        if self.sort.startswith("-"):
            end = len(self.keys) if place is None else bisect_left(self.keys, place)
            start = max(0, end - limit)
            return self.snapshots[start:end][::-1], self._cursor(start) if start > 0 else None
        start = 0 if place is None else bisect_right(self.keys, place)
        end = start + limit
        return self.snapshots[start:end], self._cursor(end - 1) if end < len(self.keys) else None

    def _cursor(self, last: int) -> str:
        return pack(self.sort, *self.keys[last])

    def _place(self, cursor: str) -> tuple[SortKey, str]:
        key, instance_id = unpack(self.sort, cursor, length=2)
        is_text = self.sort.removeprefix("-") in SORTS_OF_TEXT
        if isinstance(key, str) != is_text or not isinstance(instance_id, str):
            raise not_a_cursor()
        return key, instance_id


def arrange(snapshots: Iterable[Snapshot], wanted: Filter) -> Arranged:
    """Filter and sort."""
    key = SORTS[wanted.sort.removeprefix("-")]
    admitted = [snapshot for snapshot in snapshots if wanted.admits(snapshot.instance)]
    pairs = sorted(
        (((key(snapshot.instance), str(snapshot.instance.id)), snapshot) for snapshot in admitted),
        key=lambda pair: pair[0],
    )
    return Arranged(tuple(snapshot for _, snapshot in pairs), tuple(keys for keys, _ in pairs), wanted.sort)


class Index:
    """Arranged lists of the live instances, kept until one of them changes."""

    def __init__(self, reads: ReadModel) -> None:
        self._reads = reads
        self._kept: dict[Filter, Arranged] = {}
        reads.listen(lambda _: self._kept.clear())

    def of(self, wanted: Filter) -> Arranged:
        """The live instances that a filter admits."""
        kept = self._kept.get(wanted)
        if kept is None:
            if len(self._kept) >= _KEPT_QUERIES:
                self._kept.clear()
            kept = self._kept[wanted] = arrange(self._reads.all(), wanted)
        return kept
