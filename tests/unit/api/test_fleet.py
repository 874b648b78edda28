"""Many instances at once, machines without a record, the switch, and the audit log, over HTTP."""

from novitai.domain.ids import MachineId
from novitai.domain.instance import DesiredState
from novitai.domain.lifecycle import State
from novitai.domain.orphan import orphan_of
from novitai.operations import audit as audit_log
from novitai.operations import records
from novitai.ports.store import Commit, Put, StoreUnavailable
from support import builders
from support.api_house import House

FOREIGN = MachineId("feedfacefeedface")


def instance(number, state=State.READY, **labels):
    """An instance of its own, with a machine of its own."""
    made = builders.instance(state, id=f"inst_{number:026d}", name=f"demo-{number}", spec=builders.spec(labels=labels))
    return builders.with_machine(made, id=f"{number:016x}") if made.machine is not None else made


async def unmanaged(house: House, **fields):
    """A machine that nobody has a record of, as the observer and the adoption leave it."""
    machine = builders.machine(id=FOREIGN, name="somebody-elses", **fields)
    house.provider.hold(machine)
    house.parts.freshness.saw(machine, house.clock.now())
    orphan = orphan_of(machine, price=builders.offer().price_per_hour, ours=False, at=house.clock.now())
    await house.parts.orphans.record([orphan], None)


async def audit(admin):
    """What was written down, newest first, but for the house's own keys."""
    entries = (await admin.get("/api/audit")).json()["entries"]
    return [(entry["action"], entry["target"]) for entry in entries if entry["action"] != "key.create"]


# ── stop-all and bulk ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_stop_all_stops_what_runs_and_nothing_else(house: House, admin):
    """Each has a result; machines of others are not among them."""
    await house.have(instance(1), instance(2, State.STOPPED), instance(3, State.CREATING), instance(4, State.DELETING))
    await unmanaged(house)
    answer = (await admin.post("/api/instances/stop-all")).json()

    assert {result["name"]: result["outcome"] for result in answer["results"]} == {
        "demo-1": "accepted",
        "demo-3": "accepted",
    }
    assert (answer["success"], answer["count"], answer["failed"]) == (True, 2, 0)
    assert house.parts.reads.get(instance(1).id).instance.state is State.STOPPING
    assert await audit(admin) == [("instance.stop", instance(3).id), ("instance.stop", instance(1).id)]


async def test_a_dry_run_names_the_same_and_changes_nothing(house: House, admin):
    """Not even the store's revision moves."""
    await house.have(instance(1), instance(2, State.STOPPED))
    before = await house.parts.store.revision()
    answer = (await admin.post("/api/instances/stop-all", json={"dryRun": True})).json()

    assert [(result["name"], result["outcome"]) for result in answer["results"]] == [("demo-1", "would")]
    assert await house.parts.store.revision() == before
    assert house.parts.reads.get(instance(1).id).instance.state is State.READY


async def test_labels_choose(house: House, admin):
    """Several must all match."""
    await house.have(instance(1, team="a", stage="x"), instance(2, team="a"), instance(3, team="b"))
    one = (await admin.post("/api/instances/stop-all", json={"dryRun": True, "label": "team=a"})).json()
    both = (await admin.post("/api/instances/stop-all", json={"dryRun": True, "label": ["team=a", "stage=x"]})).json()

    assert [result["name"] for result in one["results"]] == ["demo-1", "demo-2"]
    assert [result["name"] for result in both["results"]] == ["demo-1"]


async def test_a_bulk_answers_for_each_and_goes_on_after_a_refusal(house: House, admin):
    """By our id, Novita's id and name; what is not there, or refuses, has its code."""
    await house.have(instance(1), instance(2, State.STOPPED), instance(3, State.DELETING))
    ids = [instance(1).id, f"{2:016x}", "demo-3", "nobody", instance(1).id]
    answer = (await admin.post("/api/instances/bulk", json={"action": "start", "ids": ids})).json()

    assert [(result["reference"], result["outcome"], result["code"]) for result in answer["results"]] == [
        (instance(1).id, "already", None),
        (f"{2:016x}", "accepted", None),
        ("demo-3", "refused", "INVALID_STATE"),
        ("nobody", "refused", "INSTANCE_NOT_FOUND"),
    ]
    assert (answer["success"], answer["count"], answer["already"], answer["failed"]) == (False, 1, 1, 2)


async def test_a_bulk_says_what_it_wants_to_know(admin):
    """Neither everything by an empty request, nor two ways of choosing at once."""
    for body in (
        {"action": "delete"},
        {"action": "delete", "ids": [], "label": None},
        {"action": "delete", "ids": ["a"], "label": "k=v"},
        {"action": "delete", "label": "novalue"},
        {"action": "explode", "ids": ["a"]},
        {"action": "stop", "ids": ["a"] * 1001},
    ):
        answer = await admin.post("/api/instances/bulk", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "VALIDATION_ERROR"), body


