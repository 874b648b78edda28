"""A limiter that counts a call from the moment it is sent: the slot is free a minute later, however late the call arrived."""

from pathlib import Path

from novitai.coordination.local import LocalCoordination
from novitai.ports.coordination import Admission, Share
from novitai.ports.world import Clock


class StampedAtSending(LocalCoordination):
    """Settles each slot at once, in place of when the answer has ended."""

    async def admit(self, window: str, share: Share) -> Admission:
        admission = await super().admit(window, share)
        if admission.slot is not None:
            await super().settle(window, admission.slot)
        return admission


def coordination(clock: Clock, limits: dict[str, int], folder: Path) -> LocalCoordination:
    """In place of the one that stamps a slot when the answer has ended."""
    return StampedAtSending(clock=clock, limits=limits, data_dir=folder)
