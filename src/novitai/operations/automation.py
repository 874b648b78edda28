"""The switch for a bad night, in memory as it is stored: what acts by itself asks it before each action."""

from collections.abc import Sequence

from novitai.domain.automation import Part, Pause, Switch, pause, resume
from novitai.operations import records
from novitai.operations.ledger import Ledger
from novitai.operations.optimism import until_committed
from novitai.operations.requests import Context
from novitai.ports.store import Commit, Committed


class Automation:
    """What is paused, and pausing and resuming it."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._ledger = ledger
        self.switch = Switch()

    async def load(self) -> None:
        """Read the switch once; later changes come by `committed`."""
        self.switch, _ = await self._read()

    def committed(self, _commit: Commit, result: Committed) -> None:
        """Take in a commit of this process."""
        for record in result.records:
            if record.kind == records.AUTOMATION and not record.deleted:
                self.switch = records.read_switch(record)

    def paused(self, part: Part) -> bool:
        """Whether a part must not act now."""
        return self.switch.holds(part)

    async def pause(self, parts: Sequence[Part], reason: str, context: Context) -> Switch:
        """Pause parts. What is paused already keeps who paused it and why."""
        why = Pause(by=context.actor.by, at=self._ledger.clock.now(), reason=reason)
        return await self._change("automation.pause", parts, reason, context, why)

    async def resume(self, parts: Sequence[Part], reason: str, context: Context) -> Switch:
        """Let parts act again."""
        return await self._change("automation.resume", parts, reason, context, None)

    async def _change(
        self, action: str, parts: Sequence[Part], reason: str, context: Context, why: Pause | None
    ) -> Switch:
        async def decide() -> Switch:
            now, version = await self._read()
            then = resume(now, tuple(parts)) if why is None else pause(now, tuple(parts), why)
            if then == now:
                return now
            names = [str(part) for part in parts]
            noted = self._ledger.note(context, action, target="automation", scopes=names, reason=reason)
            put = records.put_switch(then, expect=version)
            await self._ledger.store.commit(Commit(puts=(put,), appends=(noted,)))
            return then

        return await until_committed(decide, subject="the switch of the automation")

    async def _read(self) -> tuple[Switch, int]:
        record = await self._ledger.store.get(records.AUTOMATION, "switch")
        return (records.read_switch(record), record.version) if record is not None else (Switch(), 0)
