"""Shows every promise with its figure, and writes docs/reference/proof.md and the block of the README from what was found.

    prove.py [--scale prove|full] [--only M1,W7]

Two passes over tests/proofs: first what bears neighbours, with one process more than there are cores, since much of it waits; then what
measures speed (marker `alone`), one after the other.
The page is written whatever was found; the command fails when a promise is not kept or not shown. `--only` writes nothing.
"""

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pages.promises import PROMISES, Promise
from pages.proof import Run, measured, proof_page, readme_block, row, verdict, with_block

ROOT = Path(__file__).resolve().parent.parent
PAGE, README = ROOT / "docs" / "reference" / "proof.md", ROOT / "README.md"
# How long one test may take, by scale: far above what it should, so that only one that hangs is ended.
TEST_TIMEOUT = {"short": 120, "prove": 400, "full": 1800}
PYTEST = ("-m", "pytest", "-p", "no:randomly", "-v", "--no-header", "--tb=short", "--durations-min=5")
NO_TESTS_COLLECTED = 5
# Begun first, so that two cores end at about the same time.
LONGEST = (
    "m1_one_machine",
    "m2_never_on_doubt",
    "a1_no_5xx",
    "u1_calls_per_minute",
    "idempotency_under_fire",
    "u2_beside_models",
)


def main(arguments: list[str]) -> int:
    """Run, write, tell; 0 when every promise asked for holds."""
    asked = parse(arguments)
    chosen = [promise for promise in PROMISES if not asked.only or promise.key in asked.only.upper().split(",")]
    began = time.monotonic()
    passes = [proven(asked.scale, chosen, alone=alone) for alone in (False, True)]
    found = [one for one, _ in passes]
    about = this_run(scale=asked.scale, took=time.monotonic() - began)
    run = Run([f for one in found for f in one["figures"]], [t for one in found for t in one["tests"]], about)
    if len(chosen) == len(PROMISES) and asked.scale != "short":
        PAGE.write_text(proof_page(run), encoding="utf-8")
        README.write_text(with_block(README.read_text(encoding="utf-8"), readme_block(run)), encoding="utf-8")
    return tell(run, chosen, ended_well=all(well for _, well in passes))


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Show every promise with its figure.")
    parser.add_argument("--scale", choices=sorted(TEST_TIMEOUT), default="prove")
    parser.add_argument("--only", default="", help="promises, separated by commas; the page is not written then")
    return parser.parse_args(arguments)


def proven(scale: str, chosen: list[Promise], *, alone: bool) -> tuple[dict[str, Any], bool]:
    """One pass of the proofs: what it found, and whether it ended well."""
    nothing: dict[str, Any] = {"figures": [], "tests": []}
    if not (files := proofs_of(chosen)):
        return nothing, True
    spread = ["-n0"] if alone else [f"-n{1 + min(2, os.cpu_count() or 1)}", "--dist=loadfile", "--no-loadscope-reorder"]
    print(f"\n== {'Alone' if alone else 'Together'}, {scale} ==", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "figures.json")
        command = [sys.executable, *PYTEST, "-m", "alone" if alone else "not alone", f"--timeout={TEST_TIMEOUT[scale]}"]
        environment = os.environ | {"PROOF_SCALE": scale, "PROOF_FILE": str(target)}
        done = subprocess.run([*command, *spread, *files], cwd=ROOT, env=environment, check=False)
        text = target.read_text(encoding="utf-8") if target.exists() else ""
    return json.loads(text) if text else nothing, done.returncode in {0, NO_TESTS_COLLECTED}


def proofs_of(chosen: list[Promise]) -> list[str]:
    """The files of the proofs of some promises, by the words of their names."""
    files = sorted((ROOT / "tests" / "proofs").glob("test_*.py"))
    keys = {promise.key.lower() for promise in chosen}
    if len(chosen) < len(PROMISES):
        files = [path for path in files if keys & set(path.stem.split("_"))]
    order = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    files.sort(key=lambda path: order.get(path.stem, len(order)))
    return [path.relative_to(ROOT).as_posix() for path in files]


def this_run(*, scale: str, took: float) -> dict[str, str]:
    """When, of what and on what the run was made; no name and no number by which the machine could be known."""
    cases = {"full": "every case (`make prove-full`)", "prove": "`make prove`", "short": "short"}[scale]
    return {
        "date": f"{datetime.now(tz=UTC):%Y-%m-%d}",
        "commit": commit(),
        "extent": cases,
        "took": f"{took / 60:.1f} minutes",
        "machine": f"{len(os.sched_getaffinity(0))} cores, {processor()}, {memory()} of memory",
        "software": f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()}",
    }


def commit() -> str:
    """The commit that was shown, and whether files differ from it. What this command itself writes is no difference."""
    written = [f":!{path.relative_to(ROOT).as_posix()}" for path in (PAGE, README)]
    head = said_by("git", "rev-parse", "--short", "HEAD")
    changed = said_by("git", "status", "--porcelain", "--", ".", *written)
    return (head or "unknown") + (" + changes" if changed else "")


def said_by(*command: str) -> str:
    """What a command answers; nothing when it cannot."""
    try:
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def processor() -> str:
    """The model of the processor."""
    return fact("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()


def memory() -> str:
    """How much memory the machine has."""
    kilobytes = fact("/proc/meminfo", "MemTotal").removesuffix(" kB")
    return f"{int(kilobytes) / 2**20:.0f} GiB" if kilobytes.isdigit() else "an unknown amount"


def fact(path: str, name: str) -> str:
    """The first line of a name in a file of names and values."""
    if not Path(path).exists():
        return ""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def tell(run: Run, chosen: list[Promise], *, ended_well: bool) -> int:
    """Print a table of all figures, and say whether everything asked for holds."""
    for promise in chosen:
        print(f"\n{promise.key}. {promise.title}: {verdict(promise, run)}")
        for what, promised, value, judgement in map(row, run.measured(promise.key)):
            print(f"    {what:<78}  {promised:<12} {value:<16} {judgement.strip('*')}".rstrip())
        for bug in run.planted(promise.key):
            print(f"    planted: {bug['what']:<69}  {'':<12} {measured(bug)}")
    for test in run.tests:
        if test["outcome"] != "passed":
            print(f"\n{test['outcome']}: {test['test']}\n    {test['why'].strip().rpartition(chr(10))[2]}")
    broken = [promise.key for promise in chosen if verdict(promise, run) != "holds"]
    print(f"\n{len(chosen) - len(broken)} of {len(chosen)} promises hold.")
    print(f"Took {run.about['took']}, on {run.about['machine']}.")
    if broken:
        print(f"Not kept or not shown: {', '.join(broken)}")
    if strangers := run.unlisted():
        print(f"Not on the list of promises: {', '.join(strangers)}")
    return 1 if broken or strangers or not ended_well else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
