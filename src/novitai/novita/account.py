"""The account's money: balance and bills, under `/openapi/v1` of Novita's host (novita-wire.md 4).

Both are strings of 1/10000 USD, another scale than prices. What was used shows up late: it is settled by the hour.
"""

import msgspec

from novitai.domain.ids import MachineId
from novitai.domain.money import UNITS_PER_USD, Usd
from novitai.novita import wire
from novitai.novita.calls import BreakerName, Request
from novitai.novita.reading import Unreadable, number, record, rows, text

BILL_UNITS_PER_USD = 10_000
_SCALE = UNITS_PER_USD // BILL_UNITS_PER_USD


class Billed(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the bill: what one machine cost within a cycle that began at `start` (Unix seconds)."""

    machine_id: MachineId
    start: float
    amount: Usd


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


def bills(machine_id: MachineId, *, start: int, end: int) -> Request[tuple[Billed, ...]]:
    """What one machine cost, by the hour, between two moments (Unix seconds, at most 31 days apart)."""

    def read(body: bytes) -> tuple[Billed, ...]:
        found = rows(body, "bills")
        return tuple(
            Billed(
                machine_id=MachineId(text(row.owner_id)), start=float(number(row.start_time) or 0), amount=_amount(row)
            )
            for row in (record(raw, wire.Bill) for raw in found.items)
            if text(row.owner_id) == machine_id
        )

    return Request(
        operation="list_bills",
        method="GET",
        path="/billing/bill/list",
        breaker=BreakerName.ACCOUNT,
        query={
            "cycleType": "Hour",
            "productCategory": "gpu",
            "startTime": str(start),
            "endTime": str(end),
            "ownerId": machine_id,
        },
        read=read,
    )


def _amount(row: wire.Bill) -> Usd:
    amount = number(row.amount)
    if amount is None:
        raise Unreadable("a bill without an amount")
    return Usd(amount * _SCALE)
