"""Made-up values for tests: offers, machines and an instance in any state, each coherent and with only what matters said by the test.

`instance(State.READY)` is what the server would hold after the usual way there: its machine, its operation and its times agree. Every
field can be replaced by name. Times count from `NOW`, the moment at which tests usually begin.
"""

from typing import Any

import msgspec

from novitai.domain.ids import InstanceId, MachineId
from novitai.domain.instance import (
    Desired,
    DesiredState,
    Health,
    HealthCheck,
    Instance,
    OpenAttempt,
    Operation,
    OperationStatus,
    Phase,
    SeenMachine,
    Spec,
    Verb,
)
from novitai.domain.lifecycle import State
from novitai.domain.machine import BillingMode, Connection, Machine, MachineStatus, Port, PortMapping, SpotStatus
from novitai.domain.money import Usd
from novitai.domain.offers import Catalogue, Inventory, Offer, Product, Region, Requirement
from novitai.policies.observed import Sighting
from novitai.policies.requests import Wish

NOW = 1_800_000_000.0
INSTANCE_ID = InstanceId("inst_" + "a2" * 13)
MACHINE_ID = MachineId("37d312386c80a3b9")
OPERATION_ID = "op_1"
PRICE = Usd(35_000)
PORT = 8080
ENDPOINT = "https://37d312386c80a3b9-8080.example.test"
SSH = Connection(host="proxy.example.test", port=32787, username="root", ssh="ssh -p 32787 root@proxy.example.test")

CALIFORNIA = Region("us-ca-6", "US-CA-06 (California)")
HONG_KONG = Region("cn-hk-1", "CN-HK-01 (Hong Kong)")
INDIA = Region("as-in-1", "AS-IN-01 (India)")


def _any(fields: dict[str, Any]) -> dict[str, Any]:
    return fields


def product(product_id: str = "4090.16c62g", **fields: Any) -> Product:
    """A product with stock, in every region, for spot."""
    usual: dict[str, Any] = {
        "id": product_id,
        "name": "RTX 4090 24GB",
        "billing_mode": BillingMode.SPOT,
        "price_per_gpu": PRICE,
        "regions": (),
        "deployable": True,
        "inventory": Inventory.NORMAL,
        "cpu_per_gpu": 16,
        "memory_per_gpu": 62,
        "min_rootfs": 10,
        "max_rootfs": 6144,
    }
    return Product(**(usual | fields))


def catalogue(*products: Product, regions: tuple[Region, ...] = (CALIFORNIA, HONG_KONG, INDIA)) -> Catalogue:
    """A catalogue just read; without products it holds one."""
    return Catalogue(products=products or (product(),), regions=regions, read_at=NOW)


def requirement(**fields: Any) -> Requirement:
    """One GPU of the usual product for spot, anywhere."""
    return Requirement(**(_any({} if "product_id" in fields else {"product_name": "RTX 4090"}) | fields))


def offer(region: Region = CALIFORNIA, **fields: Any) -> Offer:
    """The usual product in a region."""
    usual: dict[str, Any] = {
        "product_id": "4090.16c62g",
        "product_name": "RTX 4090 24GB",
        "cluster_id": region.cluster_id,
        "region": region.name,
        "billing_mode": BillingMode.SPOT,
        "gpu_num": 1,
        "price_per_hour": PRICE,
        "spot_price_per_hour": PRICE,
        "inventory": Inventory.NORMAL,
    }
    return Offer(**(usual | fields))


def mapping(*, port: int = PORT, kind: str = "http", endpoint: str = ENDPOINT) -> PortMapping:
    """A port as Novita serves it."""
    return PortMapping(port=port, type=kind, endpoint=endpoint)


def machine(status: MachineStatus = MachineStatus.RUNNING, **fields: Any) -> Machine:
    """The instance's machine as Novita's list reports it: with endpoints once it runs, never with SSH details."""
    served = ENDPOINT if status is MachineStatus.RUNNING else ""
    usual: dict[str, Any] = {
        "id": MACHINE_ID,
        "name": "demo",
        "status": status,
        "provider_status": str(status),
        "cluster_id": CALIFORNIA.cluster_id,
        "region": CALIFORNIA.name,
        "product_id": "4090.16c62g",
        "product_name": "RTX 4090 24GB",
        "billing_mode": BillingMode.SPOT,
        "spot_status": SpotStatus.RUNNING,
        "ports": (mapping(endpoint=served),),
    }
    return Machine(**(usual | fields))


def detailed_machine(status: MachineStatus = MachineStatus.RUNNING, **fields: Any) -> Machine:
    """The same read singly, with SSH details while it runs."""
    reach = SSH if status is MachineStatus.RUNNING else None
    return machine(status, **(_any({"detailed": True, "connection": reach}) | fields))


def sighting(
    seen: Machine | MachineStatus = MachineStatus.RUNNING, *, at: float = NOW, confirmed: bool = False
) -> Sighting:
    """A reading of the machine: from the list, or singly when `confirmed`."""
    if isinstance(seen, MachineStatus):
        seen = detailed_machine(seen) if confirmed else machine(seen)
    return Sighting(machine=seen, at=at, confirmed=confirmed)


def seen_machine(status: MachineStatus = MachineStatus.RUNNING, **fields: Any) -> SeenMachine:
    """The machine as the instance holds it."""
    as_read = machine(status)
    usual: dict[str, Any] = {
        "id": as_read.id,
        "name": as_read.name,
        "status": status,
        "provider_status": as_read.provider_status,
        "cluster_id": as_read.cluster_id,
        "region": as_read.region,
        "product_id": as_read.product_id,
        "product_name": as_read.product_name,
        "billing_mode": as_read.billing_mode,
        "ports": as_read.ports,
        "spot_status": as_read.spot_status,
        "connection": SSH if status is MachineStatus.RUNNING else None,
        "since": NOW - 60.0,
    }
    return SeenMachine(**(usual | fields))


