"""JSON schemas of the webhook bodies, one per type: the fields that all share, and what the type's `data` holds."""

from typing import Any

from novitai.domain.budget import Period
from novitai.domain.events import MEANING, FactType
from novitai.domain.idle import Deed, SignalName
from novitai.domain.instance import Phase
from novitai.domain.lifecycle import State
from novitai.domain.migration import Cause, Way

_TIME = {"type": "string", "format": "date-time"}
_TIME_OR_NULL = {"type": ["string", "null"], "format": "date-time"}
_STATES = [str(state) for state in State]
_TEXT_OR_NULL = {"type": ["string", "null"]}


def schemas_by_type() -> dict[str, dict[str, Any]]:
    """Every type of event with the schema of the body that receivers get."""
    return {str(kind): _schema(kind) for kind in FactType}


def _schema(kind: FactType) -> dict[str, Any]:
    of_instance = str(kind).startswith("instance.")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": str(kind),
        "description": MEANING[kind],
        "type": "object",
        "required": [
            "id", "type", "sequence", "instanceId", "novitaInstanceId", "status", "timestamp", "elapsedTime", "reason", "data",
        ],
        "properties": {
            "id": {"type": "string", "description": "The same on every attempt, retry and replay."},
            "type": {"const": str(kind)},
            "sequence": {"type": "integer", "minimum": 1 if of_instance and kind not in _OF_EITHER else 0},
            "instanceId": _whose(kind, of_instance=of_instance),
            "novitaInstanceId": _TEXT_OR_NULL,
            "status": {"enum": [*_STATES, None]},
            "timestamp": _TIME,
            "elapsedTime": {"type": "integer", "minimum": 0, "description": "Milliseconds since the operation began."},
            "reason": {"type": "string"},
            "data": {"type": "object", "properties": _DATA.get(kind, {}) | _startup(kind)},
        },
    }  # fmt: skip


def _whose(kind: FactType, *, of_instance: bool) -> dict[str, Any]:
    if kind in _OF_EITHER:
        return _TEXT_OR_NULL
    return {"type": "string"} if of_instance else {"type": "null"}


_OF_EITHER = {FactType.ORPHAN_FOUND}
"""Told of an instance, or of a machine that has none."""


def _startup(kind: FactType) -> dict[str, Any]:
    return {"startupOperation": _STARTUP_OPERATION} if kind in _OF_A_START else {}


_OF_A_START = {
    FactType.CREATING,
    FactType.CREATED,
    FactType.STARTUP_INITIATED,
    FactType.STARTUP_PROGRESS,
    FactType.RUNNING,
    FactType.HEALTH_CHECK_STARTED,
    FactType.READY,
    FactType.STARTUP_FAILED,
    FactType.FAILED,
}

_STARTUP_OPERATION = {
    "type": "object",
    "required": ["operationId", "status", "startedAt", "phases", "currentStatus"],
    "properties": {
        "operationId": {"type": "string"},
        "status": {"enum": ["in_progress", "completed", "failed", "superseded"]},
        "startedAt": _TIME,
        "completedAt": _TIME,
        "phases": {"type": "object", "properties": {str(phase): _TIME for phase in Phase}},
        "currentStatus": {"enum": _STATES},
        "estimatedReadyTime": _TIME_OR_NULL,
    },
}

_ENDPOINT = {
    "type": "object",
    "properties": {
        "port": {"type": "integer"},
        "endpoint": {"type": "string"},
        "type": {"type": "string"},
        "status": {"enum": ["healthy", "unhealthy"]},
        "responseTime": {"type": ["number", "null"], "description": "Milliseconds."},
        "error": _TEXT_OR_NULL,
    },
}

_PORT = {
    "type": "object",
    "properties": {"port": {"type": "integer"}, "endpoint": {"type": "string"}, "type": {"type": "string"}},
}

_SIGNAL = {
    "type": "object",
    "properties": {
        "name": {"enum": [str(name) for name in SignalName]},
        "value": {"type": ["number", "null"], "description": "Percent; null for last-used."},
        "at": _TIME_OR_NULL,
        "idle": {"type": ["boolean", "null"]},
    },
}

_BUDGET = {
    "budgetId": {"type": "string", "description": "That of the instance, when it is the instance's own budget."},
    "instanceId": _TEXT_OR_NULL,
    "name": {"type": "string"},
    "period": {"enum": [*map(str, Period), None], "description": "null: the instance's whole life."},
    "scope": {"type": "object", "properties": {"label": _TEXT_OR_NULL, "key": _TEXT_OR_NULL}},
    "hardStop": {"type": "boolean"},
    "thresholds": {"type": "array", "items": {"type": "integer"}},
    "threshold": {"type": "integer", "description": "The one that is reached, in percent."},
    "percent": {"type": "number"},
    "spentUsd": {"type": "number"},
    "limitUsd": {"type": "number"},
    "forecastUsd": {"type": ["number", "null"], "description": "What the period will come to."},
    "usdPerHour": {"type": "number"},
    "resetsAt": _TIME_OR_NULL,
}

_WAY = {
    "enum": [*map(str, Way), None],
    "description": "Novita's own move, or another machine; null: nothing was begun.",
}
_CAUSE = {"enum": [*map(str, Cause), None]}
_MOVING = {"way": _WAY, "cause": _CAUSE, "since": {**_TIME, "description": "When the cause was first seen."}}

