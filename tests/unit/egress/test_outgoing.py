"""What we agree to send at all."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novitai.egress.errors import InvalidUrl
from novitai.egress.outgoing import checked_headers, checked_url


@pytest.mark.parametrize(
    "url",
    [
        "https://hook.example/a?b=c",
        "http://hook.example:8080",
        "HTTPS://Hook.Example/",
        "http://[2606:4700::1]:80/",
        "https://bücher.example/",
    ],
)
def test_plain_urls_are_taken(url):
    """http and https, with a port or without."""
    assert checked_url(url).scheme in {"http", "https"}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook.example/path",
        "//hook.example/",
        "/path",
        "file:///etc/passwd",
        "ftp://hook.example/",
        "gopher://hook.example/",
        "javascript:alert(1)",
        "unix:///run/docker.sock",
        "http://",
        "http:///path",
        "http://:80/",
        "http://user@hook.example/",
        "http://user:secret@hook.example/",
        "http://@hook.example/",
        "http://hook.example@127.0.0.1/",
        "http://hook.example:0/",
        "http://hook.example:65536/",
        "http://hook.example:port/",
        "http://hook.example\\@127.0.0.1/",
        "http://hook.example /",
        "http://hook.example/\r\nHost: other",
        "http://hook.example/\x00",
        "http://[::1",
        "http://hook.example/" + "a" * 2_100,
    ],
)
def test_urls_with_tricks_are_refused(url):
    """Other schemes, user names, control characters, backslashes, impossible ports."""
    with pytest.raises(InvalidUrl):
        checked_url(url)


@given(st.text(max_size=80))
def test_no_text_makes_the_check_fail_in_another_way(text):
    """A URL is somebody's input."""
    for url in (text, "http://" + text, "https://hook.example/" + text):
        with contextlib.suppress(InvalidUrl):
            assert checked_url(url).host


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "1\r\nX-B: 2"),
        ("X-A", "1\n"),
        ("X A", "1"),
        ("X-A:", "1"),
        ("", "1"),
        ("X-A", "\x00"),
        ("X-A", "✓"),
        ("é", "1"),
    ],
)
def test_headers_that_could_become_two_lines_are_refused(name, value):
    """No header of an endpoint can add another one."""
    with pytest.raises(InvalidUrl):
        checked_headers({name: value})


def test_ordinary_headers_are_taken_as_they_are():
    """Including a tab and letters of Latin-1."""
    headers = {"Content-Type": "application/json", "X-Team": "Zürich\tNorth", "X-Empty": ""}

    assert checked_headers(headers) == headers
