"""The API on a real socket: the port, raw requests that break HTTP, and stopping."""

import asyncio
import json
import socket
import threading
import time

import httpx2
import pytest

from novitai.api.bodies import MOST_BYTES
from novitai.api.connections import LARGEST_HEAD
from novitai.api.server import Server
from novitai.domain.keys import Scope
from novitai.domain.lifecycle import State
from support import builders


def connect(running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.server.port), timeout=10)


def spoken(running, *pieces: bytes) -> bytes:
    """Everything the server answers to these bytes, until it closes or says nothing more."""
    with connect(running) as talk:
        answer = b""
        try:
            for piece in pieces:
                talk.sendall(piece)
            talk.settimeout(1.0)
            while chunk := talk.recv(65_536):
                answer += chunk
        except (TimeoutError, ConnectionError):
            pass
        return answer


def key(running) -> str:
    return running.house.keys[Scope.ADMIN]


def get(running, path: str, **options):
    headers = {"Authorization": f"Bearer {key(running)}"}
    return httpx2.get(running.server.url + path, headers=headers, **options)


def test_port_zero_takes_a_free_port_and_tells_which(running):
    """Demos and tests never collide."""
    assert running.server.port > 0
    assert get(running, "/api/instances").json()["total"] == 0


async def test_an_address_that_is_taken_is_an_error_at_once(running):
    """Instead of a server that nobody can reach."""
    again = Server(running.house.app, host="127.0.0.1", port=running.server.port, shutting_down=asyncio.Event())

    with pytest.raises(OSError, match="in use"):
        await again.start()


def test_answers_do_not_say_what_serves_them(running):
    """Nor which version."""
    assert "server" not in get(running, "/api/instances").headers


def head(running, *lines: str, path: str = "/api/instances", method: str = "GET") -> bytes:
    usual = [
        f"{method} {path} HTTP/1.1",
        "Host: x",
        "Connection: close",
        f"Authorization: Bearer {key(running)}",
        *lines,
        "",
        "",
    ]
    return "\r\n".join(usual).encode("latin-1")


BROKEN = {
    "no HTTP at all": [b"hello\r\n\r\n"],
    "two lengths": [b"POST /api/instances HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
    "a length and chunks": [
        b"POST /api/instances HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ],
    "a negative length": [b"POST /api/instances HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"],
    "a header with NUL": [b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n"],
    "a space before the colon": [b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n"],
}


@pytest.mark.parametrize("pieces", BROKEN.values(), ids=BROKEN)
def test_requests_that_break_http_are_400_or_cut_off(running, pieces):
    """Where two readers could differ about a request, none is believed."""
    answer = spoken(running, *pieces)

    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 401"))
    assert get(running, "/healthz").status_code == 200


def test_a_head_without_end_is_refused(running):
    """uvicorn itself would collect it for ever."""
    answer = spoken(running, b"GET /healthz HTTP/1.1\r\nX-A: ", *[b"a" * 16_384] * (LARGEST_HEAD // 16_384 + 4))

    assert answer == b"" or answer.startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    "sending",
    [
        lambda size: (f"Content-Length: {size}", b"x" * 10),
        lambda size: ("Transfer-Encoding: chunked", b"%x\r\n" % size + b" " * size + b"\r\n0\r\n\r\n"),
    ],
    ids=["declared", "chunked"],
)
def test_a_body_beyond_a_mebibyte_is_413(running, sending):
    """As soon as that is known: by its length, or while it comes."""
    header, body = sending(MOST_BYTES + 1)

    answer = spoken(running, head(running, header, "Content-Type: application/json", method="POST"), body)

    assert answer.startswith(b"HTTP/1.1 413")
    assert b"PAYLOAD_TOO_LARGE" in answer


PATHS = [
    "/api/../api/keys/",
    "//api/instances",
    "/api/instances/%2e%2e/keys",
    "/api/instances/..%2fkeys",
    "/api/instances;a=b",
    "/api/instances/%00",
    "/api/instances/%ff",
    "/api/instances/" + "x" * 5000,
    "/api/instances/%F0%9F%92%A9",
    "/%61pi/nothing",
]


@pytest.mark.parametrize("path", PATHS)
def test_strange_paths_lead_nowhere(running, path):
    """They are not tidied up into paths that exist."""
    answer = spoken(running, head(running, path=path))

    assert answer.split(b" ")[1] in {b"404", b"405", b"400"}


def test_events_reach_a_reader_at_once_over_a_socket(running):
    """Nothing between holds them back."""
    headers = {"Authorization": f"Bearer {key(running)}"}
    with httpx2.stream("GET", running.server.url + "/api/events/stream", headers=headers) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "retry: 2000"

        running.call(running.house.have(builders.instance(State.READY)))
        asked = httpx2.post(f"{running.server.url}/api/instances/{builders.INSTANCE_ID}/stop", headers=headers)

        data = next(line for line in lines if line.startswith("data: "))
    assert json.loads(data.removeprefix("data: "))["type"] == "instance.stopping"
    assert asked.status_code == 202


def test_stopping_answers_who_waits_and_closes_streams(running):
    """No accepted request fails because of a deploy, and stopping does not take long."""
    running.call(running.house.have(builders.instance(State.RUNNING)))
    headers = {"Authorization": f"Bearer {key(running)}"}
    answers = {}

    def wait() -> None:
        path = f"/api/instances/{builders.INSTANCE_ID}?wait=ready&timeout=60"
        answers["wait"] = get(running, path, timeout=70).json()["status"]

    def follow() -> None:
        with httpx2.stream("GET", running.server.url + "/api/events/stream", headers=headers, timeout=70) as stream:
            answers["stream"] = list(filter(None, stream.iter_lines()))

    threads = [threading.Thread(target=target) for target in (wait, follow)]
    for thread in threads:
        thread.start()
    requests = running.server._uvicorn.server_state
    while len(requests.tasks) < 2:
        time.sleep(0.01)

    began = time.monotonic()
    running.call(running.server.stop())
    took = time.monotonic() - began
    for thread in threads:
        thread.join(timeout=10)

    assert answers == {"wait": "running", "stream": ["retry: 2000", ": events follow"]}
    assert took < 3.0
    with pytest.raises(OSError):
        connect(running)


def test_stopping_twice_is_fine(running):
    """Whoever stops need not know who stopped before."""
    running.call(running.server.stop())
    running.call(running.server.stop())