# ── orphans ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_orphan_is_listed_with_its_age_and_price(house: House, admin):
    """What it has cost so far is an estimate from its start."""
    at = house.clock.now()
    await unmanaged(house, created_at=at - 7200.0, started_at=at - 3600.0)
    [orphan] = (await admin.get("/api/orphans")).json()["orphans"]

    assert (orphan["novitaId"], orphan["kind"], orphan["status"]) == (FOREIGN, "foreign", "running")
    assert orphan["ageSeconds"] == 7200.0
    assert orphan["costSoFar"] == orphan["pricePerHour"] == 0.35


async def test_a_second_machine_of_an_instance_is_listed_too(house: House, admin):
    """With the instance that it belongs to."""
    machine = builders.machine(id=FOREIGN)
    house.parts.freshness.saw(machine, house.clock.now())
    await house.have(builders.instance(State.READY, strays=(FOREIGN,)))
    [orphan] = (await admin.get("/api/orphans")).json()["orphans"]

    assert (orphan["kind"], orphan["instanceId"]) == ("extra", builders.INSTANCE_ID)


async def test_adopting_answers_the_instance_and_ignoring_hides_the_orphan(house: House, admin):
    """By either path; the second time it is managed already."""
    await unmanaged(house)
    ignored = await admin.post(f"/api/orphans/{FOREIGN}/ignore")
    assert (ignored.status_code, ignored.json()["standing"]) == (202, "ignored")
    assert (await admin.get("/api/orphans")).json()["total"] == 0
    assert (await admin.get("/api/orphans?ignored=true")).json()["total"] == 1

    adopted = await admin.post("/api/instances/somebody-elses/adopt")
    assert (adopted.status_code, adopted.json()["novitaInstanceId"]) == (200, FOREIGN)
    again = await admin.post(f"/api/orphans/{FOREIGN}/adopt")
    assert (again.status_code, again.json()["error"]["details"]["instanceId"]) == (409, adopted.json()["id"])
    assert await audit(admin) == [("orphan.adopt", FOREIGN), ("orphan.ignore", FOREIGN)]


async def test_deleting_an_orphan_is_accepted_as_the_delete_of_an_instance(house: House, admin):
    """The answer names the instance by which it can be followed."""
    await unmanaged(house)
    answer = await admin.post(f"/api/orphans/{FOREIGN}/delete")

    assert answer.status_code == 202
    assert answer.json()["status"] == "deleting"
    assert (await admin.get(f"/api/instances/{answer.json()['instanceId']}")).json()["desired"]["state"] == "deleted"


async def test_deleting_an_extra_machine_leaves_the_instance_its_own(house: House, admin):
    """The instance's job deletes it; the instance stays as it is."""
    await house.have(builders.instance(State.READY, strays=(FOREIGN,)))
    answer = await admin.post(f"/api/orphans/{FOREIGN}/delete")

    assert (answer.status_code, answer.json()["instanceId"]) == (202, builders.INSTANCE_ID)
    kept = house.parts.reads.get(builders.INSTANCE_ID).instance
    assert (kept.state, kept.strays, kept.discarded) == (State.READY, (), (FOREIGN,))
    assert await audit(admin) == [("orphan.delete", FOREIGN)]


async def test_what_is_no_orphan_is_404(admin):
    """And says so."""
    for path in ("/api/orphans/x/adopt", "/api/orphans/x/ignore", "/api/orphans/x/delete", "/api/instances/x/adopt"):
        answer = await admin.post(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "INSTANCE_NOT_FOUND"), path


async def test_a_verb_by_the_name_of_an_unmanaged_machine_takes_it_first(house: House, admin):
    """The name in Novita's console works, as the setting promises."""
    await unmanaged(house)
    answer = await admin.post("/api/instances/stop", json={"instanceName": "somebody-elses"})

    assert answer.status_code == 202
    assert answer.json()["novitaInstanceId"] == FOREIGN
    assert await audit(admin) == [("instance.stop", answer.json()["instanceId"]), ("orphan.adopt", FOREIGN)]


# ── sync ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_dry_sync_tells_what_differs_and_writes_nothing(house: House, admin):
    """What we have and Novita has not, what Novita has and we have not."""
    await house.have(instance(1))
    await unmanaged(house)
    before = await house.parts.store.revision()
    answer = (await admin.post("/api/instances/sync", json={"dryRun": True, "forceSync": True})).json()

    assert answer["data"]["missing"] == [instance(1).id]
    assert answer["data"]["orphans"] == [FOREIGN]
    assert answer["data"]["options"] == {"dryRun": True, "forceSync": True, "handleObsoleteInstances": True}
    assert await house.parts.store.revision() == before


