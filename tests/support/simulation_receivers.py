"""Receivers on a bad day, and applications that take their time: whoever the program calls outward besides Novita.

The ledger holds every attempt as it arrived, with what was answered and whether the receiver took the event in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from novitai.domain.ids import MachineId
from novitai.egress.answers import Answer
from novitai.egress.client import EgressClient
from novitai.egress.errors import BadAnswer, ConnectFailed, EgressError, TimedOut
from support.simulation_novita import BadNovita
from support.simulation_stage import Stage

FINAL = frozenset({400, 401, 403, 404, 410, 422})


@dataclass
class Attempt:
    """A POST as it arrived. `status` None: no answer reached the caller; `taken`: the receiver has the event."""

    at: float
    url: str
    id: str
    body: bytes
    taken: bool
    status: int | None = None

    @property
    def event(self) -> dict[str, Any]:
        return msgspec.json.decode(self.body)


class BadReceivers(EgressClient):
    """See the module's text."""

    def __init__(self, stage: Stage, novita: BadNovita) -> None:
        self.stage = stage
        self.novita = novita
        self.ledger: list[Attempt] = []
        self.answered_healthy: dict[str, float] = {}  # since when, by machine
        self._slow_start: dict[str, float] = {}

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, deadline_seconds: float = 15.0, max_body: int = 0
    ) -> Answer:
        status, error, seconds, taken = self._fate(deadline_seconds)
        attempt = Attempt(self.stage.clock.now(), url, headers["webhook-id"], body, taken)
        self.ledger.append(attempt)
        self.stage.note("receiver", attempt.id, attempt.event["type"], status or error)
        await self.stage.clock.sleep(seconds)
        if error is not None:
            raise error
        attempt.status = status
        return Answer(status=status, headers=self._headers(status), body_prefix=b"", elapsed_ms=1.0)

    def _fate(self, deadline: float) -> tuple[int, EgressError | None, float, bool]:
        """Status, or what happens instead; after how long; and whether the event is taken in."""
        stage = self.stage
        if stage.lasts("receiver away"):
            return 0, ConnectFailed("connection refused"), 0.05, False
        if stage.happens("receiver hangs"):
            return 0, TimedOut("no complete answer"), deadline, stage.chance.random() < 0.5
        if stage.happens("acknowledgement lost"):
            return 0, BadAnswer("connection reset"), 0.2, True
        if stage.happens("receiver fails"):
            return stage.chance.choice((500, 502, 503, 429, 408)), None, 0.1, False
        if stage.happens("receiver says stop"):
            return stage.chance.choice(sorted(FINAL)), None, 0.1, False
        return 200, None, 0.02, True

    def _headers(self, status: int) -> Mapping[str, str]:
        if status in {429, 503} and self.stage.chance.random() < 0.5:
            return {"retry-after": self.stage.chance.choice(("3", "60", "soon"))}
        return {}

    async def get(
        self, url: str, headers: Mapping[str, str], *, deadline_seconds: float = 15.0, max_body: int = 0
    ) -> Answer:
        machine_id = url.removeprefix("https://").partition("-")[0]
        await self.stage.clock.sleep(0.05)
        ran_since = self.novita.ran_since(MachineId(machine_id))
        if ran_since is None:
            raise ConnectFailed("connection refused")
        if self.stage.clock.now() < self.answers_at(machine_id, ran_since):
            return Answer(status=502, headers={}, body_prefix=b"bad gateway", elapsed_ms=1.0)
        self.answered_healthy.setdefault(machine_id, self.stage.clock.now())
        return Answer(status=200, headers={}, body_prefix=b"ok", elapsed_ms=1.0)

    def answers_at(self, machine_id: str, ran_since: float) -> float:
        """From when on the application of a machine answers that runs since then."""
        if machine_id not in self._slow_start:
            late = self.stage.happens("application is late")
            self._slow_start[machine_id] = self.stage.chance.uniform(30.0, 600.0) if late else 2.0
        return ran_since + self._slow_start[machine_id]

    async def connect_tcp(self, host: str, port: int, *, deadline_seconds: float = 5.0) -> float:
        return 1.0

    async def close(self) -> None:
        """Nothing is held."""
