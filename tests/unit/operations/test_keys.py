"""Keys: shown once, kept as a hash, and no longer valid the moment they are revoked."""

import hashlib
import sys
from collections import Counter

import pytest

from novitai.domain.errors import Code, Refusal
from novitai.domain.keys import KeyLimits, Scope
from novitai.operations import records
from novitai.operations.keys import Keys, generate_text
from support.running import ENVIRONMENT, House, context, running


async def make(house: House, **fields):
    usual = {"name": "ci", "scope": Scope.WRITE, "expires_at": None, "limits": KeyLimits()}
    return await house.program.operations.keys.make(context(), **(usual | fields))


def work_of(asking) -> Counter[str]:
    """How often hashes are made and compared."""
    counted: Counter[str] = Counter()

    def note(frame, event, argument):
        if event == "c_call" and argument.__name__ in {"openssl_sha256", "compare_digest", "hexdigest"}:
            counted[argument.__name__] += 1

    sys.setprofile(note)
    try:
        asking()
    finally:
        sys.setprofile(None)
    return counted


async def test_a_new_key_is_known_at_once_with_its_scope_and_limits():
    """Whoever made it can use it."""
    async with running() as house:
        made = await make(house, scope=Scope.READ, limits=KeyLimits(gpus=2))
        actor = house.program.operations.keys.actor(made.text)

        assert (actor.owner, actor.scope, actor.limits.gpus) == (made.key.id, Scope.READ, 2)
        assert actor.scope.allows(Scope.READ)
        assert not actor.scope.allows(Scope.WRITE)


async def test_the_secret_is_nowhere_in_the_store():
    """Only its hash."""
    async with running() as house:
        made = await make(house)
        record = await house.store.get(records.KEY, made.key.id)
        secret = made.text.split("_", 2)[2]

        assert secret.encode() not in record.body
        assert hashlib.sha256(secret.encode()).hexdigest().encode() in record.body


async def test_a_revoked_key_is_nobodys_at_once():
    """Revoking again changes nothing; an unknown one is said."""
    async with running() as house:
        keys, made = house.program.operations.keys, await make(house)
        revoked = await keys.revoke(made.key.id, context())
        assert keys.actor(made.text) is None
        assert await keys.revoke(made.key.id, context()) == revoked
        with pytest.raises(Refusal) as refused:
            await keys.revoke("unknown", context())

        assert refused.value.code is Code.KEY_NOT_FOUND


async def test_an_expired_key_is_nobodys():
    """From the moment on."""
    async with running() as house:
        keys, made = house.program.operations.keys, await make(house, expires_at=house.clock.now() + 60.0)
        assert keys.actor(made.text) is not None
        await house.clock.advance(60.0)

        assert keys.actor(made.text) is None


@pytest.mark.parametrize(
    "text",
    ["", "nvk", "nvk_", "nvk__", "nvk_unknown_", "nvk_unknown_secret", "bearer", "nvk_ä_ß", "_" * 500, "x" * 10_000],
)
async def test_nonsense_is_nobodys(text):
    """No form of it is an error."""
    async with running() as house:
        assert house.program.operations.keys.actor(text) is None


async def test_the_wrong_secret_of_a_known_key_is_nobodys():
    """Neither a prefix nor another key's."""
    async with running() as house:
        keys, made, other = house.program.operations.keys, await make(house), await make(house)
        swapped = f"nvk_{made.key.id}_{other.text.split('_', 2)[2]}"

        assert keys.actor(swapped) is None
        assert keys.actor(made.text[:-1]) is None


async def test_an_unknown_key_costs_the_same_work_as_a_wrong_secret():
    """Time does not tell which ids exist: as many hashes and comparisons for both."""
    async with running() as house:
        keys, made = house.program.operations.keys, await make(house)
        wrong = work_of(lambda: keys.actor(f"nvk_{made.key.id}_wrong"))
        unknown = work_of(lambda: keys.actor("nvk_000000000000_wrong"))

        assert wrong == unknown
        assert wrong["compare_digest"] == 2


async def test_the_key_of_the_environment_is_an_admin():
    """It is never stored."""
    async with running() as house:
        actor = house.program.operations.keys.actor(ENVIRONMENT["NOVITAI_API_KEY"])

        assert actor.scope is Scope.ADMIN
        assert house.program.operations.keys.all() == ()


async def test_keys_survive_a_restart():
    """Revoked ones stay revoked."""
    async with running() as house:
        good, bad = await make(house), await make(house)
        await house.program.operations.keys.revoke(bad.key.id, context())
        again = Keys(ledger=house.program.operations.ledger, environment_key=None)
        assert not again.any
        await again.load()

        assert again.any
        assert again.actor(good.text) is not None
        assert again.actor(bad.text) is None
        assert [key.id for key in again.all()] == [key.id for key in house.program.operations.keys.all()]


def test_a_generated_text_is_a_key():
    """Made offline, with enough chance in it."""
    texts = {generate_text() for _ in range(100)}

    assert len(texts) == 100
    assert all(text.startswith("nvk_") and text.count("_") == 2 and len(text) > 50 for text in texts)
