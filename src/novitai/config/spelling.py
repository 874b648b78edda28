"""Names that look like ours and are not: a variable that does nothing should say so instead of being believed.

Whoever sets `REDIS_URL` counts on several replicas sharing one store, and loses what only one of them knows.
"""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

PREFIXES = ("NOVITA_", "NOVITAI_")
READ_ELSEWHERE = frozenset({"NOVITAI_URL"})  # by the client and the command line

NOT_YET = ("REDIS_", "UPSTASH_REDIS_REST_")
"""What variables begin with that belong to parts which this version does not have (SCOPE.md)."""


def unknown_names(given: Iterable[str], *, known: frozenset[str]) -> Iterator[str]:
    """A warning for each name with our prefixes that nothing reads, with the nearest name that would be read, and for each
    of a part that is not there yet.
    """
    for name in sorted(set(given) - known):
        if name.startswith(NOT_YET):
            yield f"{name} does nothing: this version does not offer that"
        elif name.startswith(PREFIXES) and name not in READ_ELSEWHERE:
            nearest = get_close_matches(name, known, n=1, cutoff=0.75)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            yield f"{name} is not a setting and does nothing{hint}"
