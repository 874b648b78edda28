"""Client and server are written apart and meet over HTTP: every call of the client is made once against the real server."""

import asyncio
import inspect
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from novitai_client import AsyncClient, Conflict, NotAllowed, NotFound, ValidationFailed
from support.sites import Server, Site


class Noting:
    """A client that notes which of its calls were made."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self.made: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if callable(found):
            self.made.add(name)
        return found


async def test_every_call_of_the_client_is_understood_by_the_server(site: Site) -> None:
    """No call, model or route drifts: answers are read into the client's types, and the API's document knows what was asked."""
    server = await site.serve()
    async with server.client() as client:
        noting = Noting(client)
        await instances(noting)
        await account(noting)
        await service(noting, site)
        await events(noting)
        await fleet(noting, site)
    status, document = await server.ask("GET", "/openapi.json")

    calls = {name for name, _ in inspect.getmembers(AsyncClient, callable) if not name.startswith("_")}
    assert noting.made == calls - {"aclose"}
    assert status == 200
    assert undocumented(server, document) == set()


async def instances(client: Any) -> None:
    made = await client.create(
        "contract", product="RTX 4090 24GB", image_url="ubuntu:22.04", ports=["8080/http"], envs={"A": "b"}, wait=10
    )
    assert made.novita_instance_id
    ready = await client.wait_until_ready(made.instance_id, 20)
    assert (ready.status, ready.ports[0].port if hasattr(ready, "ports") else ready.port_mappings[0].port) == (
        "ready",
        8080,
    )
    assert (await client.get("contract")).id == made.instance_id
    assert (await client.list_page(limit=1)).total == 1
    assert [one.id for one in await everything(client.list())] == [made.instance_id]
    assert (await client.comprehensive()).instances
    assert (await client.last_used("contract")).instance_id == made.instance_id
    await looked_after(client)
    await money(client)
    assert (await client.restart("contract")).operation_id
    await client.wait_until_ready(made.instance_id, 20)
    stopped = await client.stop("contract", reason="done for today", wait=10)
    assert (await client.start("contract", wait=10)).operation_id != stopped.operation_id
    await client.wait_until_ready(made.instance_id, 20)
    assert (await client.delete("contract", wait=10)).status in {"deleting", "deleted"}


async def looked_after(client: Any) -> None:
    """The rules of an instance, and what the server makes of them."""
    changed = await client.change("contract", labels={"team": "ml"}, ttl="4h", auto_stop={"idleMinutes": 30})
    assert changed.labels == {"team": "ml"}
    assert (await client.instance_metrics("contract", minutes=5)).instance_id == changed.id
    report = await client.trigger_auto_stop()
    assert [one.instance_id for one in report.candidates] == [changed.id]
    assert (await client.auto_stop_stats()).stopped == 0
    assert "user:environment" in str((await client.explain("contract", limit=5)).desired)
    assert (await client.check_failed_migrations(dry_run=True)).success
    assert (await client.trigger_migration()).job_id
    assert (await client.migration_status()).success
    assert (await client.novita_jobs(instance=changed.id)).total == 0


async def money(client: Any) -> None:
    """Budgets as they are made, changed and taken away, and what was spent."""
    budget = await client.create_budget("contract", limit=100.0, label="team=ml")
    assert [one.id for one in await client.budgets()] == [budget.id]
    assert (await client.update_budget(budget.id, limit=50.0)).limit_usd == 50.0
    assert (await client.budget(budget.id)).name == "contract"
    assert (await client.delete_budget(budget.id)).id == budget.id
    assert (await client.costs(group_by="label")).total > 0
    assert (await client.instance_cost("contract")).segments
    assert (await client.monthly_costs()).startswith("month,")


async def account(client: Any) -> None:
    offers = await client.offers("RTX 4090 24GB", gpus=1)
    assert offers.offers[0].price_per_hour > 0
    assert (await client.prices("RTX 4090 24GB", days=1)).prices
    templates = await client.templates()
    assert (await client.template(templates[0].id)).name == templates[0].name
    assert await client.regions()
    assert (await client.registry_auths())[0].name == "demo-registry"
    with pytest.raises(NotFound):
        await client.template("999999999")


async def service(client: Any, site: Site) -> None:
    jobs = await everything(client.jobs())
    assert (await client.jobs_page(limit=1)).jobs[0].id
    assert (await client.job(jobs[0].id)).type == jobs[0].type
    assert await client.job_stats()
    await cancelled_and_retried(client, site)
    assert (await client.health()).status == "healthy"
    assert (await client.upstream())["public"]["reachable"] is True
    assert await client.metrics()
    made = await client.create_key("contract", scope="read")
    assert {key.name for key in await client.keys()} >= {"contract"}
    await client.revoke_key(made.id)
    async with AsyncClient(client.base_url, made.key) as revoked:
        with pytest.raises(NotAllowed):
            await revoked.get("contract")


async def cancelled_and_retried(client: Any, site: Site) -> None:
    """A delivery may be given up and tried again; the work of an instance may not be given up."""
    site.receiver.failing = 1.0
    site.receiver.unlucky = ("503",)
    made = await client.create("undelivered", product="RTX 4090 24GB", image_url="ubuntu:22.04")
    await site.receiver.until(lambda: any(arrival.manner == "503" for arrival in site.receiver.ledger))
    waiting = await pending_delivery(client)
    assert (await client.cancel_job(waiting.id))["id"] == waiting.id
    work = next(job for job in await everything(client.jobs(instance=made.instance_id)) if job.type != "send_webhook")
    with pytest.raises(Conflict):
        await client.cancel_job(work.id)
    site.receiver.failing = 0.0
    assert (await client.retry_job(waiting.id))["id"]


async def pending_delivery(client: Any) -> Any:
    """A delivery between two attempts."""
    async with asyncio.timeout(10):
        while True:
            async for job in client.jobs(job_type="send_webhook", status="pending"):
                return job


async def events(client: Any) -> None:
    page = await client.events_page(limit=2)
    assert len(page.events) == 2
    assert [event.type for event in await everything(client.events("undelivered"))]
    async with aclosing(client.follow_events(last_event_id=page.events[-1].id)) as stream:
        assert (await anext(stream)).id == page.events[0].id
    with pytest.raises(ValidationFailed):
        await anext(client.follow_events(last_event_id="evt_nobody"))


async def everything(found: AsyncIterator[Any]) -> list[Any]:
    return [one async for one in found]


def undocumented(server: Server, document: dict[str, Any]) -> set[tuple[str, str]]:
    """What was asked, by the server's log, and is not in the API's document."""
    known = [
        (method.upper(), re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + "$"))
        for path, methods in document["paths"].items()
        for method in methods
    ]
    asked = {
        (e["method"], e["path"])
        for e in server.process.entries()
        if e["event"] == "request_served" and e["status"] < 400
    }
    asked.discard(("GET", "/openapi.json"))
    return {one for one in asked if not any(one[0] == method and path.match(one[1]) for method, path in known)}


async def fleet(client: Any, site: Site) -> None:
    """Many at once, machines that nobody has a record of, the switch, and the audit log."""
    foreign = [await site.foreign(f"somebody-elses-{number}") for number in range(3)]
    made = await client.create(
        "fleet", product="RTX 4090 24GB", image_url="ubuntu:22.04", labels={"team": "a"}, wait=10
    )
    assert (await client.stop_all(labels={"team": "a"}, dry_run=True)).count == 1
    assert [one.outcome for one in (await client.bulk("stop", instances=[made.instance_id])).results] == ["accepted"]
    report = await client.sync(force=True)
    assert report.data is not None
    assert set(foreign) <= {orphan.novita_id for orphan in await client.orphans()}
    assert (await client.adopt(foreign[0])).novita_instance_id == foreign[0]
    assert (await client.ignore_orphan(foreign[1])).standing == "ignored"
    assert (await client.delete_orphan(foreign[2])).instance_id
    assert {one.novita_id for one in await client.orphans(ignored=True)} >= {foreign[1]}
    assert (await client.pause("idle", reason="contract")).paused
    assert (await client.automation()).paused
    assert not (await client.resume("idle")).paused
    assert "orphan.adopt" in {entry.action for entry in await everything(client.audit())}
    assert (await client.verify_audit()).intact
