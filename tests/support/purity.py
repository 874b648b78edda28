"""Holds the pure layers to their word: while their tests run, opening a socket or waiting is an error."""

import asyncio
import socket
import time
from typing import NoReturn

import pytest


@pytest.fixture(autouse=True)
def neither_sockets_nor_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions are computed, so their tests have nobody to call and nothing to wait for."""

    def refuse(*_args: object, **_kwargs: object) -> NoReturn:
        raise AssertionError("the pure layers open no sockets and never wait")

    for module, name in ((socket, "socket"), (socket, "create_connection"), (time, "sleep"), (asyncio, "sleep")):
        monkeypatch.setattr(module, name, refuse)
