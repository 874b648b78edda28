"""Nothing is ever sent to a private address (promise W7): judged by listeners that count who connects."""

import socket

import pytest

from novitai.egress.addresses import Guard
from novitai.egress.client import EgressClient
from novitai.egress.errors import AddressRefused, ConnectFailed, EgressError, InvalidUrl
from support.peers import LOOPBACK, ToldResolver
from support.private_addresses import SPELLINGS

# {port} is the canary's on 127.0.0.1. That no canary hears of any of these, by whatever way, is shown by proof W7; here is how callers learn it.
LITERALS = [f"http://{spelling}:{{port}}/" for spelling in SPELLINGS] + [
    "http://169.254.169.254/latest/meta-data/",
    "https://127.0.0.1:{port}/",
    "http://user@127.0.0.1:{port}/",
    "http://8.8.8.8@127.0.0.1:{port}/",
    "http://8.8.8.8\\@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@8.8.8.8/",
    "file:///etc/passwd",
    "unix:///run/docker.sock",
]
# On most systems these are names that nobody has.
NOBODY = ["http://%31%32%37.0.0.1:{port}/", "http://localhost.:{port}/"]

PRIVATE = [
    "127.0.0.1",
    "::1",
    "10.0.0.1",
    "169.254.169.254",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "fd00:ec2::254",
    "0.0.0.0",
]


@pytest.fixture
async def canaries(listen):
    return await listen(), await listen(host="::1")


def connections(canaries):
    return sum(canary.connections for canary in canaries)


@pytest.mark.parametrize("form", LITERALS)
async def test_no_form_of_a_private_address_is_reached(form, canaries):
    """By webhook and by health check alike: refused, and no canary saw a connection."""
    url = form.format(port=canaries[0].port)
    async with EgressClient(Guard(), connect_timeout=2.0) as client:
        for call in (client.post(url, b"{}", {}, deadline_seconds=3.0), client.get(url, {}, deadline_seconds=3.0)):
            with pytest.raises((AddressRefused, InvalidUrl, *([ConnectFailed] if form in NOBODY else []))):
                await call

    assert connections(canaries) == 0


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_leads_to_a_private_address_is_refused(address, canaries):
    """DNS is somebody else's input."""
    async with EgressClient(Guard(), resolver=ToldResolver(hook_example=[[address]])) as client:
        with pytest.raises(AddressRefused, match=r"hook\.example"):
            await client.post(f"http://hook.example:{canaries[0].port}/", b"{}", {})
        with pytest.raises(AddressRefused):
            await client.connect_tcp("hook.example", canaries[0].port)

    assert connections(canaries) == 0


@pytest.mark.parametrize("answers", [["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], ["2606:4700::1111", "::1"]])
async def test_one_private_address_among_public_ones_refuses_them_all(answers, canaries):
    """Nothing is dialled, the public one neither."""
    async with EgressClient(Guard(), resolver=ToldResolver(hook_example=[answers])) as client:
        with pytest.raises(AddressRefused):
            await client.post(f"http://hook.example:{canaries[0].port}/", b"{}", {}, deadline_seconds=2.0)

    assert connections(canaries) == 0


async def test_a_name_that_answers_differently_the_second_time_is_refused_then(canaries):
    """Rebinding: the first answer was public when the endpoint was registered, the next one is not."""
    names = ToldResolver(hook_example=[["192.88.98.1"], ["127.0.0.1"]])
    Guard().check((await names.resolve("hook.example"))[0]["host"])

    async with EgressClient(Guard(), resolver=names) as client:
        for _ in range(3):
            with pytest.raises(AddressRefused):
                await client.post(f"http://hook.example:{canaries[0].port}/", b"{}", {})

    assert connections(canaries) == 0


async def test_a_rebound_name_is_caught_after_an_allowed_call(listen, canaries):
    """The same client, the same name: the first call was fine, and its good name is not remembered for the next address."""

    async def once(reader, writer):
        await peer.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    peer = await listen(once, host="127.0.0.9")
    guard = Guard(["127.0.0.9/32"])
    # Two ports are two look-ups, so the kept answer of the first is not used for the second.
    async with EgressClient(guard, resolver=ToldResolver(hook_example=[["127.0.0.9"], ["127.0.0.1"]])) as client:
        assert (await client.post(f"http://hook.example:{peer.port}/", b"{}", {})).status == 200
        with pytest.raises(AddressRefused):
            await client.post(f"http://hook.example:{canaries[0].port}/", b"{}", {})

    assert connections(canaries) == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(status, listen, client, canaries):
    """Also for peers that may be called."""

    async def redirect(reader, writer):
        await peer.request(reader)
        writer.write(f"HTTP/1.1 {status} Moved\r\nLocation: {canaries[0].url()}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    peer = await listen(redirect)
    answers = [await client.post(peer.url(), b"{}", {}), await client.get(peer.url(), {})]

    assert [answer.status for answer in answers] == [status, status]
    assert answers[0].headers["location"] == canaries[0].url()
    assert connections(canaries) == 0


async def test_proxies_and_logins_of_the_environment_are_ignored(listen, canaries, monkeypatch, tmp_path):
    """A proxy would dial for us, past the guard."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.9 login me password secret\n")
    netrc.chmod(0o600)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, canaries[0].url())
    monkeypatch.setenv("NETRC", str(netrc))

    async def answer(reader, writer):
        await peer.request(reader)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()

    peer = await listen(answer, host="127.0.0.9")
    async with EgressClient(Guard(LOOPBACK)) as client:
        assert (await client.post(peer.url(), b"{}", {})).status == 204

    assert b"authorization" not in peer.requests[0].lower()
    assert connections(canaries) == 0


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "localhost", "127.1", "2130706433", "0x7f.1", "::ffff:127.0.0.1", "0.0.0.0"]
)
async def test_tcp_health_checks_pass_the_same_guard(host, canaries):
    """Connecting is enough to do harm."""
    async with EgressClient(Guard()) as client:
        with pytest.raises(AddressRefused):
            await client.connect_tcp(host, canaries[":" in host and "." not in host].port)

    assert connections(canaries) == 0


async def test_an_allowed_range_is_called_by_http_and_tcp_and_by_name(listen):
    """LAN receivers work once the operator lists them."""

    async def answer(reader, writer):
        await peer.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()

    peer = await listen(answer)
    async with EgressClient(Guard(["127.0.0.0/8"]), resolver=ToldResolver(lan_example=[["127.0.0.1"]])) as client:
        assert (await client.get(peer.url(), {})).body_prefix == b"ok"
        assert (await client.get(f"http://lan.example:{peer.port}/", {})).body_prefix == b"ok"
        assert await client.connect_tcp("lan.example", peer.port) >= 0

    assert peer.connections >= 2


async def test_a_name_with_several_addresses_is_reached_at_one_that_answers(listen):
    """A dead address does not make the peer unreachable."""

    async def answer(reader, writer):
        await peer.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    peer = await listen(answer, host="127.0.0.1")
    names = ToldResolver(lan_example=[["127.0.0.77", "127.0.0.1"]])
    async with EgressClient(Guard(LOOPBACK), resolver=names) as client:
        assert (await client.get(f"http://lan.example:{peer.port}/", {})).status == 200
        assert await client.connect_tcp("lan.example", peer.port) >= 0


async def test_what_python_resolves_is_checked_even_without_a_resolver_of_ours():
    """The system resolver turns odd spellings into loopback; the guard sees the result."""
    assert socket.gethostbyname("127.1") == "127.0.0.1"
    async with EgressClient(Guard()) as client:
        with pytest.raises(EgressError):
            await client.connect_tcp("127.1", 80)
