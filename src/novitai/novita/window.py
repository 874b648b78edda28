"""The limiter window as the waiting room wants it, kept by the coordination port."""

from novitai.ports.coordination import Coordination
from novitai.ports.coordination import Share as PortShare
from novitai.resilience.limiter import Share, Slot, Wait


class SharedWindow:
    """One window of `Coordination` (`public` or `internal`); keeps `resilience.waiting.Window`."""

    def __init__(self, coordination: Coordination, name: str) -> None:
        self._coordination = coordination
        self._name = name

    async def admit(self, share: Share) -> Slot | Wait:
        """A slot, or when to ask again."""
        admission = await self._coordination.admit(self._name, PortShare(share.value))
        if admission.slot is None:
            return Wait(seconds=admission.wait_seconds)
        return Slot(id=admission.slot, share=share)

    async def settle(self, slot_id: int) -> None:
        """The call has ended or was given up."""
        await self._coordination.settle(self._name, slot_id)

    async def release(self, slot_id: int) -> None:
        """The call was never sent."""
        await self._coordination.release(self._name, slot_id)
