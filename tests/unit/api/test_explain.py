"""Why, over HTTP: the story of an instance, the same as data, and the reasons of everything that was done by itself."""

import pytest

from novitai.domain.automation import Part
from novitai.domain.budget import InstanceBudget
from novitai.domain.change import Change
from novitai.domain.errors import NotAllowed
from novitai.domain.explanation import Decision, Explanation
from novitai.domain.keys import Actor, Scope
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.domain.money import usd
from novitai.domain.orphan import orphan_of
from novitai.domain.schedule import Ttl
from novitai.domain.secrets import Sealed
from novitai.operations import records
from novitai.operations.requests import Context
from novitai.operations.standing import AccountStanding
from novitai.policies import observed
from support import builders
from support.api_house import House
from support.builders import INSTANCE_ID, MACHINE_ID, NOW
from support.idling import announced, idle_instance
from support.running import context

HERE = f"/api/instances/{INSTANCE_ID}"
POLICIES = {
    "startup",
    "healthCheck",
    "autoStop",
    "ttl",
    "schedule",
    "protect",
    "maxPricePerHour",
    "waitForCapacitySeconds",
    "migration",
    "budget",
}


async def decide(house: House, count: int) -> None:
    """Let something have been decided so many times, each a second after the last."""
    for number in range(count):
        held = house.parts.reads.get(INSTANCE_ID)
        assert held is not None
        why = Explanation(because=f"reason {number}.", facts={"number": number})
        decision = Decision(by="idle", action="instance.stop", why=why)
        await house.parts.ledger.commit(held.version, Change(instance=held.instance, decision=decision))
        await house.clock.advance(1.0)


async def test_an_instance_is_explained_in_sentences_and_as_data(house: House):
    """State, wish, signals with their age, every policy with its source and verdict, and what comes next."""
    await house.have(idle_instance(ready_at=NOW - 60.0))
    async with house.client(Scope.READ) as client:
        await client.get("/healthz")
        told = (await client.get(f"{HERE}/explain")).json()

    assert (told["state"], told["desired"]["by"], told["name"]) == ("ready", "user:key_1", "demo")
    assert told["summary"].startswith("demo is ready since")
    assert {policy["name"] for policy in told["policies"]} >= POLICIES
    assert all(policy["verdict"] and policy["source"] for policy in told["policies"])
    signals = {signal["name"]: signal for signal in told["signals"]}
    assert signals["last-used"] == {"name": "last-used", "value": None, "at": None, "ageSeconds": None, "idle": False}
    assert (signals["machine"]["value"], signals["machine"]["ageSeconds"]) == ("running (running)", 60.0)
    assert told["nextAction"]["what"] == "stop"
    assert told["nextAction"]["because"] in told["summary"].replace(
        "07:59:00 UTC (1 min ago)", "2027-01-15T07:59:00.000Z"
    )


@pytest.mark.parametrize("state", list(State))
async def test_the_instance_and_its_explanation_name_the_same_next_action(house: House, state):
    """They have one source."""
    await house.have(builders.instance(state, spec=builders.spec(ttl=Ttl(seconds=700.0))))
    async with house.client() as client:
        shown = (await client.get(HERE)).json()["nextAction"]
        told = (await client.get(f"{HERE}/explain")).json()["nextAction"]

    assert shown == told


async def test_a_warning_that_is_out_is_the_next_action_with_what_postpones_it(house: House):
    """Whoever is woken by it sees at once what to do."""
    await announced(house)
    async with house.client() as client:
        told = (await client.get(f"{HERE}/explain")).json()

    assert told["nextAction"]["what"] == "stop"
    assert "follows the link in the warning" in told["nextAction"]["unless"]
    assert "a warning is out since" in {policy["name"]: policy["verdict"] for policy in told["policies"]}["autoStop"]


async def test_decisions_are_newest_first_and_go_on_page_by_page(house: House):
    """What people did meanwhile is not among them, and none is skipped or told twice."""
    await house.have(builders.instance(State.READY))
    await decide(house, 5)
    async with house.client() as client:
        await client.put(f"{HERE}/last-used")
        await decide(house, 2)
        found, cursor = [], None
        while cursor is not None or not found:
            query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            page = (await client.get(f"{HERE}/explain", params=query)).json()
            found += page["decisions"]
            cursor = page["nextCursor"]

    assert [one["facts"]["number"] for one in found] == [1, 0, 4, 3, 2, 1, 0]
    assert {(one["by"], one["action"]) for one in found} == {("idle", "instance.stop")}


async def test_what_is_concluded_from_a_sighting_leaves_its_reason_in_the_same_commit(house: House):
    """Here: somebody stopped the machine outside of us."""
    await house.have(builders.instance(State.READY))
    sighting = builders.sighting(MachineStatus.STOPPED, confirmed=True)
    await house.parts.ledger.apply(
        INSTANCE_ID, lambda now: observed.see(now, sighting, now=NOW, operation_id="op_9").change
    )
    async with house.client() as client:
        told = (await client.get(f"{HERE}/explain")).json()

    assert [one["action"] for one in told["decisions"]] == ["instance.seen_stopped"]
    assert "somebody outside of Novitai said so" in told["summary"]


