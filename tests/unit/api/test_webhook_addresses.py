"""An endpoint of a request that would never be called is refused with the request (promise W7)."""

import pytest

from novitai.domain.lifecycle import State
from support import builders
from support.api_house import House
from support.asking import create_body

PRIVATE = [
    "http://10.0.0.1/hook",
    "http://127.1:8080/",
    "http://[::1]/",
    "http://localhost:9000/",
    "http://2130706433/",
]


def fields(answer) -> dict[str, str]:
    """What is wrong with which field."""
    return {problem["field"]: problem["message"] for problem in answer.json()["error"]["validationErrors"]}


@pytest.mark.parametrize("url", PRIVATE)
async def test_a_create_with_a_private_webhook_address_is_refused_and_the_setting_named(house: House, admin, url):
    """Not three days later by a dead letter."""
    answer = await admin.post("/api/instances", json=create_body(webhookUrl=url))

    assert answer.status_code == 422
    assert "WEBHOOK_ALLOW_CIDRS" in fields(answer)["webhookUrl"]
    assert house.parts.reads.all() == ()


@pytest.mark.parametrize(("verb", "state"), [("start", State.STOPPED), ("stop", State.READY), ("restart", State.READY)])
async def test_a_verb_with_one_is_refused_and_changes_nothing(house: House, admin, verb, state):
    """The instance stays as it is."""
    made = builders.instance(state)
    await house.have(made)

    answer = await admin.post(f"/api/instances/{made.id}/{verb}", json={"webhookUrl": PRIVATE[0]})

    assert answer.status_code == 422
    assert "webhookUrl" in fields(answer)
    assert house.parts.reads.get(made.id).instance.state is state


async def test_a_metadata_service_is_refused_without_a_setting_to_open_it(admin):
    """There is none."""
    answer = await admin.post("/api/instances", json=create_body(webhookUrl="http://169.254.169.254/latest/"))

    assert answer.status_code == 422
    assert "never called" in fields(answer)["webhookUrl"]
