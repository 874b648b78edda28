"""The whole story through the command line against a real server: what a person types, what is printed, and how it ends."""

import json
from typing import Any

from novitai_client import webhooks
from support.sites import KEY, WEBHOOK_SECRET, Server, Site

DONE, USAGE, NOT_FOUND, REFUSED, NOT_ALLOWED, AWAY = 0, 2, 3, 4, 5, 6
ORDER = ("--product", "RTX 4090 24GB", "--image", "ubuntu:22.04", "--port", "8080/http", "--env", "TOKEN=hidden")


class Terminal:
    """Somebody at a shell: runs command lines as processes."""

    def __init__(self, site: Site, url: str) -> None:
        self._site = site
        self._url = url

    async def run(self, *words: str, expect: int = DONE, key: str = KEY) -> str:
        """What a command line printed."""
        process = await self._site.run(*words, NOVITAI_URL=self._url, NOVITAI_API_KEY=key)
        code = await process.end()
        assert code == expect, (words, code, process.lines)
        assert not any("Traceback" in line for line in process.lines)
        return await process.output()

    async def json(self, *words: str, **options: Any) -> Any:
        """The same with `--json`, read."""
        return json.loads(await self.run(*words, "--json", **options))


async def test_the_life_of_an_instance_at_the_command_line(site: Site) -> None:
    """Every verb does what it says, prints JSON when asked, and ends with the documented exit code."""
    server = await site.serve()
    shell = Terminal(site, server.url)

    offers = await shell.json("offers", "--product", "RTX 4090 24GB")
    assert offers["offers"][0]["rank"] == 1
    planned = await shell.json("create", "trainer", *ORDER, "--dry-run")
    assert site.calls("POST") == []
    made = await shell.json("create", "trainer", *ORDER, "--label", "team=a", "--wait", "30")
    assert (made["status"], made["pricePerHour"]) == ("ready", planned["pricePerHour"])

    assert "trainer" in await shell.run("list")
    assert [one["id"] for one in (await shell.json("list", "--label", "team=a"))["instances"]] == [made["id"]]
    assert "hidden" not in await shell.run("show", "trainer", "--json")
    assert "hidden" not in await shell.run("show", "trainer")
    await shell.run("stop", "trainer")
    await server.reaches(made["id"], "stopped")
    assert (await shell.json("start", "trainer", "--wait", "30"))["status"] == "ready"
    assert (await shell.json("restart", made["id"], "--wait", "30"))["status"] == "ready"

    types = [event["type"] for event in (await shell.json("events", "trainer"))["events"]]
    assert {"instance.creating", "instance.ready", "instance.stopped"} <= set(types)
    jobs = (await shell.json("jobs", "--instance", made["id"]))["jobs"]
    assert {job["instanceId"] for job in jobs} == {made["id"]}
    await keys(shell)

    await shell.run("delete", "trainer", expect=USAGE)
    await shell.run("delete", "trainer", "--yes")
    await server.reaches(made["id"], "deleted")
    assert (await shell.json("list"))["total"] == 0
    assert site.machines(made["id"]) == []
    await failures(shell, server)
    assert_told_once(site, made["id"])


async def keys(shell: Terminal) -> None:
    """A key is made, opens what its scope allows, and is gone once revoked."""
    text = (await shell.run("keys", "create", "reader", "--scope", "read")).strip()
    assert "trainer" in await shell.run("list", key=text)
    await shell.run("stop", "trainer", key=text, expect=NOT_ALLOWED)
    listed = next(key for key in (await shell.json("keys", "list"))["keys"] if key["name"] == "reader")
    assert text not in json.dumps(listed)
    await shell.run("keys", "revoke", listed["id"], "--yes")
    await shell.run("list", key=text, expect=NOT_ALLOWED)


async def failures(shell: Terminal, server: Server) -> None:
    """What goes wrong has an exit code of its own."""
    await shell.run("show", "nobody", expect=NOT_FOUND)
    await shell.run("create", "other", "--product", "GTX 9999", "--image", "ubuntu", expect=NOT_FOUND)
    await shell.run("create", "other", *ORDER, "--max-price", "0.001", expect=REFUSED)
    await shell.run("create", "no spaces", *ORDER, expect=USAGE)
    await shell.run("list", key="nvk_nobody_0123456789abcdef", expect=NOT_ALLOWED)
    assert await server.process.terminate() == DONE
    await shell.run("list", expect=AWAY)


def assert_told_once(site: Site, instance_id: str) -> None:
    """W2: without kills, a well-behaved receiver sees every event once, in order, signed."""
    arrivals = site.receiver.ledger
    assert len({arrival.id for arrival in arrivals}) == len(arrivals)
    for arrival in arrivals:
        webhooks.verify(arrival.body, arrival.headers, WEBHOOK_SECRET)
    numbers = site.receiver.sequences()[instance_id]
    assert numbers == list(range(1, len(numbers) + 1))
    assert site.receiver.types(instance_id)[-1] == "instance.deleted"
