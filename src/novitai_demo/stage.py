"""What the story is played on: simulator, server and receiver, each found by its address, on free ports of this machine.

The durations of the simulated Novita are those of a real one (minutes to pull an image and to load a model), divided by
60; the clock stays real. The server gets the settings of a production server in miniature: it looks more often, since
a minute here passes in a second.
"""

import base64
import http.client
import json
import re
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from novitai_client import Client
from novitai_demo.children import Child, output_of
from novitai_demo.errors import DemoFailed
from novitai_demo.receiver import Receiver

SETUP_SECONDS = 90.0
_LOOK_SECONDS = 0.05
SCENARIO = {
    "speed": 60,
    "balance": 20,
    "delays": {
        "pending": 5,
        "toCreate": 10,
        "creating": 45,
        "pulling": 300,
        "toStart": 5,
        "starting": 60,
        "startPulling": 25,
        "toStop": 10,
        "stopping": 50,
        "appRefuse": 20,
        "appWarmup": 190,
    },
}
PACE = {
    "INSTANCE_POLL_INTERVAL": "10s",
    "INSTANCE_FAST_POLL_INTERVAL": "1s",
    "HEALTH_CHECK_INTERVAL": "500ms",
    "HEALTH_CHECK_RETRY_ATTEMPTS": "1",
    "UPSTREAM_RATE_LIMIT": "600",
}
_SETTING = re.compile(r"^ *([A-Z_]+)=(\S+)$", re.MULTILINE)
_LISTENING = re.compile(r"^listening on (\S+)$", re.MULTILINE)


class Stage:
    """Simulator, server and receiver in `folder`, from `set_up` until the end of the `with` block.

    `simulator_url`, `url` and `key` are for whoever wants to look around; `client` has both.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ends = ExitStack()
        self._children: list[Child] = []
        self.simulator_url = ""
        self.url = ""
        self.key = ""
        self.webhook_secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def set_up(self) -> None:
        """Start everything, and return when the server may get requests. Raises DemoFailed."""
        deadline = time.monotonic() + SETUP_SECONDS
        self.receiver = Receiver(self.webhook_secret)
        self._ends.callback(self.receiver.stop)
        simulator = self._simulator()
        self.key = output_of(["keys", "generate"], folder=self._folder)
        self._wait("simulator", lambda: bool(_LISTENING.search(simulator.said())), deadline=deadline)
        self.simulator_url = _LISTENING.findall(simulator.said())[0]
        self._server(dict(_SETTING.findall(simulator.said())))
        self._wait("server", lambda: _answers(self.url, "/readyz"), deadline=deadline)
        self.client = Client(self.url, self.key)
        self._ends.callback(self.client.close)

    def check(self) -> None:
        """Raises DemoFailed when the simulator or the server has ended by itself."""
        for child in self._children:
            child.check()

    def logs(self) -> Mapping[str, str]:
        """The last lines of who ended by himself; while all are alive, of the one that was started last."""
        told = [child for child in self._children if child.ended] or self._children[-1:]
        return {child.name: child.tail() for child in told}

    def _simulator(self) -> Child:
        scenario = self._folder / "scenario.json"
        scenario.write_text(json.dumps(SCENARIO), encoding="utf-8")
        return self._start("simulator", "simulate", "--port", "0", "--scenario", str(scenario), settings={})

    def _server(self, novita: Mapping[str, str]) -> None:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings = {
            **novita,
            **PACE,
            "NOVITAI_API_KEY": self.key,
            "NOVITAI_DATA_DIR": str(self._folder / "data"),
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "WEBHOOK_URL": self.receiver.url,
            "WEBHOOK_SECRET": self.webhook_secret,
            "LOG_FORMAT": "console",
        }
        self._start("server", "serve", settings=settings)

    def _start(self, name: str, *arguments: str, settings: Mapping[str, str]) -> Child:
        child = Child(name, arguments, settings=settings, folder=self._folder)
        self._ends.callback(child.stop)
        self._children.append(child)
        return child

    def _wait(self, name: str, come: Callable[[], bool], *, deadline: float) -> None:
        while not come():
            self.check()
            if time.monotonic() > deadline:
                raise DemoFailed(f"the {name} was not there within {SETUP_SECONDS:g} s")
            time.sleep(_LOOK_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(url: str, path: str) -> bool:
    """Whether somebody answers well there. No proxy of the caller's environment is asked."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
