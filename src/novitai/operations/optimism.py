"""Optimistic commits: a decision whose commit lost to another is thrown away and made anew from what is stored then."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from novitai.domain.errors import Code, Refusal
from novitai.ports.store import Conflict, LeaseLost

TRIES = 20
"""How often before giving up; each loss means that someone else got something done."""

T = TypeVar("T")


async def until_committed(decide: Callable[[], Awaitable[T]], *, subject: str) -> T:
    """Call `decide`, which loads, decides and commits, until it does not end in a Conflict. Raises Refusal CONFLICT when `subject`
    changes too fast, and whatever else `decide` raises: a lost lease is no Conflict to be decided anew, since somebody else leads.
    """
    for _ in range(TRIES):
        try:
            return await decide()
        except LeaseLost:
            raise
        except Conflict:
            continue
    raise Refusal(Code.CONFLICT, f"{subject} is changing too fast; try again", retry_after=1.0)
