"""Whatever a peer does, a call ends by its deadline and costs little (promises W3 and U4)."""

import asyncio
import resource
import ssl
import subprocess
import time
import zlib

import pytest

from novitai.egress.addresses import Guard
from novitai.egress.client import EgressClient
from novitai.egress.errors import BadAnswer, ConnectFailed, EgressError, InvalidUrl, TimedOut
from support.peers import LOOPBACK, ToldResolver

SHORT = 0.3
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def say(writer, text, *, times=1):
    for _ in range(times):
        writer.write(text)
        await writer.drain()


async def drip(writer, text):
    for place in range(len(text)):
        await say(writer, text[place : place + 1])
        await asyncio.sleep(0.05)


async def timed(call):
    began = time.monotonic()
    try:
        return await call, time.monotonic() - began
    except EgressError as error:
        return error, time.monotonic() - began


async def silent(reader, writer):
    await reader.read()


async def slow_headers(reader, writer):
    await drip(writer, b"HTTP/1.1 200 OK\r\n" + b"X-More: yes\r\n" * 1_000)


async def slow_body(reader, writer):
    await say(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    await drip(writer, b"x" * 100_000)


async def slow_chunks(reader, writer):
    await say(writer, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await drip(writer, b"1\r\nx\r\n" * 10_000)


async def endless_continue(reader, writer):
    while True:
        await say(writer, b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "peer", [silent, slow_headers, slow_body, slow_chunks, endless_continue], ids=lambda peer: peer.__name__
)
async def test_a_slow_peer_is_left_at_the_deadline(peer, listen, client):
    """The deadline covers headers and body, not only the pauses between bytes."""
    listener = await listen(peer)

    outcome, seconds = await timed(client.post(listener.url(), b"{}", {}, deadline_seconds=SHORT))

    assert isinstance(outcome, TimedOut)
    assert SHORT - 0.05 <= seconds < SHORT + 0.7


async def test_an_endless_body_is_read_to_the_cap_and_no_further(listen, client):
    """The status is known, so it is an answer; the connection is closed."""
    closed = asyncio.Event()

    async def endless(reader, writer):
        try:
            await say(writer, b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                await say(writer, b"x" * 65_536)
        except ConnectionError:
            closed.set()

    listener = await listen(endless)
    answer = await client.get(listener.url(), {}, max_body=1_000)

    assert (answer.status, answer.body_prefix) == (200, b"x" * 1_000)
    await asyncio.wait_for(closed.wait(), 2.0)


async def test_a_gzip_bomb_is_not_unpacked(listen, client):
    """200 kB that would become 200 MB stay what they are, and at most the cap is kept."""
    packer = zlib.compressobj(1, wbits=31)
    bomb = b"".join([packer.compress(bytes(1_000_000)) for _ in range(200)]) + packer.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    async def explode(reader, writer):
        await say(writer, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)

    listener = await listen(explode)
    answer = await client.get(listener.url(), {}, max_body=16_384)

    assert answer.body_prefix == bomb[:16_384]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16_384  # kB


async def test_no_compression_is_asked_for(listen, client):
    """So an honest peer's body can be read as it is."""
    listener = await listen(None)
    listener.handler = lambda reader, writer: answered(listener, reader, writer)

    await client.get(listener.url(), {})

    assert b"Accept-Encoding: identity" in listener.requests[0]


async def answered(listener, reader, writer, text=OK):
    await listener.request(reader)
    await say(writer, text)


BROKEN = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "nothing": b"",
    "half a header": b"HTTP/1.1 200 O",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    "a broken chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n",
    "a header of 64 kB": b"HTTP/1.1 200 OK\r\nX-Big: " + b"x" * 65_536 + b"\r\n\r\n",
    "a thousand headers": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(1_000)) + b"\r\n",
    "a status of letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nok",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nok",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
async def test_what_is_no_complete_answer_is_a_bad_answer(text, listen, client):
    """One typed error for everything a broken peer may say."""
    listener = await listen(None)
    listener.handler = lambda reader, writer: answered(listener, reader, writer, text)

    with pytest.raises(BadAnswer):
        await client.post(listener.url(), b"{}", {}, deadline_seconds=2.0)


async def test_the_exact_bytes_and_headers_are_sent_and_the_answer_is_told(listen, client):
    """What was signed is what arrives; what came back is kept, in lower-case names."""
    body = '{"a": "ü"}'.encode()
    listener = await listen(None)
    text = (
        b"HTTP/1.1 503 Later\r\nRetry-After: 7\r\nX-A: 1\r\nX-a: 2\r\nSet-Cookie: a=b\r\nContent-Length: 4\r\n\r\nbusy"
    )
    listener.handler = lambda reader, writer: answered(listener, reader, writer, text)

    answer = await client.post(
        listener.url("/hook?a=%2F"), body, {"Content-Type": "application/json", "webhook-id": "evt_1"}
    )
    await client.get(f"http://127.0.0.1:{listener.port}?q=ü {{x}}#part".replace(" ", "%20"), {})

    head, _, sent = listener.requests[0].partition(b"\r\n\r\n")
    assert sent == body
    assert head.startswith(b"POST /hook?a=%2F HTTP/1.1\r\n")
    assert b"webhook-id: evt_1" in head
    assert b"Content-Type: application/json" in head
    assert (answer.status, answer.headers["retry-after"], answer.headers["x-a"]) == (503, "7", "1, 2")
    assert answer.body_prefix == b"busy"
    assert answer.elapsed_ms > 0
    assert listener.requests[1].startswith(b"GET /?q=%C3%BC%20%7Bx%7D HTTP/1.1")
    assert b"cookie" not in listener.requests[1].lower()


async def test_a_refused_connection_and_an_unknown_name_say_that_nothing_was_sent(listen):
    """The difference matters to whoever must not send twice."""
    gone = await listen()
    await gone.close()
    async with EgressClient(Guard(LOOPBACK), resolver=ToldResolver(lan_example=[["127.0.0.1"]])) as client:
        for url in (gone.url(), f"http://lan.example:{gone.port}/", "http://nobody.example/"):
            with pytest.raises(ConnectFailed):
                await client.post(url, b"", {})
        with pytest.raises(ConnectFailed):
            await client.connect_tcp("lan.example", gone.port)
        with pytest.raises(ConnectFailed):
            await client.connect_tcp("nobody.example", 80)


async def test_a_name_server_that_never_answers_is_left_at_the_connect_time_out():
    """Resolving is part of connecting."""

    class Hanging(ToldResolver):
        async def resolve(self, host, port=0, family=0):
            await asyncio.Event().wait()

    async with EgressClient(Guard(), connect_timeout=SHORT, resolver=Hanging()) as client:
        outcome, seconds = await timed(client.post("http://hook.example/", b"", {}, deadline_seconds=5.0))
        tcp, tcp_seconds = await timed(client.connect_tcp("hook.example", 80, deadline_seconds=SHORT))

    assert isinstance(outcome, TimedOut)
    assert isinstance(tcp, TimedOut)
    assert max(seconds, tcp_seconds) < SHORT + 0.7


@pytest.mark.parametrize("port", [0, -1, 65_536])
async def test_an_impossible_tcp_port_is_refused(port, client):
    """As in a URL."""
    with pytest.raises(InvalidUrl):
        await client.connect_tcp("127.0.0.1", port)


async def test_a_silent_port_passes_a_tcp_check_and_a_closed_one_does_not(listen, client):
    """Connecting is all it asks."""
    listener = await listen(silent)

    assert 0 <= await client.connect_tcp("127.0.0.1", listener.port) < 1_000


async def test_a_thousand_hanging_peers_do_not_hold_back_one_that_answers(listen, client):
    """No shared limit, no queue: each call has its own connection."""
    hanging, healthy = await listen(silent), await listen(None)
    healthy.handler = lambda reader, writer: answered(healthy, reader, writer)
    stuck = [
        asyncio.create_task(timed(client.post(hanging.url(), b"", {}, deadline_seconds=4.0))) for _ in range(1_000)
    ]
    while hanging.connections < 1_000:
        await asyncio.sleep(0.01)

    outcomes = [await timed(client.post(healthy.url(), b"", {})) for _ in range(20)]
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)

    assert all(answer.status == 200 for answer, _ in outcomes)
    assert max(seconds for _, seconds in outcomes) < 0.5


async def test_every_call_dials_anew_so_a_peer_that_closes_without_saying_so_fails_none(listen, client):
    """A kept connection may be closing at that moment; and each call's address is judged when it is dialled."""
    listener = await listen(None)
    listener.handler = lambda reader, writer: answered(listener, reader, writer)

    for _ in range(20):
        assert (await client.post(listener.url(), b"{}", {})).status == 200

    assert listener.connections == 20


async def test_closing_twice_is_fine_and_leaves_nothing_open(listen):
    """Also when it was never used."""
    listener = await listen(None)
    listener.handler = lambda reader, writer: answered(listener, reader, writer)
    client = EgressClient(Guard(LOOPBACK))
    await client.get(listener.url(), {})

    await client.close()
    await client.close()
    await EgressClient(Guard()).close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for lan.example."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=lan.example",
            "-addext",
            "subjectAltName=DNS:lan.example",
            "-keyout",
            str(key),
            "-out",
            str(cert),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


async def test_a_certificate_is_trusted_by_the_ca_file_alone_and_for_its_name_alone(certificate):
    """There is no way to turn the check off."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)

    async def meet(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await say(writer, OK)
        writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    names = {"lan_example": [["127.0.0.1"]], "other_example": [["127.0.0.1"]]}
    async with (
        EgressClient(Guard(LOOPBACK), ca_file=certificate[0], resolver=ToldResolver(**names)) as trusting,
        EgressClient(Guard(LOOPBACK), resolver=ToldResolver(**names)) as plain,
    ):
        assert (await trusting.get(f"https://lan.example:{port}/", {})).status == 200
        for client, host in ((trusting, "other.example"), (plain, "lan.example")):
            with pytest.raises(ConnectFailed, match="certificate"):
                await client.get(f"https://{host}:{port}/", {})
    server.close()


def test_a_ca_file_that_is_none_stops_the_start(tmp_path):
    """Not the first delivery."""
    (tmp_path / "ca.pem").write_text("no certificate")

    with pytest.raises(OSError):
        EgressClient(Guard(), ca_file=tmp_path / "ca.pem")
