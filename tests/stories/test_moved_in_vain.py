"""Stories of machines that Novita was to move, and that hung in it ever after: they had to be looked for by hand."""

import json

from support.stories import HOUR, MINUTE, Tale, told

ASKED = {
    "ports": [{"port": 8080, "type": "http"}, {"port": 22, "type": "tcp"}],
    "envs": [{"key": "MODEL", "value": "wan-2.2"}, {"key": "TOKEN", "value": "s3cret"}],
    "command": "serve --all",
    "rootfsSize": 80,
    "labels": {"team": "video"},
    "autoStop": {"enabled": False},
}


async def moved_in_vain(tale: Tale, **fields) -> str:
    """An instance that hangs: Novita moves its machine by itself, and fails."""
    made = await tale.ready(**fields)
    tale.site.perform("config", switches={"migrationOutcome": "fail"})
    tale.site.perform("out-of-band", instanceId=tale.machine(made).id, verb="migrate")
    await tale.until(made, "migrating")
    await tale.passes(12 * MINUTE)
    tale.site.perform("config", switches={"migrationOutcome": "success"})
    return made


@told()
async def test_a_failed_migration_is_repaired_without_anybody_asking(tale):
    """As it was asked for, ports in Novita's form among it, under the same id; the dead machine goes only then."""
    made = await moved_in_vain(tale, **ASKED)
    dead, before = tale.machine(made), await tale.see(made)

    await tale.until(made, "ready", within=HOUR)
    await tale.passes(2 * MINUTE)

    machine, after = tale.machine(made), await tale.see(made)
    assert machine.id != dead.id
    assert [(port.number, port.type) for port in machine.ports] == [(8080, "http"), (22, "tcp")]
    assert machine.workload == dead.workload
    assert machine.rootfs_size == dead.rootfs_size
    same = ("id", "name", "labels", "imageUrl", "policies")
    assert [after[name] for name in same] == [before[name] for name in same]
    assert tale.calls(made).index("delete") > len(tale.calls(made)) - 1 - tale.calls(made)[::-1].index("create")
    assert "migrated" in tale.told(made)
    assert "target node not ready" in (await tale.because(made, "instance.replace"))[0]


@told()
async def test_who_does_not_want_to_wait_is_told_what_was_found_and_done(tale):
    """`immediate` answers with the counts that clients of the earlier service read."""
    made = await moved_in_vain(tale)

    would = (await tale.ask("POST", "/api/instances/migration/check-failed", {"dryRun": True})).json()
    answer = await tale.ask("POST", "/api/instances/migration/check-failed", {"immediate": True})
    await tale.until(made, "ready", within=10 * MINUTE)

    did = answer.json()
    assert (answer.status_code, did["success"]) == (200, True)
    counts = ("totalChecked", "failedJobsFound", "instancesRecreated", "errors")
    assert [would["result"][name] for name in counts] == [1, 1, 0, 0]
    assert [did["result"][name] for name in counts] == [1, 1, 1, 0]
    (expected,), (done,) = would["result"]["candidates"], did["result"]["candidates"]
    assert json.dumps(expected | {"outcome": "done"}) == json.dumps(done)


@told()
async def test_a_migration_without_another_machine_to_be_had_costs_nobody_their_machine(tale):
    """The predecessor deleted first and found out then that there was nothing to buy."""
    made = await moved_in_vain(tale)
    dead = tale.machine(made)
    tale.site.perform("stock", stock=0)
    await tale.passes(11 * MINUTE)

    answer = (await tale.ask("POST", "/api/instances/migration/check-failed", {"immediate": True})).json()
    await tale.passes(HOUR)

    assert (answer["result"]["failedJobsFound"], answer["result"]["errors"]) == (1, 1)
    assert tale.machine(made).id == dead.id
    assert tale.told(made).count("migration_failed") == 1
    assert "delete" not in tale.calls(made)
