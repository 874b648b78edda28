"""The price history is kept while the program runs, survives its end, and tells of low prices once."""

from typing import Any

import msgspec

from novitai.domain.machine import BillingMode
from novitai.domain.money import Usd
from novitai.domain.prices import PriceAlert
from novitai.operations import records
from novitai.operations.prices import PriceFilter, PriceHistory
from novitai.ports.coordination import Share
from novitai.reconcilers.catalog import REFRESH_SECONDS
from novitai.reconcilers.prices import Prices
from support import builders
from support.clock import settle
from support.running import HOOK, House, running

DAY = 86_400.0


def offer(house: House, *products: Any) -> None:
    """Let Novita sell exactly these from now on."""
    house.provider.offered = msgspec.structs.replace(house.provider.offered, products=products)


async def readings(house: House, count: int = 1) -> None:
    """Let the catalogue be read so many times."""
    await house.clock.advance(count * REFRESH_SECONDS + 1.0)
    await settle()


async def entries(house: House) -> list[Any]:
    page = await house.store.read_log(records.PRICES, "all", limit=1_000)
    return [records.read_prices(entry.body) for entry in page.entries]


async def prices(house: House, history: PriceHistory | None = None) -> list[float]:
    """The whole history of the usual product, in the first region."""
    now = house.clock.now()
    history = history or house.program.operations.prices
    rows = await history.rows(PriceFilter(), since=now - 30 * DAY, until=now)
    return [None if offered is None else offered.price for _, offered in rows[0].history()]


class Keeper:
    """The loop's work alone, run by hand over the house's store. A new one is what a new process begins with."""

    def __init__(self, house: House, *watched: PriceAlert) -> None:
        operations = house.program.operations
        self.history = PriceHistory(house.store)
        self._house = house
        self._work = Prices(book=operations.catalogue, history=self.history, ledger=operations.ledger, watched=watched)

    async def read(self, *products: Any, later: float = REFRESH_SECONDS) -> None:
        """A reading with exactly these products, some time after the last one."""
        await self._house.clock.advance(later)
        offer(self._house, *products)
        await self._house.program.operations.catalogue.fresh(max_age=0.0, share=Share.BULK)
        lease = await self._house.store.acquire("loop:prices", owner="test", seconds=20.0)
        assert lease is not None
        await self._work.run(lease)


async def test_each_change_is_kept_once_and_nothing_else_is():
    """A poll that says the same costs nothing."""
    async with running() as house:
        await readings(house, 5)
        assert len(await entries(house)) == 1
        offer(house, builders.product(price_per_gpu=Usd(20_000)))
        await readings(house, 5)

        assert [entry.points[0].quote.price for entry in await entries(house)] == [builders.PRICE, 20_000]
        assert await prices(house) == [builders.PRICE, 20_000]


async def test_an_empty_reading_between_two_others_leaves_no_trace():
    """One lie is not a fact; two readings in a row are."""
    async with running() as house:
        offer(house)
        await readings(house)
        offer(house, builders.product())
        await readings(house)
        assert await prices(house) == [builders.PRICE]

        offer(house)
        await readings(house, 2)
        assert await prices(house) == [builders.PRICE, None]


async def test_the_next_process_goes_on_from_what_is_kept():
    """It rebuilds what it knows from the log, so a restart is no change."""
    async with running(start=False) as house:
        await Keeper(house).read(builders.product())
        after = Keeper(house)
        await after.read(builders.product())
        assert len(await entries(house)) == 1
        await after.read(builders.product(price_per_gpu=Usd(1)))

        assert await prices(house, after.history) == [builders.PRICE, 1]


async def test_once_a_day_everything_is_repeated_so_that_the_beginning_may_be_forgotten():
    """Whoever reads from there knows the state, and since when it holds."""
    async with running(start=False) as house:
        keeper = Keeper(house)
        await keeper.read(builders.product())
        began = house.clock.now()
        for _ in range(49):
            await keeper.read(builders.product(), later=DAY / 48)

        first, second = await entries(house)
        assert (first.whole, second.whole) == (True, True)
        assert second.at - first.at == DAY
        assert second.points[0].at == began
        await house.store.trim_log(records.PRICES, before=second.at)
        assert await prices(house, await followed(house)) == [builders.PRICE]


async def followed(house: House) -> PriceHistory:
    """The history as somebody sees it who reads the log now."""
    history = PriceHistory(house.store)
    await history.follow()
    return history


async def test_what_ended_before_the_time_for_which_prices_are_kept_is_forgotten():
    """In memory as in the log; what held when that time began stays."""
    async with running(start=False) as house:
        keeper = Keeper(house)
        await keeper.read(builders.product(), builders.product("old"))
        await keeper.read(builders.product())
        await keeper.read(builders.product())
        assert len(keeper.history.current()) == 2

        await keeper.read(builders.product(), later=401 * DAY)
        assert [point.key.product_id for point in keeper.history.current().values()] == [builders.product().id]


async def test_an_alert_is_told_once_also_across_a_restart():
    """The first process tells; the second knows that it was told; it is told again after the price has risen."""
    alert = PriceAlert(
        text="RTX 4090:spot<0.3", product_name="RTX 4090", billing_mode=BillingMode.SPOT, below=Usd(30_000)
    )
    usual, cheap = builders.product(), builders.product(price_per_gpu=Usd(29_000))
    async with running(start=False) as house:
        first, second = Keeper(house, alert), Keeper(house, alert)
        for keeper, product, times in [(first, usual, 0), (first, cheap, 1), (second, cheap, 1), (second, usual, 1)]:
            await keeper.read(product)
            assert len(await house.events()) == times
        await second.read(cheap)

        [_, again] = await house.events()
        assert again.type == "price.below"
        assert (again.data["pricePerGpuHour"], again.data["below"], again.data["alert"]) == (0.29, 0.3, alert.text)
        assert len(again.data["regions"]) == 3


async def test_an_alert_of_the_settings_reaches_the_receiver_of_webhooks():
    """From `PRICE_ALERTS` to a signed delivery."""
    async with running(WEBHOOK_URL=HOOK, PRICE_ALERTS="RTX 4090<0.36") as house:
        await house.clock.run_until(lambda: bool(house.receivers.received), within=120.0)

        assert "price.below" in await house.told()
