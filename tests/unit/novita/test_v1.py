"""Calls look as Novita documents them, and their answers are read."""

import msgspec
import pytest

from novitai.domain.ids import MachineId
from novitai.domain.machine import BillingMode, Port
from novitai.novita import jobs, v1
from novitai.novita.calls import BreakerName, Effect
from novitai.novita.reading import EmptyRecord, Unreadable
from novitai.ports.provider import ProviderJobQuery
from unit.novita.doubles import order

MACHINE = MachineId("37d312386c80a3b9")


def sent(request) -> dict:
    return msgspec.json.decode(request.body)


def test_a_create_says_everything_in_novitas_words():
    """Ports are one text, envs a list, volumes have a capital I (novita-wire.md 3.4)."""
    full = order(
        ports=(Port(8080, "http"), Port(22, "tcp")),
        envs=(("A", "1"), ("B", "")),
        command="run",
        entrypoint="sh",
        network_storages=(("volume-1", "/data"),),
    )

    request = v1.create(full, "me:hunter2")

    assert (request.method, request.path, request.effect) == ("POST", "/v1/gpu/instance/create", Effect.CREATE)
    assert sent(request) == {
        "name": "train-1-nvx",
        "productId": "4090.16c62g",
        "gpuNum": 2,
        "rootfsSize": 60,
        "imageUrl": "ubuntu:22.04",
        "imageAuth": "me:hunter2",
        "kind": "gpu",
        "billingMode": "spot",
        "clusterId": "us-ca-6",
        "ports": "8080/http, 22/tcp",
        "envs": [{"key": "A", "value": "1"}, {"key": "B", "value": ""}],
        "command": "run",
        "entrypoint": "sh",
        "networkStorages": [{"Id": "volume-1", "mountPoint": "/data"}],
    }


def test_a_create_leaves_out_what_is_empty():
    """Novita's defaults hold for what was not asked for."""
    assert set(sent(v1.create(order(), ""))) == {
        "name", "productId", "gpuNum", "rootfsSize", "imageUrl", "kind", "billingMode", "clusterId",
    }  # fmt: skip


def test_a_create_shows_no_secret_when_printed():
    """Requests turn up in tracebacks."""
    request = v1.create(order(envs=(("TOKEN", "hunter2"),)), "me:hunter2")

    assert "hunter2" not in repr(request)


@pytest.mark.parametrize("body", [b'{"id": "37d312386c80a3b9"}', b'{"id": "37d312386c80a3b9", "name": "x"}'])
def test_a_create_answers_with_an_id(body):
    """And with nothing else that we rely on."""
    assert v1.create(order(), "").read(body) == "37d312386c80a3b9"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"id": ""}',
        b'{"id": null}',
        b"null",
        b"[]",
        b"<html>",
        b'{"id": {}}',
        b'{"id": 7}',
        b'{"id": "37d',
    ],
)
def test_a_create_without_an_id_is_unreadable(body):
    """The machine may exist all the same, so this is never a success and never a refusal."""
    with pytest.raises(Unreadable):
        v1.create(order(), "").read(body)


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "delete", "migrate"])
def test_an_action_names_its_machine_in_the_body(verb):
    """POST, and the id in the body (novita-wire.md 3.6)."""
    request = v1.action(verb, MACHINE)

    assert (request.method, request.path) == ("POST", f"/v1/gpu/instance/{verb}")
    assert sent(request) == {"instanceId": MACHINE}
    assert (request.effect, request.names_one, request.breaker) == (Effect.CHANGE, True, BreakerName.GPU)


def test_the_list_is_asked_by_page():
    """The names of the parameters are the documented ones; others are ignored by Novita (novita-wire.md 1.5)."""
    assert v1.machines(3, 50).query == {"pageNum": "3", "pageSize": "50"}


def test_a_page_counts_what_it_could_not_read():
    """The observer must know that a sweep is not complete."""
    body = b'{"instances": [{"id": "a", "status": "running"}, {"id": ""}, 7, {"id": "b", "name": {}}], "total": "9"}'

    page = v1.machines(1, 10).read(body)

    assert [machine.id for machine in page.machines] == ["a"]
    assert (page.unreadable, page.total) == (3, 9)


def test_a_list_without_a_total_says_more_while_pages_are_full():
    """A bare list tells nothing about the rest."""
    full, short = b'[{"id": "a"}, {"id": "b"}]', b'[{"id": "c"}]'

    assert v1.machines(1, 2).read(full).total == 3
    assert v1.machines(2, 2).read(short).total == 3