async def test_a_sync_that_takes_long_goes_on_as_a_job(admin):
    """202 with the job; asking again is the same job."""
    first, second = [await admin.post("/api/instances/sync") for _ in range(2)]

    assert first.status_code == second.status_code == 202
    assert first.json()["jobId"] == second.json()["jobId"]
    job = (await admin.get(f"/api/jobs/{first.json()['jobId']}")).json()
    assert (job["type"], job["status"]) == ("sync_instances", "pending")


# ── the switch ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_pausing_is_visible_and_keeps_its_first_reason(house: House, admin):
    """Who, when and why; `all` leaves the jobs alone."""
    paused = (await admin.post("/api/automation/pause", json={"reason": "odd bills"})).json()
    assert {one["scope"] for one in paused["scopes"] if one["paused"]} == {
        "adoption",
        "idle",
        "migration",
        "schedule",
        "budget",
    }
    again = (await admin.post("/api/automation/pause", json={"scope": "idle", "reason": "other"})).json()
    assert next(one for one in again["scopes"] if one["scope"] == "idle")["reason"] == "odd bills"

    resumed = (await admin.post("/api/automation/resume")).json()
    assert not resumed["paused"]
    assert [action for action, _ in await audit(admin)] == ["automation.resume", "automation.pause"]


async def test_the_jobs_are_paused_by_name(house: House, admin):
    """An unknown part is refused with those that are known."""
    answer = (await admin.post("/api/automation/pause", json={"scope": "jobs"})).json()
    assert [one["scope"] for one in answer["scopes"] if one["paused"]] == ["jobs"]
    wrong = await admin.post("/api/automation/pause", json={"scope": "everything"})
    assert wrong.status_code == 422
    assert "adoption" in str(wrong.json())


# ── the audit log ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_entry_tells_who_did_what_from_where(house: House, admin):
    """With the ids of the request, so that one id tells the whole story."""
    await house.have(instance(1))
    headers = {"X-Request-ID": "r-1", "X-Correlation-ID": "c-1"}
    await admin.post(f"/api/instances/{instance(1).id}/stop", json={"reason": "lunch"}, headers=headers)
    entry = (await admin.get("/api/audit?limit=1")).json()["entries"][0]

    assert entry["by"].startswith("user:")
    assert (entry["requestId"], entry["correlationId"], entry["address"]) == ("r-1", "c-1", "10.0.0.1")
    assert entry["detail"] == {"before": "ready", "after": "stopping", "reason": "lunch"}


async def test_the_log_is_read_by_actor_by_target_and_page_by_page(house: House, admin):
    """Newest first."""
    await house.have(*(instance(number) for number in range(1, 6)))
    for number in range(1, 6):
        await admin.post(f"/api/instances/{instance(number).id}/stop")
    first = (await admin.get("/api/audit?limit=3")).json()
    second = (await admin.get(f"/api/audit?limit=2&cursor={first['nextCursor']}")).json()
    one = (await admin.get(f"/api/audit?target={instance(2).id}")).json()
    by = (await admin.get(f"/api/audit?by={first['entries'][0]['by']}")).json()

    numbers = [int(entry["target"][-1]) for page in (first, second) for entry in page["entries"]]
    assert numbers == [5, 4, 3, 2, 1]
    assert [entry["target"] for entry in one["entries"]] == [instance(2).id]
    assert by["total"] == 5


async def test_the_chain_can_be_verified_by_an_admin(admin):
    """Nothing seals in this house, so everything is still unsealed."""
    answer = (await admin.get("/api/audit/verify")).json()

    assert (answer["intact"], answer["seals"], answer["problems"]) == (True, 0, [])
    assert answer["unsealed"] == 3


# ── what nobody should be able to break ───────────────────────────────────────────────────────────────────────────────

NASTY = (
    "%00",
    "a%2Fb",
    "..%2F..%2Fetc",
    "x" * 300,
    "%F0%9F%92%A5",
    "%FF",
    "a%0D%0Ab",
    "'%20or%201=1--",
    "%1b[31m",
    "sync",
    "{x}",
)


async def test_nasty_ids_are_not_found_and_nothing_worse(house: House, admin):
    """Whatever stands in a path."""
    await unmanaged(house)
    for text in NASTY:
        for path in (f"/api/orphans/{text}/{verb}" for verb in ("adopt", "ignore", "delete")):
            answer = await admin.post(path)
            assert answer.status_code in {400, 404, 405, 422}, (path, answer.status_code)
        answer = await admin.post(f"/api/instances/{text}/adopt")
        assert answer.status_code in {400, 404, 405, 422}, (text, answer.status_code)
        for query in (f"by={text}", f"target={text}", f"cursor={text}", f"limit={text}"):
            answer = await admin.get(f"/api/audit?{query}")
            assert answer.status_code in {200, 422}, (query, answer.status_code)


