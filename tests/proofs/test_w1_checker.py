"""The checker of the crash ledger can see: each kind of broken promise, put into two honest ledgers, is found and named as what it is."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from proofs.ledger.journal import Entry
from proofs.ledger.judging import Judge

TYPES = ("creating", "created", "running", "ready", "stopping", "stopped")
CLEAN = {"lost": 0, "refused": 0, "untrue": 0, "machines": 0, "unsigned": 0, "bodies": 0, "ids": 0, "resent_heard": 0}
Ledgers = tuple[list[Entry], list[Entry], list[dict[str, Any]]]


def honest() -> Ledgers:
    """One instance, created, seen ready, stopped; each event arrived once; the machine stands still."""
    asked = [
        {"word": "acknowledged", "verb": "create", "instance": "inst_a"},
        {"word": "seen", "state": "ready", "instance": "inst_a"},
        {"word": "acknowledged", "verb": "stop", "instance": "inst_a"},
        {"word": "done"},
    ]
    return (
        asked,
        [arrival(number) for number in range(1, len(TYPES) + 1)],
        [{"name": "x-nv0001a01", "status": "exited"}],
    )


def arrival(number: int, **other: object) -> Entry:
    """An event of the instance as the receiver wrote it down."""
    told = {"id": f"evt_{number}", "body_id": f"evt_{number}", "digest": f"d{number}", "manner": "ok", "signed": True}
    return told | {"instance": "inst_a", "sequence": number, "type": f"instance.{TYPES[number - 1]}"} | other


def judged(ledgers: Ledgers) -> dict[str, int]:
    """How much was found of each kind."""
    asked, arrived, machines = ledgers
    judge = Judge()
    judge.asked(asked)
    judge.arrived(arrived)
    verdict = judge.verdict(machines)
    return {name: verdict[name] if isinstance(verdict[name], int) else len(verdict[name]) for name in CLEAN}


def test_honest_ledgers_are_clean() -> None:
    """Nothing is found where nothing is wrong, also when a failed arrival came again."""
    asked, arrived, machines = honest()

    arrived.insert(0, arrival(1, manner="503"))
    arrived.insert(0, arrival(1, manner="lost"))

    assert judged((asked, arrived, machines)) == CLEAN


@pytest.mark.parametrize(
    ("tamper", "kind"),
    [
        (lambda asked, arrived, machines: arrived.pop(2), "lost"),
        (lambda asked, arrived, machines: arrived[2].update(manner="503"), "lost"),
        (lambda asked, arrived, machines: arrived.pop(), "lost"),
        (lambda asked, arrived, machines: arrived[3].update(type="instance.running"), "lost"),
        (lambda asked, arrived, machines: asked.insert(3, asked[0] | {"instance": "inst_b"}), "lost"),
        (lambda asked, arrived, machines: asked.append(refusal()), "refused"),
        (lambda asked, arrived, machines: arrived[2].update(type="instance.stopping"), "untrue"),
        (lambda asked, arrived, machines: machines[0].update(status="running"), "machines"),
        (lambda asked, arrived, machines: machines.append(machines[0] | {"name": "x-nv0001a02"}), "machines"),
        (lambda asked, arrived, machines: machines.append(machines[0] | {"name": "y-nv0001b01"}), "machines"),
        (lambda asked, arrived, machines: arrived[1].update(signed=False), "unsigned"),
        (lambda asked, arrived, machines: arrived.append(arrival(2, digest="other", manner="503")), "bodies"),
        (lambda asked, arrived, machines: arrived.append(arrival(2, id="evt_9", body_id="evt_9")), "ids"),
        (lambda asked, arrived, machines: arrived[1].update(id="evt_9"), "ids"),
        (lambda asked, arrived, machines: arrived.append(arrival(2)), "resent_heard"),
    ],
)
def test_what_is_broken_is_found(tamper: Callable[..., object], kind: str) -> None:
    """Each broken promise turns the verdict red under its own name."""
    ledgers = copy.deepcopy(honest())

    tamper(*ledgers)

    assert judged(ledgers)[kind] > 0


def refusal() -> Entry:
    """The server denies what it promised."""
    return {"word": "refused", "verb": "stop", "path": "/api/instances/inst_a/stop", "status": 404, "text": ""}
