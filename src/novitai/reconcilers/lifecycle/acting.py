"""Calls about a machine that exists: look, start, stop, restart, delete; and what their answers mean.

The intent to start, stop or restart is durable before the call; after an unclear answer the machine is looked at before
the call is sent again. Deletes are repeated until a reading confirms that the machine is gone; they are never given up.
"""

import structlog

from novitai.domain.change import Change
from novitai.domain.errors import (
    Gone,
    InvalidState,
    NoBalance,
    NoCapacity,
    NotAllowed,
    ProviderFailure,
    QuotaExceeded,
    Rejected,
    TryLater,
    Unclear,
)
from novitai.domain.ids import MachineId
from novitai.domain.instance import Instance, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.domain.money import cost, dollars
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.standing import PROBE_SECONDS, AccountStanding
from novitai.policies import moves, observed, outcomes
from novitai.policies.backoff import requeue_delay
from novitai.policies.observed import Sighting
from novitai.policies.precedence import Voice, voice_of
from novitai.policies.steps import Act, Action
from novitai.ports.coordination import Share
from novitai.ports.provider import Provider
from novitai.ports.world import Sealer
from novitai.reconcilers.lifecycle.run import PutOff, Run, pause_after

log = structlog.get_logger("novitai.act")

AUTH_PAUSE_SECONDS = 30.0
UNCLEAR_PAUSE_SECONDS = 1.0
DENIED_PAUSE_SECONDS = 5.0
"""Until a machine is read again that was denied: soon enough to see what an unclear call has set in motion."""
HURRIED_PAUSE_SECONDS, PATIENT_PAUSE_SECONDS = 2.5, 60.0
"""Until details that nobody needs to go on are asked for again: while `ready` waits for them, and later."""
ALERT_EVERY = 5
BALANCE_PAUSE_SECONDS = 60.0
"""Until a start that waits for the account's balance looks whether it may be tried."""


def waits_for_balance(instance: Instance) -> bool:
    """Whether what Novita refuses for lack of balance goes on being wanted: a start for which nobody is there to be told, since the next
    boundary of a schedule may be days away, and a move.
    """
    return instance.operation.verb is Verb.MIGRATE or voice_of(instance.operation.by) is Voice.SCHEDULE


