"""Metrics, balance and bills: the part of Novita under `/openapi/v1`, with money in 1/10000 USD (novita-wire.md 3.16, 4)."""

from novita_simulator import bills, wire
from novita_simulator.account import USER_ID
from novita_simulator.billing import bill_units
from novita_simulator.errors import Refusal
from novita_simulator.http.ask import Ask, Routes
from novita_simulator.metrics import series, window_of
from novita_simulator.paging import read_page
from novita_simulator.world import World

_BASE = "/openapi/v1"
_DAY = 86_400


def _metrics(ask: Ask) -> object:
    machine = ask.world.machine(ask.query.text("instanceId", shortest=1))
    window = window_of({name: str(value) for name, value in ask.query.raw().items()}, ask.now)
    newest = ask.now - ask.world.settings.delay("metrics_lag")
    return wire.metrics(series(machine.load, window, newest=newest), machine.gpu_ids)


def _balance(ask: Ask) -> object:
    balance = bill_units(bills.shown_balance(ask.world, ask.now))
    return {
        "availableBalance": str(balance),
        "cashBalance": str(balance),
        "creditLimit": "0",
        "outstandingInvoices": "0",
    }


def _usage(ask: Ask) -> object:
    end = ask.query.whole("endTime", int(ask.now), least=0)
    query = bills.BillQuery(
        cycle=ask.query.text("cycleType", "Hour"),
        category=ask.query.text("productCategory", "summary"),
        start=ask.query.whole("startTime", end - _DAY, least=0),
        end=end,
        owner_id=ask.query.text("ownerId", ""),
        product_name=ask.query.text("productName", ""),
    )
    return {
        "bills": [
            _usage_row(row, ask.world) for row in bills.usage(ask.world, query, bills.shown_until(ask.world, ask.now))
        ]
    }


def _usage_row(row: bills.Row, world: World) -> wire.Json:
    return {
        "userId": USER_ID,
        "startTime": str(row.start),
        "endTime": str(row.end),
        "billingMethod": "1",
        "productName": row.owner.name,
        "category": row.owner.category,
        "ownerID": row.owner.id,
        "billNum0": str(row.gpu_seconds),
        "billNum1": str(row.disk_seconds),
        "basePrice0": wire.price(row.owner.base_price, world),
        "basePrice1": "500" if row.owner.category == "gpu" else "200",
        "discountPrice0": wire.price(row.owner.base_price, world),
        "discountPrice1": "500" if row.owner.category == "gpu" else "200",
        "amount": str(row.amount),
        "voucherAmount": "0",
        "payAmount": str(row.amount),
        "payAmountDisplay": f"{row.amount / 10_000:.4f}",
        "pricePrecision": "10000",
        "productId": row.owner.product_id,
    }


def _fixed_term(ask: Ask) -> object:
    category = ask.query.text("category", "summary")
    if category not in bills.MONTHLY_CATEGORIES:
        raise Refusal(400, "INVALID_PRODUCT_CATEGORY", "invalid product category")
    found = bills.purchases(
        ask.world,
        owner_id=ask.query.text("ownerId", ""),
        start=ask.query.whole("startTime", 0, least=0),
        end=ask.query.whole("endTime", int(ask.now), least=0),
    )
    return {
        "bills": [
            {
                "userId": USER_ID,
                "startTime": wire.seconds(purchase.at),
                "endTime": wire.seconds(machine.end_at or 0),
                "memberId": "",
                "productName": machine.product.name,
                "productCategory": "gpu",
                "ownerID": machine.id,
                "tradeMode": "monthly",
                "tradeType": purchase.kind,
                "basePrice": str(machine.product.monthly_price),
                "billNum": str(machine.units * purchase.months),
                "amount": str(bill_units(purchase.ticks)),
                "voucherAmount": "0",
                "payAmount": str(bill_units(purchase.ticks)),
                "payAmountDisplay": f"{bill_units(purchase.ticks) / 10_000:.4f}",
                "pricePrecision": "10000",
                "createTime": wire.seconds(purchase.at),
                "cycle": "",
                "storageDays": "0",
            }
            for machine, purchase in found
        ]
    }


def _monthly(ask: Ask) -> object:
    first = ask.query.text("startMonth", "")
    found = [month for month in bills.months(ask.world, ask.now) if month[0] >= first]
    page = read_page(ask.query, ask.world.settings.switches, number_field="page").cut(found)
    return {
        "data": [
            {
                "billId": f"bill-{name}",
                "userId": USER_ID,
                "billingMonth": name,
                "totalAmount": str(amount),
                "originTotalAmount": str(amount),
                "voucherPayAmount": "0",
                "cashPayAmount": str(amount),
                "debtAmount": "0",
                "status": "pending" if end >= ask.now else "paid",
                "invoiceUrl": "",
                "startTime": str(start),
                "endTime": str(end),
                "repaidAmount": "0",
            }
            for name, start, end, amount in page.items
        ],
        "total": page.total,
    }


def _user(ask: Ask) -> object:
    return {
        "credit_balance": bill_units(ask.world.ledger.balance(ask.now)),
        "allow_features": ["gpu_instance"],
        "free_trial": {},
    }


ROUTES: Routes = (
    ("GET", f"{_BASE}/metrics/gpu/instance", _metrics),
    ("GET", f"{_BASE}/billing/balance/detail", _balance),
    ("GET", f"{_BASE}/billing/bill/list", _usage),
    ("GET", f"{_BASE}/billing/bill/monthly/list", _fixed_term),
    ("GET", f"{_BASE}/billing/monthly/bill", _monthly),
    ("GET", "/v3/user", _user),
)
