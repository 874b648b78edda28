"""Random histories of words over the whole program: people, schedule, ttl and budget at once, and what stands afterwards."""

import random

import pytest

from novitai.domain.budget import Period
from novitai.domain.errors import Code, Refusal
from novitai.domain.instance import DesiredState, Verb
from novitai.domain.lifecycle import State
from novitai.domain.money import usd
from novitai.domain.schedule import Schedule
from novitai.operations.budget import BudgetRequest
from novitai.operations.changes import Changes
from novitai.operations.receipts import Answer
from novitai.operations.requests import Amendment
from support.clock import START
from support.running import House, context, running

STEPS, STEP_SECONDS = 12, 300.0
HALF_HOURS = Schedule(start="0,20,40 * * * *", stop="10,30,50 * * * *", since=START - 3600.0)
WORDS = ["start", "start", "start", "stop", "ttl", "no ttl", "no ttl", "hold", "hold", "let go", "let go"]
PENNY, PLENTY = usd(0.001), usd(1_000)


class History:
    """An instance, a budget over it, and what was said last."""

    def __init__(self, house: House, made: str, budget_id: str) -> None:
        self.house = house
        self.made = made
        self._budget_id = budget_id
        self._held = False
        self._stopped_by_a_person = False

    async def say(self, word: str) -> None:
        operations = self.house.program.operations
        match word:
            case "start" | "stop":
                await self._ask(Verb(word))
            case "ttl" | "no ttl":
                changes = Changes(ledger=operations.ledger, verbs=operations.verbs, creation=operations.creation)
                change = Amendment(ttl_seconds=60.0 if word == "ttl" else None)
                await changes.amend(self.made, change, context(), lambda _: Answer(status=200, body=""))
            case _:
                self._held = word == "hold"
                limit = {"limit": PENNY if self._held else PLENTY}
                await operations.budgets.amend(self._budget_id, limit, context(), lambda _: Answer(status=200, body=""))

    async def _ask(self, verb: Verb) -> None:
        expected = await self._masked() if verb is Verb.START else None  # who may stop is never refused
        refused = None
        try:
            await self.house.ask(self.made, verb)
        except Refusal as refusal:
            refused = refusal.code
        assert refused == expected
        if refused is None:
            self._stopped_by_a_person = verb is Verb.STOP

    async def _masked(self) -> Code | None:
        """With which code a start has to be refused now: a budget stands above a ttl."""
        if self._held:
            return Code.BUDGET_EXCEEDED
        ends = (await self.house.instance(self.made)).ttl_ends_at
        over = ends is not None and self.house.clock.now() >= ends
        return Code.INSTANCE_NOT_STARTABLE if over else None

    async def judge(self) -> None:
        """What has to be so once the loops have had their time."""
        seen = await self.house.instance(self.made)
        if await self._masked() is not None:
            assert seen.wants is DesiredState.STOPPED
            assert self.house.state(self.made) is State.STOPPED
        if self._stopped_by_a_person:
            assert seen.wants is DesiredState.STOPPED, "a person's stop holds until a person's start"


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_said_in_whatever_order_the_table_holds(seed):
    """Nothing runs that a budget or a ttl holds down, nothing starts that a person stopped, and a start is refused just then."""
    chance = random.Random(seed)
    async with running() as house:
        made = await house.ready(schedule=HALF_HOURS)
        await house.clock.advance(60.0)  # so that more than a penny's tenth is spent
        asked = BudgetRequest(name="b", limit=PLENTY, period=Period.DAY, hard_stop=True)
        budgets = house.program.operations.budgets
        view = await budgets.make(asked, context(), lambda _: Answer(status=201, body=""))
        history = History(house, made, view.budget.id)
        for _ in range(STEPS):
            for word in chance.sample(WORDS, k=3):
                await history.say(word)
            await house.clock.advance(STEP_SECONDS)
            await history.judge()