class Acting:
    """Carries out single calls on machines."""

    def __init__(self, *, provider: Provider, ledger: Ledger, sealer: Sealer, standing: AccountStanding) -> None:
        self._provider = provider
        self._standing = standing
        self._ledger = ledger
        self._sealer = sealer

    async def act(self, run: Run, snapshot: Snapshot, act: Act) -> None:
        """Make one call and commit its answer. Raises PutOff when the job has to go on later."""
        match act.action:
            case Action.LOOK:
                await self._look(run, snapshot.instance, act)
            case Action.DELETE:
                await self._delete(run, snapshot.instance, act.machine_id)
            case _:
                await self._ask(run, snapshot, act.action, act.machine_id)

    async def _look(self, run: Run, instance: Instance, act: Act) -> None:
        share = Share.BULK if act.patient else Share.OBSERVE
        at = self._ledger.clock.now()
        pause = PATIENT_PAUSE_SECONDS if instance.state is State.READY else HURRIED_PAUSE_SECONDS
        try:
            machine = await self._provider.machine(act.machine_id, run.call(instance, share, patient=act.patient))
        except Gone as failure:
            if not await self._gone(instance, act.machine_id):
                # Once is no proof, and says nothing of the machine: no call is sent again on the strength of it.
                raise PutOff(DENIED_PAUSE_SECONDS, why="Novita does not know the machine") from failure
            run.looked_at[act.machine_id] = at
            return
        except ProviderFailure as failure:
            # What was not read does not count as looked at: a call could be sent again on the strength of it.
            if act.patient:
                raise PutOff(pause, why=f"details not read: {failure.message}") from failure
            raise self._put_off(run, failure) from failure
        run.looked_at[act.machine_id] = at
        password = self._sealer.seal(machine.password) if machine.password else None
        sighting = Sighting(machine=machine, at=at, confirmed=True, password=password)
        operation_id = self._ledger.ids.new("op")

        def take(now: Instance) -> Change:
            if machine.status is MachineStatus.REMOVED and now.state is State.DELETING:
                return Change(instance=outcomes.machine_removed(now, act.machine_id))
            if now.former is not None and act.machine_id == now.former.machine.id:
                return observed.see(now, sighting, now=self._ledger.clock.now(), operation_id=operation_id).change
            if act.machine_id in (*now.discarded, *now.strays):
                if machine.status is MachineStatus.REMOVED:
                    return Change(instance=outcomes.machine_removed(now, act.machine_id))
                return Change(instance=now)
            return observed.see(now, sighting, now=self._ledger.clock.now(), operation_id=operation_id).change

        await self._ledger.apply(instance.id, take, wake=False)

    async def _gone(self, instance: Instance, machine_id: MachineId) -> bool:
        """Novita does not know the machine; whether that is enough to take it for gone."""
        at = self._ledger.clock.now()

        def take(now: Instance) -> Change:
            if machine_id in dict(now.delete_sent) or machine_id in (*now.discarded, *now.strays):
                return Change(instance=outcomes.machine_removed(now, machine_id))
            if now.former is not None and machine_id == now.former.machine.id:
                return observed.former_missing(now, machine_id, at=at)
            return observed.missing(now, at=at)

        snapshot = await self._ledger.apply(instance.id, take, wake=False)
        machine = snapshot.instance.machine if snapshot is not None else None
        return machine is None or machine.id != machine_id or machine.status is MachineStatus.REMOVED

    async def _delete(self, run: Run, instance: Instance, machine_id: MachineId) -> None:
        if run.claim.attempts > 1 and run.claim.attempts % ALERT_EVERY == 0:
            self._alert(instance, machine_id, run.claim.attempts)
        try:
            await self._provider.delete(machine_id, run.call(instance, Share.ACT))
        except Gone as failure:
            if machine_id in instance.discarded and machine_id not in dict(instance.delete_sent):
                await self._deleted(instance, machine_id)  # no more to be asked; a reading is to say the same
                return
            if not await self._gone(instance, machine_id):
                raise PutOff(observed.EVIDENCE_APART_SECONDS + 1.0, why="Novita does not know the machine") from failure
            return
        except ProviderFailure as failure:
            raise self._put_off(run, failure) from failure
        await self._deleted(instance, machine_id)

    async def _deleted(self, instance: Instance, machine_id: MachineId) -> None:
        at = self._ledger.clock.now()
        await self._ledger.apply(
            instance.id,
            lambda now: Change(instance=outcomes.delete_accepted(now, machine_id, at=at)),
            wake=False,
        )

    async def _ask(self, run: Run, snapshot: Snapshot, action: Action, machine_id: MachineId) -> None:
        instance = snapshot.instance
        costs = action in {Action.START, Action.MIGRATE}
        if costs and waits_for_balance(instance) and not self._standing.takes_try():
            raise PutOff(BALANCE_PAUSE_SECONDS, why="the account's balance does not suffice; this waits until it does")
        operation_id = instance.operation.id
        sent_at = self._ledger.clock.now()
        intent = run.intent(snapshot, lambda now: outcomes.action_sent(now, at=sent_at), lambda _: None)
        send = {
            Action.START: self._provider.start,
            Action.STOP: self._provider.stop,
            Action.RESTART: self._provider.restart,
            Action.MIGRATE: self._provider.migrate,
        }
        try:
            await send[action](machine_id, run.call(instance, Share.ACT, before_send=intent))
        except ProviderFailure as failure:
            await self._asked_in_vain(run, instance, action, machine_id, failure, sent_at)
            return
        at = self._ledger.clock.now()
        log.info("action_accepted", instanceId=instance.id, action=str(action), novitaId=machine_id)
        if costs:
            await self._standing.accept_payment()
        await self._ledger.apply(
            instance.id, lambda now: outcomes.action_accepted(now, operation_id=operation_id, at=at), wake=False
        )

    async def _asked_in_vain(
        self,
        run: Run,
        instance: Instance,
        action: Action,
        machine_id: MachineId,
        failure: ProviderFailure,
        sent_at: float,
    ) -> None:
        operation_id = instance.operation.id
        if isinstance(failure, Unclear):
            raise PutOff(UNCLEAR_PAUSE_SECONDS, why=f"unclear, looking first: {failure.message}") from failure
        if isinstance(failure, Gone):
            await self._gone(instance, machine_id)
            raise PutOff(observed.EVIDENCE_APART_SECONDS + 1.0, why="Novita does not know the machine") from failure
        if isinstance(failure, NoBalance) and action is not Action.STOP:
            await self._standing.refuse_payment(failure)
            if waits_for_balance(instance):
                await self._unsent(instance, sent_at)
                raise PutOff(PROBE_SECONDS, why=failure.message) from failure
        if isinstance(failure, NoCapacity | NoBalance | QuotaExceeded | Rejected) and action is Action.MIGRATE:
            await self._move_refused(instance, failure)
            return
        if isinstance(failure, NoCapacity | NoBalance | QuotaExceeded | Rejected) and action is not Action.STOP:
            at = self._ledger.clock.now()
            log.error("start_refused", instanceId=instance.id, code=str(failure.code), error=failure.message)
            await self._ledger.apply(
                instance.id,
                lambda now: outcomes.start_refused(now, operation_id=operation_id, failure=failure, at=at),
                wake=False,
            )
            return
        if isinstance(failure, InvalidState):
            # Sometimes Novita has done it all the same (novita-wire.md 2.1): the intent stays, so that a look comes
            # next.
            at = self._ledger.clock.now()
            await self._ledger.apply(
                instance.id,
                lambda now: Change(
                    instance=outcomes.action_impossible(now, operation_id=operation_id, failure=failure, at=at)
                ),
                wake=False,
            )
            raise self._put_off(run, failure) from failure
        await self._unsent(instance, sent_at)
        raise self._put_off(run, failure) from failure

    async def _unsent(self, instance: Instance, sent_at: float) -> None:
        """It is known that Novita did not do it."""

        def unsent(now: Instance) -> Change:
            if now.operation.sent_at != sent_at:
                return Change(instance=now)  # that is another call, of whoever took over meanwhile
            return Change(instance=outcomes.action_unsent(now, operation_id=instance.operation.id))

        await self._ledger.apply(instance.id, unsent, wake=False)

    async def _move_refused(self, instance: Instance, failure: ProviderFailure) -> None:
        """Novita does not move the machine: for lack of capacity another one is bought, anything else ends the move."""
        at, operation_id = self._ledger.clock.now(), instance.operation.id
        log.warning("move_refused", instanceId=instance.id, code=str(failure.code), error=failure.message)

        def take(now: Instance) -> Change:
            if now.operation.id != operation_id or now.former is not None or not now.operation.under_way:
                return Change(instance=now)
            if isinstance(failure, NoCapacity) and not now.spec.adopted:
                return moves.turned(now, operation_id=operation_id, at=at)
            return moves.in_vain(now, code=failure.code, message=failure.message, at=at)

        await self._ledger.apply(instance.id, take, wake=False)

    def _put_off(self, run: Run, failure: ProviderFailure) -> PutOff:
        if isinstance(failure, NotAllowed):
            return PutOff(AUTH_PAUSE_SECONDS, why=failure.message)
        if isinstance(failure, TryLater) and failure.retry_after is not None:
            return PutOff(pause_after(failure, random=self._ledger.ids.random()), why=failure.message)
        pause = requeue_delay(run.claim.attempts, random=self._ledger.ids.random())
        return PutOff(pause, why=failure.message, failed=True)

    def _alert(self, instance: Instance, machine_id: MachineId, attempts: int) -> None:
        now = self._ledger.clock.now()
        since = instance.started_at or instance.created_at
        log.error(
            "delete_not_confirmed",
            instanceId=instance.id,
            novitaId=machine_id,
            attempts=attempts,
            usdSoFar=dollars(cost(instance.price_per_hour, now - since)),
        )
