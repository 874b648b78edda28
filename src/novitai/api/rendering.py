"""Instances as bytes, quickly: what stands in a record is encoded once per version; what changes by itself is spliced in per answer.

A list of 100 must not cost 100 encodings. Fragments are kept by instance and version; the moving part is a handful of bytes at the end
of each object.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import inf

import msgspec

from novitai.api.costs import Billing, billing_of
from novitai.api.idle_view import policy_of
from novitai.api.next_action import next_action
from novitai.api.views import migration_of, view_of
from novitai.domain.ids import MachineId
from novitai.domain.instance import HealthCheck
from novitai.domain.migration import MoveRule
from novitai.domain.times import iso
from novitai.operations.costs import Costs
from novitai.operations.explanation import Explaining
from novitai.operations.freshness import Freshness
from novitai.operations.idle import Idleness
from novitai.operations.ledger import Snapshot
from novitai.operations.reads import ReadModel

_ENCODER = msgspec.json.Encoder()
_NULL = b"null"


class _Fragment(msgspec.Struct, frozen=True):
    """The encoded record without its closing brace, and what the moving part is computed from. At `holds_until` what comes next is
    another thing.
    """

    version: int
    head: bytes
    billing: Billing
    machine_id: MachineId | None
    holds_until: float
    mark: object
    """What else the policies went by: last use, announcement, reading, pauses."""


class Renderer:
    """Writes instances. Keeps a fragment for each live instance and no more."""

    def __init__(
        self,
        *,
        reads: ReadModel,
        freshness: Freshness,
        idleness: Idleness,
        costs: Costs,
        explaining: Explaining,
        usual_check: HealthCheck,
        usual_move: MoveRule,
    ) -> None:
        self._reads = reads
        self._freshness = freshness
        self._idleness = idleness
        self._costs = costs
        self._explaining = explaining
        self._usual_check = usual_check
        self._usual_move = usual_move
        self._fragments: dict[str, _Fragment] = {}

    def page(self, snapshots: Sequence[Snapshot], *, total: int, next_cursor: str | None, now: float) -> bytes:
        """`{"instances": […], "total": n, "nextCursor": …}`."""
        items = b",".join(self._items(snapshots, now))
        cursor = _NULL if next_cursor is None else b'"%s"' % next_cursor.encode()
        return b'{"instances":[%s],"total":%d,"nextCursor":%s}' % (items, total, cursor)

    def one(self, snapshot: Snapshot, *, now: float, more: dict[str, object] | None = None) -> bytes:
        """One instance; `more` adds fields that only details have."""
        (item,) = self._items((snapshot,), now)
        if not more:
            return item
        return item[:-1] + b"," + _ENCODER.encode(more)[1:]

    def _items(self, snapshots: Iterable[Snapshot], now: float) -> Iterable[bytes]:
        stale = b"true" if self._freshness.stale else b"false"
        used, seen, adjusted = self._reads.last_used, self._freshness.seen_at, self._costs.adjusted
        for snapshot in snapshots:
            fragment = self._fragment(snapshot, now)
            last_used = used(snapshot.instance.id)
            last_synced = seen(fragment.machine_id) if fragment.machine_id is not None else None
            yield b'%s,"costSoFar":%.5f,"lastUsedAt":%s,"lastSyncedAt":%s,"stale":%s}' % (
                fragment.head,
                fragment.billing.dollars_at(now, adjusted=adjusted(snapshot.instance.id)),
                _NULL if last_used is None else _quoted(last_used),
                _NULL if last_synced is None else _quoted(last_synced),
                stale,
            )

    def _fragment(self, snapshot: Snapshot, now: float) -> _Fragment:
        instance = snapshot.instance
        kept = self._fragments.get(instance.id)
        if (
            kept is not None
            and kept.version == snapshot.version
            and now < kept.holds_until
            and kept.mark == self._explaining.mark(instance)
        ):
            return kept
        made = self._encode(snapshot, now)
        if instance.state.live:
            self._keep(instance.id, made)
        return made

    def _encode(self, snapshot: Snapshot, now: float) -> _Fragment:
        instance, prospect = snapshot.instance, self._explaining.prospect(snapshot, now)
        idle = policy_of(instance.spec.auto_stop, self._idleness.rule(instance))
        policies = {"autoStop": idle, "migration": migration_of(instance.spec.migration, self._usual_move)}
        coming = next_action(prospect.coming)
        view = view_of(instance, usual_check=self._usual_check, policies=policies, coming=coming)
        return _Fragment(
            version=snapshot.version,
            head=_ENCODER.encode(view)[:-1],
            billing=billing_of(instance),
            machine_id=instance.serving.id if instance.serving else None,
            holds_until=inf if prospect.holds_until is None else prospect.holds_until,
            mark=self._explaining.mark(instance),
        )

    def _keep(self, instance_id: str, fragment: _Fragment) -> None:
        if len(self._fragments) > 2 * len(self._reads.all()) + 100:
            live = {snapshot.instance.id for snapshot in self._reads.all()}
            self._fragments = {key: kept for key, kept in self._fragments.items() if key in live}
        self._fragments[instance_id] = fragment


@lru_cache(maxsize=4096)
def _quoted(at: float) -> bytes:
    """A time as JSON; sweeps give many machines the same one."""
    return b'"%s"' % iso(at).encode()
