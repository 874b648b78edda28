"""Their words become ours, one table per vocabulary."""

import msgspec
import pytest

from novitai.domain.machine import BillingMode, Connection, MachineStatus, Port, PortMapping, SpotStatus
from novitai.domain.offers import Inventory
from novitai.novita import translate, wire
from novitai.novita.reading import Unreadable, record

# The record of novita-wire.md 3.5, as an answer to a single GET.
RECORD = {
    "id": "37d312386c80a3b9", "name": "train-1", "clusterId": "us-ca-6", "clusterName": "US-CA-06 (California)",
    "imageUrl": "docker.io/library/ubuntu:22.04", "imageAuthId": "", "command": "", "entrypoint": "", "cpuNum": "16", "memory": "62",
    "gpuNum": "2", "status": "running", "statusError": {"state": "", "message": ""}, "network": {"id": "", "ip": ""},
    "portMappings": [{"port": 8888, "endpoint": "https://37d312386c80a3b9-8888.us-ca-6.gpu-instance.novita.ai", "type": "http"}],
    "productId": "4090.16c62g", "productName": "RTX 4090 24GB", "rootfsSize": 60, "volumeMounts": [], "jobs": [],
    "envs": [{"key": "A", "value": "1"}],
    "connectComponentSSH": {"sshCommand": "ssh -p 32787 root@proxy.us-ca-6.gpu-instance.novita.ai", "password": "x", "isRunning": True},
    "connectComponentWebTerminal": {"address": "https://terminal", "username": "", "password": "", "isRunning": True},
    "connectComponentJupyter": {"port": 0, "address": "https://jupyter", "isRunning": True},
    "connectComponentLog": {"systemLogAddress": "https://system", "instanceLogAddress": "https://instance", "isRunning": True},
    "kind": "gpu", "billingMode": "spot", "endTime": "-1", "spotStatus": "running", "spotReclaimTime": "0", "freeStorageSize": 60,
    "keepDataDay": 7, "createdAt": "1785780950", "lastStartedAt": "1785780954", "lastStoppedAt": "0", "instancePrice": "17500",
}  # fmt: skip

# Every status that is documented or was seen (novita-wire.md 7.1).
WORDS = [
    "pending",
    "toCreate",
    "creating",
    "pulling",
    "running",
    "toStart",
    "starting",
    "toStop",
    "stopping",
    "exited",
    "toRestart",
    "restarting",
    "toReset",
    "resetting",
    "migrating",
    "toRemove",
    "removing",
    "removed",
    "freezing",
]


def machine(*, detailed: bool = True, without: str = "", **changes):
    fields = {name: value for name, value in (RECORD | changes).items() if name != without}
    return translate.machine(record(msgspec.json.encode(fields), wire.Machine), detailed=detailed)


def product(mode: BillingMode = BillingMode.SPOT, **changes):
    fields = {
        "id": "4090.16c62g", "name": "RTX 4090 24GB", "cpuPerGpu": 16, "memoryPerGpu": "62", "availableDeploy": True, "minRootFS": 10,
        "maxRootFS": 6144, "regions": ["US-CA-06 (California)"], "price": "35000", "billingMethods": ["onDemand", "spot", "monthly"],
        "spotPrice": "17500", "inventoryState": "normal", "canBuy": True,
    }  # fmt: skip
    return translate.product(record(msgspec.json.encode(fields | changes), wire.Product), mode)


def test_a_documented_record_is_understood_wholly():
    """Each field that we use is in its place, in our units."""
    found = machine()

    assert (found.id, found.name, found.status) == ("37d312386c80a3b9", "train-1", MachineStatus.RUNNING)
    assert (found.cluster_id, found.region) == ("us-ca-6", "US-CA-06 (California)")
    assert (found.product_id, found.product_name) == ("4090.16c62g", "RTX 4090 24GB")
    assert (found.gpu_num, found.cpu_num, found.memory_gb, found.rootfs_gb) == (2, 16, 62, 60)
    assert (found.billing_mode, found.spot_status, found.reclaim_at) == (BillingMode.SPOT, SpotStatus.RUNNING, 0.0)
    assert (found.created_at, found.started_at, found.stopped_at) == (1785780950.0, 1785780954.0, 0.0)
    assert found.ports == (
        PortMapping(port=8888, type="http", endpoint="https://37d312386c80a3b9-8888.us-ca-6.gpu-instance.novita.ai"),
    )
    assert (found.error, found.price_per_hour) == ("", 35000)


def test_a_machine_read_singly_says_how_to_reach_it():
    """SSH, tools and logs come with the single record only; the password stands apart."""
    found = machine()

    assert found.connection == Connection(
        host="proxy.us-ca-6.gpu-instance.novita.ai",
        port=32787,
        username="root",
        ssh="ssh -p 32787 root@proxy.us-ca-6.gpu-instance.novita.ai",
        jupyter="https://jupyter",
        web_terminal="https://terminal",
        log_address="https://instance",
        system_log_address="https://system",
    )
    assert found.password == "x"
    assert found.detailed


