"""Types on the wire are the observed ones: 64-bit integers as strings, unset strings as "", times as strings of seconds."""

import pytest

from novita_simulator.errors import Refusal
from novita_simulator.fields import InvalidField
from novita_simulator.http.ask import EMPTY, NO_CONTENT


def test_a_product_has_prices_as_strings_and_sizes_as_numbers(play):
    """Prices are strings of 1/100000 USD, "0" when there is no spot; sizes are numbers; regions are cluster names."""
    products = {item["id"]: item for item in play.get("/products")["data"]}

    item = products["4090.16c62g"]

    assert (item["price"], item["spotPrice"]) == ("35000", "17500")
    assert (item["cpuPerGpu"], item["memoryPerGpu"]) == (16, 62)
    assert item["regions"] == ["US-CA-06 (California)", "AS-IN-01 (India)"]
    assert products["26"]["spotPrice"] == "0"


def test_a_machine_record_has_counts_and_times_as_strings(play):
    """gpuNum, cpuNum, memory and all times are strings; port and rootfsSize are numbers; never is "0", no end is "-1"."""
    instance_id = play.create(gpuNum=2)

    record = play.machine(instance_id)

    assert (record["gpuNum"], record["cpuNum"], record["memory"]) == ("2", "32", "124")
    assert record["createdAt"] == "1800000000"
    assert (record["lastStartedAt"], record["lastStoppedAt"], record["endTime"]) == ("0", "0", "-1")
    assert (record["rootfsSize"], record["portMappings"][0]["port"]) == (60, 8080)


def test_spot_fields_of_a_machine_that_is_not_spot_are_empty(play):
    """spotStatus is "" and spotReclaimTime "0" for an on-demand machine."""
    record = play.machine(play.create())

    assert (record["billingMode"], record["spotStatus"], record["spotReclaimTime"]) == ("onDemand", "", "0")


def test_the_list_leaves_out_what_only_the_single_get_shows(play):
    """Connection details are in the single GET alone; the rest is the same."""
    instance_id = play.running()

    listed = play.get("/gpu/instances")["instances"][0]
    single = play.machine(instance_id)

    assert not {"connectComponentSSH", "jobs", "network", "keepDataDay"} & set(listed)
    assert listed == {key: value for key, value in single.items() if key in listed}


def test_create_answers_the_id_alone_and_start_and_stop_answer_the_state(play):
    """Create is {"id"}; start and stop are {"instanceId", "state"}; delete is {}."""
    created = play.post(
        "/gpu/instance/create", productId="4090.16c62g", gpuNum=1, rootfsSize=60, imageUrl="ubuntu", kind="gpu"
    )
    play.wait(60)

    assert set(created) == {"id"}
    assert len(created["id"]) == 16
    assert play.act("stop", created["id"]) == {"instanceId": created["id"], "state": "toStop"}
    play.wait(15)
    assert play.act("start", created["id"]) == {"instanceId": created["id"], "state": "toStart"}
    assert play.act("delete", created["id"]) == {}


def test_not_found_is_400_with_a_reason_unless_switched_to_404(rehearse):
    """The documented status of a missing machine is 400; a switch makes it 404; the reason is the same."""
    for status in (400, 404):
        play = rehearse(switches={"notFoundStatus": status})

        with pytest.raises(Refusal) as refused:
            play.machine("0123456789abcdef")

        assert refused.value.body() == {
            "code": status,
            "reason": "RESOURCE_NOT_FOUND",
            "message": "resource not found",
            "metadata": {},
        }


def test_a_missing_machine_can_be_an_empty_record(rehearse):
    """The third way to say it: 200 and nothing in it, for the single GET alone."""
    play = rehearse(switches={"notFoundStatus": 200})

    assert play.get("/gpu/instance", instanceId="0123456789abcdef") == {}
    with pytest.raises(Refusal, match="400 RESOURCE_NOT_FOUND"):
        play.act("stop", "0123456789abcdef")


