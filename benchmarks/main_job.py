"""The main job, measured from outside: N creates asked for together, and how long after its application answers each caller hears of it.

Real processes over loopback: the simulator at real speed, the server with default settings, a receiver of webhooks in this
process. Judged by the simulator's own record (when a machine's application began to answer, when each call arrived) and by the receiver's
clock, never by the server's word.

    python benchmarks/main_job.py [N ...] [--speed 1]
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from novitai_client import AsyncClient

KEY = "nvk_bench_0123456789abcdef0123456789"
PRODUCT = "RTX"


class Receiver:
    """Notes when each event arrived."""

    def __init__(self) -> None:
        self.ready: dict[str, float] = {}
        self.failed: dict[str, str] = {}
        self.all_ready = asyncio.Event()
        self.expected = 0
        self.url = ""

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/", self._take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        return runner

    async def _take(self, request: web.Request) -> web.Response:
        event = await request.json()
        if event["type"] == "instance.ready":
            self.ready[event["novitaInstanceId"]] = time.time()
        if event["type"] in {"instance.failed", "instance.startup_failed"}:
            self.failed[event["instanceId"]] = event["reason"]
        if len(self.ready) + len(self.failed) >= self.expected:
            self.all_ready.set()
        return web.Response()


def _get(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - loopback
        return json.load(answer)


def spawn(arguments: list[str], environment: dict[str, str], folder: Path, log: str) -> subprocess.Popen:
    file = (folder / log).open("w")
    return subprocess.Popen(  # noqa: S603 - our own programs
        [sys.executable, "-m", "novitai_main", *arguments], env=environment, cwd=folder, stdout=file, stderr=file
    )


async def until(check: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if check():
                return
        except OSError:
            pass
        await asyncio.sleep(0.05)
    raise SystemExit(f"{what} did not come up")


async def measure(count: int, speed: float) -> dict[str, object]:
    receiver = Receiver()
    receiver.expected = count
    runner = await receiver.start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = {key: os.environ[key] for key in ("PATH", "HOME", "PYTHONPATH") if key in os.environ}
        simulator = spawn(["simulate", "--port", "0", "--speed", str(speed)], plain, folder, "simulator.log")
        server = None
        try:
            await until(lambda: "listening on" in (folder / "simulator.log").read_text(), 20, "the simulator")
            base = (folder / "simulator.log").read_text().split("listening on ")[1].split()[0]
            port = free_port()
            environment = plain | {
                "NOVITA_API_KEY": "sim-key",
                "NOVITA_API_BASE_URL": f"{base}/gpu-instance/openapi",
                "NOVITAI_API_KEY": KEY,
                "PORT": str(port),
                "RATE_LIMIT_MAX_REQUESTS": "0",
                "WEBHOOK_URL": receiver.url,
                "WEBHOOK_SECRET": "whsec_c2VjcmV0c2VjcmV0c2VjcmV0",
                "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
                "HEALTH_CHECK_ALLOW_CIDRS": "127.0.0.0/8",
            }
            began = time.monotonic()
            server = spawn(["serve"], environment, folder, "server.log")
            own = f"http://127.0.0.1:{port}"
            await until(lambda: bool(_get(f"{own}/healthz")), 20, "the server")
            started = time.monotonic() - began
            asked = time.time()
            async with AsyncClient(own, KEY) as client:
                await asyncio.gather(
                    *(
                        client.create(f"bench-{i}", product=PRODUCT, image_url="ubuntu:22.04", ports=["8080/http"])
                        for i in range(count)
                    )
                )
            accepted = time.time() - asked
            await asyncio.wait_for(receiver.all_ready.wait(), 900)
            return _judge(base, receiver, count, started, accepted, asked) | {
                "warnings in the log": _complaints(folder / "server.log")
            }
        finally:
            for process in (server, simulator):
                if process is not None:
                    process.terminate()
                    process.wait(15)
            await runner.cleanup()


def _complaints(log: Path) -> dict[str, int]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return dict(Counter(line["event"] for line in lines if line["level"] in {"warning", "error"}))


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _judge(
    base: str, receiver: Receiver, count: int, started: float, accepted: float, asked: float
) -> dict[str, object]:
    state, config = _get(f"{base}/_sim/state"), _get(f"{base}/_sim/config")
    warm = (config["delays"]["appRefuse"] + config["delays"]["appWarmup"]) / config["speed"]
    answers = {m["id"]: m["runningSince"] + warm for m in state["machines"] if m["runningSince"]}
    lags = sorted(at - answers[machine] for machine, at in receiver.ready.items())
    arrivals = sorted(call["receivedAt"] for call in _get(f"{base}/_sim/calls")["calls"])
    return {
        "instances": count,
        "machines made": len(state["machines"]),
        "ready": len(receiver.ready),
        "falsely failed": len(receiver.failed),
        "server up after s": round(started, 2),
        "all accepted after s": round(accepted, 2),
        "all ready after s": round(max(receiver.ready.values()) - asked, 1),
        "answers -> told, median s": round(statistics.median(lags), 2),
        "answers -> told, worst s": round(lags[-1], 2),
        "most calls in any 60 s": _most_in(arrivals, 60.0),
        "calls": dict(
            Counter(f"{c['method']} {c['path'].rsplit('/', 1)[1]}" for c in _get(f"{base}/_sim/calls")["calls"])
        ),
    }


def _most_in(times: list[float], seconds: float) -> int:
    most, first = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[1, 50, 200])
    parser.add_argument("--speed", type=float, default=1.0)
    asked = parser.parse_args()
    for count in asked.counts:
        for name, figure in asyncio.run(measure(count, asked.speed)).items():
            print(f"{name:28} {figure}")
        print()


if __name__ == "__main__":
    main()
