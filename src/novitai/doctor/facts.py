"""Facts about Novita that no document states, and which behaviour of ours rests on each.

The questions are those of novita-wire.md 11 and of its low-confidence lines. `novitai doctor --live` answers them on
the real service; until then the expectation stands, and where another answer is survived, that is said here.
"""

from typing import NamedTuple


class Row(NamedTuple):
    """One fact. `expected` is what our code takes for granted or prefers."""

    fact: str
    question: str
    expected: str
    rests_on: str


PAGE_BASE = "page-base"
PAGE_SIZE = "page-size"
LIST_LAG = "list-lag"
NAME_FILTER = "name-filter"
NAME_LENGTH = "name-length"
NOT_FOUND = "not-found"
DELETED = "deleted-machine"
PRICE_UNIT = "price-unit"
ANSWERS = "action-answers"
REPEATS = "repeated-actions"
STATES = "states"

ROWS = (
    Row(
        PAGE_BASE,
        "Which page of the list is the first, 0 or 1?",
        "1, and 0 shows the same",
        "the list poll; where 0 is another page, both are read",
    ),
    Row(
        PAGE_SIZE,
        "Are pages of 100 accepted, and is the paging honoured?",
        "yes",
        "calls per poll; a larger fleet than one page is seen whole only when paging is honoured",
    ),
    Row(
        LIST_LAG,
        "How long does the list lag behind a create?",
        "less than NOVITA_SETTLE_TIME",
        "one create, one machine: after an unclear answer nothing is sent again before that time",
    ),
    Row(NAME_FILTER, "What does the list's name filter find?", "anything", "nothing"),
    Row(
        NAME_LENGTH,
        "Is a machine's name of 95 characters kept whole?",
        "yes",
        "finding a machine by its marker after an unclear create; adoption",
    ),
    Row(
        NOT_FOUND,
        "What does reading a machine that never was answer?",
        "404, 400 with a *_NOT_FOUND reason, or an empty record",
        "`lost` detection, and knowing that a delete is done",
    ),
    Row(
        DELETED,
        "What does reading a deleted machine answer, and is it still listed?",
        "not found, or removed",
        "`lost` detection, and knowing that a delete is done",
    ),
    Row(
        PRICE_UNIT,
        "Are prices in 1/100000 USD per GPU and hour?",
        "yes",
        "MAX_USD_PER_HOUR, DEFAULT_MAX_PRICE_PER_HOUR, price caps, budgets, costSoFar",
    ),
    Row(ANSWERS, "What do start, stop and delete answer?", "any 2xx", "nothing but the status"),
    Row(
        REPEATS,
        "What does an action answer that is done already?",
        "`invalid state change`, or success",
        "repeating a call whose answer was lost",
    ),
    Row(
        STATES,
        "Which status words does a machine pass through?",
        "those of novita-wire.md 7.1",
        "states and their time limits; an unknown word changes nothing",
    ),
)
BY_NAME = {row.fact: row for row in ROWS}
