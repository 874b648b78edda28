"""Many instances at once, machines without one, the switch for automation, and the audit log."""

from typing import Any

from novitai_client.models.base import Shape, Time


class BulkResult(Shape, frozen=True, kw_only=True):
    """What came of one instance. `outcome` is accepted, already, refused or (in a dry run) would; `error` says why it was refused."""

    reference: str
    success: bool
    outcome: str
    instance_id: str | None = None
    name: str | None = None
    status: str | None = None
    operation_id: str | None = None
    code: str | None = None
    error: str | None = None


class BulkOutcome(Shape, frozen=True, kw_only=True):
    """One result for each instance; `count` were accepted (or would be), `failed` refused."""

    success: bool
    action: str
    dry_run: bool
    count: int
    already: int
    failed: int
    results: tuple[BulkResult, ...]
    message: str | None = None


class Difference(Shape, frozen=True, kw_only=True):
    """An instance whose machine Novita describes otherwise."""

    instance_id: str
    novita_instance_id: str
    ours: str
    novita: str


class SyncReport(Shape, frozen=True, kw_only=True):
    """What a sync found and did, or would do. Machines by Novita's ids, instances by ours; `duration` in milliseconds."""

    before_sync: int
    after_sync: int
    novita_instances: int
    merged_instances: int
    instances_removed: int
    adopted: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    differing: tuple[Difference, ...] = ()
    removed: tuple[str, ...] = ()
    duration: int = 0


class SyncOutcome(Shape, frozen=True, kw_only=True):
    """The report of a sync; `data` is None when it goes on as the job `job_id`."""

    success: bool
    message: str | None = None
    job_id: str | None = None
    data: SyncReport | None = None


class Orphan(Shape, frozen=True, kw_only=True):
    """A machine on the account that no instance has. `kind` is foreign, ours or extra (then `instance_id` names the instance);
    money is USD.
    """

    novita_id: str
    name: str
    kind: str
    standing: str
    status: str
    instance_id: str | None = None
    product_name: str | None = None
    region: str | None = None
    gpu_num: int | None = None
    billing_mode: str | None = None
    price_per_hour: float | None = None
    cost_so_far: float | None = None
    age_seconds: float | None = None
    first_seen_at: Time | None = None
    created_at: Time | None = None


class Pause(Shape, frozen=True, kw_only=True):
    """One part of the automation, and its pause if it has one."""

    scope: str
    paused: bool
    by: str | None = None
    at: Time | None = None
    reason: str | None = None


class AutomationSwitch(Shape, frozen=True, kw_only=True):
    """Every part of the automation; `paused` when any of them is."""

    paused: bool
    scopes: tuple[Pause, ...]


class AuditEntry(Shape, frozen=True, kw_only=True):
    """One change: who did what to what, when, from where."""

    id: str
    by: str
    action: str
    target: str
    at: Time | None = None
    detail: dict[str, Any] = {}
    request_id: str | None = None
    correlation_id: str | None = None
    address: str | None = None


class ChainProblem(Shape, frozen=True, kw_only=True):
    """A link of the chain that does not hold."""

    seal: int
    problem: str


class ChainReport(Shape, frozen=True, kw_only=True):
    """Whether the audit log is as it was written. `head`, kept elsewhere, shows later whether the end was cut off."""

    intact: bool
    seals: int
    entries: int
    unsealed: int
    trimmed: int
    head: str
    problems: tuple[ChainProblem, ...] = ()
