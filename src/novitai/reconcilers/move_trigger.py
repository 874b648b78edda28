"""Has moves looked after when somebody asks: the work of the loop `migration`, as the job `trigger:migration`."""

from collections.abc import Awaitable, Callable

from novitai.operations.migration import Migrations
from novitai.operations.move_trigger import MoveLook
from novitai.operations.triggers import Trigger
from novitai.ports.store import Claim
from novitai.ports.world import Clock


class MoveTrigger:
    """Handles the job. `look` is the loop's own work, without its lease: each of its commits is guarded by what it was judged on."""

    def __init__(
        self, *, trigger: Trigger[MoveLook], migrations: Migrations, look: Callable[[], Awaitable[object]], clock: Clock
    ) -> None:
        self._trigger = trigger
        self._migrations = migrations
        self._look = look
        self._clock = clock

    async def handle(self, claim: Claim) -> None:
        """Look now, and leave what came of it under the job's id."""
        await self._trigger.serve(claim, self._report)

    async def _report(self) -> MoveLook:
        began, before = self._clock.now(), self._migrations.stats().begun
        checked = len(self._migrations.all())
        await self._look()
        begun = max(0, self._migrations.stats().begun - before)
        return MoveLook(began_at=began, at=self._clock.now(), checked=checked, begun=begun)
