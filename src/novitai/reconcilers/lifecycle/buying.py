"""Create, once: choose, make the intent durable, ask, and take the answer as a fact.

A clear refusal for lack of capacity tries the next best offer within the same run. An unclear answer leaves the attempt
open: the observer then looks for the machine by its marker, and only a complete sweep after the settle time that does
not show it lets another attempt be made.
"""

import asyncio

import msgspec
import structlog

from novitai.domain.change import Change, fact
from novitai.domain.errors import (
    Code,
    NoBalance,
    NoCapacity,
    NotAllowed,
    ProviderFailure,
    Refusal,
    TryLater,
    Unclear,
)
from novitai.domain.events import FactType
from novitai.domain.ids import MAX_ATTEMPTS, InstanceId, MachineId, Marker, machine_name
from novitai.domain.instance import Attempt, AttemptOutcome, Instance, attempt_id
from novitai.domain.instance import Refusal as RefusedOffer
from novitai.domain.lifecycle import State
from novitai.domain.offers import Catalogue, Offer, Ranked
from novitai.operations import ceilings, records
from novitai.operations.budget import Budgets, exceeded
from novitai.operations.catalogue import FRESH_SECONDS, CatalogueBook
from novitai.operations.keys import Keys
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.reads import ReadModel
from novitai.operations.standing import PROBE_SECONDS, AccountStanding
from novitai.policies import decisions, outcomes, placement, successors, unclear
from novitai.ports.coordination import Share
from novitai.ports.provider import MachineOrder, Provider
from novitai.ports.store import Put
from novitai.ports.world import Sealer
from novitai.reconcilers.lifecycle.acting import BALANCE_PAUSE_SECONDS, waits_for_balance
from novitai.reconcilers.lifecycle.run import LIMITER_PATIENCE_SECONDS, PutOff, Run, pause_after

log = structlog.get_logger("novitai.create")

CAPACITY_ROUND_SECONDS = 30.0
QUEUED_PAUSE_SECONDS = 5.0
"""Until a queued create looks whether Novita sells again."""
LONGEST_ROUND_SECONDS = 300.0
"""Between two looks for a machine that takes another's place."""
RATE_LIMITS_MEAN_QUOTA = 3
AUTH_PAUSE_SECONDS = 30.0


