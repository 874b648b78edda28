"""Every dependency is declared, used, explained and locked."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from support.pages import ROOT, files, named

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DECISION = ROOT / "docs" / "decisions" / "0010-dependencies.md"
OURS = {"novitai", "novitai_client", "novita_simulator", "novitai_main", "novitai_demo"}
# uvicorn finds these by itself.
UNNAMED = {"httptools", "tzdata", "uvloop"}
# FastAPI is written on Starlette and hands out its types, aiohttp those of yarl; both fix the version that fits them.
HANDED_OUT = {"starlette": "fastapi", "yarl": "aiohttp", "click": "typer"}


def names(requirements):
    return {re.split(r"[\[<>=!~; ]", one)[0].lower() for one in requirements}


BASE = names(PROJECT["project"]["dependencies"])
EXTRAS = {extra: names(wanted) for extra, wanted in PROJECT["project"]["optional-dependencies"].items()}
GROUPS = {group: names(wanted) for group, wanted in PROJECT["dependency-groups"].items()}
RUNTIME = BASE.union(*EXTRAS.values())
EVERYTHING = RUNTIME.union(*GROUPS.values(), names(PROJECT["build-system"]["requires"]))


def imported(path):
    """Top names of what a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


def wanted_by(program):
    """The distributions that the modules of a program import."""
    sources = [path for path in files(".py") if named(path).startswith(f"src/{program}")]
    theirs = {name for path in sources for name in imported(path)} - sys.stdlib_module_names - OURS
    owners = packages_distributions()
    distributions = {owners.get(name, [name])[0].lower().replace("_", "-") for name in theirs}
    return {HANDED_OUT.get(name, name) for name in distributions}


@pytest.mark.parametrize(
    ("program", "declared"),
    [
        ("novitai_client/", BASE),
        ("novitai_main", BASE),
        ("novitai/", BASE | EXTRAS["server"]),
        ("novita_simulator/", BASE | EXTRAS["simulator"]),
        ("novitai_demo", RUNTIME),
    ],
)
def test_a_program_imports_only_what_its_extra_brings(program, declared):
    """Installing an extra is enough to run its program."""
    assert wanted_by(program) - declared == set()


def test_nothing_is_installed_for_users_that_no_program_imports():
    """A dependency leaves with its last import."""
    assert RUNTIME - wanted_by("novit") - UNNAMED == set()


def test_every_dependency_has_its_reason():
    """The decision lists what is declared, and nothing that is gone."""
    cells = re.findall(r"^\| ([a-z][^|]*) \|", DECISION.read_text(encoding="utf-8"), re.MULTILINE)
    listed = {name.strip() for cell in cells for name in re.sub(r"\(.*?\)", "", cell).split(",")} - {"package"}

    assert listed == EVERYTHING


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [("runtime.txt", RUNTIME), ("dev.txt", RUNTIME | GROUPS["dev"]), ("peers.txt", GROUPS["peers"])],
)
def test_a_lock_holds_all_that_is_declared_with_hashes(lock, wanted):
    """What is installed is what was resolved; `make lock` resolves anew."""
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    pins = re.findall(r"^([a-z0-9-]+)==\S+( \\\n    --hash=sha256:[0-9a-f]{64})", text, re.MULTILINE)

    assert wanted - {name for name, _ in pins} == set()
    assert len(pins) == len(re.findall(r"^[a-z]", text, re.MULTILINE))
