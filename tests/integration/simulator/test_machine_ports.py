"""The machines' own ports answer as their applications would."""

import asyncio

API = "/gpu-instance/openapi/v1"
BOOT, REFUSE, WARM_UP = 56, 5, 40


async def running(caller, **fields):
    instance_id = await caller.create(**fields)
    await caller.wait(BOOT)
    return instance_id


async def test_an_endpoint_refuses_then_answers_502_then_200(caller):
    """The address is known from the moment the machine runs; what it answers follows the warm-up."""
    instance_id = await running(caller)
    url = await caller.endpoint(instance_id)

    seen = [await caller.visit(url)]
    for seconds in (REFUSE, WARM_UP):
        await caller.wait(seconds)
        seen.append(await caller.visit(url))

    assert url.startswith("http://127.0.0.1:")
    assert seen == ["refused", 502, 200]


async def test_a_stopped_machine_refuses_and_a_started_one_warms_up_again(caller):
    """Same address, same story from the beginning."""
    instance_id = await running(caller)
    await caller.wait(REFUSE + WARM_UP)
    url = await caller.endpoint(instance_id)

    await caller.post(f"{API}/gpu/instance/stop", {"instanceId": instance_id})
    stopped = await caller.visit(url)
    await caller.wait(12)
    await caller.post(f"{API}/gpu/instance/start", {"instanceId": instance_id})
    await caller.wait(22)
    seen = [await caller.visit(url)]
    await caller.wait(REFUSE + WARM_UP)
    seen.append(await caller.visit(url))

    assert stopped == "refused"
    assert await caller.endpoint(instance_id) == url
    assert seen == ["refused", 200]


async def test_a_tcp_port_accepts_in_the_same_way(caller):
    """host:port without a scheme; refused first, then open, and it gives back what it gets."""
    instance_id = await running(caller)
    host, port = (await caller.endpoint(instance_id, 22000)).split(":")

    try:
        await asyncio.open_connection(host, int(port))
        early = "accepted"
    except ConnectionRefusedError:
        early = "refused"
    await caller.wait(REFUSE)
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"hello")
    echoed = await reader.readexactly(5)
    await caller.post(f"{API}/gpu/instance/stop", {"instanceId": instance_id})
    after_stop = await reader.read()
    writer.close()
    await writer.wait_closed()

    assert (early, echoed, after_stop) == ("refused", b"hello", b"")


async def test_an_application_can_be_scripted(caller):
    """Up at once, broken, of another opinion, or gone, whatever the warm-up says."""
    instance_id = await running(caller)
    url = await caller.endpoint(instance_id)
    seen = []
    for script in (
        {"mode": "ok", "status": 418, "body": "teapot"},
        {"mode": "502"},
        {"mode": "refuse"},
        {"mode": "ok"},
        {"mode": "auto"},
    ):
        await caller.sim("app", instanceId=instance_id, **script)
        await caller.simulator.settle()
        seen.append(await caller.visit(url))

    assert seen == [418, 502, "refused", 200, "refused"]


async def test_a_hanging_application_is_let_go_by_a_stop(caller):
    """It says nothing until the machine stops; then the connection goes."""
    instance_id = await running(caller)
    url = await caller.endpoint(instance_id)
    await caller.sim("app", instanceId=instance_id, mode="hang")
    await caller.simulator.settle()

    visit = asyncio.ensure_future(asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1])))
    reader, writer = await visit
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await writer.drain()
    await caller.post(f"{API}/gpu/instance/stop", {"instanceId": instance_id})
    async with asyncio.timeout(5):
        answered = await reader.read()
    writer.close()

    assert answered == b""


async def test_two_hundred_machines_answer_at_once_and_give_their_ports_back(start):
    """Each has an address of its own; deleted, nobody is there."""
    caller = await start(stock=[{"available": 1000}])
    machines = [await caller.create(ports="8080/http") for _ in range(200)]
    await caller.wait(BOOT)
    await caller.wait(REFUSE + WARM_UP)
    urls = {await caller.endpoint(instance_id) for instance_id in machines}

    up = [await caller.visit(url) for url in urls]
    for instance_id in machines:
        await caller.post(f"{API}/gpu/instance/delete", {"instanceId": instance_id})
    await caller.wait(30)
    down = [await caller.visit(url) for url in sorted(urls)[:20]]

    assert len(urls) == 200
    assert set(up) == {200}
    assert set(down) == {"refused"}


async def test_new_ports_of_an_edit_open_and_old_ones_close(caller):
    """Without a restart."""
    instance_id = await running(caller)
    await caller.wait(REFUSE + WARM_UP)
    old = await caller.endpoint(instance_id)

    await caller.post(
        f"{API}/gpu/instance/edit", {"instanceId": instance_id, "ports": [{"port": 9000, "type": "http"}]}
    )
    await caller.wait(30)

    assert await caller.visit(await caller.endpoint(instance_id, 9000)) == 200
    assert await caller.visit(old) == "refused"


async def test_logs_stream_while_the_machine_runs_and_end_with_it(caller):
    """The addresses are in the record; the system log tells the statuses, the instance log the application."""
    instance_id = await running(caller)
    await caller.wait(60)
    _, record = await caller.get(f"{API}/gpu/instance", instanceId=instance_id)
    addresses = record["connectComponentLog"]

    async with caller.session.get(addresses["instanceLogAddress"]) as response:
        first = await response.content.readline()
        await caller.post(f"{API}/gpu/instance/stop", {"instanceId": instance_id})
        await response.content.read()
    async with caller.session.get(addresses["systemLogAddress"]) as response:
        system = (await response.text()).splitlines()

    assert b"container started from docker.io/library/ubuntu:22.04" in first
    assert [line.split()[-1] for line in system][:5] == ["pending", "toCreate", "creating", "pulling", "running"]