def test_one_machine_is_the_top_level_object():
    """Not wrapped (novita-wire.md 3.5)."""
    request = v1.machine(MACHINE)

    assert request.query == {"instanceId": MACHINE}
    assert request.read(b'{"id": "37d312386c80a3b9"}').detailed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"instance": {"id": "37d312386c80a3b9"}}',
        b'{"id": "another"}',
        b'{"id": "", "name": "x"}',
    ],
)
def test_an_answer_that_is_not_about_this_machine_is_unreadable(body):
    """It is no proof that the machine is gone."""
    with pytest.raises(Unreadable) as refused:
        v1.machine(MACHINE).read(body)

    assert refused.type is Unreadable


@pytest.mark.parametrize(
    "body", [b"{}", b'{"id": "", "gpuNum": "0", "portMappings": [], "network": {"id": ""}, "x": null}']
)
def test_a_record_in_which_nothing_is_set_says_that_there_is_no_machine(body):
    """One of the three ways to say it (novita-wire.md 1.2: what is unset is left out, or empty)."""
    with pytest.raises(EmptyRecord):
        v1.machine(MACHINE).read(body)


def test_products_are_asked_and_read_by_mode():
    """What is not sold that way is no product of that mode."""
    body = msgspec.json.encode(
        {
            "data": [
                {"id": "p1", "price": "35000", "spotPrice": "17500", "billingMethods": ["onDemand", "spot"]},
                {"id": "p2", "price": "35000", "spotPrice": "0", "billingMethods": ["onDemand"]},
                {"price": "1"},
            ]
        }
    )

    spot, on_demand = v1.products(BillingMode.SPOT), v1.products(BillingMode.ON_DEMAND)

    assert spot.query == {"billingMethod": "spot"}
    assert on_demand.query == {"billingMethod": "onDemand"}
    assert [(one.id, one.price_per_gpu) for one in spot.read(body)] == [("p1", 17500)]
    assert [(one.id, one.price_per_gpu) for one in on_demand.read(body)] == [("p1", 35000), ("p2", 35000)]


def test_private_templates_are_asked_for():
    """Two parameters that belong together, and a key that is singular (novita-wire.md 3.11)."""
    request = v1.templates(2, 50)

    assert request.query == {"channel": "private", "isMyCommunity": "true", "pageNum": "2", "pageSize": "50"}
    assert request.read(b'{"template": [{"Id": "1", "name": "t"}, {}], "total": 2}')[1] == 2


def test_one_template_is_wrapped():
    """Under `template`; without it there is nothing to read."""
    request = v1.template("107672")

    assert (request.query, request.names_one) == ({"templateId": "107672"}, True)
    assert request.read(b'{"template": {"Id": "107672", "name": "t"}}').name == "t"
    with pytest.raises(Unreadable):
        request.read(b'{"template": null}')


def test_volumes_have_a_page_parameter_of_their_own():
    """`pageNo`, here alone (novita-wire.md 1.5)."""
    request = v1.network_storages(1, 100)

    found, total = request.read(
        b'{"data": [{"storageId": "v", "storageName": "data", "storageSize": 100, "clusterId": "us-ca-6"}], "total": 1}'
    )

    assert request.query == {"pageNo": "1", "pageSize": "100"}
    assert (found[0].id, found[0].size_gb, found[0].cluster_id, total) == ("v", 100, "us-ca-6", 1)


def test_jobs_are_asked_alike_through_both_doors():
    """Only path, breaker and source differ; empty filters are not sent."""
    query = ProviderJobQuery(type="instanceMigrate", start_time=1785780950, page=2, page_size=5)

    public, internal = jobs.public_jobs(query), jobs.internal_jobs(query)

    assert public.query == internal.query == {
        "type": "instanceMigrate", "startTime": "1785780950", "pageNum": "2", "pageSize": "5",
    }  # fmt: skip
    assert (public.path, public.breaker) == ("/v1/jobs", BreakerName.GPU)
    assert (internal.path, internal.breaker) == ("/api/v1/jobs", BreakerName.INTERNAL)
    body = b'{"jobs": [{"Id": "j", "state": {"state": "success"}}], "total": 11}'
    assert (public.read(body).source, internal.read(body).source) == ("public", "internal")
    assert (public.read(body).total, public.read(body).jobs[0].state) == (11, "success")


def test_a_registry_credential_without_an_id_costs_itself_alone():
    """Nobody can ask for it, and those that can be asked for are still found."""
    body = b'{"data": [{"name": "nameless"}, {"id": "auth-1", "username": "me", "password": "x"}, null]}'

    found = v1.registry_auths().read(body)

    assert [one.id for one in found] == ["auth-1"]