async def test_what_is_done_to_a_machine_is_found_under_its_instance(house: House):
    """An adoption by itself is written down for the machine; its reason belongs to the instance's story."""
    machine = builders.machine(id="feedfacefeedface", name="somebody-elses")
    house.provider.hold(machine)
    house.parts.freshness.saw(machine, house.clock.now())
    await house.parts.orphans.record([orphan_of(machine, price=None, ours=True, at=house.clock.now())], None)
    policy = Context(actor=Actor(owner="adoption", scope=Scope.ADMIN, policy="adoption"), correlation_id="corr_1")
    snapshot = await house.parts.orphans.restore(machine, INSTANCE_ID, policy)
    async with house.client() as client:
        told = (await client.get(f"{HERE}/explain")).json()

    assert snapshot is not None
    assert [(one["by"], one["action"]) for one in told["decisions"]] == [("adoption", "orphan.adopt")]
    assert "bears this installation's marker" in told["decisions"][0]["because"]


async def test_a_pause_takes_the_next_action_away_and_is_said(house: House):
    """Also in the instance's own answer, at once."""
    await house.have(idle_instance(ready_at=NOW - 60.0))
    async with house.client() as client:
        before = (await client.get(HERE)).json()["nextAction"]
        await house.parts.automation.pause([Part.IDLE], "a bad night", context())
        after = (await client.get(HERE)).json()["nextAction"]
        told = (await client.get(f"{HERE}/explain")).json()

    assert (before["what"], after, told["nextAction"]) == ("stop", None, None)
    assert "Paused is 'idle'" in told["summary"]
    assert "a bad night" in told["summary"]


async def test_budgets_of_its_own_and_of_others_are_told_by_name(house: House):
    """Each with what is spent, and where it comes from."""
    own = InstanceBudget(limit=usd(5.0), hard_stop=True)
    await house.have(builders.instance(State.READY, spec=builders.spec(budget=own, labels={"team": "ml"})))
    async with house.client() as client:
        made = {"name": "ml", "limitUsd": 50.0, "period": "month", "scope": {"label": "team=ml"}}
        answer = await client.post("/api/budgets", json=made)
        told = (await client.get(f"{HERE}/explain")).json()

    (budget,) = [policy for policy in told["policies"] if policy["name"] == "budget"]
    assert answer.status_code == 201, answer.text
    assert budget["source"] == "budget 'ml', request"
    assert [one["limitUsd"] for one in budget["value"]] == [50.0, 5.0]
    assert "Label team=ml: budget 'ml': $" in budget["verdict"]


async def test_trouble_with_novita_is_said_at_the_end_of_the_story(house: House):
    """A refused key and a list that was not read lately concern every instance."""
    await house.have(builders.instance(State.READY))
    await AccountStanding(ledger=house.parts.ledger).refuse_key(NotAllowed("no"))
    await house.clock.advance(3600.0)
    async with house.client() as client:
        summary = (await client.get(f"{HERE}/explain")).json()["summary"]

    assert "Novita refuses the server's API key" in summary
    assert "Novita's list was not read whole lately (never)" in summary


async def test_a_deleted_instance_is_explained_while_it_is_kept_and_404_after(house: House):
    """By its id; a name means only what lives."""
    await house.have(builders.instance(State.DELETED))
    async with house.client() as client:
        kept = await client.get(f"{HERE}/explain")
        await house.clock.advance(8 * 86_400.0)
        await house.parts.store.expire(limit=10)
        gone = await client.get(f"{HERE}/explain")

    assert (kept.status_code, kept.json()["nextAction"]) == (200, None)
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "INSTANCE_NOT_FOUND")


async def test_a_machine_that_is_not_managed_has_no_explanation(house: House):
    """There is nothing that we would do about it; and that is said of one that is known to be there."""
    orphan = orphan_of(builders.machine(), price=None, ours=False, at=house.clock.now())
    async with house.client() as client:
        before = await client.get(f"/api/instances/{MACHINE_ID}/explain")
        await house.parts.orphans.record([orphan], None)
        after = await client.get(f"/api/instances/{MACHINE_ID}/explain")

    assert (before.status_code, after.status_code) == (404, 404)
    assert "not managed, so nothing is planned for it" in after.json()["error"]["message"]


async def test_no_secret_is_in_an_explanation(house: House):
    """Neither environment values nor passwords, sealed or not."""
    machine = builders.seen_machine(password=Sealed("sealed:hush"))
    await house.have(
        builders.instance(State.READY, machine=machine, spec=builders.spec(envs=(("A", Sealed("sealed:hush")),)))
    )
    async with house.client() as client:
        answer = await client.get(f"{HERE}/explain")

    assert (answer.status_code, "hush" in answer.text) == (200, False)


async def test_a_cursor_of_another_instance_is_refused(house: House):
    """422, and no other instance's story."""
    await house.have(builders.instance(State.READY), builders.instance(State.READY, id="inst_other", name="other"))
    await decide(house, 2)
    async with house.client() as client:
        cursor = (await client.get(f"{HERE}/explain", params={"limit": 1})).json()["nextCursor"]
        answer = await client.get("/api/instances/inst_other/explain", params={"cursor": cursor})

    assert answer.status_code == 422


async def test_entries_of_people_are_read_over_however_many_they_are(house: House):
    """A busy program notes a use an hour; what was decided before is still found, or the next cursor leads there."""
    await house.have(builders.instance(State.READY))
    await decide(house, 1)
    for _ in range(450):
        await house.parts.ledger.write_down(context(), "instance.use", target=INSTANCE_ID)

    page = await house.parts.explaining.decisions(INSTANCE_ID, before=None, limit=50)

    assert [one.why.because for one in page.decisions] == ["reason 0."]
    assert await house.parts.store.count_log(records.AUDIT, f"target:{INSTANCE_ID}") == 451
