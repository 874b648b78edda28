"""The bill is right to the second."""

from itertools import pairwise

from novita_simulator import report


def bill_of(play, instance_id):
    bill = report.bill(play.world, play.now)
    return next(item for item in bill["machines"] if item["instanceId"] == instance_id)


def test_gpu_time_counts_from_pulling_until_exited(play):
    """45 s of pulling, an hour of running and 12 s of stopping at $0.35 an hour; nothing before and nothing after."""
    instance_id = play.create()
    play.wait(11)
    assert bill_of(play, instance_id)["gpuSeconds"] == 0

    play.wait(45 + 3600)
    play.act("stop", instance_id)
    play.wait(86_400)

    bill = bill_of(play, instance_id)
    assert bill["gpuSeconds"] == 45 + 3600 + 12
    assert abs(bill["gpuUsd"] - 0.35 * 3657 / 3600) < 1e-9
    record = play.machine(instance_id)
    assert int(record["lastStoppedAt"]) - int(record["lastStartedAt"]) == bill["gpuSeconds"]


def test_gpus_multiply_and_spot_is_cheaper(play):
    """Prices are per GPU; the billing mode decides which price."""
    spot, on_demand = play.running(gpuNum=4, billingMode="spot"), play.running(gpuNum=2)

    assert bill_of(play, spot)["pricePerHourUsd"] == 0.7
    assert bill_of(play, on_demand)["pricePerHourUsd"] == 0.7


def test_disk_beyond_sixty_gigabytes_costs_also_while_stopped(play):
    """40 GB over at $0.005 a day, from pulling until the machine is deleted; sixty are free."""
    large, small = play.running(rootfsSize=100), play.running(rootfsSize=60)
    play.act("stop", large)
    play.wait(86_400 - 45)

    play.act("delete", large)
    play.wait(86_400)

    assert abs(bill_of(play, large)["diskUsd"] - 0.2 * bill_of(play, large)["diskSeconds"] / 86_400) < 1e-9
    assert 86_400 <= bill_of(play, large)["diskSeconds"] <= 86_400 + 60
    assert bill_of(play, small)["diskUsd"] == 0


def test_a_delete_ends_all_charges_when_it_is_accepted(play):
    """What it takes to remove the machine is not charged, and the bill outlives it."""
    instance_id = play.running(rootfsSize=100)
    before = bill_of(play, instance_id)["usd"]

    play.act("delete", instance_id)
    play.wait(3600)

    assert instance_id not in play.world.machines
    assert bill_of(play, instance_id)["usd"] == before


def test_a_migration_is_not_charged_while_it_moves(play):
    """GPU time stops at `migrating` and goes on when the machine runs again."""
    instance_id = play.running()
    play.wait(100)
    play.act("migrate", instance_id)
    play.wait(300 + 100)

    assert bill_of(play, instance_id)["gpuSeconds"] == 45 + 100 + 100


def test_the_balance_falls_by_what_was_used(play):
    """Balance and bills are strings of 1/10000 USD and agree with the sum of all machines."""
    machines = [play.running(rootfsSize=100 + 10 * n) for n in range(5)]
    play.wait(7200)
    play.act("stop", machines[0])
    play.wait(7200)

    balance = play.get("/openapi/v1/billing/balance/detail")
    bills = report.bill(play.world, play.now)
    rows = play.get("/openapi/v1/billing/bill/list", cycleType="Hour", productCategory="gpu")["bills"]

    spent = sum(item["usd"] for item in bills["machines"])
    assert abs(bills["totalUsd"] - spent) < 1e-9
    assert int(balance["availableBalance"]) == round((100 - spent) * 10_000)
    assert abs(sum(int(row["amount"]) for row in rows) / 10_000 - spent) < 0.0003 * len(machines)
    assert play.get("/v3/user")["credit_balance"] == int(balance["availableBalance"])


def test_bill_rows_add_up_without_drift_whatever_the_cycle(play):
    """A day by the hour and a day at once are the same sum, for one owner."""
    instance_id = play.running(rootfsSize=61)
    play.wait(86_400)
    query = {"productCategory": "summary", "ownerId": instance_id}

    by_hour = play.get("/openapi/v1/billing/bill/list", cycleType="Hour", **query)["bills"]
    by_week = play.get("/openapi/v1/billing/bill/list", cycleType="Week", **query)["bills"]

    assert len(by_hour) in (24, 25)
    assert sum(int(row["amount"]) for row in by_hour) == sum(int(row["amount"]) for row in by_week)
    assert {row["ownerID"] for row in by_hour} == {instance_id}


def test_the_same_second_is_never_charged_twice(play):
    """Stop and start again and again: charged seconds never exceed the time that passed."""
    instance_id = play.running()
    for _ in range(20):
        play.act("stop", instance_id)
        play.wait(12.3)
        play.act("start", instance_id)
        play.wait(22.9)

    charges = play.world.machines[instance_id].meter.charges
    assert all(a.until <= b.since for a, b in pairwise(charges) if a.until is not None)


def test_the_monthly_bill_of_the_running_month_is_pending(play):
    """One row a month since the world began, with the month's total."""
    play.running()
    play.wait(3600)

    rows = play.get("/openapi/v1/billing/monthly/bill")["data"]

    assert [row["status"] for row in rows] == ["pending"]
    assert int(rows[0]["totalAmount"]) > 3500
