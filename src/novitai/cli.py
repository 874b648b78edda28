"""The server's verbs on the command line: `serve`, `config`, `keys generate`. Everything else is the client's."""

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
    settings = _settings(require_novita=asked.verb == "serve")
    if settings is None:
        return USAGE
    return _show(settings, as_json=asked.json) if asked.verb == "config" else _serve(settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="novitai", description="The Novitai server.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("serve", help="run the server; settings come from the environment and .env (see `novitai config`)")
    config = verbs.add_parser("config", help="every setting with its value, source and meaning; secrets as ***")
    config.add_argument("--json", action="store_true", help="as JSON")
    keys = verbs.add_parser("keys", help="keys of the server's own API")
    keys.add_subparsers(dest="what", required=True).add_parser(
        "generate", help="make a key for NOVITAI_API_KEY, without a server"
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