def test_a_listed_machine_has_no_connection():
    """The list never says how to connect, so nothing is made up."""
    found = machine(detailed=False)

    assert (found.connection, found.password, found.detailed) == (None, "", False)


def test_ssh_that_is_not_running_is_not_shown():
    """Port and password may change on each start, so old ones are worse than none (novita-wire.md 1.3)."""
    stale = RECORD["connectComponentSSH"] | {"isRunning": False}

    found = machine(connectComponentSSH=stale)

    assert found.connection is not None
    assert (found.connection.ssh, found.connection.host, found.password) == ("", "", "")


@pytest.mark.parametrize(
    ("command", "address"),
    [
        ("ssh -p 32787 root@proxy.example", ("proxy.example", 32787, "root")),
        ("ssh root@proxy.example -p 22001", ("proxy.example", 22001, "root")),
        ("ssh root@proxy.example", ("proxy.example", 22, "root")),
        ("ssh -o StrictHostKeyChecking=no -p32787 user@10.0.0.1", ("10.0.0.1", 32787, "user")),
        ("", ("", 0, "")),
        ("not available", ("", 0, "")),
    ],
)
def test_the_ssh_command_is_taken_apart(command, address):
    """Host, port and user are wanted one by one."""
    found = machine(connectComponentSSH={"sshCommand": command, "password": "", "isRunning": True}).connection

    assert found is not None
    assert (found.host, found.port, found.username) == address
    assert found.has_ssh == bool(address[0])


def test_a_machine_without_any_connection_has_none():
    """While it is being created the components are absent or empty."""
    empty = {name: None for name in RECORD if name.startswith("connectComponent")}

    assert machine(**empty).connection is None


@pytest.mark.parametrize("word", WORDS)
def test_every_known_status_word_is_understood(word):
    """The list of words is the vendor's, with `pending`, which it left out."""
    assert machine(status=word).status is not MachineStatus.UNKNOWN
    assert machine(status=word).provider_status == word


def test_the_table_holds_no_words_that_novita_does_not_use():
    """`failed`, `ready` and `stopped` are other people's inventions (novita-wire.md 7.1)."""
    assert set(translate.STATUS) == set(WORDS)


@pytest.mark.parametrize("word", ["", "exploded", "Running", None, 7])
def test_an_unknown_status_is_unknown_and_nothing_else(word):
    """Nothing is concluded from a word that we do not know."""
    assert machine(status=word).status is MachineStatus.UNKNOWN


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("", SpotStatus.NONE), ("running", SpotStatus.RUNNING), ("notified", SpotStatus.NOTIFIED), ("reclaiming", SpotStatus.RECLAIMING),
        ("terminated", SpotStatus.TERMINATED), ("reclaimed", SpotStatus.NONE), (None, SpotStatus.NONE),
    ],
)  # fmt: skip
def test_spot_words_are_understood(word, meant):
    """Empty on machines that are not spot, and unknown words say nothing (novita-wire.md 7.2)."""
    assert machine(spotStatus=word).spot_status is meant


def test_the_time_of_a_reclaim_is_the_deadline():
    """Unix seconds as text; it stays set after the reclaim."""
    assert machine(spotReclaimTime="1785784550").reclaim_at == 1785784550.0


@pytest.mark.parametrize(("word", "meant"), [("", None), ("onDemand", BillingMode.ON_DEMAND), ("weekly", None)])
def test_the_billing_mode_may_be_empty(word, meant):
    """Seen on live lists."""
    assert machine(billingMode=word).billing_mode is meant


def test_what_is_wrong_with_a_machine_is_one_line():
    """`statusError` is the only sign of failure beside a normal status."""
    assert machine(statusError={"state": "oom", "message": "out of memory"}).error == "oom: out of memory"
    assert machine(statusError={"state": "oom"}).error == "oom"
    assert machine(statusError=[]).error == machine(statusError=None).error == ""


@pytest.mark.parametrize(
    "name", ["productId", "rootfsSize", "createdAt", "portMappings", "spotStatus", "gpuNum", "statusError", "envs"]
)
def test_fields_may_be_missing(name):
    """The documents leave out fields of the single record that reality has, and the other way round."""
    assert machine(without=name).id == "37d312386c80a3b9"


def test_numbers_may_be_numbers():
    """The documents and the wire differ about what is text."""
    found = machine(gpuNum=2, cpuNum=16, memory=62, rootfsSize="60", createdAt=1785780950)

    assert (found.gpu_num, found.cpu_num, found.memory_gb, found.rootfs_gb, found.created_at) == (
        2,
        16,
        62,
        60,
        1785780950.0,
    )


def test_a_machine_without_an_id_makes_no_sense():
    """It could neither be looked at nor acted upon."""
    with pytest.raises(Unreadable):
        machine(id="")


def test_ports_that_are_no_ports_are_left_out():
    """Zero and text are none."""
    assert machine(portMappings=[{"port": 0}, {"port": "x"}, {"port": 70000}, {"port": "22", "type": "tcp"}]).ports == (
        PortMapping(port=22, type="tcp", endpoint=""),
    )


