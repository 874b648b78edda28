"""Whether a package that is installed with ours is known to be vulnerable, as pip-audit learns it from the index's advisories.

The answer is one of three, and the exit code says which: 0 nothing is known, 1 something is, 75 nobody could be asked. Not being able to
ask is no good news, so it is told as what it is.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parent.parent / "requirements" / "runtime.txt"
CLEAN, VULNERABLE, UNASKED = 0, 1, 75
LONGEST_SECONDS = 180


def audit() -> tuple[dict[str, Any] | None, str]:
    """pip-audit's report, and what it said beside it."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--require-hashes", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None, f"no answer within {LONGEST_SECONDS} s"
    try:
        return json.loads(done.stdout), done.stderr
    except ValueError:
        return None, done.stderr


def verdict(report: dict[str, Any] | None, said: str) -> tuple[int, str]:
    """The exit code, and the words for it. `said`: pip-audit's own, for when there is no report."""
    if report is None or not report.get("dependencies"):
        return (
            UNASKED,
            f"advisories could not be asked: {(said.strip().splitlines() or ['pip-audit said nothing'])[-1]}",
        )
    packages = report["dependencies"]
    known = [f"{one['name']} {one['version']}: {bug['id']}" for one in packages for bug in one.get("vulns", ())]
    if known:
        return VULNERABLE, "known to be vulnerable:\n" + "\n".join(known)
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    if skipped:
        return UNASKED, f"advisories could not be asked for {len(skipped)} of {len(packages)} packages"
    return CLEAN, f"{len(packages)} packages, no advisories"


def main() -> int:
    """Ask, and say what came of it."""
    code, words = verdict(*audit())
    print(words)
    return code


if __name__ == "__main__":
    sys.exit(main())
