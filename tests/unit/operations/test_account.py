"""Templates and the like: read once, kept for a while, and kept sealed."""

import pytest

from novitai.coordination.local import LocalCoordination
from novitai.domain.templates import Template
from novitai.operations.account import TEMPLATES, Account
from novitai.stores.crypto import KeySealer
from support.clock import FakeClock
from support.scripted_provider import ScriptedProvider

SECRET = "planted-in-a-template"
TEMPLATE = Template(id="107672", name="model server", image_url="nginx", envs=(("TOKEN", SECRET),))


class Templates(ScriptedProvider):
    """An account with one template."""

    reads = 0

    async def template(self, template_id, call):
        self.reads += 1
        return TEMPLATE


@pytest.fixture
def kept():
    clock = FakeClock()
    return Templates(clock=clock), LocalCoordination(clock=clock, limits={"public": 100, "internal": 50})


async def test_what_is_kept_of_a_template_shows_none_of_its_environment(kept):
    """The cache may be one that other programs can read."""
    provider, coordination = kept
    account = Account(provider=provider, coordination=coordination, sealer=KeySealer(bytes(32)))

    first, second = await account.template("107672"), await account.template("107672")

    assert (first, second, provider.reads) == (TEMPLATE, TEMPLATE, 1)
    body = (await coordination.cache_get(TEMPLATES, "107672")).body
    assert SECRET.encode() not in body
    assert b"nginx" not in body


async def test_what_was_kept_under_another_key_is_read_anew(kept):
    """A cache outlives the key that it was sealed with."""
    provider, coordination = kept
    await Account(provider=provider, coordination=coordination, sealer=KeySealer(bytes(32))).template("107672")

    found = await Account(provider=provider, coordination=coordination, sealer=KeySealer(b"1" * 32)).template("107672")

    assert (found, provider.reads) == (TEMPLATE, 2)
