"""Where a caller is, when proxies stand between; and who can lie about it."""

import ipaddress
from dataclasses import replace

import pytest

from novitai.api.auth import GUESSES
from novitai.api.parts import ApiSettings
from novitai.api.proxies import MOST_HOPS, Proxies
from support.api_house import open_house

TRUSTED = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "fd00::/8")))
PROXY, CALLER, LIE = "10.0.0.1", "203.0.113.7", "198.51.100.9"
XFF, FORWARDED = b"x-forwarded-for", b"forwarded"


def caller(*headers, peer=PROXY, trusted=TRUSTED):
    return Proxies(trusted).caller(peer, [(name, value.encode("latin-1")) for name, value in headers])


@pytest.mark.parametrize("header", [(XFF, LIE), (FORWARDED, f"for={LIE}")])
def test_without_listed_proxies_no_header_counts(header):
    """Anybody can write one."""
    assert caller(header, trusted=()) == PROXY
    assert caller(header, peer=CALLER) == CALLER


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (CALLER, CALLER),
        (f"{LIE}, {CALLER}", CALLER),
        (f"{LIE}, {CALLER}, 10.9.9.9", CALLER),
        (f"{CALLER}, 10.9.9.9, 10.8.8.8", CALLER),
        (f"{LIE},10.1.1.1,{CALLER}", CALLER),
        ("10.9.9.9", "10.9.9.9"),
        (f"{CALLER}:4711", CALLER),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        (f"::ffff:{CALLER}", CALLER),
        ("::ffff:10.0.0.3", "10.0.0.3"),
        ("", PROXY),
        (" , ,", PROXY),
        ("unknown", PROXY),
        ("<script>", PROXY),
        (f"{CALLER}\xe9", PROXY),
        ("127.1", PROXY),
        (f"{LIE}, unknown, 10.9.9.9", "10.9.9.9"),
        (f"{LIE}, " * 5_000 + CALLER, CALLER),
        (f"{LIE}, " + ", ".join(["10.0.0.2"] * MOST_HOPS), "10.0.0.2"),
    ],
)
def test_the_right_most_address_that_is_no_proxy_is_the_caller(said, found):
    """What stands left of it was sent by the caller, who may write what they like."""
    assert caller((XFF, said)) == found


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (f"for={CALLER}", CALLER),
        (f"For={CALLER};proto=http;by=10.0.0.1", CALLER),
        (f"proto=https; for={CALLER}", CALLER),
        ('for="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        (f'for={LIE}, for="{CALLER}:80"', CALLER),
        (f'for="{LIE}, for={CALLER}', CALLER),
        (f'for="x, for={LIE}", for={CALLER}', CALLER),
        ("for=_hidden", PROXY),
        ("for=unknown", PROXY),
        (f"proto=http, for={CALLER}, for=10.2.2.2", CALLER),
        (f"for={LIE}, proto=http", PROXY),
    ],
)
def test_the_standard_header_is_read_the_same_way(said, found):
    """RFC 7239, with quotes, ports and obfuscated names."""
    assert caller((FORWARDED, said)) == found


def test_several_lines_of_a_header_are_one():
    """As if written with commas."""
    assert caller((XFF, LIE), (XFF, CALLER), (XFF, "10.3.3.3")) == CALLER


def test_two_headers_that_differ_are_both_a_lie():
    """A proxy writes one of them and passes the other on as the caller sent it."""
    assert caller((XFF, CALLER), (FORWARDED, f"for={LIE}")) == PROXY
    assert caller((XFF, CALLER), (FORWARDED, f"for={CALLER}")) == CALLER


def test_a_proxy_over_ipv6_and_one_in_mapped_form_are_known_again():
    """A socket for both families gives addresses of IPv4 in the form of IPv6."""
    assert caller((XFF, CALLER), peer="fd00::1") == CALLER
    assert caller((XFF, CALLER), peer="::ffff:10.0.0.1") == CALLER
    assert caller(peer="::ffff:203.0.113.7") == CALLER


def test_a_connection_without_an_address_stays_what_it_is_called():
    """A socket in the file system."""
    assert caller((XFF, CALLER), peer="unknown") == "unknown"


async def guess(house, *, address, said):
    async with house.client(None, address=address) as client:
        for number in range(GUESSES + 5):
            headers = {"Authorization": f"Bearer nvk_a_{number}", "X-Forwarded-For": said(number)}
            answer = await client.get("/api/instances", headers=headers)
    return answer.status_code


async def test_another_header_each_time_does_not_get_around_the_limit_on_guesses():
    """Directly, and through a proxy that adds the real address behind the made-up ones."""
    settings = replace(ApiSettings(), trusted_proxies=TRUSTED, rate_limit_max_requests=0)
    async with open_house(settings) as house:
        assert await guess(house, address=CALLER, said=lambda n: f"192.0.2.{n}") == 429
        assert await guess(house, address=PROXY, said=lambda n: f"192.0.2.{n}, {LIE}") == 429


async def test_one_guesser_behind_a_proxy_does_not_slow_down_the_others_behind_it():
    """Each is counted by their own address."""
    settings = replace(ApiSettings(), trusted_proxies=TRUSTED, rate_limit_max_requests=0)
    async with open_house(settings) as house:
        assert await guess(house, address=PROXY, said=lambda _: LIE) == 429
        async with house.client(None, address=PROXY) as other:
            headers = {"Authorization": "Bearer nvk_a_b", "X-Forwarded-For": CALLER}
            answer = await other.get("/api/instances", headers=headers)

    assert answer.status_code == 401
