"""Why something was done without anybody asking: one sentence, and the facts it rests on."""

from typing import Any

import msgspec


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """`because` is for people; `facts` are the values that were judged, under the names of the API. Neither holds a secret."""

    because: str
    facts: dict[str, Any] = {}
