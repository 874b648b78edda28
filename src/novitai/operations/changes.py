"""PATCH: what may be changed of an instance that exists, without asking it to run or to stop.

Labels, the time to live, the schedule, the idle stop and the webhook. A new ttl counts from the change, and boundaries of a new
schedule from there on: changing a rule never acts by itself on what was before it. Nothing is told to receivers; the
audit log says what was changed.
"""

from typing import Any

import msgspec

from novitai.domain import migration
from novitai.domain.change import Change, with_fields
from novitai.domain.errors import Code, Refusal, invalid
from novitai.domain.idle import over
from novitai.domain.instance import DesiredState, Instance, Spec
from novitai.domain.lifecycle import State
from novitai.domain.schedule import Schedule, Ttl
from novitai.operations.creation import Creation
from novitai.operations.instances import Verbs
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.optimism import until_committed
from novitai.operations.requests import Accepted, Amendment, AnswerTo, Context
from novitai.policies.budget import budget_value
from novitai.ports.store import Commit, Put

MOST_LABELS = 32


class Changes:
    """Changes of what was asked."""

    def __init__(self, *, ledger: Ledger, verbs: Verbs, creation: Creation) -> None:
        self._ledger = ledger
        self._verbs = verbs
        self._creation = creation

    async def amend(self, instance_id: str, amendment: Amendment, context: Context, answer: AnswerTo) -> Snapshot:
        """Change an instance's rules. `answer` gives what an idempotent repeat will be told. Raises Refusal."""

        async def decide() -> Snapshot:
            snapshot = await self._verbs.load(instance_id)
            return await self._commit(snapshot, self._amended(snapshot.instance, amendment), context, answer)

        return await until_committed(decide, subject=f"instance {instance_id}")

    async def _commit(self, snapshot: Snapshot, changed: Instance, context: Context, answer: AnswerTo) -> Snapshot:
        puts: tuple[Put, ...] = ()
        differs = changed != snapshot.instance
        if context.draft is not None:
            told = answer(Accepted(instance=changed, changed=differs, under_way=False))
            puts = (context.draft.put(told, now=self._ledger.clock.now()),)
        if not differs:
            if puts:
                await self._ledger.store.commit(Commit(puts=puts))
            return snapshot
        what = difference(snapshot.instance.spec, changed.spec)
        noted = self._ledger.note(context, "instance.change", target=changed.id, **what)
        change = Change(instance=changed)
        return (await self._ledger.commit(snapshot.version, change, puts=puts, appends=(noted,))).snapshot

    def _amended(self, instance: Instance, amendment: Amendment) -> Instance:
        if instance.state in {State.DELETING, State.DELETED} or instance.wants is DesiredState.DELETED:
            raise Refusal(
                Code.INVALID_STATE, f"instance {instance.id} is {instance.state}; nothing of it can be changed"
            )
        now, spec = self._ledger.clock.now(), instance.spec
        fields: dict[str, Any] = {}
        if amendment.labels is not msgspec.UNSET:
            fields["labels"] = merged(spec.labels, amendment.labels)
        if amendment.ttl_seconds is not msgspec.UNSET:
            seconds = amendment.ttl_seconds
            fields["ttl"] = None if seconds is None else Ttl(seconds=seconds, since=now)
        if amendment.schedule is not msgspec.UNSET:
            fields["schedule"] = scheduled(spec.schedule, amendment.schedule, now=now)
        if amendment.auto_stop is not msgspec.UNSET:
            fields["auto_stop"] = over(spec.auto_stop, amendment.auto_stop)
        if amendment.migration is not msgspec.UNSET:
            fields["migration"] = migration.over(spec.migration, amendment.migration)
        if amendment.budget is not msgspec.UNSET:
            fields["budget"] = amendment.budget
        if amendment.webhook_url is not msgspec.UNSET:
            fields["webhook"] = self._creation.target(amendment.webhook_url, amendment.webhook_secret)
        return with_fields(instance, spec=msgspec.structs.replace(spec, **fields))


def merged(labels: dict[str, str], change: dict[str, str | None] | None) -> dict[str, str]:
    """The labels after a change. Raises Refusal when they are too many."""
    if change is None:
        return {}
    left = {key: value for key, value in labels.items() if key not in change}
    left |= {key: value for key, value in change.items() if value is not None}
    if len(left) > MOST_LABELS:
        raise invalid("labels", f"an instance has at most {MOST_LABELS} labels; these would be {len(left)}")
    return left


def scheduled(held: Schedule | None, wanted: Schedule | None, *, now: float) -> Schedule | None:
    """The schedule that holds from now on; one that is said again goes on as it was."""
    if wanted is None:
        return None
    if held is not None and msgspec.structs.replace(wanted, since=held.since) == held:
        return held
    return msgspec.structs.replace(wanted, since=now)


def difference(before: Spec, after: Spec) -> dict[str, Any]:
    """What a change changed, for the audit log: its new values, and of an address only that it is another one."""
    found: dict[str, Any] = {}
    if after.labels != before.labels:
        found["labels"] = after.labels
    if after.ttl != before.ttl:
        found["ttlSeconds"] = None if after.ttl is None else after.ttl.seconds
    if after.schedule != before.schedule:
        found["schedule"] = None if after.schedule is None else plain(after.schedule)
    if after.auto_stop != before.auto_stop:
        found["autoStop"] = msgspec.to_builtins(after.auto_stop)
    if after.migration != before.migration:
        found["migration"] = msgspec.to_builtins(after.migration)
    if after.budget != before.budget:
        found["budget"] = budget_value(after.budget)
    if after.webhook != before.webhook:
        found["webhook"] = "removed" if after.webhook is None else "set"
    return found


def plain(schedule: Schedule) -> dict[str, str | None]:
    """A schedule as people write it."""
    return {"start": schedule.start, "stop": schedule.stop, "timezone": schedule.timezone}
