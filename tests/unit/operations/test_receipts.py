"""A request that is repeated with its key is answered as before, and done once (semantics 3)."""

import asyncio

import pytest

from novitai.domain.errors import Code, Refusal
from novitai.domain.instance import Verb
from novitai.operations.receipts import KEEP_SECONDS, Answer, Draft, Receipts
from novitai.ports.store import Conflict
from support.running import context, running

SCOPE = {"owner": "key_1", "method": "POST", "path": "/api/instances", "key": "k1"}


async def begin(house, *, body: bytes = b"{}", **scope):
    return await house.program.operations.receipts.begin(**(SCOPE | scope), body=body)


async def accepted(house) -> str:
    """A create under the key."""
    draft = await begin(house)
    made = await house.create(draft=draft)
    house.program.operations.receipts.end(draft)
    return made


async def test_the_same_request_again_gets_the_same_answer_and_makes_nothing():
    """The answer is kept in the commit of the change."""
    async with running() as house:
        made = await accepted(house)

        assert await begin(house) == Answer(status=201, body=made)
        assert len(house.program.operations.reads.all()) == 1


@pytest.mark.parametrize("other", [{"owner": "key_2"}, {"method": "PATCH"}, {"path": "/api/other"}, {"key": "k2"}])
async def test_another_scope_is_another_request(other):
    """A key counts for its owner, method and path."""
    async with running() as house:
        await accepted(house)

        assert isinstance(await begin(house, **other), Draft)


async def test_another_body_under_the_same_key_is_refused():
    """A mistake of the caller's is said, not guessed at."""
    async with running() as house:
        await accepted(house)
        with pytest.raises(Refusal) as refused:
            await begin(house, body=b'{"other": 1}')

        assert refused.value.code is Code.IDEMPOTENCY_KEY_REUSED


async def test_a_request_that_is_being_decided_is_in_progress():
    """Until it has been answered; a failed look leaves nothing behind."""
    async with running() as house:
        draft = await begin(house)
        with pytest.raises(Refusal) as refused:
            await begin(house)
        assert refused.value.code is Code.OPERATION_IN_PROGRESS

        house.program.operations.receipts.end(draft)
        assert isinstance(await begin(house), Draft)


async def test_a_receipt_survives_a_restart_and_ends_after_a_day():
    """It is in the store, with the change."""
    async with running(start=False) as house:
        made = await accepted(house)
        again = Receipts(store=house.store, clock=house.clock)
        assert await again.begin(**SCOPE, body=b"{}") == Answer(status=201, body=made)

        await house.clock.advance(KEEP_SECONDS + 1.0)
        assert isinstance(await again.begin(**SCOPE, body=b"{}"), Draft)


async def test_two_processes_with_the_same_request_make_one_instance():
    """The second commit loses and finds the first one's answer."""
    async with running() as house:
        mine = await begin(house)
        other = Receipts(store=house.store, clock=house.clock)
        theirs = await other.begin(**SCOPE, body=b"{}")
        made = await house.create(draft=theirs)
        with pytest.raises(Conflict):
            await house.create(draft=mine)

        assert await house.program.operations.receipts.kept(mine) == Answer(status=201, body=made)
        assert len(house.program.operations.reads.all()) == 1


async def test_the_same_verb_again_is_the_same_operation_and_tells_nothing_new():
    """Even without a key."""
    async with running() as house:
        made = await house.ready()
        first, second = await asyncio.gather(house.ask(made, Verb.STOP), house.ask(made, Verb.STOP))

        assert first.instance.operation.id == second.instance.operation.id
        assert {first.changed, second.changed} == {True, False}
        assert (await house.told(made)).count("stopping") == 1


async def test_a_refused_verb_can_be_kept_for_its_key():
    """What the state of the world refused is answered the same the next time."""
    async with running() as house:
        receipts, draft = house.program.operations.receipts, await begin(house)
        await receipts.keep(draft, Answer(status=409, body="{}"))
        receipts.end(draft)

        assert await begin(house) == Answer(status=409, body="{}")
        assert context().draft is None
