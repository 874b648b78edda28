"""Whatever Python's reader takes for JSON is taken, and only what it calls a mistake is refused.

It is what a framework does by itself; brackets that nest too deep are no mistake to that reader, but the end of its stack. It stands in for
`read_json`. Run as a program it forks servers with the bug.
"""

import json
from typing import Any

from novitai.api import routing
from novitai.api.problems import Malformed
from support import forking

BUG = "bodies read without a look at their depth"


def _read_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise Malformed(f"the body is not JSON: {error}") from None


if __name__ == "__main__":
    routing.read_json = _read_json
    forking.main()