def test_prices_are_per_gpu_and_by_mode():
    """1/100000 USD on both sides (novita-wire.md 1.4)."""
    assert product().price_per_gpu == 17500
    assert product(BillingMode.ON_DEMAND).price_per_gpu == 35000
    assert product(spotPrice=17500).price_per_gpu == 17500


@pytest.mark.parametrize(
    "changes",
    [
        {"spotPrice": "0"},
        {"spotPrice": ""},
        {"spotPrice": None},
        {"billingMethods": ["onDemand"]},
        {"billingMethods": []},
    ],
)
def test_what_is_not_sold_as_spot_is_no_spot_offer(changes):
    """A spot price of zero is not a gift."""
    assert product(**changes) is None
    assert product(BillingMode.ON_DEMAND, **(changes | {"billingMethods": ["onDemand"]})) is not None


def test_a_product_that_lists_no_modes_at_all_is_judged_by_its_price():
    """Older records have no `billingMethods`."""
    assert product(billingMethods=None) is not None


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("none", Inventory.NONE),
        ("low", Inventory.LOW),
        ("normal", Inventory.NORMAL),
        ("high", Inventory.HIGH),
        ("", Inventory.UNKNOWN),
    ],
)
def test_inventory_words_are_understood(word, meant):
    """An unknown word is no promise either way."""
    assert product(inventoryState=word).inventory is meant


def test_a_product_is_deployable_unless_novita_denies_it():
    """A missing flag must not hide an offer; a create would tell."""
    assert product().deployable
    assert product(availableDeploy=None).deployable
    assert not product(availableDeploy=False).deployable


def test_a_product_keeps_its_regions_and_limits():
    """Regions are cluster names here, and an empty list means every region."""
    found = product()

    assert (found.regions, found.min_rootfs, found.max_rootfs) == (("US-CA-06 (California)",), 10, 6144)
    assert (found.cpu_per_gpu, found.memory_per_gpu) == (16, 62)
    assert product(regions=None).regions == ()


def test_a_cluster_becomes_a_region():
    """Its code is the name before the blank."""
    body = b'{"id": "us-ca-6", "name": "US-CA-06 (California)", "availableGpuType": [], "supportNetworkStorage": true}'

    found = translate.region(record(body, wire.Cluster))

    assert (found.cluster_id, found.code, found.network_storage) == ("us-ca-6", "US-CA-06", True)


def test_a_template_is_flattened():
    """Ports are grouped by type on the wire, its id has a capital I, and `imageAuth` is an id."""
    body = msgspec.json.encode(
        {
            "Id": 107672, "name": "t", "channel": "private", "image": "ubuntu:22.04", "imageAuth": "auth-1", "startCommand": "run",
            "entrypoint": "", "rootfsSize": "60", "ports": [{"type": "http", "ports": [80, "8188"]}, {"type": "tcp", "ports": None}, 7],
            "envs": [{"key": "A", "value": "1"}, {"key": "", "value": "2"}], "minCudaVersion": "12.4",
        }
    )  # fmt: skip

    found = translate.template(record(body, wire.Template))

    assert (found.id, found.image_url, found.image_auth_id) == ("107672", "ubuntu:22.04", "auth-1")
    assert (found.command, found.rootfs_gb, found.min_cuda_version) == ("run", 60, "12.4")
    assert found.ports == (Port(80, "http"), Port(8188, "http"))
    assert found.envs == (("A", "1"),)


@pytest.mark.parametrize(("told", "meant"), [(True, True), (False, False), (None, None), ("", None), ("true", None)])
def test_whether_novita_moves_a_machine_by_itself_is_only_taken_from_a_plain_word(told, meant):
    """The field is not in every record (novita-wire.md 3.5), and a guess would be worse than not knowing."""
    assert machine(autoMigrateOpen=told).auto_migrate is meant


def test_a_registry_credential_loses_its_password():
    """Novita lists it in clear (novita-wire.md 3.12)."""
    body = b'{"id": "auth-1", "name": "hub", "username": "me", "password": "hunter2"}'

    found = translate.registry_auth(record(body, wire.RegistryAuth))

    assert "hunter2" not in str(msgspec.to_builtins(found))
    assert "hunter2" not in repr(record(body, wire.RegistryAuth))


def test_a_job_tells_its_state_and_error():
    """The state is an object within an object; the internal API adds when it ended, in its own spelling."""
    body = msgspec.json.encode(
        {
            "Id": "10wi9visv0rqt57w", "type": "instanceMigrate", "instanceId": "37d312386c80a3b9", "createdAt": "1785780950",
            "updateAt": "1785781000", "state": {"state": "fail", "error": "E1", "errorMessage": "no node"},
        }
    )  # fmt: skip

    found = translate.job(record(body, wire.Job))

    assert (found.id, found.state, found.error) == ("10wi9visv0rqt57w", "fail", "no node")
    assert (found.created_at, found.updated_at) == (1785780950.0, 1785781000.0)


def test_a_job_state_may_be_a_bare_word():
    """An older client saw it so."""
    assert translate.job(record(b'{"Id": "j", "state": "running"}', wire.Job)).state == "running"