@pytest.mark.parametrize(("habit", "answer"), [("empty-object", {}), ("empty-body", EMPTY), ("no-content", NO_CONTENT)])
def test_actions_can_answer_with_nothing(rehearse, habit, answer):
    """What an action answers is not documented: an empty object, an empty body, or 204."""
    play = rehearse(switches={"actionAnswers": habit})
    instance_id = play.running()

    assert play.act("stop", instance_id) == answer
    assert play.status(instance_id) == "toStop"
    assert play.act("delete", instance_id) == answer


def test_a_repeated_action_is_refused_or_accepted(rehearse):
    """Refused with a reason that is a switch, since only the message is known; or accepted, and nothing happens."""
    strict = rehearse(switches={"stateChangeReason": "REQUEST"})
    with pytest.raises(Refusal, match="400 REQUEST: invalid state change"):
        strict.act("start", strict.running())

    easy = rehearse(switches={"repeatedActions": "accepted"})
    instance_id = easy.running()
    easy.act("start", instance_id)
    assert easy.status(instance_id) == "running"
    easy.act("delete", instance_id)
    easy.act("delete", instance_id)
    assert easy.status(instance_id) == "toRemove"


def test_a_long_name_is_refused_or_cut(rehearse):
    """At the length that is set."""
    strict, cutting = (rehearse(switches={"longestName": 64, "longNames": how}) for how in ("refused", "cut"))

    with pytest.raises(InvalidField, match="name"):
        strict.create(name="x" * 65)
    assert cutting.machine(cutting.create(name="x" * 65))["name"] == "x" * 64


def test_prices_can_be_in_another_unit(rehearse):
    """The wire says another number; the bill stays the same."""
    play = rehearse(switches={"priceUnitsPerUsd": 10_000})
    play.running()

    prices = {item["id"]: (item["price"], item["spotPrice"]) for item in play.get("/products")["data"]}

    assert prices["4090.16c62g"] == ("3500", "1750")
    assert play.world.machine(play.create()).price == 35_000


def test_balance_and_bills_can_be_late(rehearse):
    """Charges are shown once the lag has passed; the account holder's money is gone before."""
    play = rehearse(switches={"billLagSeconds": 3600})
    instance_id = play.running()
    play.wait(1800)
    play.act("delete", instance_id)

    def shown():
        balance = play.get("/openapi/v1/billing/balance/detail")["availableBalance"]
        bills = play.get("/openapi/v1/billing/bill/list", cycleType="Hour", productCategory="gpu", ownerId=instance_id)
        return int(balance), sum(int(row["amount"]) for row in bills["bills"])

    assert shown() == (1_000_000, 0)
    play.wait(3700)
    balance, billed = shown()
    assert billed > 1_700
    assert balance == 1_000_000 - billed


def test_ssh_details_come_after_a_while_and_only_to_the_single_get(play):
    """Command and password appear some seconds after `running`, and change with each start."""
    instance_id = play.running()
    assert play.machine(instance_id)["connectComponentSSH"] == {"sshCommand": "", "password": "", "isRunning": False}

    play.wait(4)
    first = play.machine(instance_id)["connectComponentSSH"]
    play.act("restart", instance_id)
    play.wait(30)
    second = play.machine(instance_id)["connectComponentSSH"]

    assert first["sshCommand"].startswith("ssh -p ")
    assert first["sshCommand"].endswith("root@proxy.us-ca-6.gpu-instance.novita.ai")
    assert first["isRunning"]
    assert first["password"] != second["password"]


