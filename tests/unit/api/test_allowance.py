"""How often a key may ask."""

from dataclasses import replace

import pytest

from novitai.api.allowance import Allowances
from novitai.api.parts import ApiSettings
from novitai.domain.keys import Actor, KeyLimits, Scope
from support.api_house import open_house
from support.clock import FakeClock

ANYBODY = Actor(owner="a", scope=Scope.READ)


async def test_a_key_is_refused_when_its_window_is_used_up_and_served_in_the_next():
    """The limit is exact, and ends when it said it would."""
    clock = FakeClock()
    allowances = Allowances(clock=clock, window_seconds=60.0, most_requests=3)

    taken = [allowances.take(ANYBODY) for _ in range(4)]
    await clock.advance(60.0)
    later = allowances.take(ANYBODY)

    assert [one.exceeded for one in taken] == [False, False, False, True]
    assert [one.remaining for one in taken] == [2, 1, 0, 0]
    assert not later.exceeded


def test_keys_do_not_use_up_one_another():
    """One busy program does not silence the rest."""
    allowances = Allowances(clock=FakeClock(), window_seconds=60.0, most_requests=1)

    allowances.take(ANYBODY)

    assert not allowances.take(Actor(owner="b", scope=Scope.READ)).exceeded


def test_a_limit_of_the_key_itself_replaces_the_general_one():
    """Also when the general one is turned off."""
    limited = Actor(owner="a", scope=Scope.READ, limits=KeyLimits(requests_per_minute=1))
    allowances = Allowances(clock=FakeClock(), window_seconds=10.0, most_requests=0)

    allowances.take(limited)

    assert allowances.take(limited).exceeded
    assert allowances.take(ANYBODY) is None


@pytest.fixture
async def strict():
    async with open_house(replace(ApiSettings(), rate_limit_max_requests=2)) as house:
        yield house


async def test_answers_say_what_is_left_and_a_refusal_says_when_to_come_back(strict):
    """A well-made client can pace itself."""
    async with strict.client() as client:
        answers = [await client.get("/api/regions") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert {answer.headers["RateLimit-Limit"] for answer in answers} == {"2"}
    assert int(answers[-1].headers["Retry-After"]) == int(answers[-1].headers["RateLimit-Reset"]) == 60
    assert answers[-1].json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"


async def test_probes_are_not_counted(strict):
    """A load balancer asks often, and has no key."""
    async with strict.client(None) as client:
        assert {(await client.get("/healthz")).status_code for _ in range(10)} == {200}
