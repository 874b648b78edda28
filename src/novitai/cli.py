"""The server's verbs on the command line: `serve`, `config`, `keys generate`, `secrets rotate`, `doctor`. All else is the client's."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from novitai.config import Settings, SettingsError, describe, load

OK, FAILED, USAGE = 0, 1, 2


def main(argv: Sequence[str]) -> int:
    """Run one verb; gives the exit code."""
    parser = _parser()
    asked = parser.parse_args(argv)
    if asked.verb == "keys":
        return _generate_key()
    if asked.verb == "doctor":
        return _examine(asked)
    settings = _settings(require_novita=asked.verb == "serve")
    if settings is None:
        return USAGE
    if asked.verb == "secrets":
        return asyncio.run(_rotate_secrets(settings))
    return _show(settings, as_json=asked.json) if asked.verb == "config" else _serve(settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="novitai", description="The Novitai server.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("serve", help="run the server; settings come from the environment and .env (see `novitai config`)")
    config = verbs.add_parser("config", help="every setting with its value, source and meaning; secrets as ***")
    config.add_argument("--json", action="store_true", help="as JSON")
    doctor = verbs.add_parser("doctor", help="check the installation, and what it takes for granted about Novita")
    doctor.add_argument("--json", action="store_true", help="as JSON")
    doctor.add_argument("--ping", action="store_true", help="send a signed test.ping to WEBHOOK_URL")
    doctor.add_argument(
        "--live", action="store_true", help="rent a machine for some minutes to verify facts about Novita"
    )
    doctor.add_argument("--max-spend", type=float, metavar="USD", help="the most that --live may cost (default 0.20)")
    doctor.add_argument("--yes", action="store_true", help="do not ask before --live spends or deletes")
    keys = verbs.add_parser("keys", help="keys of the server's own API")
    keys.add_subparsers(dest="what", required=True).add_parser(
        "generate", help="make a key for NOVITAI_API_KEY, without a server"
    )
    secrets = verbs.add_parser("secrets", help="the key for what is encrypted at rest")
    secrets.add_subparsers(dest="what", required=True).add_parser(
        "rotate", help="encrypt everything in the store with a new key, while no server runs"
    )
    return parser


def _settings(*, require_novita: bool) -> Settings | None:
    try:
        return load(os.environ, Path.cwd(), require_novita=require_novita)
    except SettingsError as error:
        print("novitai cannot start; these settings are wrong:", file=sys.stderr)
        for problem in error.problems:
            print(f"  {problem.message}", file=sys.stderr)
        return None


def _generate_key() -> int:
    from novitai.operations.keys import generate_text

    print(generate_text())
    return OK


def _examine(asked: argparse.Namespace) -> int:
    from novitai.doctor.command import Options, run

    options = Options(as_json=asked.json, ping=asked.ping, live=asked.live, max_spend=asked.max_spend, yes=asked.yes)
    return run(options, os.environ, Path.cwd())


def _show(settings: Settings, *, as_json: bool) -> int:
    rows = describe(settings)
    if as_json:
        import msgspec

        shown = [{"name": r.name, "value": r.value, "source": r.source, "meaning": r.meaning} for r in rows]
        print(msgspec.json.format(msgspec.json.encode(shown)).decode())
        return OK
    wide = max(len(row.name) for row in rows)
    for row in rows:
        print(f"{row.name:<{wide}}  {row.value}  ({row.source})\n{'':<{wide}}  {row.meaning}")
    for warning in settings.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return OK


def _serve(settings: Settings) -> int:
    import uvloop

    from novitai.app.serve import serve

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(settings))


async def _rotate_secrets(settings: Settings) -> int:
    from novitai.app.rotation import rotate
    from novitai.ports.store import StoreError, StoreInUse

    try:
        told = await rotate(settings)
    except StoreInUse as error:
        print(f"novitai: {error}. Stop the server, then rotate; nothing was changed.", file=sys.stderr)
        return FAILED
    except (StoreError, ValueError, OSError) as error:
        print(f"novitai: the secrets were not rotated: {error}", file=sys.stderr)
        return FAILED
    print(told)
    return OK
