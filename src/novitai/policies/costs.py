"""When a machine costs money, from what is seen of it.

The GPU is charged from `pulling` until the stop, to the second, at the price of its start; the container disk beyond its free part from
the first `pulling` until the machine is removed, stopped or not (novita-wire.md 1.4, "published charges"). Moments are those that Novita
tells (`lastStartedAt`, `lastStoppedAt`) where it tells them, else those at which a status was first seen. Each time is taken in with the
record of the instance that it belongs to, in one commit, and a moment that is accounted for is never accounted for again: `Ended` says up
to when, whatever is seen later.

What no source says, and how it is taken: while `migrating` the GPU is not charged (the disk is); a restart or an upgrade ends no charge; a
deleted machine costs nothing from the moment Novita accepted the delete. Monthly machines are paid ahead, so their GPU has no rate.
`freeStorageSize`, `localStoragePrice` and `exitedLocalStoragePrice` belong to local volumes (3.5), which we never ask for, and are not
used; network volumes belong to no machine and are not in this ledger. Novita's bill decides where this is wrong (`settle_day`).
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from novitai.domain.costs import Charge, ChargeKind, Ended, Rate, Segment, per_hour
from novitai.domain.ids import MachineId
from novitai.domain.instance import ENOUGH_EVIDENCE, Instance, SeenMachine
from novitai.domain.lifecycle import State
from novitai.domain.machine import BillingMode, Machine, MachineStatus
from novitai.domain.money import Usd
from novitai.domain.offers import Offer

FREE_DISK_GB = 60
DISK_RATE_PER_GB = 500
"""1/100000 USD per GB and day: $0.005 (novita-wire.md 1.4)."""
DELETE_SHOWS_SECONDS = 120.0
"""How long a machine may go on being shown as if nothing was asked, after Novita accepted its delete."""
ENDED_KEPT = 32
"""Of how many machines of one instance it is remembered up to when they are accounted for: more than one ever has that may come back."""

_CHARGED = {MachineStatus.PULLING, MachineStatus.RUNNING, MachineStatus.RESTARTING, MachineStatus.STOPPING}
_STANDING = {MachineStatus.PENDING, MachineStatus.STARTING, MachineStatus.STOPPED, MachineStatus.MIGRATING}


class Tariff(Protocol):
    """What GPUs cost now."""

    def price(self, product_id: str, mode: BillingMode, gpus: int, /) -> Usd | None:
        """Per hour for so many GPUs of a product; None when it is not known."""
        ...


class NoTariff:
    """Knows of no prices."""

    def price(self, _product_id: str, _mode: BillingMode, _gpus: int, /) -> Usd | None:
        """None."""
        return None


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a machine: its status and since when, what Novita tells of its starts and stops (0: nothing), its disk.
    `offer`: what it was bought by, as far as is known.
    """

    machine: MachineId
    offer: Offer
    status: MachineStatus
    since: float
    started_at: float = 0.0
    stopped_at: float = 0.0
    rootfs_gb: int = 0
    product_id: str = ""
    mode: BillingMode | None = None


def keep(instance: Instance, *, tariff: Tariff, floor: float, now: float) -> Instance:
    """The instance with its meter brought up to what its record says. `floor`: days before it are accounted for, and nothing is put into
    them any more. Doing this again changes nothing.
    """
    keeper = _Keeper(instance, tariff=tariff, floor=floor, now=now)
    keeper.relabel()
    for seen, offer in _known(instance):
        gone = _gone_at(instance, seen, now=now)
        if gone is not None:
            keeper.end(seen.id, at=gone)
        else:
            keeper.follow(_reading(instance, seen, offer))
    keeper.end_others()
    return keeper.result()


def sighted(instance: Instance, machine: Machine, *, tariff: Tariff, floor: float, at: float) -> Instance:
    """The same for a machine `beside` the instance's own, of which its record says nothing more: a stray, or one to be deleted."""
    keeper = _Keeper(instance, tariff=tariff, floor=floor, now=at)
    asked = dict(instance.delete_sent).get(machine.id)
    if machine.status.leaving:
        keeper.end(machine.id, at=at if asked is None else asked)
    elif asked is not None and at - asked < DELETE_SHOWS_SECONDS:
        keeper.end(machine.id, at=asked)
    else:
        keeper.follow(_reading_of(machine, instance.offer, at=at))
    return keeper.result()


def unseen(instance: Instance, machine: MachineId, *, floor: float, at: float) -> Instance:
    """The same for such a machine that Novita's list does not show (any more). Should it come back, it never stopped."""
    keeper = _Keeper(instance, tariff=NoTariff(), floor=floor, now=at)
    keeper.end(machine, at=at)
    return keeper.result()


def beside(instance: Instance, machine: MachineId) -> bool:
    """Whether a machine is neither the instance's present one nor the one that is being replaced."""
    return all(machine != seen.id for seen, _ in _known(instance))


