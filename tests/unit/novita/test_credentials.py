"""Registry credentials are looked up when they are needed and forgotten within a minute."""

import pytest

from novitai.domain.errors import RegistryAuthMissing, TryLater
from novitai.novita.credentials import Credentials
from novitai.novita.wire import RegistryAuth
from support.clock import FakeClock


class Account:
    """What the account holds, and how often it was asked."""

    def __init__(self, *auths: RegistryAuth) -> None:
        self.auths = auths
        self.asked = 0

    async def look_up(self) -> tuple[RegistryAuth, ...]:
        self.asked += 1
        return self.auths


HUB = RegistryAuth(id="auth-1", name="hub", username="me", password="hunter2")


async def test_a_row_of_creates_costs_one_look_up():
    """Within a minute the content is remembered."""
    clock, account = FakeClock(), Account(HUB)
    credentials = Credentials(clock.now)

    first = await credentials.content("auth-1", account.look_up)
    await clock.advance(59)
    second = await credentials.content("auth-1", account.look_up)

    assert first == second == "me:hunter2"
    assert account.asked == 1


async def test_after_a_minute_it_is_looked_up_again():
    """A changed password is used, and nothing is kept for long."""
    clock, account = FakeClock(), Account(HUB)
    credentials = Credentials(clock.now)
    await credentials.content("auth-1", account.look_up)

    await clock.advance(60)
    account.auths = (RegistryAuth(id="auth-1", username="me", password="changed"),)

    assert await credentials.content("auth-1", account.look_up) == "me:changed"


async def test_an_unknown_credential_is_missing_even_when_others_are_remembered():
    """It may have been added a moment ago, so the account is asked before saying no."""
    clock, account = FakeClock(), Account(HUB)
    credentials = Credentials(clock.now)
    await credentials.content("auth-1", account.look_up)

    with pytest.raises(RegistryAuthMissing):
        await credentials.content("auth-2", account.look_up)

    assert account.asked == 2


async def test_a_failed_look_up_is_the_callers_answer():
    """Nothing was sent, and it says so."""

    async def busy() -> tuple[RegistryAuth, ...]:
        raise TryLater("busy")

    with pytest.raises(TryLater):
        await Credentials(FakeClock().now).content("auth-1", busy)
