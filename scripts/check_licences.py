"""Every package that is installed with ours has a licence that we can pass on.

Read is what the packages say of themselves, as installed: the SPDX expression, else the licence's name, else its classifiers. Developers'
tools are not passed on and not asked.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "requirements" / "runtime.txt"

ALLOWED = {
    "MIT": "asks for its notice only",
    "MIT-0": "asks for nothing",
    "BSD-2-Clause": "asks for its notice only",
    "BSD-3-Clause": "asks for its notice only, and not to use its authors' names",
    "ISC": "asks for its notice only",
    "Apache-2.0": "asks for its notices, and gives a patent licence",
    "PSF-2.0": "Python's own",
}
"""SPDX names with the reason why they may be passed on. What asks for our source (GPL, AGPL, SSPL) or forbids a use is not among them."""

WRITTEN = {
    "Apache 2.0": "Apache-2.0",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: MIT License": "MIT",
}
"""What packages without an SPDX expression write instead."""


def licence_of(package: str) -> str:
    """An SPDX expression, or the words that stand in its place; empty when a package says nothing."""
    told = metadata(package)
    if "License-Expression" in told:
        return told["License-Expression"]
    named = told["License"].strip() if "License" in told else ""
    classifiers = [one for one in told.get_all("Classifier") or () if one.startswith("License ::")]
    words = named or (classifiers[0] if len(classifiers) == 1 else "")
    return WRITTEN.get(words, words.partition("\n")[0])


def acceptable(expression: str) -> bool:
    """Whether we can keep to it: every part of an `AND`, one side of an `OR`. One with brackets is for a person to read."""
    return any(
        all(part.strip() in ALLOWED for part in choice.split(" AND "))
        for choice in expression.split(" OR ")
        if choice.strip()
    )


def packages(lock: Path) -> list[str]:
    """What a lock names."""
    return re.findall(r"^([a-z0-9][a-z0-9._-]*)==", lock.read_text(encoding="utf-8"), re.MULTILINE)


def main() -> int:
    """Say what is wrong; 1 when something is."""
    wrong = []
    for package in packages(LOCK):
        try:
            licence = licence_of(package)
        except PackageNotFoundError:
            wrong.append(f"{package} is locked but not installed: run make setup")
            continue
        if not acceptable(licence):
            wrong.append(f"{package}: {licence or 'no licence named'} is not on the list of scripts/check_licences.py")
    print("\n".join(wrong) or f"{len(packages(LOCK))} packages, all of licences on the list")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