class Buying:
    """Buys the machine of an instance."""

    def __init__(
        self,
        *,
        provider: Provider,
        ledger: Ledger,
        reads: ReadModel,
        catalogue: CatalogueBook,
        sealer: Sealer,
        installation: str,
        limits: ceilings.Ceilings,
        keys: Keys,
        budgets: Budgets,
        standing: AccountStanding,
    ) -> None:
        self._provider = provider
        self._ledger = ledger
        self._reads = reads
        self._catalogue = catalogue
        self._sealer = sealer
        self._installation = installation
        self._ceilings = limits
        self._keys = keys
        self._budgets = budgets
        self._standing = standing
        self._rate_limited: dict[InstanceId, int] = {}

    async def buy(self, run: Run, snapshot: Snapshot) -> None:
        """One attempt, or the end of trying. Raises PutOff when it has to go on later."""
        instance = snapshot.instance
        if not self._standing.takes_try():
            self._wait_for_balance(instance)
            message = "Novita refuses to sell: the account's balance does not suffice"
            await self._fail(instance, Code.INSUFFICIENT_BALANCE, message)
            return
        ranked = await self._choose(instance)
        if ranked is None:
            return
        offer = ranked[0].offer
        number = instance.attempts + 1
        if number > MAX_ATTEMPTS:
            await self._fail(instance, Code.UPSTREAM_ERROR, f"gave up after {MAX_ATTEMPTS} attempts")
            return
        attempt = self._attempt(instance, offer, number)
        catalogue = self._catalogue.known
        read_at = catalogue.read_at if catalogue is not None else 0.0
        intent = run.intent(
            snapshot,
            lambda now: outcomes.create_sent(now, number=number, offer=offer, at=attempt.sent_at),
            lambda _: records.put_attempt(attempt, expect=0),
            decision=decisions.placed(instance, ranked, number=number, read_at=read_at),
        )
        share = Share.ACT if instance.replacing else Share.BULK
        call = run.call(instance, share, before_send=intent)
        try:
            machine_id = await self._provider.create(self._order(instance, attempt), call)
        except ProviderFailure as failure:
            if run.intended:
                await self._failed(instance, attempt, failure)
            else:
                await self._go_on_after(instance, failure)
            return
        self._rate_limited.pop(instance.id, None)
        self._catalogue.accepted(offer.key)
        await self._accepted(attempt, machine_id)
        await self._standing.accept_payment()

    def _wait_for_balance(self, instance: Instance) -> None:
        """Raises PutOff for what waits until Novita sells again, and for a create that was accepted before it was known that Novita does
        not: that waits a few minutes, since one refusal, or one hour's bill, must not fail all that is queued.
        """
        if instance.replacing or waits_for_balance(instance):
            raise PutOff(BALANCE_PAUSE_SECONDS, why="the account's balance does not suffice; this waits until it does")
        left = instance.operation.requested_at + PROBE_SECONDS - self._ledger.clock.now()
        if left > 0.0:
            pause = min(left, QUEUED_PAUSE_SECONDS)
            raise PutOff(pause, why="the account's balance does not suffice; this waits a few minutes for it")

    async def _choose(self, instance: Instance) -> tuple[Ranked, ...] | None:
        """The offers as they stand now, one that can be bought first; None when the create has ended instead."""
        try:
            # All who buy wait for the same reading: were it slow, they would fill the lane, and people's stops with it.
            async with asyncio.timeout(LIMITER_PATIENCE_SECONDS):
                catalogue = await self._catalogue.fresh(
                    max_age=FRESH_SECONDS, share=Share.BULK, longest_wait=LIMITER_PATIENCE_SECONDS
                )
        except TimeoutError:
            raise PutOff(LIMITER_PATIENCE_SECONDS, why="the catalogue is still being read") from None
        except NotAllowed as failure:
            raise PutOff(AUTH_PAUSE_SECONDS, why=failure.message) from failure
        except TryLater as failure:
            pause = pause_after(failure, random=self._ledger.ids.random())
            raise PutOff(pause, why=failure.message) from failure
        except ProviderFailure as failure:
            raise PutOff(LIMITER_PATIENCE_SECONDS, why=failure.message, failed=True) from failure
        now = self._ledger.clock.now()
        ranked = self._ranked(catalogue, instance, now=now)
        if not ranked or not ranked[0].fits:
            await self._none_fits(instance, ranked)
            return None
        try:
            self._check_ceilings(instance, ranked[0].offer)
        except Refusal as refusal:
            await self._fail(instance, refusal.code, refusal.message)
            return None
        return ranked

    def _ranked(self, catalogue: Catalogue, instance: Instance, *, now: float) -> tuple[Ranked, ...]:
        cooling = self._catalogue.cooling()
        if instance.replacing:
            return successors.ranked(catalogue, instance, now=now, cooling=cooling)
        refused = [refusal.key for refusal in instance.refusals]
        return placement.rank(catalogue, instance.spec.requirement, now=now, cooling=cooling, refused=refused)

    def _check_ceilings(self, instance: Instance, offer: Offer) -> None:
        held = self._budgets.hold(instance)
        if held is not None:
            raise exceeded(held)
        others = (s.instance for s in self._reads.all() if s.instance.id != instance.id)
        ceilings.check(
            others,
            ceilings=self._ceilings,
            owner=instance.owner,
            limits=self._keys.limits_of(instance.owner),
            price=offer.price_per_hour,
            gpus=offer.gpu_num,
        )

    async def _none_fits(self, instance: Instance, ranked: tuple[Ranked, ...]) -> None:
        if instance.replacing:
            await self._none_replaces(instance, ranked)
            return
        waits = instance.spec.wait_for_capacity_seconds
        now = self._ledger.clock.now()
        passing = not ranked or any(place.objection is not None and place.objection.passes for place in ranked)
        if passing and waits is not None and now < instance.operation.requested_at + waits:
            await self._another_round(instance)
            raise PutOff(CAPACITY_ROUND_SECONDS, why="no capacity; waiting for it as asked")
        if passing:
            tried = len(instance.refusals)
            message = f"no capacity: {tried} offers refused and no other fits" if tried else "no offer has capacity now"
            await self._fail(instance, Code.NO_CAPACITY, message)
            return
        reason = f"no offer fits any more: {ranked[0].reason}"
        await self._fail(instance, Code.NO_OFFER_WITHIN_CAP, reason)

    async def _none_replaces(self, instance: Instance, ranked: tuple[Ranked, ...]) -> None:
        """Another machine is looked for again and again, with growing pauses, for as long as the former one serves and a
        while longer. Every offer may be tried again.
        """
        now, ends = self._ledger.clock.now(), successors.search_ends(instance)
        if ends is not None and now >= ends:
            offers = successors.refusals(ranked, known=instance.refusals, at=now)
            message = f"no other machine could be had: {ranked[0].reason if ranked else 'no offer fits'}"
            await self._fail(instance, Code.NO_CAPACITY, message, offers=offers)
            return
        began = instance.move.began_at if instance.move is not None else instance.operation.requested_at
        pause = min(max(CAPACITY_ROUND_SECONDS, now - began), LONGEST_ROUND_SECONDS)
        if ends is not None:
            pause = min(pause, max(1.0, ends - now))
        if instance.refusals:
            await self._ledger.apply(instance.id, lambda held: Change(instance=_forgiven(held, instance)), wake=False)
        raise PutOff(pause, why="no other machine can be had yet")

    async def _another_round(self, instance: Instance) -> None:
        """Told once per round: still waiting. Every offer may be tried again."""

        def waiting(now: Instance) -> Change:
            if now.operation.id != instance.operation.id or now.state is not State.CREATING:
                return Change(instance=now)  # stopped or deleted meanwhile
            cleared = msgspec.structs.replace(now, refusals=())
            told = fact(
                FactType.CREATING,
                cleared,
                before=now,
                at=self._ledger.clock.now(),
                actor=now.operation.by,
                reason="no capacity yet; waiting as asked",
            )
            return Change(instance=cleared, facts=(told,))

        await self._ledger.apply(instance.id, waiting, wake=False)

    def _attempt(self, instance: Instance, offer: Offer, number: int) -> Attempt:
        marker = Marker(self._installation, instance.id, number)
        return Attempt(
            id=attempt_id(instance.id, number),
            instance_id=instance.id,
            number=number,
            machine_name=machine_name(instance.name, marker),
            offer=offer,
            correlation_id=instance.operation.correlation_id,
            sent_at=self._ledger.clock.now(),
        )

    def _order(self, instance: Instance, attempt: Attempt) -> MachineOrder:
        spec = instance.spec
        return MachineOrder(
            machine_name=attempt.machine_name,
            offer=attempt.offer,
            image_url=spec.image_url,
            rootfs_gb=spec.requirement.rootfs_gb,
            ports=spec.ports,
            envs=tuple((key, self._sealer.open(value)) for key, value in spec.envs),
            command=spec.command,
            entrypoint=spec.entrypoint,
            image_auth_id=spec.image_auth_id,
            network_storages=spec.network_storages,
        )

    async def _accepted(self, attempt: Attempt, machine_id: MachineId) -> None:
        at = self._ledger.clock.now()
        log.info("machine_created", novitaId=machine_id, product=attempt.offer.product_id, region=attempt.offer.region)
        ended = _ended(attempt, AttemptOutcome.ACCEPTED, at=at, machine_id=machine_id)
        await self._ledger.apply(
            attempt.instance_id,
            lambda now: outcomes.create_accepted(
                now,
                number=attempt.number,
                offer=attempt.offer,
                machine_id=machine_id,
                machine_name=attempt.machine_name,
                at=at,
            ),
            attempt=lambda _: records.put_attempt(ended),
            wake=False,
        )

    async def _failed(self, instance: Instance, attempt: Attempt, failure: ProviderFailure) -> None:
        """Take a failure of the create call for what it means. Raises PutOff when nothing is decided yet."""
        at = self._ledger.clock.now()
        if isinstance(failure, Unclear):
            log.warning("create_unclear", instanceId=instance.id, machine=attempt.machine_name, error=failure.message)
            await self._search_from(attempt, at=at, error=failure.message, answered=True)
            raise PutOff(
                LIMITER_PATIENCE_SECONDS, why=f"unclear, looking for the machine: {failure.message}"
            ) from failure
        number, offer = attempt.number, attempt.offer
        ended = _ended(attempt, AttemptOutcome.REFUSED, at=at, error=failure.message)
        if isinstance(failure, NoCapacity):
            self._catalogue.refused(offer.key)
            log.info("offer_refused", instanceId=instance.id, product=offer.product_id, region=offer.region)
            await self._ledger.apply(
                instance.id,
                lambda now: Change(
                    instance=outcomes.create_refused(now, number=number, offer=offer, failure=failure, at=at)
                ),
                attempt=lambda _: records.put_attempt(ended),
                wake=False,
            )
            return
        await self._ledger.apply(
            instance.id,
            lambda now: Change(instance=outcomes.create_not_made(now, number=number)),
            attempt=lambda _: records.put_attempt(ended),
            wake=False,
        )
        await self._go_on_after(instance, failure)

    async def _go_on_after(self, instance: Instance, failure: ProviderFailure) -> None:
        """What comes after a create that was kept back or refused, and not for lack of capacity."""
        if isinstance(failure, TryLater):
            await self._later(instance, failure)
        if isinstance(failure, NotAllowed):
            raise PutOff(AUTH_PAUSE_SECONDS, why=failure.message) from failure
        if isinstance(failure, NoBalance):
            await self._standing.refuse_payment(failure)
            if instance.replacing or waits_for_balance(instance):
                raise PutOff(PROBE_SECONDS, why=failure.message) from failure
        await self._fail(instance, failure.code, failure.message)

    async def call_has_ended(self, snapshot: Snapshot) -> bool:
        """An attempt whose call was cut off with its process can have made a machine until now, so the settle time
        begins now; once, and True when it did. Whoever holds the instance's job knows that nobody else is calling.
        """
        instance = snapshot.instance
        search = instance.open_attempt
        if search is None or search.ended:
            return False
        record = await self._ledger.store.get(records.ATTEMPT, attempt_id(instance.id, search.number))
        if record is None:
            return False
        attempt = records.read_attempt(record)
        await self._search_from(attempt, at=self._ledger.clock.now(), error="the call was cut off", answered=False)
        return True

    async def _search_from(self, attempt: Attempt, *, at: float, error: str, answered: bool) -> None:
        """The call has ended without telling."""
        untold = msgspec.structs.replace(attempt, error=error)

        def later(now: Instance) -> Change:
            return Change(instance=unclear.search_from(now, number=attempt.number, at=at, answered=answered))

        def note(now: Instance) -> Put | None:
            search = now.open_attempt
            return records.put_attempt(untold) if search is not None and search.number == attempt.number else None

        await self._ledger.apply(attempt.instance_id, later, attempt=note, wake=False)

    def forget(self, instance_id: InstanceId) -> None:
        """The instance is gone."""
        self._rate_limited.pop(instance_id, None)

    async def _later(self, instance: Instance, failure: TryLater) -> None:
        if not failure.rate_limited:
            self._rate_limited.pop(instance.id, None)
            pause = pause_after(failure, random=self._ledger.ids.random())
            raise PutOff(pause, why=failure.message, failed=failure.retry_after is None) from failure
        count = self._rate_limited.get(instance.id, 0) + 1
        self._rate_limited[instance.id] = count
        if count < RATE_LIMITS_MEAN_QUOTA:
            pause = pause_after(failure, random=self._ledger.ids.random())
            raise PutOff(pause, why=failure.message, failed=True) from failure
        self._rate_limited.pop(instance.id, None)
        message = f"Novita answered 'too many' {count} times in a row; it may be the account's quota: {failure.message}"
        await self._fail(instance, Code.QUOTA_EXCEEDED, message)

    async def _fail(
        self, instance: Instance, code: Code, message: str, *, offers: tuple[RefusedOffer, ...] | None = None
    ) -> None:
        at = self._ledger.clock.now()
        self.forget(instance.id)
        log.error("create_failed", instanceId=instance.id, code=str(code), error=message)

        def failing(now: Instance) -> Change:
            if now.operation.id != instance.operation.id or not now.operation.under_way or now.machine is not None:
                return Change(instance=now)
            kept = now.refusals if offers is None else offers
            return outcomes.create_failed(now, code=code, message=message, at=at, offers=kept)

        await self._ledger.apply(instance.id, failing, wake=False)


def _forgiven(now: Instance, decided: Instance) -> Instance:
    """The instance with every offer to be tried again, while the same search goes on."""
    same = now.operation.id == decided.operation.id and now.replacing
    return msgspec.structs.replace(now, refusals=()) if same else now


def _ended(
    attempt: Attempt, outcome: AttemptOutcome, *, at: float, machine_id: MachineId | None = None, error: str = ""
) -> Attempt:
    return msgspec.structs.replace(attempt, outcome=outcome, resolved_at=at, machine_id=machine_id, error=error)
