"""What concerns many instances at once, and machines without one: sync, bulk verbs, orphans."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from novitai.api.schemas.common import Answer, Body, Line, Page, PageQuery, Time

Label = Annotated[str, Field(max_length=200, pattern=r"^[^=]+=.*$")]
"""`key=value`."""
Labels = Label | Annotated[list[Label], Field(min_length=1, max_length=32)]
MOST_AT_ONCE = 1000


def pairs(labels: Labels | None) -> list[tuple[str, str]]:
    """Labels as keys and values."""
    given = [labels] if isinstance(labels, str) else labels or []
    split = (label.partition("=") for label in given)
    return [(key, value) for key, _, value in split]


class StopAllBody(Body):
    """Stop what runs; `label`: only what bears it (or all of several)."""

    dry_run: bool = False
    label: Labels | None = None
    reason: Line = ""


class BulkBody(Body):
    """One verb for many: those named by `ids` (ours, Novita's, or unambiguous names), or those that bear a label."""

    action: Literal["start", "stop", "delete"]
    ids: list[Annotated[str, Field(min_length=1, max_length=200)]] | None = Field(
        default=None, min_length=1, max_length=MOST_AT_ONCE
    )
    label: Labels | None = None
    dry_run: bool = False
    reason: Line = ""

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if (self.ids is None) == (self.label is None):
            raise ValueError("give either ids or label")
        return self


class BulkResult(Answer):
    """What came of one instance. `outcome` `would`: a dry run. `success` is false only for a refusal."""

    reference: str
    instance_id: str | None
    name: str | None
    success: bool
    outcome: Literal["accepted", "already", "refused", "would"]
    status: str | None
    operation_id: str | None
    code: str | None
    error: str | None


class BulkAnswer(Answer):
    """`success`: none was refused; `count` those accepted (or that would be), `failed` those refused."""

    success: bool
    message: str
    action: Literal["start", "stop", "delete"]
    dry_run: bool
    count: int
    already: int
    failed: int
    results: list[BulkResult]
    timestamp: Time


class SyncBody(Body):
    """`forceSync`: read Novita's list anew even if it was just read. `handleObsoleteInstances`: forget what has been lost for the
    retention time.
    """

    dry_run: bool = False
    force_sync: bool = False
    handle_obsolete_instances: bool = True


class DifferenceAnswer(Answer):
    """An instance whose machine Novita describes otherwise; the next looks settle it."""

    instance_id: str
    novita_instance_id: str
    ours: str
    novita: str


class SyncData(Answer):
    """What a sync found and did, or would do. Durations are milliseconds."""

    before_sync: int
    after_sync: int
    novita_instances: int
    local_instances: int
    merged_instances: int
    total_instances: int
    instances_removed: int
    adopted: list[str]
    orphans: list[str]
    missing: list[str]
    differing: list[DifferenceAnswer]
    removed: list[str]
    read_at: Time
    duration: int
    timestamp: Time
    options: SyncBody


class SyncedAnswer(Answer):
    """A sync's report (200), or its job when it takes longer than a request should (202)."""

    success: bool
    message: str
    job_id: str | None = None
    data: SyncData | None = None


class OrphanQuery(PageQuery):
    """`ignored`: with those that a person said to leave alone."""

    ignored: bool = False


class OrphanAnswer(Answer):
    """A machine on the account that we have no record of. `pricePerHour` and `costSoFar` are USD, null when nothing is known.

    `kind`: `foreign`; `ours` bears this installation's marker; `extra` is a second machine of the instance `instanceId`.
    """

    novita_id: str
    name: str
    kind: Literal["foreign", "ours", "extra"]
    standing: Literal["open", "ignored"]
    instance_id: str | None
    status: str
    product_name: str
    region: str
    gpu_num: int
    billing_mode: str | None
    price_per_hour: float | None
    cost_so_far: float | None
    age_seconds: float | None
    first_seen_at: Time
    created_at: Time | None


class OrphanPage(Page):
    """Machines that we have no record of, the longest known first."""

    orphans: list[OrphanAnswer]
