"""What is written down of everything done, and the seals that chain it: each change leaves one entry in its own commit, and a seal binds a
batch of entries to all batches before it, so that a change or a gap shows.
"""

from typing import Any

import msgspec


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change: who did what to what, when, from where, and under which request. `detail` holds no secret.

    `by` is the word that stands in `desired.by`: `user:<key>`, or the name of a policy. `address` is empty for what acts by itself.
    """

    id: str
    at: float
    by: str
    action: str
    target: str
    detail: dict[str, Any] = {}
    request_id: str = ""
    correlation_id: str = ""
    address: str = ""


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """A link of the chain: the entries of the log after one position and up to another, from the earliest `first_at` to the latest
    `last_at` (a clock may have been set back among them).

    `digest` is the SHA-256 over the entries as stored, `previous` the `mac` of the seal before (empty for the first), and `mac` the
    HMAC-SHA256 over all other fields with the installation's audit key. Hexadecimal.
    """

    number: int
    after: int
    upto: int
    count: int
    first_at: float
    last_at: float
    digest: str
    previous: str
    mac: str


class Break(msgspec.Struct, frozen=True):
    """Where the chain does not hold, and why. `number` 0: nothing of it could be read."""

    number: int
    what: str


class ChainReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a walk along the chain found. `unsealed` entries are younger than the last seal; of `trimmed` seals only the link is left."""

    seals: int
    entries: int
    unsealed: int
    trimmed: int
    head: str
    breaks: tuple[Break, ...]

    @property
    def whole(self) -> bool:
        return not self.breaks