async def test_nasty_references_in_a_bulk_are_refused_one_by_one(house: House, admin):
    """Among a thousand of them the good one is done."""
    await house.have(instance(1))
    ids = ["<b>", "a/b", "\U0001f4a5", "x" * 200, instance(1).id, *(f"nobody-{number}" for number in range(995))]
    answer = (await admin.post("/api/instances/bulk", json={"action": "stop", "ids": ids})).json()

    assert (answer["count"], answer["failed"], len(answer["results"])) == (1, 999, 1000)


async def test_half_a_character_is_no_reference_no_label_and_no_reason(admin):
    """Such text cannot be stored or looked up; it is refused by the field that has it."""
    for body in (
        rb'{"action": "stop", "ids": ["\ud800"]}',
        rb'{"action": "stop", "label": "\ud800=x"}',
        rb'{"action": "stop", "ids": ["a"], "reason": "\udfff"}',
    ):
        answer = await admin.post("/api/instances/bulk", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in {400, 422}, (body, answer.text)


async def test_stop_all_calls_off_a_start_that_waits_for_its_stop(house: House, admin):
    """It would run and cost a moment later."""
    waiting = builders.instance(State.STOPPED, desired=builders.desired(DesiredState.RUNNING))
    await house.have(waiting)
    answer = (await admin.post("/api/instances/stop-all")).json()

    assert [result["outcome"] for result in answer["results"]] == ["accepted"]
    assert house.parts.reads.get(waiting.id).instance.wants is DesiredState.STOPPED


async def test_a_bulk_that_loses_the_store_on_the_way_says_what_was_accepted(house: House, admin):
    """An answer that says nothing was changed would be a lie."""
    await house.have(*(instance(number) for number in range(1, 5)))
    commit, left = house.parts.store._inner.commit, [2]

    async def full_after_two(asked):
        left[0] -= 1
        if left[0] < 0:
            raise StoreUnavailable("disk full")
        return await commit(asked)

    house.parts.store._inner.commit = full_after_two
    answer = await admin.post("/api/instances/stop-all")
    none = await admin.post("/api/instances/bulk", json={"action": "delete", "ids": [instance(4).id]})

    assert answer.status_code == 200
    assert [result["outcome"] for result in answer.json()["results"]] == ["accepted", "accepted", "refused", "refused"]
    assert {result["code"] for result in answer.json()["results"]} == {None, "STORE_UNAVAILABLE"}
    assert (none.status_code, none.json()["error"]["code"]) == (503, "STORE_UNAVAILABLE")


async def test_an_orphan_whose_price_was_not_known_at_first_is_shown_with_it_later(house: House, admin):
    """The catalogue may be read after the machine was found."""
    machine = builders.machine(id=FOREIGN, name="somebody-elses", price_per_hour=None)
    house.parts.freshness.saw(machine, house.clock.now())
    await house.parts.orphans.record([orphan_of(machine, price=None, ours=False, at=house.clock.now())], None)
    before = (await admin.get("/api/orphans")).json()["orphans"][0]
    await house.parts.catalogue.for_acceptance()
    after = (await admin.get("/api/orphans")).json()["orphans"][0]

    assert before["pricePerHour"] is None
    assert after["pricePerHour"] is not None
    assert after["costSoFar"] is not None


async def test_a_chain_whose_key_cannot_be_opened_is_not_intact(house: House, admin):
    """That is an answer, and not a failure of the server."""
    record = Put(kind=records.META, id=audit_log.KEY_RECORD, body=b"nonsense", expect=0)
    await house.parts.store.commit(Commit(puts=(record,)))
    answer = await admin.get("/api/audit/verify")

    assert (answer.status_code, answer.json()["intact"]) == (200, False)
    assert "cannot be opened" in answer.json()["problems"][0]["problem"]


async def test_a_repeat_under_the_same_key_gets_the_first_answer(house: House, admin):
    """Also where the answer is many results, and where a second time would be refused."""
    await house.have(instance(1))
    await unmanaged(house)
    for path, body in (
        ("/api/instances/stop-all", {}),
        ("/api/instances/bulk", {"action": "start", "ids": [instance(1).id, "nobody"]}),
        (f"/api/orphans/{FOREIGN}/adopt", None),
        ("/api/automation/pause", {"scope": "jobs"}),
    ):
        headers = {"Idempotency-Key": f"k-{path}"}
        first = await admin.post(path, json=body, headers=headers)
        again = await admin.post(path, json=body, headers=headers)
        assert again.headers.get("Idempotency-Replayed") == "true", path
        assert (again.status_code, again.json()) == (first.status_code, first.json()), path
