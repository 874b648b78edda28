"""How our account stands with Novita: whether it takes our key, and whether it lets us buy.

Kept, so that each trouble is told once, however often the program is started while it lasts. Times are Unix seconds.
"""

import msgspec


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Since when Novita refuses our key, and since when it refuses to sell for lack of balance; None: it does not."""

    key_refused_since: float | None = None
    unpaid_since: float | None = None
