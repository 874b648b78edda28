"""The idle stop over HTTP: candidates, statistics, the link that postpones, and what was measured."""

import pytest

from novitai.domain.change import Change, fact
from novitai.domain.errors import Gone, Unclear
from novitai.domain.events import FactType
from novitai.domain.keys import Scope
from novitai.domain.lifecycle import State
from novitai.domain.metrics import MachineMetrics, Sample
from support import builders
from support.api_house import House
from support.builders import INSTANCE_ID, MACHINE_ID, NOW
from support.idling import announced, idle_instance

HERE = f"/api/instances/{INSTANCE_ID}"


def measured(house: House, *, gpu: float) -> None:
    moments = [NOW - 1800.0 + 15.0 * step for step in range(117)]
    house.provider.known_metrics[MACHINE_ID] = MachineMetrics(
        gpu=tuple(Sample(at, gpu) for at in moments), cpu=tuple(Sample(at, 2.0) for at in moments)
    )


async def test_every_candidate_is_listed_with_the_value_and_age_of_each_signal(house: House):
    """And those exempt, with the reason."""
    await house.have(idle_instance(), builders.instance(State.CREATING, id="inst_other", name="other"))
    measured(house, gpu=1.0)
    async with house.client() as client:
        answer = await client.post("/api/instances/auto-stop/trigger")

    told = answer.json()
    (candidate,), (exempt,) = told["candidates"], told["exempt"]
    signals = {signal["name"]: signal for signal in candidate["signals"]}
    assert (answer.status_code, told["dryRun"], told["checked"], house.idle_checks) == (200, True, 2, [])
    assert (signals["gpu"]["value"], signals["gpu"]["ageSeconds"], signals["gpu"]["idle"]) == (1.0, 60.0, True)
    assert (signals["last-used"]["idle"], candidate["action"]) == (True, "stop")
    assert exempt["because"] == "it has no machine"


async def test_a_trigger_that_is_no_dry_run_makes_the_loop_look_now(house: House):
    """The loop does what is due; nothing else acts."""
    async with house.client() as client:
        answer = await client.post("/api/instances/auto-stop/trigger", json={"dryRun": False})

    assert (answer.status_code, answer.json()["dryRun"], len(house.idle_checks)) == (200, False, 1)


async def test_statistics_keep_the_fields_of_the_earlier_service(house: House):
    """Clients of it read them."""
    async with house.client(Scope.READ) as client:
        told = (await client.get("/api/instances/auto-stop/stats")).json()

    assert told["schedulerRunning"] is True
    assert (told["checkIntervalMinutes"], told["defaultInactivityThresholdMinutes"]) == (5.0, 20.0)
    assert (told["startupGracePeriodMinutes"], told["creationGracePeriodMinutes"]) == (0.0, 0.0)
    assert (told["warned"], told["postponed"], told["stopped"], told["usdSaved"]) == (0, 0, 0, 0.0)


async def test_the_link_shows_a_page_and_postpones_once_by_its_button(house: House):
    """No key, no script; looking changes nothing, and what was done is in the audit log."""
    link = await announced(house)
    async with house.client(None) as stranger, house.client() as admin:
        looked = [await stranger.get(link) for _ in range(2)]
        done = await stranger.post(link)
        again = [await stranger.post(link), await stranger.get(link)]
        stats = (await admin.get("/api/instances/auto-stop/stats")).json()
        noted = (await admin.get("/api/audit", params={"by": "link"})).json()["entries"]

    assert {page.status_code for page in looked} == {200}
    assert "<script" not in looked[0].text
    assert "default-src 'none'" in looked[0].headers["Content-Security-Policy"]
    assert (done.status_code, stats["postponed"]) == (200, 1)
    assert {page.status_code for page in again} == {410}
    assert [entry["action"] for entry in noted] == ["instance.snooze"]


@pytest.mark.parametrize("token", ["", "?token=", "?token=warn_1.00", "?token=" + "a" * 300])
async def test_a_link_that_is_not_ours_is_403(house: House, token):
    """It says nothing of whether there is such an instance."""
    await announced(house)
    async with house.client(None) as stranger:
        statuses = {
            (await stranger.request(method, f"/api/instances/{reference}/snooze{token}")).status_code
            for method in ("GET", "POST")
            for reference in (INSTANCE_ID, "inst_none")
        }

    assert statuses == {403}


async def test_a_link_is_spent_when_the_instance_was_used_meanwhile(house: House):
    """There is nothing left to postpone."""
    link = await announced(house)
    async with house.client(None) as stranger, house.client() as admin:
        await admin.put(f"{HERE}/last-used")
        answer = await stranger.post(link)

    assert answer.status_code == 410


async def test_an_instance_shows_its_rule_with_sources_and_when_it_is_stopped(house: House):
    """What a request said, over the settings; and a use moves the stop at once."""
    await house.have(idle_instance(ready_at=NOW - 60.0))
    async with house.client() as client:
        changed = await client.patch(HERE, json={"autoStop": {"idleMinutes": 60}})
        before = (await client.get(HERE)).json()
        await client.put(f"{HERE}/last-used")
        after = (await client.get(HERE)).json()

    rule = before["policies"]["autoStop"]
    assert changed.status_code == 200
    assert rule["idleMinutes"] == {"value": 60.0, "source": "request"}
    assert rule["warnMinutes"] == {"value": 5.0, "source": "default"}
    assert before["nextAction"]["what"] == "stop"
    assert after["nextAction"]["at"] > before["nextAction"]["at"]


async def test_what_was_measured_is_passed_on(house: House):
    """Percentages with their times."""
    await house.have(idle_instance())
    measured(house, gpu=42.0)
    async with house.client(Scope.READ) as client:
        told = (await client.get(f"{HERE}/metrics")).json()

    assert told["gpu"][-1]["value"] == 42.0
    assert told["novitaInstanceId"] == MACHINE_ID


@pytest.mark.parametrize(
    ("failure", "status"), [(Gone("no such machine", status=404), 409), (Unclear("timed out"), 504)]
)
async def test_trouble_at_novita_is_told_as_such(house: House, failure, status):
    """Neither a 500 nor an empty answer that looks like idleness."""
    await house.have(idle_instance())
    house.provider.script("metrics", failure)
    async with house.client() as client:
        answer = await client.get(f"{HERE}/metrics")

    assert answer.status_code == status


async def test_an_announcement_is_what_its_schema_says(house: House):
    """Receivers are generated from it."""
    instance = idle_instance()
    await house.have(instance)
    told = fact(FactType.IDLE_WARNING, instance, before=instance, at=NOW, actor="idle", data={"action": "stop"})
    held = house.parts.reads.get(INSTANCE_ID)
    await house.parts.ledger.commit(held.version, Change(instance=instance, facts=(told,)))
    async with house.client() as client:
        schemas = (await client.get("/api/webhooks/schemas")).json()

    assert "instance.idle_warning" in str(schemas)
