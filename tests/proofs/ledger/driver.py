"""The driver of the crash ledger, a process of its own: asks for instances over HTTP and writes down what it was promised.

    python -m proofs.ledger.driver CONFIG

CONFIG is a JSON file: `ledger`, `server` (a file that holds the server's present address), `key`, `lives` (instances at a time) or `pace`
(instances begun a second, however many are there), `verbs` (of each, after its create), `seed`. Every request has an Idempotency-Key and is sent again with it until it is answered, however often the server is killed
meanwhile. It ends when its standard input is closed: nothing new is asked, what is unanswered is asked again until it is answered.

Entries: `acknowledged` (verb, instance), `seen` (a state that the server told), `refused` (an answer that no request here deserves), `done`.
"""

import asyncio
import itertools
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

from proofs.ledger.journal import Journal

PAUSE = 0.05
LOOK_PAUSE = 0.25
PAGE = 100
HASTY = 0.15
"""Share of the verbs that do not wait until the one before has had its effect."""
SEEN_AFTER = {"create": "ready", "start": "ready", "stop": "stopped"}


class Driver:
    """Several lives at a time; one verb after the other in each."""

    def __init__(self, config: dict[str, Any], session: aiohttp.ClientSession) -> None:
        self._server = Path(config["server"])
        self._ledger = Journal(Path(config["ledger"]))
        self._session = session
        self._verbs: list[str] = config["verbs"]
        self._chance = random.Random(config["seed"])
        self._enough = False
        self._asked = 0
        self._looks = 0
        self._acknowledged: dict[str, int] = {}
        """How many looks had begun when the instance's last verb was acknowledged: only later ones count."""
        self._states: tuple[int, dict[str, str]] = (0, {})
        self._news = asyncio.Condition()

    async def at_a_time(self, lives: int) -> None:
        """So many instances at any time, one after the other."""

        async def live() -> None:
            while not self._enough:
                await self._one()

        await asyncio.gather(*(live() for _ in range(lives)))

    async def at_a_pace(self, pace: float) -> None:
        """So many instances begun in each second, from the moment at which the server answers."""
        while not self._states[0]:
            await asyncio.sleep(PAUSE)
        began = time.monotonic()
        async with asyncio.TaskGroup() as lives:
            for number in itertools.count():
                await asyncio.sleep(max(0.0, began + number / pace - time.monotonic()))
                if self._enough:
                    return
                lives.create_task(self._one())

    async def look(self) -> None:
        """Keep the states that the server tells."""
        while True:
            await asyncio.sleep(LOOK_PAUSE)
            self._looks += 1
            number = self._looks
            try:
                states = await self._list()
            except (aiohttp.ClientError, OSError, KeyError):
                continue
            async with self._news:
                self._states = number, states
                self._news.notify_all()

    async def end(self) -> None:
        """Ask for nothing more."""
        async with self._news:
            self._enough = True
            self._news.notify_all()

    def close(self) -> None:
        self._ledger.add(word="done")

    async def _one(self) -> None:
        """One instance, from its create to its last verb."""
        answer = await self._ask("create", "/api/instances", order(f"crash-{self._asked}"))
        if answer is None:
            return
        instance, verb = answer["instanceId"], "create"
        for following in self._verbs:
            if self._chance.random() >= HASTY:
                await self._seen(instance, SEEN_AFTER[verb])
            if self._enough:
                return
            method, tail = ("DELETE", "") if following == "delete" else ("POST", f"/{following}")
            if await self._ask(following, f"/api/instances/{instance}{tail}", None, method=method) is None:
                return
            verb = following

    async def _seen(self, instance: str, state: str) -> None:
        """Wait until the server tells a state, or knows nothing of the instance, or there is to be no more."""

        def told() -> str | None:
            number, states = self._states
            return states.get(instance) if number > self._acknowledged[instance] else ""

        async with self._news:
            await self._news.wait_for(lambda: self._enough or told() in {state, None})
        if told() == state:
            self._ledger.add(word="seen", instance=instance, state=state)

    async def _ask(self, verb: str, path: str, body: object, *, method: str = "POST") -> dict[str, Any] | None:
        """Ask until it is answered; None when it is refused."""
        self._asked += 1
        headers = {"Idempotency-Key": f"crash-{self._asked}"}
        while True:
            try:
                url = self._server.read_text() + path
                async with self._session.request(method, url, json=body, headers=headers) as answer:
                    status, text = answer.status, await answer.text()
                    later = status >= 500 or "Retry-After" in answer.headers
            except (aiohttp.ClientError, OSError, TimeoutError):
                later, status, text = True, 0, ""
            if later:
                await asyncio.sleep(PAUSE)
            elif status >= 400:
                self._ledger.add(word="refused", verb=verb, path=path, status=status, text=text[:300])
                return None
            else:
                told: dict[str, Any] = json.loads(text)
                self._ledger.add(word="acknowledged", verb=verb, instance=told["instanceId"], status=status)
                self._acknowledged[told["instanceId"]] = self._looks
                return told

    async def _list(self) -> dict[str, str]:
        found: dict[str, str] = {}
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": str(PAGE)} | ({"cursor": cursor} if cursor else {})
            async with self._session.get(self._server.read_text() + "/api/instances", params=query) as answer:
                page = await answer.json()
            found |= {one["id"]: one["status"] for one in page["instances"]}
            cursor = page["nextCursor"]
        return found


def order(name: str) -> dict[str, Any]:
    """The body of a plain create."""
    return {
        "name": name,
        "productName": "RTX 4090 24GB",
        "imageUrl": "ubuntu:22.04",
        "ports": [{"port": 8080, "type": "http"}],
    }


async def main(config: dict[str, Any]) -> None:
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {config['key']}"}, timeout=aiohttp.ClientTimeout(total=10)
    ) as session:
        driver = Driver(config, session)
        looking = asyncio.create_task(driver.look())
        pace = config["pace"]
        living = asyncio.create_task(driver.at_a_pace(pace) if pace else driver.at_a_time(config["lives"]))
        await asyncio.to_thread(sys.stdin.read)
        await driver.end()
        await living
        looking.cancel()
        driver.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
