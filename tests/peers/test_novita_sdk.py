"""novita-sdk 0.5.0, unchanged but for its base URL, works against the simulator."""

import pytest

pytestmark = pytest.mark.peers


async def test_the_sdk_reads_the_catalogue_runs_a_machine_and_lists_what_it_owns(drive):
    """Its strict models accept every answer, from the first list to the delete."""
    told = await drive("sdk.py")

    assert told["catalogue"] == {"clusters": 8, "products": 11, "cpuProducts": 2, "usdPerHour": 0.175}
    assert told["machine"]["listed"] == ["sdk-1"]
    assert told["machine"]["seen"] == ["running", "invalid state change"]
    assert told["machine"]["jobs"] == [[True, "saveImage"]]
    assert told["own"] == {
        "auths": ["demo-registry", "ghcr.io"],
        "authsLeft": 1,
        "template": "demo-llm-server",
        "storages": 0,
    }


async def test_the_sdk_recognises_its_errors(drive):
    """401 for a bad key, 400 with the reason in its details, and no capacity as a bad request."""
    told = await drive("sdk_errors.py")

    assert told == {
        "badKey": "AuthenticationError",
        "missing": ["BadRequestError", "RESOURCE_NOT_FOUND"],
        "noStock": ["BadRequestError", "INSUFFICIENT_RESOURCE"],
    }