def health_check(**fields: Any) -> HealthCheck:
    """How the application is asked; the defaults unless said otherwise."""
    return HealthCheck(**fields)


def spec(**fields: Any) -> Spec:
    """What was asked: the usual product, one http port."""
    usual: dict[str, Any] = {
        "requirement": requirement(),
        "image_url": "docker.io/library/nginx:1",
        "ports": (Port(PORT, "http"),),
    }
    return Spec(**(usual | fields))


def desired(state: DesiredState, **fields: Any) -> Desired:
    """A user's word."""
    return Desired(**(_any({"state": state, "by": "user:key_1", "reason": "", "at": NOW - 300.0}) | fields))


def operation(verb: Verb, **fields: Any) -> Operation:
    """An operation just asked and not yet sent; `status`, `sent_at`, `accepted_at` say how far it is."""
    usual: dict[str, Any] = {
        "id": OPERATION_ID,
        "verb": verb,
        "by": "user:key_1",
        "reason": "",
        "requested_at": NOW - 300.0,
        "correlation_id": "corr_1",
        "phases": () if verb in {Verb.STOP, Verb.DELETE} else ((Phase.START_REQUESTED, NOW - 300.0),),
    }
    return Operation(**(usual | fields))


def accepted(verb: Verb, *, at: float = NOW - 200.0, **fields: Any) -> Operation:
    """An operation that Novita accepted and that is under way."""
    return operation(verb, **(_any({"sent_at": at, "accepted_at": at}) | fields))


def ended(verb: Verb, status: OperationStatus = OperationStatus.COMPLETED, **fields: Any) -> Operation:
    """An operation that is over."""
    return accepted(verb, **(_any({"status": status, "completed_at": NOW - 100.0}) | fields))


def open_attempt(number: int = 1, **fields: Any) -> OpenAttempt:
    """A create whose outcome is not known."""
    return OpenAttempt(**(_any({"number": number, "offer": offer(), "sent_at": NOW - 20.0}) | fields))


def _running_fields() -> dict[str, Any]:
    return {"machine": seen_machine(), "running_at": NOW - 60.0, "started_at": NOW - 200.0, "attempts": 1}


def _fields(state: State) -> dict[str, Any]:
    """What an instance in this state usually holds beside its name, spec and times."""
    run, stop, delete = DesiredState.RUNNING, DesiredState.STOPPED, DesiredState.DELETED
    match state:
        case State.CREATING:
            return {"desired": desired(run), "operation": operation(Verb.CREATE)}
        case State.STARTING:
            return _running_fields() | {
                "desired": desired(run),
                "operation": accepted(Verb.START),
                "machine": seen_machine(MachineStatus.STARTING),
                "running_at": None,
            }
        case State.RUNNING:
            return _running_fields() | {"desired": desired(run), "operation": accepted(Verb.CREATE)}
        case State.HEALTH_CHECKING:
            health = Health(started_at=NOW - 30.0)
            return _running_fields() | {
                "desired": desired(run),
                "operation": accepted(Verb.CREATE),
                "health": health,
            }
        case State.READY:
            return _running_fields() | {
                "desired": desired(run),
                "operation": ended(Verb.CREATE),
                "health": Health(started_at=NOW - 30.0, passed_at=NOW - 20.0, checked_at=NOW - 20.0),
                "ready_at": NOW - 20.0,
            }
        case State.STOPPING:
            return _running_fields() | {"desired": desired(stop), "operation": accepted(Verb.STOP)}
        case State.STOPPED:
            return _running_fields() | {
                "desired": desired(stop),
                "operation": ended(Verb.STOP),
                "machine": seen_machine(MachineStatus.STOPPED),
                "stopped_at": NOW - 60.0,
            }
        case State.MIGRATING:
            return _running_fields() | {
                "desired": desired(run),
                "operation": ended(Verb.CREATE),
                "machine": seen_machine(MachineStatus.MIGRATING),
                "running_at": None,
            }
        case State.DELETING:
            return _running_fields() | {"desired": desired(delete), "operation": operation(Verb.DELETE)}
        case State.DELETED:
            return {
                "desired": desired(delete),
                "operation": ended(Verb.DELETE),
                "machine": seen_machine(MachineStatus.REMOVED),
                "deleted_at": NOW - 60.0,
            }
        case State.FAILED:
            return {"desired": desired(run), "operation": ended(Verb.CREATE, OperationStatus.FAILED)}
        case State.LOST:
            return _running_fields() | {
                "desired": desired(run),
                "operation": ended(Verb.CREATE),
                "machine": seen_machine(missing=(NOW - 120.0, NOW - 60.0)),
            }


def instance(state: State = State.READY, **fields: Any) -> Instance:
    """An instance in a state, as it usually is there; `failed` has no machine unless one is given."""
    usual: dict[str, Any] = {
        "id": INSTANCE_ID,
        "name": "demo",
        "owner": "key_1",
        "created_at": NOW - 300.0,
        "spec": spec(),
        "offer": offer(),
        "state": state,
        "state_since": NOW - 60.0,
    }
    return Instance(**(usual | _fields(state) | fields))


def with_machine(of: Instance, **fields: Any) -> Instance:
    """The instance with some fields of its machine replaced."""
    assert of.machine is not None
    return msgspec.structs.replace(of, machine=msgspec.structs.replace(of.machine, **fields))


def wish(verb: Verb, **fields: Any) -> Wish:
    """A user asks for something now."""
    return Wish(**(_any({"verb": verb, "operation_id": "op_2", "by": "user:key_2", "at": NOW}) | fields))
