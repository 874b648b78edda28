"""Looking after moves now, because somebody asked: what such a look came to."""

import msgspec

from novitai.operations.ledger import Ledger
from novitai.operations.triggers import Trigger


class MoveLook(msgspec.Struct, frozen=True, kw_only=True):
    """A look at every instance that Novita takes back: how many there were, and how many began to move. Times are Unix seconds."""

    began_at: float
    at: float
    checked: int
    begun: int


def move_trigger(ledger: Ledger) -> Trigger[MoveLook]:
    """The trigger of the loop `migration`."""
    return Trigger(ledger=ledger, name="migration", job_type="migrate_instance", report=MoveLook)
