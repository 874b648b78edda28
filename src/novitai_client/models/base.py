"""What all shapes share.

Field names are the API's in snake_case; times are aware datetimes; money is USD. Fields that a newer server adds are
ignored, and what a server may leave out has a default, so a client can be older or newer than its server. Words such as
`status` are plain strings for the same reason.
"""

from datetime import datetime
from typing import Annotated

import msgspec

Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Root of all shapes: immutable, camelCase outside, tolerant of fields it does not know."""
