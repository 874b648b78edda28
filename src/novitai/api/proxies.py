"""From which address a request comes, when proxies stand before us.

Anybody can write `X-Forwarded-For` or `Forwarded` (RFC 7239), so they count only on a connection from a listed proxy, and are read from
the right, where such a proxy wrote: the caller is the right-most address that is not a listed proxy itself. What stands further left was
sent by the caller. A proxy adds to one of the two headers and passes the other on unseen, so where both are there and differ, neither is
believed. This knows nothing of keys.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Header = tuple[bytes, bytes]

UNKNOWN = "unknown"
"""The address of a connection that has none."""
MOST_HOPS = 20
"""More proxies in a row than anybody has; what stands left of them is not looked at."""

_FOR = re.compile(r'(?:^|;)\s*for="?(?P<node>[^";\s]+)"?\s*(?:;|$)', re.IGNORECASE)
_WITH_PORT = re.compile(r"\[(?P<v6>[0-9a-fA-F:.]+)\](?::\w+)?|(?P<v4>[0-9.]+)(?::\w+)?")


class Proxies:
    """The listed ones."""

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        self._trusted = tuple(trusted)

    def caller(self, peer: str, headers: Iterable[Header]) -> str:
        """The address that a request is counted and written down under. `peer`: where the connection comes from."""
        at = _address(peer)
        if at is None:
            return peer
        if not self._is_proxy(at):
            return str(at)
        told = self._told(list(headers), at)
        return str(told.pop()) if len(told) == 1 else str(at)

    def _told(self, headers: list[Header], peer: Address) -> set[Address]:
        """What each of the two headers says, if it is there."""
        found = set()
        for name, hops in ((b"x-forwarded-for", _hops), (b"forwarded", _forwarded_hops)):
            lines = [value.decode("latin-1") for one, value in headers if one == name]
            if lines:
                found.add(self._first_stranger(hops(",".join(lines)), peer))
        return found

    def _first_stranger(self, hops: Iterable[Address | None], peer: Address) -> Address:
        """From the right: the first address that is no proxy. A hop that is no address ends the search at the one that named it."""
        nearest = peer
        for hop in hops:
            if hop is None:
                return nearest
            if not self._is_proxy(hop):
                return hop
            nearest = hop
        return nearest

    def _is_proxy(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _hops(text: str) -> Iterator[Address | None]:
    for part in _from_the_right(text):
        yield _node(part)


def _forwarded_hops(text: str) -> Iterator[Address | None]:
    for part in _from_the_right(text):
        named = _FOR.search(part)
        yield _node(named["node"]) if named else None


def _from_the_right(text: str) -> Iterator[str]:
    """Cut at commas, quoted ones too: what a caller hides in quotes lies left of what a proxy added, and is no address."""
    parts = (part.strip() for part in reversed(text.rsplit(",", MOST_HOPS)[-MOST_HOPS:]))
    return (part for part in parts if part)


def _node(text: str) -> Address | None:
    """An address as headers have it: plain, or with a port."""
    plain = _address(text)
    if plain is not None:
        return plain
    found = _WITH_PORT.fullmatch(text)
    return _address(found["v6"] or found["v4"]) if found else None


def _address(text: str) -> Address | None:
    """An address; one of IPv4 in an IPv6 form is the IPv4 one, so that nobody has two names."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
