"""Which addresses may be called: our own table, judged on the address about to be dialled.

Python 3.11's `ipaddress` calls the metadata service global when it is written as NAT64, 6to4 or IPv4-compatible, and
multicast too, so its properties are not asked (reliability.md 0.7). An IPv4 address inside an IPv6 one is judged
as well. Metadata services are refused always; the operator can open other refused ranges, one by one.
"""

import socket
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from novitai.egress.errors import AddressRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


# Cloud metadata and credential services: what they tell is worth more than any LAN receiver.
_METADATA = _networks(
    "169.254.169.0/24",  # AWS, GCP, Azure, DigitalOcean and most others, with their DNS and time neighbours
    "169.254.170.0/24",  # AWS container and pod credentials
    "168.63.129.16/32",  # Azure wire server
    "100.100.100.200/32",  # Alibaba Cloud
    "192.0.0.192/32",  # Oracle Cloud
    "fd00:ec2::/32",  # AWS
    "fd20:ce::254/128",  # GCP
)

_REFUSED: dict[str, tuple[Network, ...]] = {
    "private": _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
    "loopback": _networks("127.0.0.0/8", "::1/128"),
    "unspecified": _networks("0.0.0.0/8", "::/128"),
    "link-local": _networks("169.254.0.0/16", "fe80::/10"),
    "multicast": _networks("224.0.0.0/4", "ff00::/8"),
    "shared (carrier-grade NAT)": _networks("100.64.0.0/10"),
    "documentation or benchmarking": _networks(
        "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"
    ),
    "tunnel": _networks("192.88.99.0/24", "2001::/32", "2002::/16", "64:ff9b:1::/48", "::/96"),
    "reserved": _networks("192.0.0.0/24", "240.0.0.0/4", "2001::/23"),
}

# Only this part of IPv6 is given out for use on the internet.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")


class Guard:
    """Says whether an address may be called. `allow_cidrs` are ranges that are refused by default but meant to be
    reached.

    Raises ValueError for a range that is not one.
    """

    def __init__(self, allow_cidrs: Iterable[str] = ()) -> None:
        self._allowed = tuple(ip_network(cidr.strip(), strict=False) for cidr in allow_cidrs)

    def check(self, address: str, *, host: str | None = None) -> None:
        """Return when the address (a literal, as a resolver gives it) may be called, else raise AddressRefused.

        `host` is the name it was resolved from, for the message.
        """
        reason = self.refusal(address)
        if reason is not None:
            whose = "" if host in (None, address) else f" of {host}"
            raise AddressRefused(f"the address {address}{whose} is not called: {reason}")

    def refusal(self, address: str) -> str | None:
        """Why the address is refused, or None."""
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return "malformed"
        forms = (parsed, *_inside(parsed))
        # The last 32 bits too: any network may translate a prefix of its own to IPv4.
        if any(_within(form, _METADATA) for form in (*forms, IPv4Address(int(parsed) & 0xFFFF_FFFF))):
            return "metadata"
        return next((reason for form in forms if (reason := self._reason(form))), None)

    def refusal_of_host(self, host: str) -> str | None:
        """Why a host is refused that is an address by itself, in any spelling that a resolver takes for one, or that is
        `localhost`; None for every other name.
        """
        host = host.removesuffix(".").lower()
        if host == "localhost" or host.endswith(".localhost"):
            # RFC 6761: these are loopback everywhere.
            reasons = [self.refusal(address) for address in ("127.0.0.1", "::1")]
            return reasons[0] if all(reasons) else None
        address = _as_address(host)
        return self.refusal(address) if address is not None else None

    def _reason(self, address: Address) -> str | None:
        if _within(address, self._allowed) or _is_transparent(address):
            return None
        for reason, networks in _REFUSED.items():
            if _within(address, networks):
                return reason
        if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
            return "reserved"
        return None


def _as_address(host: str) -> str | None:
    """The address that a host is: `127.1`, `0x7f000001` and `2130706433` are all one for resolvers."""
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _is_transparent(address: Address) -> bool:
    """True for forms that are normal on some networks and reach exactly the IPv4 address inside, which then decides."""
    return isinstance(address, IPv6Address) and (address.ipv4_mapped is not None or address in _NAT64)


def _inside(address: Address) -> Iterator[IPv4Address]:
    """IPv4 addresses that this one wraps."""
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo
    elif address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
