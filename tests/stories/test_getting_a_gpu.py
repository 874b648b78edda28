"""Getting a GPU: full regions, renamed regions, prices that move, and errors that say what is wrong.

The service before this one had its order of regions rewritten seven times in two weeks, broke when Novita renamed a region, forgot its cache of
prices because it was stale, and answered "success" to creates that failed later.
"""

from dataclasses import replace

from support.stories import HOUR, ORDER, told

CHEAPEST = ("us-ca-6", "as-in-1")
DEARER = ("cn-hongkong-1", "as-sgp-2", "oc-au-1")


@told()
async def test_when_the_cheapest_regions_are_full_the_next_ones_are_tried_and_nobody_edits_a_list(tale):
    """The catalogue still says that there is stock; Novita refuses; within the same request the next best offer is bought."""
    for _ in CHEAPEST:
        tale.site.novita.fault("POST .*instance/create", "status", status=400, reason="INSUFFICIENT_RESOURCE")

    made = await tale.ready()

    machine = tale.machine(made)
    assert machine.cluster.id in DEARER
    assert len(tale.calls(made)) == len(CHEAPEST) + 1
    assert tale.told(made).count("ready") == 1


@told()
async def test_a_region_that_novita_renamed_is_still_found_by_its_code(tale):
    """On one morning `US-CA-06` became `US-CA-06 (California)`: requests by the code, and by either name, go on."""
    clusters = tale.site.novita.stage.world.catalogue.clusters
    before = await tale.ready(region="US-CA-06")

    clusters["us-ca-6"] = replace(clusters["us-ca-6"], name="US-CA-06")
    await tale.passes(HOUR)
    bare = await tale.ready(region="US-CA-06")
    clusters["us-ca-6"] = replace(clusters["us-ca-6"], name="US-CA-06 - California, USA")
    await tale.passes(HOUR)
    renamed = [await tale.ready(region=words) for words in ("US-CA-06", "us-ca-6")]

    assert {tale.machine(made).cluster.id for made in (before, bare, *renamed)} == {"us-ca-6"}


@told()
async def test_a_region_that_does_not_exist_is_named_in_the_error(tale):
    """A mistyped region is a mistake of the request, not "no product anywhere"."""
    answer = await tale.ask("POST", "/api/instances", ORDER | {"region": "US-WEST-99"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "REGION_NOT_FOUND")
    assert "US-WEST-99" in answer.json()["error"]["message"]
    assert tale.site.made() == []


@told()
async def test_a_create_that_cannot_be_placed_says_so_at_once_and_why_for_each_offer(tale):
    """Whoever waits for the answer gets the real reason, with every offer that refused; nothing was bought."""
    tale.site.novita.fault("POST .*instance/create", "status", status=400, reason="INSUFFICIENT_RESOURCE", count=-1)

    answer = await tale.ask("POST", "/api/instances", ORDER, Prefer="wait=60")

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (409, "NO_CAPACITY")
    assert len(error["details"]["offers"]) >= 5
    assert tale.site.present() == []


@told()
async def test_a_create_without_money_says_that_it_is_the_money(tale):
    """Not a 500, not "no product": the balance."""
    tale.site.perform("balance", usd=0.0)

    answer = await tale.ask("POST", "/api/instances", ORDER, Prefer="wait=60")

    assert (answer.status_code, answer.json()["error"]["code"]) == (402, "INSUFFICIENT_BALANCE")


@told()
async def test_the_answer_to_a_create_has_the_real_machine_and_its_price(tale):
    """`Prefer: wait` brings Novita's own id and what an hour costs, not a promise of them."""
    answer = await tale.ask("POST", "/api/instances", ORDER, Prefer="wait=30")

    machine = tale.machine(answer.json()["instanceId"])
    assert answer.json()["novitaInstanceId"] == machine.id
    assert answer.json()["pricePerHour"] == machine.price / 100_000


@told()
async def test_a_price_that_rose_since_it_was_last_read_is_not_paid(tale):
    """What was the cheapest a minute ago is dear now: the price is read again before money is spent."""
    usual = await tale.ask("GET", "/api/offers?productName=RTX%204090&billingMode=spot")
    best = usual.json()["offers"][0]
    await tale.passes(100.0)
    tale.site.perform("prices", productId=best["productId"], price=90_000, spotPrice=80_000)
    made = await tale.ready(maxPricePerHour=0.3)

    machine = tale.machine(made)
    assert machine.product.id != best["productId"]
    assert machine.price <= 30_000


@told()
async def test_on_demand_is_bought_when_no_spot_machine_is_to_be_had(tale):
    """`billingMode: auto` takes spot where there is some, and pays more only where there is none."""
    tale.site.perform("stock", billingMode="spot", available=0)
    await tale.passes(HOUR)

    made = await tale.ready(billingMode="auto")

    assert tale.machine(made).billing_mode == "onDemand"


@told()
async def test_a_create_that_timed_out_buys_one_machine(tale):
    """The call was cut off after Novita had made the machine: it is found, and none is bought beside it."""
    tale.site.novita.fault("POST .*instance/create", "reset", afterEffect=True)

    made = await tale.ready()

    assert [machine.status for machine in tale.site.ever(made)] == ["running"]
    assert tale.calls(made) == ["create"]
