"""Reads of the HTTP API under load: the list of 100 instances and one instance, with a real server process over loopback.

Needs `wrk` (Debian's package). The server has the default settings but for the inbound rate limit; its 100 instances come from the
simulator. One wrk thread, 16 connections, as in the figures of the predecessor.

    python benchmarks/api.py [SECONDS]
"""

import asyncio
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from main_job import KEY, free_port, spawn, until

from novitai_client import AsyncClient

INSTANCES = 100


def _wrk(url: str, seconds: int) -> str:
    asked = ["wrk", "-t1", "-c16", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {KEY}", url]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout  # noqa: S603 - our own loopback
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    slow = re.search(r"99%\s+(\S+)", said)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return (
        f"{rate[1] if rate else '?':>10} a second   p99 {slow[1] if slow else '?':>9}   failed {bad[1] if bad else 0}"
    )


async def measure(seconds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = {key: os.environ[key] for key in ("PATH", "HOME", "PYTHONPATH") if key in os.environ}
        simulator = spawn(["simulate", "--port", "0", "--speed", "1000"], plain, folder, "simulator.log")
        await until(lambda: "listening on" in (folder / "simulator.log").read_text(), 20, "the simulator")
        base = (folder / "simulator.log").read_text().split("listening on ")[1].split()[0]
        port = free_port()
        environment = plain | {
            "NOVITA_API_KEY": "sim-key",
            "NOVITA_API_BASE_URL": f"{base}/gpu-instance/openapi",
            "NOVITAI_API_KEY": KEY,
            "PORT": str(port),
            "RATE_LIMIT_MAX_REQUESTS": "0",
            "UPSTREAM_RATE_LIMIT": "10000",
            "LOG_LEVEL": "warning",
            "HEALTH_CHECK_ALLOW_CIDRS": "127.0.0.0/8",
        }
        server = spawn(["serve"], environment, folder, "server.log")
        own = f"http://127.0.0.1:{port}"
        try:
            async with AsyncClient(own, KEY) as client:
                await until(lambda: "started" in (folder / "server.log").read_text() or _up(port), 20, "the server")
                began = time.monotonic()
                made = await asyncio.gather(
                    *(
                        client.create(f"bench-{i}", product="RTX", image_url="ubuntu:22.04", ports=["8080/http"])
                        for i in range(INSTANCES)
                    )
                )
                print(f"create, {INSTANCES} at once       {INSTANCES / (time.monotonic() - began):>10.0f} a second")
                await client.wait_until_ready(made[-1].instance_id, 120)
            print(f"list of {INSTANCES}              {_wrk(f'{own}/api/instances', seconds)}")
            print(f"one instance             {_wrk(f'{own}/api/instances/{made[0].instance_id}', seconds)}")
            print(f"health                   {_wrk(f'{own}/health', seconds)}")
            resident = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())
            print(f"memory of the server     {int(resident[1] if resident else 0) / 1024:>10.0f} MiB")
        finally:
            for process in (server, simulator):
                process.terminate()
                process.wait(15)


def _up(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
