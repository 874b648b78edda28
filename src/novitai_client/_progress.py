"""What a state means to somebody who waits for `ready`. Pure."""

from novitai_client.models import Instance

READY = "ready"
_ENDED = frozenset({"failed", "lost", "deleting", "deleted"})
_AT_REST = frozenset({"stopping", "stopped"})


def hopeless(instance: Instance) -> bool:
    """Whether waiting longer is pointless: it failed or is gone, or it is stopped and nobody asked for it to run.

    A start that was asked during a stop is queued, so a stopping instance that should run is worth waiting for.
    """
    if instance.status in _ENDED:
        return True
    return instance.status in _AT_REST and (instance.desired is None or instance.desired.state != "running")


def landmark(instance: Instance) -> tuple[object, ...]:
    """What a person would call the same moment; a new value is worth telling."""
    health = instance.health_check.status if instance.health_check else None
    error = instance.last_error.message if instance.last_error else None
    return instance.status, health, error
