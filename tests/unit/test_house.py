"""The pure layers read no clock, no environment and no file: what the import contracts cannot see, because calls are not imports."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "novitai"
PURE = sorted(path for layer in ("domain", "policies") for path in (SOURCE / layer).rglob("*.py"))
CLOCKS = {
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep", "localtime", "gmtime"},
}
BUILTINS = {"open", "print", "input"}


def impure_calls(source):
    """Calls in a module that look at the world instead of at their arguments, as `line: call`."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [f"{call.lineno}: {ast.unparse(call.func)}" for call in calls if looks_at_the_world(call.func)]


def looks_at_the_world(function):
    if isinstance(function, ast.Name):
        return function.id in BUILTINS
    if not isinstance(function, ast.Attribute):
        return False
    owner = ast.unparse(function.value).rpartition(".")[2]
    return function.attr in CLOCKS.get(owner, ())


@pytest.mark.parametrize("module", PURE, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_a_pure_module_asks_nobody_for_the_time(module):
    """A decision made twice from the same facts is the same decision."""
    assert impure_calls(module.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "planted",
    [
        "datetime.now(UTC)",
        "datetime.datetime.utcnow()",
        "date.today()",
        "time.time()",
        "time.monotonic()",
        "open('x')",
        "print(1)",
    ],
)
def test_a_look_at_the_clock_is_found(planted):
    """The check above can fail."""
    assert impure_calls(f"def decide():\n    return {planted}\n") != []


def test_a_time_that_was_passed_in_is_no_look_at_the_clock():
    """Values may have fields and methods with such names."""
    assert (
        impure_calls("def decide(seen, now):\n    return seen.now() + now.time() + datetime.fromtimestamp(now, UTC)\n")
        == []
    )
