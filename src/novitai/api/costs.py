"""What an instance has cost in its present or last run: its price for the time since Novita accepted it.

An estimate: the disk of a stopped machine, and earlier runs, are not in it; Novita's own bill decides.
"""

import msgspec

from novitai.domain.instance import Instance
from novitai.domain.lifecycle import State
from novitai.domain.money import UNITS_PER_USD, Usd, cost


class Billing(msgspec.Struct, frozen=True):
    """A price running from `since` until `until` (None: still running), both in Unix seconds; `since` None: it never ran."""

    price: Usd
    since: float | None
    until: float | None

    def dollars_at(self, now: float) -> float:
        """USD so far, exact to 1/100000."""
        if self.since is None:
            return 0.0
        end = now if self.until is None else self.until
        return cost(self.price, max(0.0, end - self.since)) / UNITS_PER_USD


def billing_of(instance: Instance) -> Billing:
    """How an instance is billed, from its record alone."""
    return Billing(instance.price_per_hour, instance.started_at, _ended(instance))


def _ended(instance: Instance) -> float | None:
    if instance.state in {State.STOPPED, State.LOST} or (instance.state is State.FAILED and instance.machine is None):
        stopped = instance.stopped_at
        return stopped if stopped is not None and stopped >= (instance.started_at or 0.0) else instance.state_since
    return instance.deleted_at if instance.state is State.DELETED else None
