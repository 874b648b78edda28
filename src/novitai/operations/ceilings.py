"""Ceilings on what may run at once, checked before any money is spent and again when the call is made.

Counted is what is wanted to run: every live instance whose desired state is running and that has not failed without a
machine. To a key belongs what it made and what it started last, whoever made that: else a key with a limit could start
everybody's stopped machines, one after the other.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec

from novitai.domain.errors import Code, Refusal
from novitai.domain.instance import DesiredState, Instance
from novitai.domain.keys import KeyLimits
from novitai.domain.lifecycle import State
from novitai.domain.money import Usd, dollars
from novitai.operations.reads import ReadModel


class Ceilings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the whole installation; None: none."""

    instances: int | None = None
    usd_per_hour: Usd | None = None

    @property
    def any(self) -> bool:
        return self.instances is not None or self.usd_per_hour is not None


def limited(ceilings: Ceilings, limits: KeyLimits) -> bool:
    """Whether there is any ceiling to be checked."""
    return ceilings.any or limits.gpus is not None or limits.usd_per_hour is not None


def counted(instance: Instance) -> bool:
    """Whether an instance uses up ceilings: it is wanted, or its machine may still bill."""
    if instance.state in {State.DELETED, State.STOPPED, State.LOST}:
        return instance.wants is DesiredState.RUNNING and instance.operation.under_way
    wanted = instance.wants is DesiredState.RUNNING and instance.state is not State.FAILED
    return wanted or instance.machine is not None


def check(
    instances: Iterable[Instance], *, ceilings: Ceilings, owner: str, limits: KeyLimits, price: Usd, gpus: int
) -> None:
    """Raises Refusal BUDGET_EXCEEDED when one more instance at this price would pass a ceiling."""
    if not limited(ceilings, limits):
        return
    using = [instance for instance in instances if counted(instance)]
    if ceilings.instances is not None and len(using) + 1 > ceilings.instances:
        raise _exceeded("MAX_INSTANCES", f"{len(using)} instances of at most {ceilings.instances} are in use")
    total = Usd(sum(instance.price_per_hour for instance in using) + price)
    if ceilings.usd_per_hour is not None and total > ceilings.usd_per_hour:
        raise _exceeded(
            "MAX_USD_PER_HOUR",
            f"it would come to ${dollars(total):g} an hour; at most ${dollars(ceilings.usd_per_hour):g}",
        )
    own = [instance for instance in using if _belongs(instance, owner)]
    own_gpus = sum(instance.offer.gpu_num for instance in own) + gpus
    if limits.gpus is not None and own_gpus > limits.gpus:
        raise _exceeded("the key's gpus", f"it would come to {own_gpus} GPUs for this key; at most {limits.gpus}")
    own_total = Usd(sum(instance.price_per_hour for instance in own) + price)
    if limits.usd_per_hour is not None and own_total > limits.usd_per_hour:
        raise _exceeded(
            "the key's usdPerHour",
            f"it would come to ${dollars(own_total):g} an hour for this key; at most ${dollars(limits.usd_per_hour):g}",
        )


def _belongs(instance: Instance, owner: str) -> bool:
    started = instance.wants is DesiredState.RUNNING and instance.desired.by == f"user:{owner}"
    return started or instance.owner == owner


class Room:
    """The ceilings against what is live and what is being accepted at this very moment, so that two who ask at once
    cannot both take the last place.
    """

    def __init__(self, *, reads: ReadModel, ceilings: Ceilings) -> None:
        self._reads = reads
        self._ceilings = ceilings
        self._coming: dict[str, Instance] = {}

    def check(self, *, owner: str, limits: KeyLimits, price: Usd, gpus: int, but: str = "") -> None:
        """Raises Refusal BUDGET_EXCEEDED when there is no room. `but`: the id of an instance that is not counted."""
        if not limited(self._ceilings, limits):
            return
        live = [snapshot.instance for snapshot in self._reads.all() if snapshot.instance.id not in self._coming]
        others = [instance for instance in (*live, *self._coming.values()) if instance.id != but]
        check(others, ceilings=self._ceilings, owner=owner, limits=limits, price=price, gpus=gpus)

    @contextmanager
    def taken(self, instance: Instance, *, owner: str, limits: KeyLimits) -> Iterator[None]:
        """Hold the place of an instance until it is committed and counted as live. Raises as `check`."""
        price, gpus = instance.price_per_hour, instance.offer.gpu_num
        self.check(owner=owner, limits=limits, price=price, gpus=gpus, but=instance.id)
        self._coming[instance.id] = instance
        try:
            yield
        finally:
            self._coming.pop(instance.id, None)


def _exceeded(limit: str, why: str) -> Refusal:
    return Refusal(Code.BUDGET_EXCEEDED, f"{limit}: {why}", details={"limit": limit})
