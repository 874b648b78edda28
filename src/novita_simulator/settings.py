"""What a user may set about the simulated Novita: durations, and the facts nobody outside Novita knows for sure.

`Delays` are the lengths of what happens by itself. `Switches` are the unknowns of novita-wire.md 11 and the limits of the
account; each default is the side the document takes. Every duration here is divided by `speed`; the clock never is.
"""

from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, TypeVar

from novita_simulator.fields import Fields, InvalidField, camel


def _one_of(default: Any, *others: Any) -> Any:
    return field(default=default, metadata={"allowed": (default, *others)})


@dataclass(frozen=True, kw_only=True)
class Delays:
    """Seconds at speed 1. A machine spends the first group in the status of the same name (novita-wire.md 7.1)."""

    pending: float = 1
    to_create: float = 2
    creating: float = 8
    pulling: float = 45
    to_start: float = 2
    starting: float = 15
    start_pulling: float = 5  # a start finds its image already on the node
    to_stop: float = 2
    stopping: float = 10
    to_restart: float = 2
    restarting: float = 15
    to_reset: float = 2
    resetting: float = 40
    migrating: float = 300  # minutes to more than ten (7.3)
    to_remove: float = 2
    removing: float = 8

    app_refuse: float = 5  # running, but the application's port refuses connections
    app_warmup: float = 40  # then it answers 502 for this long, then 200
    ssh_ready: float = 4  # running, until the SSH command and password appear
    edit: float = 30  # an edit takes effect within a minute (3.7)
    save_image: float = 60
    job_pulling: float = 3  # a job prepares before it runs
    metrics_lag: float = 60  # metrics are about a minute late (3.16)
    spot_protection: float = 3600  # a spot machine's first hour is safe (7.2)
    spot_notice: float = 3600  # from the notice to the deadline (7.2)


@dataclass(frozen=True, kw_only=True)
class Switches:
    """The unknowns of Novita's API and the limits of the account."""

    not_found_status: int = _one_of(400, 404, 200)  # 200: the single GET of a missing machine answers {}
    bad_key_status: int = _one_of(401, 403)  # 401 UNAUTHORIZED or 403 INVALID_API_KEY
    removed_listed_seconds: float = 0  # how long a deleted machine is still shown as `removed`
    paging: str = _one_of("normal", "first-page", "everything")  # the others ignore pageNum and pageSize
    page_base: str = _one_of("both", "zero", "one")  # which number is the first page
    default_page_size: int = 10
    max_page_size: int = 100
    oversized_pages: str = _one_of("cut", "refused")  # what becomes of a pageSize above the maximum
    empty_body_on_delete: bool = False  # an empty body in place of {}
    action_answers: str = _one_of(
        "documented", "empty-object", "empty-body", "no-content"
    )  # start, stop, restart, delete, migrate
    repeated_actions: str = _one_of(
        "refused", "accepted"
    )  # a start of what runs, a stop of what stands, a second delete
    state_change_reason: str = _one_of("CONFLICT", "REQUEST", "OPERATION_LIMIT", "DEPENDENT_RESOURCE_STATE")
    name_filter: str = _one_of("contains", "prefix", "exact", "ignored")  # what the list's `name` filter does
    list_lag_seconds: float = 0  # a new machine is missing from the list for this long
    lag_hides_get: bool = False  # and from the single GET too
    longest_name: int = 255
    long_names: str = _one_of("refused", "cut")
    price_units_per_usd: int = 100_000  # the unit of prices on the wire; what is billed stays the same
    bill_lag_seconds: float = 0  # balance and bills show what was used up to so long ago
    gpu_quota: int = 0  # GPUs at a time; 0 is no limit
    quota_status: int = _one_of(400, 429)  # 400 CREATE_GPU_NUM_LIMIT or 429 RATE_LIMIT_EXCEEDED
    rate_limit_per_minute: int = 0  # calls; 0 is no limit
    rate_limit_retry_after: bool = False  # whether the 429 says when to come back
    delete_while_migrating: bool = True  # whether a machine may be deleted while its migration runs
    migration_outcome: str = _one_of("success", "fail")  # what becomes of migrations asked for from now on
    auto_migrate_shown: bool = False  # whether records tell of autoMigrate, as older ones and the console's do
    spot_mean_lifetime_seconds: float = 0  # mean time from the protected hour to a notice; 0 is never by itself
    apps: bool = True  # whether the machines' own ports answer on 127.0.0.1


_Group = TypeVar("_Group", Delays, Switches)


@dataclass(frozen=True, kw_only=True)
class Settings:
    delays: Delays = field(default_factory=Delays)
    switches: Switches = field(default_factory=Switches)
    speed: float = 1

    def delay(self, name: str) -> float:
        """Real seconds of one of the delays."""
        seconds: float = getattr(self.delays, name)
        return seconds / self.speed

    def real(self, seconds: float) -> float:
        """Real seconds of a duration that was set in simulated ones."""
        return seconds / self.speed

    def merged(self, patch: Fields) -> "Settings":
        """These settings with the named ones replaced; everything else in `patch` is refused by its name."""
        merged = replace(
            self,
            speed=patch.number("speed", self.speed, least=0.001, most=1_000_000),
            delays=_merge(self.delays, patch.group("delays")),
            switches=_merge(self.switches, patch.group("switches")),
        )
        patch.refuse_unknown()
        return merged

    def to_json(self) -> dict[str, object]:
        return {"speed": self.speed, "delays": _to_json(self.delays), "switches": _to_json(self.switches)}


def _merge(group: _Group, patch: Fields) -> _Group:
    changes: dict[str, Any] = {
        spec.name: _read(patch, spec, current=getattr(group, spec.name))
        for spec in fields(group)
        if patch.has(camel(spec.name))
    }
    patch.refuse_unknown()
    return replace(group, **changes)


def _read(patch: Fields, spec: "Field[Any]", *, current: object) -> object:
    name = camel(spec.name)
    allowed: tuple[Any, ...] = spec.metadata.get("allowed", ())
    if isinstance(current, bool):
        return patch.flag(name)
    if isinstance(current, str):
        return patch.choice(name, allowed)
    if spec.type is int:
        value = patch.whole(name, least=0)
        if allowed and value not in allowed:
            raise InvalidField(patch.name(name), f"must be one of {', '.join(map(str, allowed))}")
        return value
    return patch.number(name, least=0)


def _to_json(group: Delays | Switches) -> dict[str, object]:
    return {camel(spec.name): getattr(group, spec.name) for spec in fields(group)}
