"""The chain of audit seals: how a batch of entries is bound to the one before, and what a walk along it must find."""

import hashlib
import hmac
from collections.abc import Iterable, Sequence

import msgspec

from novitai.domain.audit import Break, Seal


class Kept(msgspec.Struct, frozen=True):
    """An entry as the log keeps it."""

    position: int
    id: str
    at: float
    body: bytes


def sealed(entries: Sequence[Kept], *, last: Seal | None, key: bytes) -> Seal:
    """The seal over these entries (at least one, in order of position) that follows `last`."""
    draft = Seal(
        number=last.number + 1 if last is not None else 1,
        after=last.upto if last is not None else 0,
        upto=entries[-1].position,
        count=len(entries),
        first_at=min(entry.at for entry in entries),
        last_at=max(entry.at for entry in entries),
        digest=digest(entries),
        previous=last.mac if last is not None else "",
        mac="",
    )
    return msgspec.structs.replace(draft, mac=mac(draft, key))


def digest(entries: Iterable[Kept]) -> str:
    """SHA-256 over position, id, time and body of each entry; lengths stand before what varies, so that nothing can move between them."""
    total = hashlib.sha256()
    for entry in entries:
        for part in (str(entry.position).encode(), entry.id.encode(), repr(entry.at).encode(), entry.body):
            total.update(len(part).to_bytes(8, "big"))
            total.update(part)
    return total.hexdigest()


def mac(seal: Seal, key: bytes) -> str:
    """HMAC-SHA256 over everything else in a seal."""
    text = msgspec.json.encode(msgspec.structs.replace(seal, mac=""), order="sorted")
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def breaks(seal: Seal, entries: Sequence[Kept], *, last: Seal | None, key: bytes, trimmed: bool) -> tuple[Break, ...]:
    """What is wrong with a seal, the entries found under it and the seal before. `last` None: it is the first there is; seals are never
    forgotten.

    `trimmed`: its entries are old enough to have been forgotten, so that only the link is judged.
    """
    found = []
    if not hmac.compare_digest(seal.mac, mac(seal, key)):
        found.append(Break(seal.number, "the seal was changed, or made with another key"))
    if last is None and seal.number != 1:
        found.append(Break(seal.number, f"seals 1 to {seal.number - 1} are missing"))
    elif last is None and (seal.previous or seal.after):
        found.append(Break(seal.number, "the first seal names one before it"))
    if last is not None:
        if seal.number != last.number + 1:
            found.append(Break(seal.number, f"seals {last.number + 1} to {seal.number - 1} are missing"))
        elif seal.previous != last.mac or seal.after != last.upto:
            found.append(Break(seal.number, "it does not follow the seal before it"))
    if not trimmed and (len(entries) != seal.count or digest(entries) != seal.digest):
        gone = seal.count - len(entries)
        what = f"{gone} of {seal.count} entries are missing" if gone > 0 else "entries were changed or added"
        found.append(Break(seal.number, what))
    return tuple(found)