def test_without_the_machines_ports_endpoints_have_the_documented_form(rehearse):
    """Switched off, `apps` leaves the address that Novita itself would give."""
    play = rehearse(switches={"apps": False})

    instance_id = play.create()

    endpoint = play.machine(instance_id)["portMappings"][0]["endpoint"]
    assert endpoint == f"https://{instance_id}-8080.us-ca-6.gpu-instance.novita.ai"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("gpuNum", 9),
        ("gpuNum", "many"),
        ("rootfsSize", 7000),
        ("ports", "80:http"),
        ("ports", "2222/tcp"),
        ("ports", ",".join(f"{port}/tcp" for port in range(1, 17))),
        ("imageUrl", ""),
        ("productId", "no-such"),
        ("clusterId", "nowhere-1"),
        ("billingMode", "on-demand"),
        ("name", "x" * 256),
        ("envs", [{"key": "K" * 512, "value": "1"}]),
        ("kind", "tpu"),
    ],
)
def test_a_bad_create_is_refused_with_the_parameter_named(play, field, value):
    """400 VALIDATOR_PARAM, or the field's own complaint, and nothing is created."""
    with pytest.raises(Exception, match=field):
        play.create(**{field: value})

    assert play.get("/gpu/instances")["total"] == 0


def test_a_disk_below_ten_gigabytes_is_raised_to_ten(play):
    """Novita lifts a small rootfsSize without a word."""
    assert play.machine(play.create(rootfsSize=1))["rootfsSize"] == 10


def test_jobs_carry_a_capital_id_and_the_internal_api_adds_its_fields(play):
    """`Id`, `state.errorMessage` and string times; creator, uuid and updateAt only inside."""
    instance_id = play.running()
    job_id = play.act("migrate", instance_id)["jobId"]

    public = play.get("/jobs", type="instanceMigrate")["jobs"][0]
    inside = play.get("/api/v1/jobs", type="instanceMigrate")["jobs"][0]

    assert public["Id"] == job_id
    assert public["state"] == {"state": "pulling", "error": "", "errorMessage": ""}
    assert set(inside) - set(public) == {"creator", "uuid", "updateAt", "deletedTime", "maxRetry", "timeout"}


def test_templates_and_credentials_have_their_constant_ids(play):
    """The demo account is the same in every run: a private template, its credential, one that is missing."""
    private = play.get("/template", templateId="107672")["template"]
    auths = play.get("/repository/auths")["data"]
    broken = play.get("/template", templateId="107674")["template"]

    assert private["ports"] == [{"type": "http", "ports": [8080]}, {"type": "tcp", "ports": [22000]}]
    assert [auth["id"] for auth in auths] == [private["imageAuth"]]
    assert auths[0]["password"] == "demo-registry-password"
    assert broken["imageAuth"] not in [auth["id"] for auth in auths]


def test_a_private_image_needs_good_credentials(play):
    """Unknown credentials and missing ones are refused; the right ones are not."""
    image = play.get("/template", templateId="107672")["template"]["image"]

    for wrong in ({}, {"imageAuthId": "no-such"}, {"imageAuth": "demo:wrong"}, {"imageAuth": "nocolon"}):
        with pytest.raises(Refusal) as refused:
            play.create(imageUrl=image, **wrong)
        assert refused.value.reason == "IMAGE_URL_OR_AUTH_ERROR"

    assert play.create(imageUrl=image, imageAuth="demo:demo-registry-password")


def test_a_network_storage_is_created_as_a_bare_string_and_ties_the_machine_to_its_cluster(play):
    """The answer of the create call is the id itself; a machine that mounts it goes where it lies."""
    storage_id = play.post("/networkstorage/create", clusterId="as-in-1", storageName="data", storageSize=100)

    instance_id = play.create(clusterId="", networkStorages=[{"Id": storage_id, "mountPoint": "/data"}])

    assert play.machine(instance_id)["clusterId"] == "as-in-1"
    assert play.machine(instance_id)["volumeMounts"] == [
        {"type": "network", "size": "100", "id": storage_id, "mountPath": "/data"}
    ]
    with pytest.raises(Refusal, match="NETWORK_STORAGE_IN_USE"):
        play.post("/networkstorage/delete", storageId=storage_id)
