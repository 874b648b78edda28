"""Spot machines that Novita takes back: in minutes back again, without anybody watching, and never against somebody's word.

The service before this one had three rules for it in a month (by reclaim time, by GPU, by hours since), deleted machines before it knew that they
could be made again, restarted what people had stopped, and in the end had the whole thing switched off.
"""

from support.stories import HOUR, MINUTE, Tale, told

ON = {"MIGRATION_ENABLED": "true", "INSTANCE_POLL_INTERVAL": "60s"}


async def taken(tale: Tale, *, notice: float = 0.0, **fields) -> str:
    """An instance that is ready, and whose machine Novita takes back."""
    made = await tale.ready(**fields)
    await tale.passes(10 * MINUTE)
    tale.site.perform("reclaim", instanceId=tale.machine(made).id, noticeSeconds=notice)
    return made


async def back(tale: Tale, instance_id: str, *, within: float = HOUR) -> float:
    """Let time pass until it has moved and is ready; how long that took."""
    began = tale.clock.now()
    await tale.when(lambda: "migrated" in tale.told(instance_id), within=within, what="the move")
    assert tale.state(instance_id) == "ready"
    return tale.clock.now() - began


@told(**ON)
async def test_a_reclaimed_machine_is_back_in_minutes_and_nobody_had_to_look(tale):
    """By default Novita moves the machine itself: the same id, the same instance, told step by step, with the reason kept."""
    made = await taken(tale)
    machine = tale.machine(made).id

    took = await back(tale, made)

    assert took <= 10 * MINUTE
    assert (tale.machine(made).id, tale.machine(made).status) == (machine, "running")
    assert tale.calls(made) == ["create", "migrate"]
    words = [word for word in tale.told(made) if word in {"reclaimed", "migrating", "migrated"}]
    assert words == ["reclaimed", "migrating", "migrated"]
    (because,) = await tale.because(made, "instance.migrate")
    assert machine in because


@told(**ON)
async def test_with_replace_the_next_machine_is_ready_before_the_old_one_goes(tale):
    """The notice comes an hour ahead, and is used: not one minute without a machine that answers; nothing is left billing."""
    made = await taken(tale, notice=HOUR, migration={"strategy": "replace"})
    old = tale.machine(made).id

    took = await back(tale, made)
    await tale.passes(2 * MINUTE)

    assert took <= 5 * MINUTE
    assert tale.machine(made).id != old
    assert tale.calls(made) == ["create", "create", "delete"]
    assert tale.told(made).count("spot_notice") == 1
    assert "stopped" not in tale.told(made)


@told(**ON)
async def test_a_machine_that_was_stopped_on_purpose_stays_stopped(tale):
    """Four hours later it was running again, and billed. Now it still stands."""
    made = await tale.ready()
    await tale.say(made, "stop")
    await tale.until(made, "stopped")
    await tale.passes(4.5 * HOUR)

    assert tale.machine(made).status == "exited"
    assert tale.calls(made) == ["create", "stop"]


@told(**ON)
async def test_stopping_after_the_notice_holds_too(tale):
    """Somebody reads of the notice and stops it: it is not replaced, not moved, not started."""
    for strategy in ("migrate", "replace"):
        made = await taken(tale, notice=10 * MINUTE, name=strategy, migration={"strategy": strategy})
        await tale.passes(MINUTE)
        await tale.say(made, "stop")
        await tale.passes(HOUR)

        assert [machine.status for machine in tale.site.present(made)] == ["exited"]
        assert not {"migrate", "start"} & set(tale.calls(made))


@told(AUTO_STOP_ENABLED="true", **ON)
async def test_what_the_idle_stop_stopped_is_not_brought_back(tale):
    """Exited is exited for a reason; this reason is ours."""
    made = await tale.ready()
    await tale.until(made, "stopped")
    await tale.passes(HOUR)

    assert tale.calls(made) == ["create", "stop"]


@told(**ON)
async def test_a_machine_whose_region_is_full_is_brought_back_elsewhere(tale):
    """Novita has no capacity to move it: another one is bought under the same id, and the old one is let go."""
    made = await taken(tale, webhookUrl="https://caller.example.test/hook")
    tale.site.novita.fault("POST .*migrate", "status", status=400, reason="MIGRATE_INSUFFICIENT_RESOURCE", count=-1)
    old = tale.machine(made).id

    await back(tale, made)
    await tale.passes(2 * MINUTE)

    assert tale.machine(made).id != old
    assert {event["instanceId"] for event in tale.site.told(kind="migrated")} == {made}
    assert "https://caller.example.test/hook" in {
        one.url for one in tale.site.receivers.received if b"migrated" in one.body
    }


@told(**ON)
async def test_a_failed_migration_is_repaired_with_everything_that_was_asked_for(tale):
    """Novita leaves it `migrating` for ever. Another machine is made first: same id, same ports, environment, disk and labels."""
    order = {
        "envs": [{"key": "MODEL", "value": "wan22"}],
        "rootfsSize": 120,
        "labels": {"team": "video"},
        "ports": [{"port": 8080, "type": "http"}, {"port": 7000, "type": "tcp"}],
    }
    tale.site.perform("config", switches={"migrationOutcome": "fail"})
    made = await taken(tale, **order)
    dead = tale.machine(made)

    await back(tale, made, within=2 * HOUR)
    await tale.passes(2 * MINUTE)

    machine, calls = tale.machine(made), tale.calls(made)
    assert machine.id != dead.id
    assert (machine.ports, machine.rootfs_size, machine.workload) == (dead.ports, dead.rootfs_size, dead.workload)
    assert calls.index("delete") > len(calls) - 1 - calls[::-1].index("create")
    first, *_, last = (call.body["ports"] for call in tale.site.made("create", instance_id=made))
    assert last == first
    assert "8080/http" in last
    assert (await tale.see(made))["labels"] == {"team": "video"}


@told(**ON)
async def test_when_nothing_is_to_be_had_anywhere_it_is_tried_again_and_nothing_is_deleted(tale):
    """It was deleted first, and then could not be made again. Now the old machine waits until there is a new one."""
    made = await taken(tale)
    tale.site.perform("stock", available=0)
    old = tale.machine(made).id
    await tale.passes(2 * HOUR)
    waits = [machine.id for machine in tale.site.present(made)]
    tale.site.perform("stock", available=8)
    await back(tale, made, within=3 * HOUR)

    assert waits == [old]


@told(**ON)
async def test_a_protected_machine_is_told_of_and_left(tale):
    """Its disk is worth more than its being up."""
    made = await taken(tale, notice=10 * MINUTE, protect=True)
    await tale.passes(HOUR)

    assert tale.machine(made).status == "exited"
    assert tale.calls(made) == ["create"]
    assert {"spot_notice", "reclaimed"} <= set(tale.told(made))


@told(MIGRATION_ENABLED="false")
async def test_switched_off_is_switched_off_and_health_does_not_call_it_down(tale):
    """Nothing moves, and nothing is said to be broken."""
    made = await taken(tale)
    await tale.passes(HOUR)
    health = await tale.ask("GET", "/health")

    assert tale.calls(made) == ["create"]
    assert health.status_code == 200
