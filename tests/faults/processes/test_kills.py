"""A server that is killed again and again, at any moment, while Novita and the receiver of its webhooks misbehave.

The driver keeps a ledger of what it was promised (an answer of success). After the last start, the stand-in's machines, its log of calls and
the receiver's ledger must agree with that ledger; the server's own word is not asked for.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import aiohttp
import pytest

from novitai_client import webhooks
from support.sites import CREATE, WEBHOOK_SECRET, Server, Site, instance_of, order

SETTLE_SECONDS = 2.0
WIDE_WINDOWS = (
    ("POST .*instance/create", {"mode": "slow", "seconds": 0.4}),
    ("POST .*instance/create", {"mode": "slow", "seconds": 0.4, "afterEffect": True}),
    ("POST .*instance/create", {"mode": "hang", "seconds": 0.8, "afterEffect": True}),
    ("POST .*instance/create", {"mode": "reset"}),
    ("POST .*instance/create", {"mode": "reset", "afterEffect": True}),
    ("POST .*instance/create", {"mode": "status", "status": 500, "afterEffect": True}),
    ("POST .*instance/(start|stop|delete)", {"mode": "slow", "seconds": 0.3}),
    ("POST .*instance/(start|stop|delete)", {"mode": "slow", "seconds": 0.3, "afterEffect": True}),
    ("POST .*instance/(start|stop|delete)", {"mode": "reset", "afterEffect": True}),
    ("POST .*instance/(start|stop|delete)", {"mode": "status", "status": 502}),
    ("GET .*instances", {"mode": "slow", "seconds": 0.3}),
    ("GET .*instances", {"mode": "short-list"}),
)
"""What keeps calls open, so that kills fall before, inside and after them."""
LAST_WORD = {"running": "instance.ready", "stopped": "instance.stopped", "deleted": "instance.deleted"}
VERBS = {
    "start": ("POST", "/start", "running"),
    "stop": ("POST", "/stop", "stopped"),
    "delete": ("DELETE", "", "deleted"),
}


@dataclass
class Asked:
    """What a caller wants and has not been promised yet; sent again with the same key until it is."""

    verb: str
    name: str
    key: str
    instance_id: str = ""


@dataclass
class Driver:
    """Asks for things and remembers what was promised: the wanted state of each instance."""

    chance: random.Random
    wanted: dict[str, str] = field(default_factory=dict)
    pending: list[Asked] = field(default_factory=list)
    asked: int = 0

    def think_of_more(self) -> None:
        """Two more creates, and a word to half of the instances that nobody is talking about."""
        for _ in range(2):
            self.asked += 1
            self.pending.append(Asked("create", f"kill-{self.asked}", f"key-{self.asked}"))
        busy = {asked.instance_id for asked in self.pending}
        for instance_id, state in list(self.wanted.items()):
            if instance_id not in busy and state != "deleted" and self.chance.random() < 0.5:
                verb = self.chance.choice(
                    ("stop", "stop", "delete") if state == "running" else ("start", "start", "delete")
                )
                self.asked += 1
                self.pending.append(Asked(verb, "", f"key-{self.asked}", instance_id))

    async def ask_all(self, server: Server) -> None:
        """Send what is not promised yet; whoever gets no answer asks again after the next start."""
        await asyncio.gather(*(self._ask(server, asked) for asked in list(self.pending)))

    async def _ask(self, server: Server, asked: Asked) -> None:
        headers = {"Idempotency-Key": asked.key}
        try:
            if asked.verb == "create":
                status, answer = await server.ask("POST", "/api/instances", order(asked.name), **headers)
            else:
                method, tail, _ = VERBS[asked.verb]
                status, answer = await server.ask(method, f"/api/instances/{asked.instance_id}{tail}", **headers)
        except (aiohttp.ClientError, OSError):
            return
        assert status in {201, 202}, (asked, status, answer)
        self.pending.remove(asked)
        self.wanted[answer["instanceId"]] = VERBS[asked.verb][2] if asked.verb != "create" else "running"


@pytest.mark.parametrize(
    ("rounds", "seed", "evidence"),
    [(14, 1, False), pytest.param(60, 2, True, marks=[pytest.mark.slow, pytest.mark.timeout(400)])],
    ids=["short", "long"],
)
async def test_kills_at_any_moment_lose_nothing_and_double_nothing(
    site: Site, rounds: int, seed: int, evidence: bool
) -> None:
    """M1, W1, W2, S1: one machine for each accepted create, every promise kept, every event told with one body under one id.

    `evidence`: also await the last word of deletes whose answer was lost. Novita says "not found" then, which counts as
    gone only when it is said twice, half a minute apart.
    """
    chance = random.Random(seed)
    driver = Driver(chance)
    site.receiver.failing = 0.3

    for _ in range(rounds):
        for match, fault in chance.sample(WIDE_WINDOWS, 4):
            site.fault(match, **fault)
        server = await site.serve()
        driver.think_of_more()
        asking = asyncio.create_task(driver.ask_all(server))
        await asyncio.sleep(chance.uniform(0.0, 0.8))
        await server.process.kill()
        await asking
    site.simulator.faults.clear()
    server = await site.serve()
    await driver.ask_all(server)
    try:
        await site.receiver.until(
            lambda: not untold(site, driver.wanted, evidence=evidence), seconds=150 if evidence else 100
        )
    except TimeoutError:
        pytest.fail(f"never told: {untold(site, driver.wanted, evidence=evidence)}")

    assert_machines(site, driver.wanted)
    assert_no_blind_repeat(site)
    assert_events(site)


def untold(site: Site, wanted: dict[str, str], *, evidence: bool) -> dict[str, object]:
    """Instances of which the receiver does not know the last word, or knows it with a gap before it."""
    found: dict[str, object] = {}
    sequences = site.receiver.sequences()
    for instance_id, state in wanted.items():
        if state == "deleted" and not evidence and not site.machines(instance_id):
            continue
        types, numbers = site.receiver.types(instance_id), sequences.get(instance_id, [])
        words = [one for one in types if one in LAST_WORD.values()]
        if numbers != list(range(1, len(numbers) + 1)) or words[-1:] != [LAST_WORD[state]]:
            found[instance_id] = state, types, numbers
    return found


def assert_machines(site: Site, wanted: dict[str, str]) -> None:
    """What bills is what was asked for."""
    billing = {machine.id for machine in site.simulator.world.machines.values() if machine.holds_gpus}
    for instance_id, state in wanted.items():
        ever, now = site.machines(instance_id, ever=True), site.machines(instance_id)
        assert len(ever) <= 1, f"{instance_id}: {[machine.name for machine in ever]}"
        assert len(now) == (state != "deleted") or (state == "stopped" and not ever), (instance_id, state, now)
        assert [machine.id in billing for machine in now] in ([], [state == "running"])
    everything = {instance_of(machine.name) for machine in site.simulator.world.ever()}
    assert everything <= set(wanted), "a machine for a create that nobody was promised"


def assert_no_blind_repeat(site: Site) -> None:
    """A marker is sent once; the next attempt waits until the settle time has shown that the last one made nothing."""
    sent = [(call.body["name"], call) for call in site.calls("POST", CREATE)]
    assert max(Counter(name for name, _ in sent).values()) == 1
    last: dict[str, float] = {}
    for name, call in sent:
        before = last.get(instance_of(name))
        assert before is None or call.received_at >= before + SETTLE_SECONDS, name
        last[instance_of(name)] = call.received_at


def assert_events(site: Site) -> None:
    """The ledger of the receiver: one body under one id, verifiable, numbered without gaps."""
    assert {len(bodies) for bodies in site.receiver.bodies().values()} == {1}
    ids: dict[tuple[str, int], set[str]] = {}
    for arrival in site.receiver.ledger:
        event = webhooks.verify(arrival.body, arrival.headers, WEBHOOK_SECRET)
        assert event.id == arrival.id
        ids.setdefault((arrival.event["instanceId"], arrival.event["sequence"]), set()).add(arrival.id)
    assert {len(found) for found in ids.values()} == {1}
    for numbers in site.receiver.sequences().values():
        assert numbers == list(range(1, len(numbers) + 1))
