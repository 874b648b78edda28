"""What happens next without anybody asking, as callers see it: the same for the instance's own answer and for its explanation.

What it is, is the policies' matter (`operations/explanation.py`).
"""

import msgspec

from novitai.domain.explanation import Step
from novitai.domain.times import iso


class NextAction(msgspec.Struct, frozen=True, kw_only=True):
    """`what` will be done, `at` which time at the latest (null: as soon as it can be), `because` of what, and what would change it
    (`unless`, a clause; null: nothing is known to).
    """

    what: str
    at: str | None
    because: str
    unless: str | None


def next_action(coming: Step | None) -> NextAction | None:
    """The next thing we do by ourselves; None when only people's or Novita's doing is awaited."""
    if coming is None:
        return None
    at = None if coming.at is None else iso(coming.at)
    return NextAction(what=coming.what, at=at, because=coming.because, unless=coming.unless or None)
