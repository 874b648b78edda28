"""JSON schemas of the webhook bodies, one per type: the fields that all share, and what the type's `data` holds."""

from typing import Any

from novitai.domain.events import MEANING, FactType
from novitai.domain.idle import Deed, SignalName
from novitai.domain.instance import Phase
from novitai.domain.lifecycle import State

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

_DATA: dict[FactType, dict[str, Any]] = {
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
