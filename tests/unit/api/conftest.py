"""A house for every test that asks the API something."""

import pytest

from support.api_house import House, open_house


@pytest.fixture
async def house():
    async with open_house() as opened:
        yield opened


@pytest.fixture
async def admin(house: House):
    async with house.client() as client:
        yield client
