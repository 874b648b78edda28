# Generated from src/novitai_client/_async/fleet.py
# by scripts/generate_sync_client.py: change that file, then run the script.

"""Calls about many instances at once, machines that nobody has a record of, the switch for automation, and the audit log."""

from collections.abc import Iterator, Mapping, Sequence

from novitai_client._answers import Paged
from novitai_client._calls import given, path
from novitai_client._sync.connection import Connection
from novitai_client.models import (
    Accepted,
    AuditEntry,
    AutomationSwitch,
    AutoStopReport,
    AutoStopStats,
    BulkOutcome,
    ChainReport,
    Instance,
    Orphan,
    SyncOutcome,
)


class _Orphans(Paged, frozen=True, kw_only=True):
    orphans: tuple[Orphan, ...]


class _Audit(Paged, frozen=True, kw_only=True):
    entries: tuple[AuditEntry, ...]


class FleetCalls(Connection):
    """Calls about the fleet as a whole."""

    def stop_all(
        self, *, labels: Mapping[str, str] | None = None, reason: str | None = None, dry_run: bool | None = None
    ) -> BulkOutcome:
        """Stop every managed instance that runs, or those with these labels; one result for each."""
        body = given({"label": _labels(labels), "reason": reason, "dryRun": dry_run})
        return self._change(BulkOutcome, "POST", path("instances", "stop-all"), body)

    def bulk(
        self,
        action: str,
        *,
        instances: Sequence[str] | None = None,
        labels: Mapping[str, str] | None = None,
        reason: str | None = None,
        dry_run: bool | None = None,
    ) -> BulkOutcome:
        """`start`, `stop` or `delete` many, chosen by id or name, or by labels; one result for each."""
        chosen = list(instances) if instances is not None else None
        body = given({"action": action, "ids": chosen, "label": _labels(labels), "reason": reason, "dryRun": dry_run})
        return self._change(BulkOutcome, "POST", path("instances", "bulk"), body)

    def sync(
        self, *, dry_run: bool | None = None, force: bool | None = None, obsolete: bool | None = None
    ) -> SyncOutcome:
        """Hold the server's records against Novita's list now. `data` is None when it goes on as a job."""
        body = given({"dryRun": dry_run, "forceSync": force, "handleObsoleteInstances": obsolete})
        return self._change(SyncOutcome, "POST", path("instances", "sync"), body)

    def auto_stop_stats(self) -> AutoStopStats:
        """What the idle stop checked, announced and stopped, and what that saved."""
        return self._get(AutoStopStats, path("instances", "auto-stop", "stats"))

    def trigger_auto_stop(self, *, dry_run: bool | None = None) -> AutoStopReport:
        """How every instance stands with the idle stop, with each signal; `dry_run=False` also does what is due."""
        body = given({"dryRun": dry_run})
        return self._change(AutoStopReport, "POST", path("instances", "auto-stop", "trigger"), body)

    def orphans(self, *, ignored: bool = False) -> tuple[Orphan, ...]:
        """Machines on the account that no instance has. `ignored`: with those that were said to be left alone."""
        pages = self._pages(_Orphans, path("orphans"), {"ignored": True if ignored else None})
        return tuple([one for page in pages for one in page.orphans])

    def adopt(self, machine: str) -> Instance:
        """Take a machine under management, by Novita's id or its name. Raises NotFound, Conflict."""
        return self._change(Instance, "POST", path("instances", machine, "adopt"))

    def ignore_orphan(self, novita_id: str) -> Orphan:
        """Leave a machine out of the list. It goes on costing what it costs."""
        return self._change(Orphan, "POST", path("orphans", novita_id, "ignore"))

    def delete_orphan(self, novita_id: str) -> Accepted:
        """Delete a machine that no instance has; followed as the delete of `instance_id`."""
        return self._change(Accepted, "POST", path("orphans", novita_id, "delete"))

    def automation(self) -> AutomationSwitch:
        """What acts by itself, and what of it is paused."""
        return self._get(AutomationSwitch, path("automation"))

    def pause(self, scope: str | None = None, *, reason: str | None = None) -> AutomationSwitch:
        """Pause all automation, or one part; `jobs` must be named."""
        body = given({"scope": scope, "reason": reason})
        return self._change(AutomationSwitch, "POST", path("automation", "pause"), body)

    def resume(self, scope: str | None = None, *, reason: str | None = None) -> AutomationSwitch:
        """Let all automation act again, or one part."""
        body = given({"scope": scope, "reason": reason})
        return self._change(AutomationSwitch, "POST", path("automation", "resume"), body)

    def audit(self, *, by: str | None = None, target: str | None = None) -> Iterator[AuditEntry]:
        """The audit log, newest first, page after page as you go on. Needs an admin key."""
        for page in self._pages(_Audit, path("audit"), {"by": by, "target": target}):
            yield from page.entries

    def verify_audit(self) -> ChainReport:
        """Whether the audit log is as it was written. Needs an admin key."""
        return self._get(ChainReport, path("audit", "verify"))


def _labels(labels: Mapping[str, str] | None) -> list[str] | None:
    return [f"{key}={value}" for key, value in labels.items()] if labels else None
