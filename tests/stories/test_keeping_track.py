"""One truthful list, that survives deploys and does not grow: what is on Novita is what is shown, and days of looking leave nothing behind.

The service before this one lost its view of the account so thoroughly that it got a button to throw everything away; its jobs filled a small
Redis until a timer deleted all of them every three hours, those under way included.
"""

from support.stories import HOUR, MINUTE, Tale, told

SELDOM = {"INSTANCE_POLL_INTERVAL": "120s", "AUTO_STOP_ENABLED": "true"}


@told()
async def test_what_somebody_does_in_the_console_is_soon_in_the_list(tale):
    """Stopped, started and deleted there: the list follows within a poll or two, and nothing is done against it."""
    made = await tale.ready()
    machine = tale.machine(made)

    tale.site.perform("out-of-band", instanceId=machine.id, verb="stop")
    await tale.until(made, "stopped", within=3 * MINUTE)
    tale.site.perform("out-of-band", instanceId=machine.id, verb="start")
    await tale.until(made, "ready", within=5 * MINUTE)
    tale.site.perform("out-of-band", instanceId=machine.id, verb="delete")
    await tale.until(made, "deleted", "lost", within=5 * MINUTE)

    assert tale.calls(made) == ["create"]


@told()
async def test_a_machine_that_vanishes_is_told_of_once_and_nothing_is_bought_in_its_place(tale):
    """Without a word from Novita nobody can know why: it is lost, and people decide."""
    made = await tale.ready()
    tale.site.perform("out-of-band", instanceId=tale.machine(made).id, verb="vanish")

    await tale.until(made, "lost", within=10 * MINUTE)
    await tale.passes(HOUR)

    assert tale.told(made).count("lost") == 1
    assert tale.calls(made) == ["create"]


@told()
async def test_a_machine_without_a_product_name_is_a_machine(tale):
    """Ghosts: records that Novita leaves half empty. They were dropped from the list, and their instances with them."""
    made = await tale.ready()

    def half_empty(_request, reply):
        return type(reply)(
            status=reply.status,
            body=reply.body.replace(b'"productName":"RTX 4090 24GB"', b'"productName":""'),
            content_type=reply.content_type,
        )

    tale.site.novita.spoil = half_empty
    await tale.passes(HOUR)

    assert tale.state(made) == "ready"
    listed = (await tale.ask("GET", "/api/instances")).json()["instances"]
    assert [(one["id"], one["productName"]) for one in listed] == [(made, "RTX 4090 24GB")]


@told()
async def test_a_deploy_in_the_middle_of_a_create_neither_loses_nor_doubles_the_machine(tale):
    """Killed right after the machine was asked for: the next process finds it by its name, and there is one."""
    made = await tale.order()
    await tale.when(lambda: bool(tale.site.made("create")), what="the create call")
    tale.site.kill()
    await tale.passes(10 * MINUTE)
    await tale.begin()

    await tale.until(made, "ready")

    assert [machine.status for machine in tale.site.ever(made)] == ["running"]
    assert tale.told(made).count("ready") == 1


@told()
async def test_an_orderly_stop_keeps_everything(tale):
    """The shutdown was written to delete every record, and did not only because it ran too late."""
    made = [await tale.ready(name=f"n{number}") for number in range(3)]
    await tale.site.end()
    await tale.begin()

    listed = (await tale.ask("GET", "/api/instances")).json()["instances"]
    assert {one["id"] for one in listed} == set(made)
    assert {tale.state(one) for one in made} == {"ready"}


@told()
async def test_an_outage_of_novita_is_said_and_does_not_get_the_container_restarted(tale):
    """What containers ask stays well; what people ask says that Novita is away, and when it is back; nothing is done meanwhile."""
    made = await tale.ready()
    tale.site.novita.fault(".*", "status", status=503, count=-1)
    await tale.passes(10 * MINUTE)
    during = [(await tale.ask("GET", path)).status_code for path in ("/healthz", "/health")]
    tale.site.novita.sound()
    await tale.passes(5 * MINUTE)
    after = [(await tale.ask("GET", path)).status_code for path in ("/healthz", "/health")]

    assert (during, after) == ([200, 503], [200, 200])
    assert tale.state(made) == "ready"
    assert tale.calls(made) == ["create"]


@told(**SELDOM)
async def test_a_dry_run_of_a_sync_changes_nothing(tale):
    """It says what it would do, and that is all."""
    made = await tale.ready()
    before = held(tale)["records"]
    answer = await tale.ask("POST", "/api/instances/sync", {"dryRun": True})

    assert answer.status_code == 200
    assert tale.state(made) == "ready"
    assert held(tale)["records"] == before


@told(**SELDOM)
async def test_hours_of_looking_and_checking_do_not_fill_the_store(tale):
    """Polls, idle checks, prices and timers leave nothing that grows with time while nothing happens."""
    made = await tale.ready(autoStop={"enabled": False})
    used = await tale.ready(name="used")
    await in_use(tale, used, seconds=HOUR)
    before = held(tale)
    await in_use(tale, used, seconds=5 * HOUR)
    after = held(tale)

    assert {tale.state(made), tale.state(used)} == {"ready"}
    assert after["jobs"] <= 1
    assert after["records"] - before["records"] <= 6
    assert after["logs"] - before["logs"] <= 12


async def in_use(tale: Tale, instance_id: str, *, seconds: float) -> None:
    """Somebody tells of a use every ten minutes."""
    for _ in range(int(seconds / (10 * MINUTE))):
        await tale.passes(10 * MINUTE)
        await tale.ask("PUT", f"/api/instances/{instance_id}/last-used", {})


def held(tale: Tale) -> dict[str, int]:
    """How much is kept on the disk."""
    disk = tale.site.disk
    return {
        "records": len(disk.records),
        "jobs": len(disk.jobs),
        "logs": sum(len(entries) for entries in disk.logs.values()),
    }
