"""Names that look like ours and are not: a variable that does nothing should say so instead of being believed."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

PREFIXES = ("NOVITA_", "NOVITAI_")
READ_ELSEWHERE = frozenset({"NOVITAI_URL"})  # by the client and the command line


def unknown_names(given: Iterable[str], *, known: frozenset[str]) -> Iterator[str]:
    """A warning for each name with our prefixes that nothing reads, with the nearest name that would be read."""
    for name in sorted(set(given)):
        if name.startswith(PREFIXES) and name not in known | READ_ELSEWHERE:
            nearest = get_close_matches(name, known, n=1, cutoff=0.75)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            yield f"{name} is not a setting and does nothing{hint}"