def _known(instance: Instance) -> tuple[tuple[SeenMachine, Offer], ...]:
    """The machines of which the record says what was seen, each with the offer that it was bought by."""
    present = ((instance.machine, instance.offer),) if instance.machine is not None else ()
    former = ((instance.former.machine, instance.former.offer),) if instance.former is not None else ()
    return (*present, *former)


def _ours(instance: Instance) -> frozenset[MachineId]:
    """Every machine that is still an instance's, whatever is to become of it."""
    if instance.state is State.DELETED:
        return frozenset()
    return frozenset((*(seen.id for seen, _ in _known(instance)), *instance.discarded, *instance.strays))


def disk_rate(rootfs_gb: int) -> Rate:
    """What a container disk costs, running or not."""
    return Rate(max(0, rootfs_gb - FREE_DISK_GB) * DISK_RATE_PER_GB)


def _gone_at(instance: Instance, machine: SeenMachine, *, now: float) -> float | None:
    """When a machine ceased to cost anything; None while it costs."""
    asked = dict(instance.delete_sent).get(machine.id)
    if asked is not None and (machine.status.leaving or now < asked + DELETE_SHOWS_SECONDS):
        return asked
    lost = len(machine.missing) >= ENOUGH_EVIDENCE or (instance.state is State.LOST and machine is instance.machine)
    if machine.status.leaving or lost or instance.state is State.DELETED:
        return machine.missing[0] if machine.missing else now
    return None


def _reading(instance: Instance, machine: SeenMachine, offer: Offer) -> Reading:
    return Reading(
        machine=machine.id,
        offer=offer,
        status=machine.status,
        since=machine.since,
        started_at=machine.started_at,
        stopped_at=machine.stopped_at,
        rootfs_gb=machine.rootfs_gb or instance.spec.requirement.rootfs_gb,
        product_id=machine.product_id,
        mode=machine.billing_mode,
    )


def _reading_of(machine: Machine, offer: Offer, *, at: float) -> Reading:
    return Reading(
        machine=machine.id,
        offer=offer,
        status=machine.status,
        since=at,
        started_at=machine.started_at,
        stopped_at=machine.stopped_at,
        rootfs_gb=machine.rootfs_gb,
        product_id=machine.product_id,
        mode=machine.billing_mode,
    )


