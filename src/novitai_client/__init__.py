"""Python client and command line for a Novitai server; knows the server only over HTTP.

    from novitai_client import Client

    with Client() as novitai:
        created = novitai.create("trainer", product="RTX 4090 24GB", image_url="ghcr.io/me/trainer:1")
        instance = novitai.wait_until_ready(created.instance_id)

`AsyncClient` has the same calls for asyncio. Webhooks are checked by `novitai_client.webhooks.verify`. Everything public
is named here; it is loaded when it is first used, so that the command line starts quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from novitai_client import webhooks
    from novitai_client._async.client import AsyncClient
    from novitai_client._retries import Retries
    from novitai_client._sync.client import Client
    from novitai_client.errors import (
        ApiError,
        BudgetExceeded,
        Conflict,
        FieldError,
        InsufficientBalance,
        InvalidState,
        NameAmbiguous,
        NoCapacity,
        NotAllowed,
        NotFound,
        NovitaiError,
        RateLimited,
        ServerAway,
        SettingsError,
        StartupFailed,
        UnexpectedAnswer,
        UpstreamTrouble,
        ValidationFailed,
        WaitTimedOut,
    )
    from novitai_client.models import (
        Accepted,
        AuditEntry,
        AutomationSwitch,
        AutoStopReport,
        AutoStopStats,
        BulkOutcome,
        BulkResult,
        ChainProblem,
        ChainReport,
        CheapestPrice,
        Choice,
        ComprehensiveInstance,
        ComprehensiveList,
        ConnectionDetails,
        Created,
        CreatedKey,
        Desired,
        Difference,
        Endpoint,
        Event,
        EventPage,
        Health,
        HealthCheck,
        HealthCheckSpec,
        IdleCandidate,
        IdleExempt,
        IdleSignal,
        Instance,
        InstanceMetrics,
        InstancePage,
        Job,
        JobPage,
        Key,
        KeyLimits,
        LastError,
        LastUsed,
        MetricSample,
        NextAction,
        Offer,
        OfferList,
        Orphan,
        Pause,
        Port,
        PriceAt,
        PriceChange,
        PriceHistory,
        PriceNow,
        PricePage,
        Region,
        RegistryAuth,
        Spot,
        SyncOutcome,
        SyncReport,
        Template,
    )

__all__ = [
    "Accepted",
    "ApiError",
    "AsyncClient",
    "AuditEntry",
    "AutoStopReport",
    "AutoStopStats",
    "AutomationSwitch",
    "BudgetExceeded",
    "BulkOutcome",
    "BulkResult",
    "ChainProblem",
    "ChainReport",
    "CheapestPrice",
    "Choice",
    "Client",
    "ComprehensiveInstance",
    "ComprehensiveList",
    "Conflict",
    "ConnectionDetails",
    "Created",
    "CreatedKey",
    "Desired",
    "Difference",
    "Endpoint",
    "Event",
    "EventPage",
    "FieldError",
    "Health",
    "HealthCheck",
    "HealthCheckSpec",
    "IdleCandidate",
    "IdleExempt",
    "IdleSignal",
    "Instance",
    "InstanceMetrics",
    "InstancePage",
    "InsufficientBalance",
    "InvalidState",
    "Job",
    "JobPage",
    "Key",
    "KeyLimits",
    "LastError",
    "LastUsed",
    "MetricSample",
    "NameAmbiguous",
    "NextAction",
    "NoCapacity",
    "NotAllowed",
    "NotFound",
    "NovitaiError",
    "Offer",
    "OfferList",
    "Orphan",
    "Pause",
    "Port",
    "PriceAt",
    "PriceChange",
    "PriceHistory",
    "PriceNow",
    "PricePage",
    "RateLimited",
    "Region",
    "RegistryAuth",
    "Retries",
    "ServerAway",
    "SettingsError",
    "Spot",
    "StartupFailed",
    "SyncOutcome",
    "SyncReport",
    "Template",
    "UnexpectedAnswer",
    "UpstreamTrouble",
    "ValidationFailed",
    "WaitTimedOut",
    "webhooks",
]

_HOMES = {
    "AsyncClient": "novitai_client._async.client",
    "Client": "novitai_client._sync.client",
    "Retries": "novitai_client._retries",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "webhooks":
        return import_module("novitai_client.webhooks")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    models = import_module("novitai_client.models")
    return getattr(models, name) if hasattr(models, name) else getattr(import_module("novitai_client.errors"), name)


def __dir__() -> list[str]:
    return list(__all__)
