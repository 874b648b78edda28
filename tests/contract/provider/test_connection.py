"""How the client connects: what it sends with each call, through whom, and whom it trusts. Against bare servers on loopback."""

import asyncio
import datetime as dt
import gzip
import ssl
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from contract.provider.harness import ACT, HastyClock, WatchedCoordination
from novitai.domain.errors import Broken, TryLater, Unclear
from novitai.domain.ids import MachineId
from novitai.novita.provider import NovitaProvider
from novitai.novita.settings import NovitaSettings
from support.clock import FakeIds

MACHINE = MachineId("37d312386c80a3b9")
SOON = msgspec.structs.replace(ACT, deadline=0.3)
EMPTY = b'{"instances": [], "total": 0}'


class BareServer:
    """Answers each request with the next of its answers, and remembers what came, byte for byte."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.requests: list[str] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head.decode())
                await reader.readexactly(_length(head))
                writer.write(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _length(head: bytes) -> int:
    lines = [line.split(b":") for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(lines[0][1]) if lines else 0


def http(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode()
        + body
    )


@asynccontextmanager
async def listening(server: BareServer, tls: ssl.SSLContext | None = None):
    """The server on a free port of loopback, as its address."""
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://localhost:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()


@asynccontextmanager
async def client(url: str, **changes):
    """A provider that calls there."""
    clock = HastyClock()
    settings = replace(
        NovitaSettings(api_key="sk_secret", api_base_url=f"{url}/gpu-instance/openapi", version="9.9"), **changes
    )
    provider = NovitaProvider(settings, coordination=WatchedCoordination(clock), clock=clock, chance=FakeIds())
    try:
        yield provider
    finally:
        await provider.close()


async def test_each_call_says_who_calls_and_on_whose_behalf():
    """Key, program and version, the correlation id of the request; JSON is wanted."""
    server = BareServer(http(b"{}"))

    async with listening(server) as url, client(url) as provider:
        await provider.stop(MACHINE, ACT)

    (request,) = server.requests
    assert request.startswith("POST /gpu-instance/openapi/v1/gpu/instance/stop HTTP/1.1\r\n")
    assert "\r\nAuthorization: Bearer sk_secret\r\n" in request
    assert "\r\nUser-Agent: novitai/9.9\r\n" in request
    assert "\r\nX-Correlation-ID: c-1\r\n" in request
    assert "\r\nAccept: application/json\r\n" in request
    assert "\r\nContent-Type: application/json\r\n" in request


async def test_connections_are_kept():
    """Several calls in a row need one."""
    server = BareServer(http(EMPTY))

    async with listening(server) as url, client(url) as provider:
        for _ in range(3):
            await provider.machines(1, 10, ACT)

    assert (server.connections, len(server.requests)) == (1, 3)


async def test_a_redirect_is_not_followed():
    """It would carry the key to wherever it points."""
    elsewhere = BareServer(http(EMPTY))
    async with listening(elsewhere) as trap:
        server = BareServer(http(b"", status="302 Found", headers=f"Location: {trap}/\r\n"))
        async with listening(server) as url, client(url) as provider:
            with pytest.raises(Broken):
                await provider.machines(1, 10, ACT)
            with pytest.raises(Unclear):
                await provider.stop(MACHINE, ACT)

    assert elsewhere.requests == []


async def test_cookies_are_not_kept():
    """A call is like the one before."""
    server = BareServer(http(EMPTY, headers="Set-Cookie: session=1; Path=/\r\n"))

    async with listening(server) as url, client(url) as provider:
        await provider.machines(1, 10, ACT)
        await provider.machines(1, 10, ACT)

    assert "session" not in server.requests[1]


async def test_a_compressed_answer_is_read():
    """And one that grows without bounds when unpacked is cut off."""
    packed = gzip.compress(EMPTY)
    bomb = gzip.compress(b" " * (40 * 1024 * 1024))
    server = BareServer(
        http(packed, headers="Content-Encoding: gzip\r\n"), http(bomb, headers="Content-Encoding: gzip\r\n")
    )

    async with listening(server) as url, client(url) as provider:
        page = await provider.machines(1, 10, ACT)
        with pytest.raises((Broken, TryLater)):
            await provider.machines(1, 10, ACT)

    assert page.total == 0


async def test_a_truncated_answer_is_no_answer():
    """The server promised more bytes than it sent."""
    server = BareServer(http(EMPTY).replace(b"Content-Length: 29", b"Content-Length: 400"))

    async with listening(server) as url, client(url) as provider:
        with pytest.raises(TryLater):
            await provider.machines(1, 10, SOON)


async def test_the_systems_proxy_is_not_used(monkeypatch):
    """What we call through is said in our settings or nowhere."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server = BareServer(http(EMPTY))

    async with listening(server) as url, client(url) as provider:
        await provider.machines(1, 10, ACT)

    assert len(server.requests) == 1


async def test_the_set_proxy_is_used():
    """It gets the whole address."""
    proxy = BareServer(http(EMPTY))

    async with listening(proxy) as address, client("http://novita.example", proxy=address) as provider:
        await provider.machines(1, 10, ACT)

    assert proxy.requests[0].startswith("GET http://novita.example/gpu-instance/openapi/v1/gpu/instances?")


async def test_a_refusing_proxy_is_told_without_its_password():
    """Messages reach users and logs."""
    async with client("https://novita.example", proxy="http://me:hunter2@127.0.0.1:9") as provider:
        with pytest.raises(TryLater) as failure:
            await provider.machines(1, 10, ACT)

        (public, _) = await provider.upstream()

    assert "hunter2" not in str(failure.value)
    assert "hunter2" not in str(public.last_error)


async def test_a_refusal_that_repeats_the_key_is_told_without_it():
    """Whatever Novita writes into its messages."""
    body = b'{"code": 400, "reason": "REQUEST", "message": "no access for sk_secret"}'
    server = BareServer(http(body, status="400 Bad Request"))

    async with listening(server) as url, client(url) as provider:
        with pytest.raises(Exception, match="REQUEST") as failure:
            await provider.stop(MACHINE, ACT)

    assert "sk_secret" not in str(failure.value)


async def test_a_certificate_of_ones_own_is_trusted_when_it_is_named(tmp_path):
    """`UPSTREAM_CA_FILE`; without it the same server is not spoken to, and nothing is sent."""
    tls, ca_file = certified(tmp_path)
    server = BareServer(http(EMPTY))

    async with listening(server, tls) as url:
        async with client(url, ca_file=ca_file) as provider:
            await provider.machines(1, 10, ACT)
        async with client(url) as wary:
            with pytest.raises(TryLater):
                await wary.machines(1, 10, ACT)

    assert len(server.requests) == 1


def certified(folder) -> tuple[ssl.SSLContext, str]:
    """A certificate for localhost that signs itself: the server's context, and the file to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    today = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    return context, str(cert_file)
