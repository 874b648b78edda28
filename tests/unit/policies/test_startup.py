"""From running to ready: when there is something to ask, when it has answered, when waiting ends."""

import pytest

from novitai.domain.events import FactType
from novitai.domain.instance import CheckType, EndpointHealth, Health, OperationStatus, Phase
from novitai.domain.lifecycle import State
from novitai.domain.machine import Port
from novitai.policies import startup
from support.builders import NOW, SSH, health_check, instance, mapping, seen_machine, spec, with_machine

HTTP, TCP = mapping(), mapping(port=22, kind="tcp", endpoint="proxy.example.test:40022")


def answer(*, healthy=True, error=""):
    return EndpointHealth(
        port=8080, endpoint=HTTP.endpoint, type="http", healthy=healthy, error=error, response_ms=12.0
    )


@pytest.mark.parametrize(
    ("check", "asked"),
    [
        (health_check(), (HTTP,)),
        (health_check(type=CheckType.TCP), (TCP,)),
        (health_check(port=22), (TCP,)),
        (health_check(port=9999), ()),
        (health_check(type=CheckType.NONE, port=22), ()),
    ],
)
def test_all_http_ports_or_the_named_one_are_asked(check, asked):
    """tcp ports only when they are meant."""
    assert startup.ports_to_check(check, (HTTP, TCP)) == asked


def test_checks_begin_when_there_is_a_port_to_ask():
    """It is told, once, with its phase."""
    change = startup.begin_checks(instance(State.RUNNING), at=NOW)

    assert change.instance.state is State.HEALTH_CHECKING
    assert [fact.type for fact in change.facts] == [FactType.HEALTH_CHECK_STARTED, FactType.STARTUP_PROGRESS]


def test_with_nothing_to_ask_and_details_known_it_is_ready():
    """`none`, or no port that counts."""
    running = instance(State.RUNNING, spec=spec(health_check=health_check(type=CheckType.NONE)))

    change = startup.begin_checks(running, at=NOW)

    assert change.instance.state is State.READY
    assert change.facts[-1].reason == "there is nothing to check"


def test_with_nothing_to_ask_ready_still_waits_for_ssh_details():
    """They are what such a machine is used by."""
    running = with_machine(instance(State.RUNNING, spec=spec(ports=())), ports=(), connection=None)

    after = startup.begin_checks(running, at=NOW).instance

    assert (after.state, after.health.passed_at) == (State.RUNNING, NOW)
    assert not startup.may_be_ready(after, now=NOW + 4.9)
    assert startup.may_be_ready(after, now=NOW + 5)


def test_ports_that_were_asked_for_and_never_served_are_not_nothing():
    """A machine without its endpoints is not ready; its checks go on until they fail."""
    running = with_machine(instance(State.RUNNING), ports=())

    assert startup.expects_endpoints(running)
    assert startup.begin_checks(running, at=NOW).instance.state is State.HEALTH_CHECKING


def test_a_named_port_that_is_not_served_is_not_nothing():
    """Being told `ready` without having asked it would be wrong."""
    running = instance(State.RUNNING, spec=spec(ports=(Port(22, "tcp"),), health_check=health_check(port=9999)))

    assert startup.begin_checks(running, at=NOW).instance.state is State.HEALTH_CHECKING


def test_a_round_that_asked_nobody_passes_nothing():
    """Silence is not health."""
    checking = instance(State.HEALTH_CHECKING)

    assert startup.checked(checking, (), at=NOW).health.passed_at is None
    assert startup.checked(checking, (answer(),), at=NOW).health.passed_at == NOW


def test_every_endpoint_has_to_answer():
    """One that does not keeps the instance waiting, and is remembered with its error."""
    after = startup.checked(instance(State.HEALTH_CHECKING), (answer(), answer(healthy=False, error="refused")), at=NOW)

    assert after.health.passed_at is None
    assert startup.health_view(after)["overallStatus"] == "partial"
    assert not startup.may_be_ready(after, now=NOW + 60)


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING, State.READY, State.STOPPING, State.DELETED])
def test_a_round_that_comes_too_late_is_ignored(state):
    """Its answer belongs to a run that is over, or to nobody."""
    before = instance(state)

    assert startup.checked(before, (answer(),), at=NOW) is before


def test_ready_ends_the_operation_with_all_its_phases():
    """It is told once, with what the checks saw and how to connect, and without a password."""
    checking = startup.checked(instance(State.HEALTH_CHECKING), (answer(),), at=NOW)

    change = startup.ready(checking, at=NOW + 1)

    operation = change.instance.operation
    assert (change.instance.state, change.instance.ready_at) == (State.READY, NOW + 1)
    assert operation.status is OperationStatus.COMPLETED
    assert (operation.reached(Phase.HEALTH_CHECK_COMPLETED), operation.reached(Phase.READY)) == (NOW + 1, NOW + 1)
    assert [fact.type for fact in change.facts] == [FactType.STARTUP_PROGRESS, FactType.READY]
    data = change.facts[-1].data
    assert data["healthCheckResult"]["overallStatus"] == "healthy"
    assert data["connectionDetails"]["ssh"] == SSH.ssh
    assert "password" not in str(data).lower()


def test_a_failed_instance_whose_machine_runs_is_still_asked():
    """A late `ready` is welcome; without a machine there is nobody to ask."""
    unanswered = Health(started_at=NOW)
    failed = instance(State.FAILED, machine=seen_machine(), running_at=NOW - 300, health=unanswered)

    assert startup.probed(failed)
    assert not startup.probed(instance(State.FAILED, health=unanswered))
    assert not startup.probed(instance(State.READY))


def test_the_time_for_answering_counts_from_running():
    """Boot time does not use up the application's time."""
    checking = instance(
        State.HEALTH_CHECKING, running_at=NOW, spec=spec(health_check=health_check(max_wait_time_ms=1000))
    )

    assert startup.health_deadline(checking) == NOW + 1
