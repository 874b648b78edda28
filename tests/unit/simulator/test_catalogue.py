"""The catalogue is believable, and stock runs out."""

import pytest

from novita_simulator.errors import Refusal


def test_the_catalogue_is_wide_enough_to_choose_from(play):
    """At least eight GPU types in six regions, in all three billing modes."""
    products = play.get("/products")["data"]
    clusters = play.get("/clusters")["data"]

    assert len({item["name"] for item in products}) >= 8
    assert len(clusters) >= 6
    assert {mode for item in products for mode in item["billingMethods"]} == {"onDemand", "spot", "monthly"}
    names = {cluster["name"] for cluster in clusters}
    assert all(set(item["regions"]) <= names for item in products)


def test_products_are_filtered_by_cluster_name_and_billing_method(play):
    """clusterId takes an id, productName a part of the name, billingMethod drops what is not sold so."""
    in_india = {item["id"] for item in play.get("/products", clusterId="as-in-1")["data"]}
    spot_4090 = {item["id"] for item in play.get("/products", productName="4090", billingMethod="spot")["data"]}

    assert "4090.16c62g" in in_india
    assert "4090.16c96g.v2" not in in_india
    assert "3090.16c92g" in in_india  # sold everywhere: its regions are empty
    assert spot_4090 == {"4090.16c62g", "4090.16c96g.v2"}
    with pytest.raises(Refusal, match="billingMethod"):
        play.get("/products", billingMethod="on-demand")


def test_stock_runs_out_and_comes_back(play):
    """A machine takes its GPUs; the next create is refused with the word in reason and message; a delete returns them."""
    play.do("stock", productId="4090.16c62g", clusterId="us-ca-6", billingMode="onDemand", available=2)
    first = play.create(gpuNum=2)

    with pytest.raises(Refusal) as refused:
        play.create(gpuNum=1)
    state = play.get("/products", clusterId="us-ca-6", productName="4090")["data"][0]
    play.act("delete", first)

    assert (refused.value.status, refused.value.reason) == (400, "INSUFFICIENT_RESOURCE")
    assert "INSUFFICIENT_RESOURCE" in refused.value.message
    assert (state["availableDeploy"], state["inventoryState"]) == (False, "none")
    assert play.create(gpuNum=2)


def test_a_stopped_machine_holds_no_gpu_so_its_start_may_fail(play):
    """After a stop somebody else may take the GPU; the start is refused and the machine stays as it is."""
    play.do("stock", productId="4090.16c62g", available=1)
    mine = play.running()
    play.act("stop", mine)
    play.wait(15)
    play.create()

    with pytest.raises(Refusal, match="INSUFFICIENT_RESOURCE"):
        play.act("start", mine)

    assert play.status(mine) == "exited"


def test_without_a_cluster_the_one_with_the_most_stock_is_taken(play):
    """clusterId empty means anywhere."""
    play.do("stock", productId="4090.16c62g", clusterId="us-ca-6", available=1)

    assert play.machine(play.create(clusterId=""))["clusterId"] == "as-in-1"


def test_the_quota_is_refused_as_a_limit_or_as_429(rehearse):
    """CREATE_GPU_NUM_LIMIT with the limit in the metadata, or 429 RATE_LIMIT_EXCEEDED by a switch."""
    for status, reason in ((400, "CREATE_GPU_NUM_LIMIT"), (429, "RATE_LIMIT_EXCEEDED")):
        play = rehearse(switches={"gpuQuota": 2, "quotaStatus": status})
        play.create(gpuNum=2)

        with pytest.raises(Refusal) as refused:
            play.create()

        assert (refused.value.status, refused.value.reason) == (status, reason)


def test_prices_change_for_new_machines_only(play):
    """A running machine keeps the price it was started at."""
    old = play.running()
    play.do("prices", productId="4090.16c62g", price=99_000)
    new = play.running()

    prices = {machine.id: machine.price for machine in play.world.machines.values()}
    assert (prices[old], prices[new]) == (35_000, 99_000)
    assert play.get("/products", productName="4090")["data"][0]["price"] == "99000"
