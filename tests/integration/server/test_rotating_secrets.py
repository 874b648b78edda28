"""The key for what is encrypted at rest is changed on a real installation: not under a running server, and without losing a word."""

from novitai.stores.key_file import KEY_FILE, read_keys
from support.sites import Site, order

VALUE = "kept through every rotation"


async def test_the_key_is_changed_between_two_runs_of_a_server(site: Site) -> None:
    """Refused in words while the server has the store; afterwards the server that starts has everything it had."""
    server = await site.serve()
    before = read_keys(site.data / KEY_FILE)
    made = await server.create("kept", envs=[{"key": "TOKEN", "value": VALUE}])
    refused = await site.run("secrets", "rotate")
    assert await refused.end() == 1
    assert "is in use by another process" in refused.lines[-1]
    assert "Stop the server" in refused.lines[-1]
    assert read_keys(site.data / KEY_FILE) == before

    await server.process.kill()
    rotated = await site.run("secrets", "rotate")
    assert await rotated.end() == 0

    assert (site.data / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert set(read_keys(site.data / KEY_FILE)).isdisjoint(before)
    server = await site.serve()
    _, shown = await server.ask("GET", f"/api/instances/{made}?reveal=envs")
    assert shown["envs"] == [{"key": "TOKEN", "value": VALUE}]
    await server.reaches(made, "ready")
    [machine] = site.machines(made)
    assert [env.value for env in machine.workload.envs] == [VALUE]


async def test_in_production_a_key_that_everybody_can_read_stops_the_start(site: Site) -> None:
    """With the command that mends it."""
    first = await site.serve()
    await first.process.terminate()
    site.data.chmod(0o700)
    (site.data / KEY_FILE).chmod(0o644)

    refused = await site.run("serve", NOVITAI_ENV="production", NOVITA_INTERNAL_API_KEY=None)

    assert await refused.end() == 1
    assert "chmod 600" in refused.lines[-1]


async def test_a_secret_in_a_create_is_sealed_before_it_is_stored(site: Site) -> None:
    """From the first commit on, not only after some time."""
    server = await site.serve()
    site.fault("POST .*instance/create", "hang", seconds=60)

    status, _ = await server.ask("POST", "/api/instances", order("sealed") | {"envs": [{"key": "A", "value": VALUE}]})
    await server.process.kill()

    assert status == 201
    assert not [path.name for path in site.data.iterdir() if VALUE.encode() in path.read_bytes()]
