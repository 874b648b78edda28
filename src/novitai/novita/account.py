"""The account's money: balance and bills, under `/openapi/v1` of Novita's host (novita-wire.md 4).

Both are strings of 1/10000 USD, another scale than prices. What was used shows up late: it is settled by the hour.
"""

import msgspec

from novitai.domain.costs import Billed
from novitai.domain.ids import MachineId
from novitai.domain.money import UNITS_PER_USD, Usd
from novitai.novita import wire
from novitai.novita.calls import BreakerName, Request
from novitai.novita.reading import Unreadable, number, record, rows, text
from novitai.ports.provider import BillQuery

BILL_UNITS_PER_USD = 10_000
_SCALE = UNITS_PER_USD // BILL_UNITS_PER_USD


def balance() -> Request[Usd]:
    """What is left of the account's money."""

    def read(body: bytes) -> Usd:
        found = number(record(body, wire.Balance).available_balance)
        if found is None:
            raise Unreadable("no balance in the answer")
        return Usd(found * _SCALE)

    return Request(
        operation="get_balance",
        method="GET",
        path="/billing/balance/detail",
        breaker=BreakerName.ACCOUNT,
        read=read,
    )


def bills(query: BillQuery) -> Request[tuple[Billed, ...]]:
    """What machines cost between two moments at most 31 days apart, by the hour or the day, GPU and container disk together. Volumes and
    models are in other categories; a row of nobody is left out. A row without an amount spoils the answer: half a bill is none.
    """

    def read(body: bytes) -> tuple[Billed, ...]:
        found = (_billed(raw) for raw in rows(body, "bills").items)
        return tuple(row for row in found if row is not None and query.machine_id in {None, row.machine_id})

    owner = {} if query.machine_id is None else {"ownerId": query.machine_id}
    return Request(
        operation="list_bills",
        method="GET",
        path="/billing/bill/list",
        breaker=BreakerName.ACCOUNT,
        query={
            "cycleType": str(query.cycle),
            "productCategory": "gpu",
            "startTime": str(query.start),
            "endTime": str(query.end),
            **owner,
        },
        read=read,
    )


def _billed(raw: msgspec.Raw) -> Billed | None:
    row = record(raw, wire.Bill)
    owner = text(row.owner_id)
    if not owner:
        return None
    return Billed(machine_id=MachineId(owner), start=float(number(row.start_time) or 0), amount=_amount(row))


def _amount(row: wire.Bill) -> Usd:
    amount = number(row.amount)
    if amount is None:
        raise Unreadable("a bill without an amount")
    return Usd(amount * _SCALE)
