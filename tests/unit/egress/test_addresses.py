"""The guard's table (promise W7)."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novitai.egress.addresses import Guard
from novitai.egress.errors import AddressRefused

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:800::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]

REFUSED = {
    "private": [
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "fc00::1",
        "fd12:3456::1",
        "fec0::1",
        "::ffff:10.0.0.1",
        "::ffff:192.168.1.1",
        "64:ff9b::10.0.0.1",
    ],
    "loopback": ["127.0.0.1", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0"],
    "link-local": ["169.254.0.1", "169.254.255.255", "fe80::1", "fe80::1%eth0", "febf::1", "::ffff:169.254.1.1"],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "shared (carrier-grade NAT)": ["100.64.0.1", "100.127.255.255"],
    "documentation or benchmarking": [
        "192.0.2.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "2001:db8::1",
        "3fff::1",
    ],
    "tunnel": [
        "192.88.99.1",
        "2001::1",
        "2002::1",
        "2002:808:808::1",
        "2002:7f00:1::",
        "64:ff9b:1::1",
        "::127.0.0.1",
        "::8.8.8.8",
    ],
    "reserved": [
        "192.0.0.1",
        "192.0.0.170",
        "240.0.0.1",
        "255.255.255.255",
        "2001:2::1",
        "2001:10::1",
        "100::1",
        "5f00::1",
        "4000::1",
    ],
    "metadata": [
        "169.254.169.254",
        "169.254.169.253",
        "169.254.170.2",
        "169.254.170.23",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "::169.254.169.254",
        "64:ff9b:1::a9fe:a9fe",
        "2606:4700::a9fe:a9fe",
        "::ffff:100.100.100.200",
        str(ipaddress.IPv6Address((0x20010000 << 96) | (0x01020304 << 64) | (0xA9FEA9FE ^ 0xFFFFFFFF))),
    ],
    "malformed": ["", "localhost", "127.1", "0177.0.0.1", "2130706433", "1.2.3.4.5", "::g"],
}
EVERY_REFUSED = [(address, reason) for reason, addresses in REFUSED.items() for address in addresses]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_called(address):
    """Including the forms that translating networks give to public IPv4 addresses."""
    Guard().check(address)


@pytest.mark.parametrize(("address", "reason"), EVERY_REFUSED)
def test_every_other_address_is_refused_and_the_reason_said(address, reason):
    """More than sixty forms."""
    with pytest.raises(AddressRefused) as refusal:
        Guard().check(address, host="hook.example")

    assert reason in str(refusal.value)
    assert "hook.example" in str(refusal.value)


@pytest.mark.parametrize("address", REFUSED["metadata"])
def test_metadata_is_refused_whatever_the_operator_allows(address):
    """No setting opens it."""
    guard = Guard(["0.0.0.0/0", "::/0", "169.254.169.254/32", "fd00:ec2::254/128"])

    assert guard.refusal(address) == "metadata"


def test_an_allowed_range_is_called_and_its_neighbours_are_not():
    """The operator opens what is meant, also in its wrapped forms."""
    guard = Guard(["10.1.0.0/16", " 127.0.0.1/32 ", "fd12::/16", "192.168.7.9"])

    for address in ("10.1.2.3", "::ffff:10.1.2.3", "127.0.0.1", "fd12::7", "192.168.7.9"):
        guard.check(address)
    for address in ("10.2.0.1", "127.0.0.2", "::1", "fd13::7", "192.168.7.8"):
        assert guard.refusal(address) is not None


def test_allowing_a_tunnel_does_not_allow_what_it_leads_to():
    """The address inside is judged by itself."""
    guard = Guard(["2002::/16", "::/96"])

    assert guard.refusal("2002:808:808::1") is None
    assert guard.refusal("2002:7f00:1::") == "loopback"
    assert guard.refusal("::10.0.0.1") == "private"


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.0.0.1.",
            "0",
            "10.0.0.1",
            "169.254.169.254",
        ),
        *("::1", "fe80::1%eth0", "::ffff:10.0.0.1", "localhost", "LOCALHOST", "localhost.", "a.localhost"),
    ],
)
def test_a_host_that_is_an_address_is_judged_before_it_is_called(host):
    """In every spelling that a resolver takes for one; localhost is one everywhere."""
    assert Guard().refusal_of_host(host) is not None


@pytest.mark.parametrize(
    "host", ["hook.example", "8.8.8.8", "2606:4700::1111", "localhost.example", "10.0.0.1.example"]
)
def test_a_name_is_not_judged_before_it_is_looked_up(host):
    """And a public address is fine."""
    assert Guard().refusal_of_host(host) is None


def test_a_listed_host_is_not_refused_beforehand():
    """But a metadata service is."""
    guard = Guard(["127.0.0.0/8", "169.254.0.0/16"])

    assert guard.refusal_of_host("127.1") is None
    assert guard.refusal_of_host("localhost") is None
    assert guard.refusal_of_host("169.254.169.254") == "metadata"


@pytest.mark.parametrize("cidr", ["", "10.0.0.0/33", "lan", "10.0.0/8"])
def test_a_range_that_is_none_is_refused_at_once(cidr):
    """A typing mistake does not quietly allow or refuse anything."""
    with pytest.raises(ValueError, match=r"does not appear|Octet|octet|not permitted|netmask|Expected"):
        Guard([cidr])


@given(st.ip_addresses())
def test_what_python_itself_calls_private_is_always_refused(address):
    """Our table is never more permissive than the standard library's (but for translated public addresses)."""
    wrapped = address.version == 6 and (
        address.ipv4_mapped is not None or address in ipaddress.ip_network("64:ff9b::/96")
    )
    if not address.is_global and not wrapped:
        assert Guard().refusal(str(address)) is not None
