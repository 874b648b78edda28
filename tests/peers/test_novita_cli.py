"""The official `novita` command line 0.1.0 works against the simulator once its base URL is set."""

import json

import pytest

pytestmark = pytest.mark.peers

CREATE = ("gpu", "create", "--product-id", "4090.16c62g", "--image", "ubuntu:22.04", "--name", "cli-1")


@pytest.fixture
def novita(drive):
    """Run a command of the official line; `novita("gpu", "list")` answers its output, as JSON when it is JSON."""

    async def run(*arguments, exits=0):
        told = await drive("cli.py", "--json-output", *arguments)
        assert told["exit"] == exits, told
        return json.loads(told["output"]) if told["output"].lstrip().startswith("{") else told["output"]

    return run


async def test_the_catalogue_is_shown(novita):
    """Clusters, products and CPU products in the shapes it expects."""
    clusters = await novita("gpu", "clusters")
    products = await novita("gpu", "products", "--name", "4090", "--billing", "spot")

    assert "us-ca-6" in [cluster["id"] for cluster in clusters["data"]]
    assert [product["id"] for product in products["data"]] == ["4090.16c62g", "4090.16c96g.v2"]
    assert (await novita("gpu", "cpu-products"))["data"]


async def test_a_machine_is_created_found_stopped_started_and_deleted(novita):
    """It begins paging at 0 and finds the new machine there; each action is accepted."""
    instance_id = (await novita(*CREATE, "--ports", "8080/http", "--env", "A=1"))["id"]
    listed = await novita("gpu", "list")
    while (record := await novita("gpu", "get", instance_id))["status"] != "running":
        pass
    stopped = await novita("gpu", "stop", instance_id)
    while (await novita("gpu", "get", instance_id))["status"] != "exited":
        pass
    started = await novita("gpu", "start", instance_id)
    deleted = await novita("gpu", "delete", instance_id)

    assert [machine["name"] for machine in listed["instances"]] == ["cli-1"]
    assert record["envs"] == [{"key": "A", "value": "1"}]
    assert "stopping" in stopped
    assert "starting" in started
    assert "deleted" in deleted


async def test_templates_are_made_read_changed_and_removed(novita):
    """The answers name the template as its own end-to-end tests demand."""
    template_id = (await novita("template", "create", "--name", "t1", "--image", "ubuntu", "--rootfs", "40"))[
        "templateId"
    ]
    await novita("template", "edit", template_id, "--name", "t2")
    read = await novita("template", "get", template_id)
    private = await novita("template", "list")
    await novita("template", "delete", template_id)
    after = await novita("template", "list")

    assert (read["Id"], read["name"]) == (template_id, "t2")
    assert (private["total"], after["total"]) == (4, 3)


async def test_metrics_balance_and_refusals_are_understood(novita):
    """Numbers where it wants numbers; the reason of a refusal is in what it prints."""
    instance_id = (await novita(*CREATE))["id"]

    metrics = await novita("gpu", "metrics", instance_id)
    balance = await novita("account", "balance")
    refused = await novita("gpu", "start", instance_id, exits=1)

    assert "gpuUtilization" in metrics
    assert balance["credit_balance"] > 0
    assert "invalid state change" in refused
