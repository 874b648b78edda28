"""The command `novitai simulate`: run the simulator until it is told to stop, and say how to point a client at it."""

import argparse
import asyncio
import contextlib
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from novita_simulator.fields import InvalidField
from novita_simulator.scenario import Scenario, load_scenario
from novita_simulator.server import Simulator

_FAILED, _USAGE = 1, 2


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit code is 0 after a clean stop, 1 when it could not listen, 2 for wrong input."""
    arguments = _parser().parse_args(argv)
    try:
        simulator = Simulator(_scenario(arguments), host=arguments.host, port=arguments.port)
    except InvalidField as error:
        sys.stderr.write(f"novitai simulate: {error}\n")
        return _USAGE
    _allow_many_sockets()
    return asyncio.run(_serve(simulator))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="novitai simulate",
        description="A stand-in for Novita over HTTP. Nothing here costs money.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8088, help="port; 0 takes a free one (default: %(default)s)")
    parser.add_argument("--speed", type=_speed, help="divide every duration by this; the clock stays real (default: 1)")
    parser.add_argument("--scenario", type=Path, metavar="FILE", help="a JSON file that says how the world begins")
    parser.add_argument("--seed", type=int, help="seed of ids and chances (default: 0)")
    parser.add_argument("--key", help="the one valid API key (default: any that does not begin with bad-)")
    parser.add_argument(
        "--internal-key", help="the one valid key of the internal API (default: any that does not begin with bad-)"
    )
    return parser


def _speed(text: str) -> float:
    speed = float(text)
    if not 0.001 <= speed <= 1_000_000:
        raise argparse.ArgumentTypeError("must be from 0.001 to 1000000")
    return speed


def _scenario(arguments: argparse.Namespace) -> Scenario:
    """The scenario file, with what the command line says on top."""
    scenario = load_scenario(arguments.scenario) if arguments.scenario else Scenario()
    if arguments.speed is not None:
        scenario = scenario.with_speed(arguments.speed)
    given = {"seed": arguments.seed, "key": arguments.key, "internal_key": arguments.internal_key}
    return replace(scenario, **{name: value for name, value in given.items() if value is not None})


async def _serve(simulator: Simulator) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for stop_signal in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(stop_signal, stopping.set)
    try:
        await simulator.start()
    except OSError as error:
        sys.stderr.write(f"novitai simulate: cannot listen: {error}\n")
        await simulator.stop()
        return _FAILED
    sys.stdout.write(_greeting(simulator))
    sys.stdout.flush()
    await stopping.wait()
    await simulator.stop()
    return 0


def _greeting(simulator: Simulator) -> str:
    settings = simulator.world.settings
    lines: Sequence[str] = (
        f"listening on {simulator.url}",
        "",
        f"A simulated Novita, durations divided by {settings.speed:g}. Nothing here costs money. Settings to use:",
        "",
        *(f"  {name}={value}" for name, value in simulator.environment().items()),
        "",
        f"State: {simulator.url}/_sim/state   Calls: {simulator.url}/_sim/calls   Bill: {simulator.url}/_sim/bill",
        "Stop with Ctrl-C.",
        "",
    )
    return "\n".join(lines)


def _allow_many_sockets() -> None:
    """Every port of every machine is a socket; take as many as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
