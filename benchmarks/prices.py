"""`GET /api/prices` over a year of catalogue changes: the application, its store on disk, without the network.

The history is what a large catalogue may leave behind: 30 products under two billing modes in 20 regions, each product with 20
changes a day (stock mostly, sometimes the price). Told are the first question after a start, which reads the whole log, and the
median and worst of the later ones.

    python benchmarks/prices.py [DAYS]
"""

import asyncio
import logging
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import structlog

from novitai.domain.machine import BillingMode
from novitai.domain.money import Usd
from novitai.domain.offers import Inventory
from novitai.domain.prices import PriceEntry, PricePoint, Quote, SeriesKey
from novitai.operations import records
from novitai.ports.store import Commit
from novitai.stores.sqlite import open_sqlite
from novitai.world import SystemClock

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "tests")]
from support.api_house import House, open_house  # noqa: E402 - needs the line above

PRODUCTS, REGIONS, CHANGES_A_DAY = 30, 20, 20
ASKED = 30
QUESTIONS = (
    "/api/prices?days=90",
    "/api/prices?days=90&limit=200",
    "/api/prices?days=90&productName=gpu 7&region=r3",
    "/api/prices?days=400",
)


def entries(days: int, *, until: float) -> list[PriceEntry]:
    """Every change of so many days, as the log would hold them."""
    chance = random.Random(7)  # noqa: S311 - figures, not secrets
    regions = {f"r{number}": f"R{number} (Somewhere)" for number in range(REGIONS)}
    points = []
    for product in range(PRODUCTS):
        for mode in (BillingMode.SPOT, BillingMode.ON_DEMAND):
            price = Usd(chance.randrange(10_000, 300_000))
            served = tuple(sorted(chance.sample(sorted(regions), chance.randrange(4, REGIONS + 1))))
            for at in sorted(chance.uniform(until - days * 86_400, until) for _ in range(days * CHANGES_A_DAY)):
                if chance.random() < 0.1:
                    price = Usd(max(1_000, price + chance.randrange(-5_000, 5_001)))
                quote = Quote(
                    price=price, inventory=chance.choice(list(Inventory)[:4]), deployable=True, clusters=served
                )
                points.append(
                    PricePoint(at=at, key=SeriesKey(f"p{product}", mode), product_name=f"GPU {product}", quote=quote)
                )
    points.sort(key=lambda point: point.at)
    first = PriceEntry(at=points[0].at, points=(points[0],), regions=regions, whole=True)
    return [first, *(PriceEntry(at=point.at, points=(point,)) for point in points[1:])]


async def fill(house: House, days: int) -> int:
    """Write the history; how many entries."""
    made = entries(days, until=house.clock.now())
    for start in range(0, len(made), 2_000):
        part = [
            records.append_prices(entry, entry_id=f"prc_{start + offset}")
            for offset, entry in enumerate(made[start : start + 2_000])
        ]
        await house.parts.store.commit(Commit(appends=tuple(part)))
    return len(made)


async def measure(days: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as folder:
        clock = SystemClock()
        async with open_house(clock=clock, store=await open_sqlite(Path(folder) / "bench.db", clock=clock)) as house:
            count = await fill(house, days)
            async with house.client() as caller:
                began = time.perf_counter()
                (await caller.get("/api/prices?limit=1")).raise_for_status()
                print(
                    f"{count} changes in {days} days; the first question reads them in {time.perf_counter() - began:.1f} s"
                )
                for question in QUESTIONS:
                    print(f"{question:<52} {await _asked(caller, question)}")


async def _asked(caller: object, question: str) -> str:
    taken, size = [], 0
    worked = time.process_time()
    for _ in range(ASKED):
        began = time.perf_counter()
        answer = await caller.get(question)  # type: ignore[attr-defined] # httpx2's client
        taken.append((time.perf_counter() - began) * 1000)
        answer.raise_for_status()
        size = len(answer.content)
    work = (time.process_time() - worked) * 1000 / ASKED
    told = f"median {statistics.median(taken):>5.0f} ms   worst {max(taken):>5.0f} ms   of one core {work:>5.0f} ms"
    return f"{told}   {size / 1024:>5.0f} KiB"


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 365))