_DATA: dict[FactType, dict[str, Any]] = {
    FactType.SPOT_NOTICE: {"reclaimAt": _TIME_OR_NULL},
    FactType.RECLAIMED: {
        "reclaimAt": _TIME_OR_NULL,
        "machineId": {"type": "string", "description": "When it was being replaced: which of the two machines."},
    },
    FactType.MIGRATING: {
        **_MOVING,
        "machineId": {"type": "string", "description": "The machine that is left."},
        "reclaimAt": _TIME_OR_NULL,
    },
    FactType.MIGRATED: {
        **_MOVING,
        "fromMachineId": {"type": "string"},
        "toMachineId": {"type": "string"},
        "productId": {"type": "string"},
        "productName": {"type": "string"},
        "region": {"type": "string"},
        "billingMode": {"type": "string"},
        "pricePerHour": {"type": "number"},
        "secondsToAsk": {"type": "number", "description": "From the cause to the first call that brings it back."},
        "secondsToReady": {"type": "number", "description": "From the cause to this moment."},
    },
    FactType.MIGRATION_FAILED: {
        "way": _WAY,
        "cause": _CAUSE,
        "machineId": _TEXT_OR_NULL,
        "error": {"type": "object", "properties": {"code": {"type": "string"}, "message": {"type": "string"}}},
        "offers": {
            "type": "array",
            "description": "What refused or did not fit.",
            "items": {
                "type": "object",
                "properties": {
                    "productId": {"type": "string"},
                    "clusterId": {"type": "string"},
                    "billingMode": {"type": "string"},
                    "code": {"type": "string"},
                    "reason": {"type": "string"},
                },
            },
        },
    },
    FactType.BUDGET_THRESHOLD: _BUDGET,
    FactType.BUDGET_EXCEEDED: _BUDGET,
    FactType.AUTH_FAILED: {"reason": {"type": "string", "description": "Novita's own word."}},
    FactType.BALANCE_EXHAUSTED: {"reason": {"type": "string", "description": "Novita's own word."}},
    FactType.STARTUP_PROGRESS: {"phase": {"enum": [str(phase) for phase in Phase]}},
    FactType.READY: {
        "healthCheckResult": {
            "type": ["object", "null"],
            "properties": {
                "overallStatus": {"enum": ["healthy", "partial", "unhealthy"]},
                "endpoints": {"type": "array", "items": _ENDPOINT},
                "startedAt": _TIME,
                "completedAt": _TIME_OR_NULL,
                "totalResponseTime": {"type": "number"},
            },
        },
        "connectionDetails": {
            "type": "object",
            "description": "Never a password.",
            "properties": {
                "host": _TEXT_OR_NULL,
                "port": {"type": ["integer", "null"]},
                "username": _TEXT_OR_NULL,
                "ssh": _TEXT_OR_NULL,
                "jupyter": _TEXT_OR_NULL,
                "webTerminal": _TEXT_OR_NULL,
                "portMappings": {"type": "array", "items": _PORT},
            },
        },
    },
    FactType.IDLE_WARNING: {
        "action": {"enum": [str(deed) for deed in Deed]},
        "stopsAt": {"type": "string", "format": "date-time", "description": "With the action `stop`."},
        "deletesAt": {"type": "string", "format": "date-time", "description": "With the action `delete`."},
        "idleSince": _TIME,
        "signals": {"type": "array", "items": _SIGNAL},
        "snoozeUrl": {
            "type": "string",
            "description": "Postpones it once, without a key: GET shows a page, POST does it. A path alone without PUBLIC_URL.",
        },
    },
    FactType.ORPHAN_FOUND: {
        "machineId": {"type": "string", "description": "Novita's id."},
        "action": {
            "enum": ["found", "reported", "adopted", "deleting"],
            "description": "`found`: no record knows of it. `reported`: a second machine of the instance. "
            "`adopted`: it is the instance's machine now. `deleting`: the policy has it deleted.",
        },
        "name": {"type": "string"},
        "machineStatus": {"type": "string"},
        "productName": {"type": "string"},
        "region": {"type": "string"},
        "gpuNum": {"type": "integer"},
        "pricePerHour": {"type": ["number", "null"]},
        "createdAt": _TIME_OR_NULL,
        "firstSeenAt": _TIME,
        "ours": {"type": "boolean", "description": "Its name bears this installation's marker."},
    },
    FactType.BALANCE_LOW: {
        "balance": {"type": "number", "description": "USD."},
        "perHour": {"type": "number", "description": "What runs now, USD per hour."},
        "hoursLeft": {"type": "number"},
        "alertHours": {"type": "number", "description": "`BALANCE_ALERT_HOURS`."},
    },
    FactType.COST_DIFFERENCE: {
        "date": {"type": "string", "format": "date", "description": "The day, in UTC."},
        "ours": {"type": "number", "description": "Our figure before it was adjusted, USD."},
        "billed": {"type": "number", "description": "Novita's, USD."},
        "differences": {
            "type": "array",
            "description": "The largest ones.",
            "items": {
                "type": "object",
                "properties": {
                    "instanceId": {"type": "string"},
                    "novitaInstanceId": {"type": "string"},
                    "ours": {"type": "number"},
                    "billed": {"type": ["number", "null"], "description": "Null: the bill does not have the machine."},
                },
            },
        },
    },
    FactType.PRICE_BELOW: {
        "alert": {"type": "string", "description": "As written in `PRICE_ALERTS`."},
        "below": {"type": "number", "description": "The alert's price, USD per GPU and hour."},
        "productId": {"type": "string"},
        "productName": {"type": "string"},
        "billingMode": {"type": "string"},
        "pricePerGpuHour": {"type": "number"},
        "inventory": {"type": "string"},
        "regions": {"type": "array", "items": {"type": "string"}},
        "since": _TIME,
    },
}
