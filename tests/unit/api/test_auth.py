"""Who is let in, and how long wrong keys are answered with patience."""

import pytest

from novitai.api.auth import GUESSES, REMEMBERED_ADDRESSES, Doorkeeper, bearer
from novitai.domain.errors import Code, Refusal
from novitai.domain.keys import KeyLimits, Scope
from support.api_house import ENVIRONMENT_KEY, House, open_house
from support.clock import FakeClock
from support.running import context


@pytest.fixture
async def doorkeeper(house: House):
    return Doorkeeper(keys=house.parts.keys, clock=house.clock, most_failures=50)


def refusal(doorkeeper, *headers: bytes, client: str = "10.0.0.9") -> Code:
    with pytest.raises(Refusal) as refused:
        doorkeeper.admit(headers, address=client)
    return refused.value.code


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ((b"Bearer abc",), "abc"),
        ((b"bearer abc",), "abc"),
        ((b"Bearer   abc ",), "abc"),
        ((), None),
        ((b"Bearer",), None),
        ((b"Bearer ",), None),
        ((b"Basic abc",), None),
        ((b"abc",), None),
        ((b"Bearer a b",), None),
        ((b"Bearer abc", b"Bearer def"), None),
        ((b"Bearer " + b"x" * 1000,), None),
    ],
)
def test_a_key_is_taken_from_one_well_formed_header_only(headers, key):
    """Two headers could mean two callers; neither is believed."""
    assert bearer(headers) == key


async def test_the_key_of_the_environment_is_an_admin(doorkeeper):
    """It is what a first start has."""
    actor, _ = doorkeeper.admit([f"Bearer {ENVIRONMENT_KEY}".encode()], address="10.0.0.9")

    assert actor.scope is Scope.ADMIN


@pytest.mark.parametrize("text", ["nvk_ü_ß", "nvk_\xff_\x00", "nvk_", "nvk__", "_", "nvk_a_b_c", "NVK_a_b"])
async def test_a_strange_key_is_simply_wrong(doorkeeper, text):
    """Bytes that are no ASCII must not reach a comparison that fails on them."""
    assert refusal(doorkeeper, b"Bearer " + text.encode("latin-1")) is Code.UNAUTHORIZED


async def test_after_ten_guesses_in_a_minute_more_are_slowed_down(doorkeeper):
    """Guessing is limited on its own, whatever the limit of requests."""
    codes = [refusal(doorkeeper, f"Bearer nvk_a_{guess}".encode()) for guess in range(GUESSES + 1)]

    assert codes == [Code.UNAUTHORIZED] * GUESSES + [Code.RATE_LIMIT_EXCEEDED]


async def test_the_same_wrong_key_again_is_no_new_guess(doorkeeper):
    """A client that was not told of a revocation keeps getting 401, which says what is wrong."""
    codes = {refusal(doorkeeper, b"Bearer nvk_revoked_key") for _ in range(30)}

    assert codes == {Code.UNAUTHORIZED}


async def test_all_failures_of_an_address_together_are_limited_too(doorkeeper):
    """Being unknown does not give more answers than having a key."""
    codes = [refusal(doorkeeper) for _ in range(51)]

    assert codes[-2:] == [Code.UNAUTHORIZED, Code.RATE_LIMIT_EXCEEDED]


async def test_a_right_key_passes_even_from_an_address_that_guessed(doorkeeper, house):
    """Nobody can lock out others behind the same address."""
    for guess in range(30):
        refusal(doorkeeper, f"Bearer nvk_a_{guess}".encode())

    actor, _ = doorkeeper.admit([f"Bearer {house.keys[Scope.READ]}".encode()], address="10.0.0.9")

    assert actor.scope is Scope.READ


async def test_guessing_is_forgiven_after_a_minute(doorkeeper, house):
    """The window moves on."""
    for guess in range(20):
        refusal(doorkeeper, f"Bearer nvk_a_{guess}".encode())

    await house.clock.advance(61.0)

    assert refusal(doorkeeper, b"Bearer nvk_a_again") is Code.UNAUTHORIZED


async def test_addresses_are_remembered_up_to_a_bound(doorkeeper):
    """An attacker with many addresses must not fill the memory."""
    for number in range(REMEMBERED_ADDRESSES + 50):
        refusal(doorkeeper, client=f"address {number}")

    assert len(doorkeeper._failures) == REMEMBERED_ADDRESSES


async def test_an_expired_or_revoked_key_is_refused_at_once(doorkeeper, house):
    """Revocation needs no restart and no waiting."""
    keys = house.parts.keys
    short = await keys.make(
        context(), name="short", scope=Scope.READ, expires_at=house.clock.now() + 10, limits=KeyLimits()
    )
    revoked = await keys.make(context(), name="revoked", scope=Scope.READ, expires_at=None, limits=KeyLimits())
    doorkeeper.admit([f"Bearer {short.text}".encode()], address="10.0.0.9")

    await keys.revoke(revoked.key.id, context())
    await house.clock.advance(11.0)

    assert refusal(doorkeeper, f"Bearer {short.text}".encode()) is Code.UNAUTHORIZED
    assert refusal(doorkeeper, f"Bearer {revoked.text}".encode()) is Code.UNAUTHORIZED


async def test_a_key_that_could_be_guessed_does_not_pass_from_an_address_that_guessed():
    """The eleventh guess in a minute must not be worth more than its answer; from elsewhere the key works, and later here too."""
    clock, short = FakeClock(), "sixteen-letters!"
    async with open_house(environment_key=short, clock=clock) as house:
        doorkeeper = Doorkeeper(keys=house.parts.keys, clock=clock, most_failures=50)
        for guess in range(GUESSES + 1):
            refusal(doorkeeper, f"Bearer guess-{guess}".encode())

        assert refusal(doorkeeper, f"Bearer {short}".encode()) is Code.RATE_LIMIT_EXCEEDED
        doorkeeper.admit([f"Bearer {short}".encode()], address="10.0.0.8")
        await clock.advance(61.0)
        doorkeeper.admit([f"Bearer {short}".encode()], address="10.0.0.9")


async def test_a_route_that_needs_no_key_is_no_place_for_guessing_one(house: House):
    """`/health` tells more with a key, so a wrong one there is a guess like any other."""
    async with house.client(None) as client:
        for guess in range(GUESSES + 1):
            answer = await client.get("/health", headers={"Authorization": f"Bearer nvk_a_{guess}"})
            assert answer.status_code == 200
        refused = await client.get("/api/instances", headers={"Authorization": "Bearer nvk_a_other"})

    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60


async def test_the_addresses_of_one_ipv6_network_count_as_one(doorkeeper):
    """Everybody who has one has all of its 2^64."""
    codes = {
        refusal(doorkeeper, f"Bearer nvk_a_{guess}".encode(), client=f"2001:db8:1:2::{guess:x}") for guess in range(30)
    }

    assert Code.RATE_LIMIT_EXCEEDED in codes
    assert refusal(doorkeeper, b"Bearer nvk_a_b", client="2001:db8:1:3::1") is Code.UNAUTHORIZED