class _Keeper:
    """One instance's meter while it is brought up to date."""

    def __init__(self, instance: Instance, *, tariff: Tariff, floor: float, now: float) -> None:
        self._instance = instance
        self._tariff = tariff
        self._floor = floor
        self._now = now
        self._meter = instance.meter

    def result(self) -> Instance:
        """The instance with the meter; the same object when nothing differs."""
        if self._meter is self._instance.meter:
            return self._instance
        return msgspec.structs.replace(self._instance, meter=self._meter)

    def relabel(self) -> None:
        """Running charges under labels that do not hold any more end, and go on under the new ones."""
        labels = self._instance.spec.labels
        if self._meter.labels == labels:
            return
        going = self._meter.running
        for charge in going:
            self._close(charge, at=self._now)
        again = tuple(msgspec.structs.replace(charge, since=max(charge.since, self._now)) for charge in going)
        self._meter = msgspec.structs.replace(self._meter, labels=labels, running=again)

    def follow(self, reading: Reading) -> None:
        """Take in what a machine is doing."""
        if reading.status in _CHARGED:
            self._runs(reading)
        elif reading.status in _STANDING:
            self._stands(reading)

    def end(self, machine: MachineId, *, at: float | None) -> None:
        """A machine costs nothing any more."""
        for charge in self._meter.running:
            if charge.machine == machine:
                self._close(charge, at=self._now if at is None else at)

    def end_others(self) -> None:
        """Machines that are not the instance's any more cost nothing, since they were read to be gone; nor do those that were deleted."""
        instance = self._instance
        ours, asked = _ours(instance), dict(instance.delete_sent)
        for charge in self._meter.running:
            if charge.machine not in ours:
                self._close(charge, at=self._now)
            elif beside(instance, charge.machine) and charge.since < asked.get(charge.machine, 0.0):
                self._close(charge, at=asked[charge.machine])

    def _runs(self, reading: Reading) -> None:
        charge = self._meter.of(reading.machine, ChargeKind.GPU)
        if charge is not None and charge.since < reading.stopped_at <= reading.started_at <= self._now:
            self._close(charge, at=reading.stopped_at)  # it was stopped and started between two looks
            charge = None
        if charge is None:
            self._open_gpu(reading, since=self._begun(reading))
        self._keep_disk(reading)

    def _stands(self, reading: Reading) -> None:
        charge = self._meter.of(reading.machine, ChargeKind.GPU)
        told = reading.stopped_at if reading.status is not MachineStatus.MIGRATING else 0.0
        if charge is not None:
            self._close(charge, at=told if charge.since < told <= self._now else reading.since)
        elif reading.status is MachineStatus.STOPPED and self._ended(reading.machine).gpu <= reading.started_at < told:
            self._open_gpu(reading, since=self._begun(reading))  # it ran between two looks
            self._close_gpu(reading.machine, at=told)
        if reading.status is MachineStatus.STOPPED or self._ended(reading.machine).gpu:
            self._keep_disk(reading)

    def _begun(self, reading: Reading) -> float:
        """When the present run of a machine began to cost."""
        told, ended = reading.started_at, self._ended(reading.machine).gpu
        if 0.0 < told <= self._now:
            if told >= ended:
                return told
            if told > reading.stopped_at:
                return ended  # it was taken for ended, and never was
        return reading.since

    def _open_gpu(self, reading: Reading, *, since: float) -> None:
        rate = self._gpu_rate(reading)
        if not rate:
            return
        dearest = self._meter.dearest
        on_demand = self._tariff.price(reading.product_id, BillingMode.ON_DEMAND, reading.offer.gpu_num)
        charge = Charge(
            machine=reading.machine,
            kind=ChargeKind.GPU,
            rate=rate,
            since=self._since(since, ended=self._ended(reading.machine).gpu),
            on_demand=None if on_demand is None else per_hour(on_demand),
            dearest=None if dearest is None else per_hour(dearest),
        )
        self._begin(charge)

    def _gpu_rate(self, reading: Reading) -> Rate:
        """The price of a start: on the first run that of the offer that was bought, later that which the catalogue has then."""
        if reading.mode is BillingMode.MONTHLY:
            return Rate(0)
        offer, before = reading.offer, self._meter.ended.get(reading.machine)
        bought = reading.product_id in {"", offer.product_id} and reading.mode in {None, offer.billing_mode}
        if before is None and bought:
            return per_hour(offer.price_per_hour)
        known = self._tariff.price(reading.product_id, reading.mode or offer.billing_mode, offer.gpu_num)
        if known is not None:
            return per_hour(known)
        return before.rate if before is not None and before.rate else per_hour(offer.price_per_hour)

    def _keep_disk(self, reading: Reading) -> None:
        rate = disk_rate(reading.rootfs_gb)
        charge = self._meter.of(reading.machine, ChargeKind.DISK)
        if charge is not None and charge.rate == rate:
            return
        since = self._now
        if charge is not None:
            self._close(charge, at=self._now)  # it was made larger
        else:
            gpu = self._meter.of(reading.machine, ChargeKind.GPU)
            since = gpu.since if gpu is not None else self._disk_begun(reading)
        if rate:
            since = self._since(since, ended=self._ended(reading.machine).disk)
            self._begin(Charge(machine=reading.machine, kind=ChargeKind.DISK, rate=rate, since=since))

    def _disk_begun(self, reading: Reading) -> float:
        ended = self._ended(reading.machine)
        return ended.disk or reading.started_at or reading.since

    def _since(self, moment: float, *, ended: float) -> float:
        return min(self._now, max(moment, ended, self._floor))

    def _ended(self, machine: MachineId) -> Ended:
        return self._meter.ended.get(machine) or Ended()

    def _begin(self, charge: Charge) -> None:
        self._meter = msgspec.structs.replace(self._meter, running=(*self._meter.running, charge))

    def _close_gpu(self, machine: MachineId, *, at: float) -> None:
        charge = self._meter.of(machine, ChargeKind.GPU)
        if charge is not None:
            self._close(charge, at=at)

    def _close(self, charge: Charge, *, at: float) -> None:
        meter, until = self._meter, min(self._now, max(at, charge.since, self._floor))
        gpu = charge.kind is ChargeKind.GPU
        ended = self._ended(charge.machine)
        ended = Ended(
            gpu=until if gpu else ended.gpu,
            disk=ended.disk if gpu else until,
            rate=charge.rate if gpu else ended.rate,
        )
        self._meter = msgspec.structs.replace(
            meter,
            running=tuple(one for one in meter.running if one is not charge),
            ended=_latest({**meter.ended, charge.machine: ended}),
            settled=meter.settled.and_then(charge, until),
            closed=(*meter.closed, self._segment(charge, until=until)) if until > charge.since else meter.closed,
        )

    def _segment(self, charge: Charge, *, until: float) -> Segment:
        instance = self._instance
        return Segment(
            instance=instance.id,
            name=instance.name,
            owner=instance.owner,
            machine=charge.machine,
            kind=charge.kind,
            rate=charge.rate,
            since=charge.since,
            until=until,
            labels=self._meter.labels,
            on_demand=charge.on_demand,
            dearest=charge.dearest,
        )


def _latest(ended: Mapping[MachineId, Ended]) -> dict[MachineId, Ended]:
    """Those that ended last."""
    return dict(list(ended.items())[-ENDED_KEPT:])
