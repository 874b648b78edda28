"""What an order carries in secret does not come back in the words of a refusal."""

import pytest

from novitai.novita import v1
from novitai.novita.calls import Effect, Reply
from novitai.novita.errors import failure_of
from novitai.ports.provider import MachineOrder
from support import builders

ENV, PASSWORD = "planted-env-value", "planted-password"


@pytest.mark.parametrize("quoted", [ENV, PASSWORD, f"me:{PASSWORD}"])
def test_a_refusal_that_quotes_the_order_is_told_without_the_quote(quoted):
    """The words go into events, webhooks and logs, which people without the right to see them read."""
    order = MachineOrder(
        machine_name="demo-nv1",
        offer=builders.offer(),
        image_url="nginx",
        rootfs_gb=60,
        ports=(),
        envs=(("TOKEN", ENV), ("DEBUG", "1")),
        command="",
        entrypoint="",
        image_auth_id="x",
        network_storages=(),
    )
    reply = Reply(status=400, body=f'{{"reason":"REQUEST","message":"1 of {quoted} is too long"}}'.encode())

    secrets = v1.create(order, f"me:{PASSWORD}").secrets
    failure = failure_of(reply, effect=Effect.CREATE, names_one=False, retry_after=None, secrets=secrets)

    assert quoted not in failure.message
    assert "1 of" in failure.message
