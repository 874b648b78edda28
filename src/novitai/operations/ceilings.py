"""Ceilings on what may run at once, checked before any money is spent and again when the call is made.

Counted is what is wanted to run: every live instance whose desired state is running and that has not failed without a
machine. To a key belongs what it made and what it started last, whoever made that: else a key with a limit could start
everybody's stopped machines, one after the other.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain

import msgspec

from novitai.domain.budget import Hold
from novitai.domain.errors import Code, Refusal
from novitai.domain.instance import DesiredState, Instance, Verb
from novitai.domain.keys import Actor, KeyLimits
from novitai.domain.money import Usd, dollars
from novitai.operations.budget import Budgets, exceeded
from novitai.operations.reads import ReadModel
from novitai.operations.standing import AccountStanding
from novitai.policies.budget import counted


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
    """Ceilings, budgets and the account's balance against what is live and what is being accepted at this very moment, so that two who ask
    at once cannot both take the last place.
    """

    def __init__(self, *, reads: ReadModel, ceilings: Ceilings, budgets: Budgets, standing: AccountStanding) -> None:
        self._reads = reads
        self._ceilings = ceilings
        self._budgets = budgets
        self._standing = standing
        self._coming: dict[str, Instance] = {}

    def hold(self, instance: Instance) -> Hold | None:
        """The used-up budget that holds an instance down."""
        return self._budgets.hold(instance)

    def check(self, wanted: Instance, actor: Actor) -> None:
        """Raises Refusal BUDGET_EXCEEDED when there is no room for one more, and INSUFFICIENT_BALANCE while Novita sells us nothing.

        A create is refused for what a budget foresees. A start is not: whoever starts a machine in the morning rarely means to run it to
        the end of the month. Only a used-up budget keeps it down. What a schedule starts waits for the balance.
        """
        price, gpus = wanted.price_per_hour, wanted.offer.gpu_num
        others = partial(self._others, wanted.id)
        check(others(), ceilings=self._ceilings, owner=actor.owner, limits=actor.limits, price=price, gpus=gpus)
        held = self._budgets.hold(wanted)
        if held is not None:
            raise exceeded(held)
        if wanted.operation.verb is Verb.CREATE:
            self._budgets.check(wanted, others())
        if not actor.policy:
            self._standing.require_balance()

    @contextmanager
    def taken(self, wanted: Instance, actor: Actor) -> Iterator[None]:
        """Hold the place of an instance until it is committed and counted as live. Raises as `check`."""
        self.check(wanted, actor)
        self._coming[wanted.id] = wanted
        try:
            yield
        finally:
            self._coming.pop(wanted.id, None)

    def _others(self, but: str) -> Iterator[Instance]:
        """All that is live or on its way, but one; nothing is looked at before somebody wants it."""
        live = (one.instance for one in self._reads.all() if one.instance.id not in self._coming)
        yield from (instance for instance in chain(live, self._coming.values()) if instance.id != but)


def _exceeded(limit: str, why: str) -> Refusal:
    return Refusal(Code.BUDGET_EXCEEDED, f"{limit}: {why}", details={"limit": limit})
