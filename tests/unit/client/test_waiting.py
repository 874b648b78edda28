"""Waiting until an instance is ready."""

import threading

import pytest

from novitai_client import AsyncClient, Client, Instance, StartupFailed, WaitTimedOut
from unit.client.stand_in import Asked, Reply, StandIn, instance

WHERE = "/api/instances/inst_1"


def states(*found: str) -> list[Reply]:
    return [Reply(body=instance(status=status)) for status in found]


def test_it_ends_when_the_application_answers(server: StandIn, client: Client) -> None:
    """Each request is a long poll; a server that answers early is asked again."""
    server.on("GET", WHERE, *states("creating", "health_checking", "ready"))

    found = client.wait_until_ready("inst_1", timeout=5)

    assert found.status == "ready"
    assert server.asked[0].query == [("wait", "ready"), ("timeout", "5")]


def test_one_long_poll_lasts_a_minute_at_most(server: StandIn, client: Client) -> None:
    server.on("GET", WHERE, *states("ready"))

    client.wait_until_ready("inst_1", timeout=3600)

    assert server.asked[0].query == [("wait", "ready"), ("timeout", "60")]


def test_whoever_watches_sees_each_change_once(server: StandIn, client: Client) -> None:
    """The first state, and every later one; polls are short so that none is long in coming."""
    server.on("GET", WHERE, *states("creating", "creating", "running", "running", "ready"))
    seen: list[str] = []

    client.wait_until_ready("inst_1", timeout=60, on_change=lambda state: seen.append(state.status))

    assert seen == ["creating", "running", "ready"]
    assert server.asked[0].query[1] == ("timeout", "2")


@pytest.mark.parametrize("status", ["failed", "lost", "deleting", "deleted"])
def test_a_failure_ends_the_wait_with_its_reason(server: StandIn, client: Client, status: str) -> None:
    error = {"code": "NO_CAPACITY", "message": "no GPU was free", "offers": [{"rank": 1, "reason": "refused"}]}
    server.on("GET", WHERE, Reply(body=instance(status=status, lastError=error)))

    with pytest.raises(StartupFailed, match="no GPU was free") as raised:
        client.wait_until_ready("inst_1", timeout=5)

    assert (raised.value.code, raised.value.instance.status) == ("NO_CAPACITY", status)
    assert raised.value.offers[0].reason == "refused"


def test_an_instance_that_somebody_stopped_will_not_become_ready(server: StandIn, client: Client) -> None:
    server.on("GET", WHERE, Reply(body=instance(status="stopped", desired={"state": "stopped"})))

    with pytest.raises(StartupFailed, match="it is stopped"):
        client.wait_until_ready("inst_1", timeout=5)


def test_a_start_queued_behind_a_stop_is_waited_for(server: StandIn, client: Client) -> None:
    """It is stopping, but running is what was asked last."""
    server.on("GET", WHERE, *states("stopping", "stopped", "starting", "ready"))

    assert client.wait_until_ready("inst_1", timeout=5).status == "ready"


def test_the_time_given_is_kept(server: StandIn, client: Client) -> None:
    """The last state is in the error, and the server was not asked in a tight loop."""
    server.on("GET", WHERE, *states("creating"))

    with pytest.raises(WaitTimedOut, match=r"creating after 0\.3 s") as raised:
        client.wait_until_ready("inst_1", timeout=0.3)

    assert raised.value.instance.status == "creating"


def test_the_server_may_hold_the_answer_longer_than_the_usual_time(server: StandIn) -> None:
    """A held answer is not silence: the time-out of reads comes on top."""
    release = threading.Event()

    def held(asked: Asked) -> Reply:
        threading.Timer(0.3, release.set).start()
        return Reply(body=instance(), after=release)

    server.on("GET", WHERE, held)

    with Client(server.url, "k", timeout=0.05) as client:
        assert client.wait_until_ready("inst_1", timeout=10).status == "ready"


async def test_the_asyncio_client_waits_in_the_same_way(server: StandIn, async_client: AsyncClient) -> None:
    server.on("GET", WHERE, *states("creating", "ready"))
    seen: list[Instance] = []

    await async_client.wait_until_ready("inst_1", timeout=5, on_change=seen.append)

    assert [state.status for state in seen] == ["creating", "ready"]
