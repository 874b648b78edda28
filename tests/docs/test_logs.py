"""Every line of the log that asks for somebody's attention is on its page, under its name and its gravest level; no line is made up."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

import pytest

from support.pages import ROOT, named

LEVELS = {"debug": 0, "info": 1, "warning": 2, "error": 3, "exception": 3}
WORDS = {1: "info", 2: "warning", 3: "error"}
PAGE = ROOT / "docs" / "reference" / "logs.md"


class Unreadable(Exception):
    """A call that logs, of which the text does not say the event."""


def logger(node: ast.expr) -> bool:
    """Whether this is what lines are logged with: `log`, `_log`, `line`, or what `_line(…)` and `log.bind(…)` give."""
    if isinstance(node, ast.Call):
        inner = node.func
        return isinstance(inner, ast.Attribute) and (inner.attr in {"_line", "get_logger"} or logger(inner.value))
    return isinstance(node, ast.Name) and node.id in {"log", "_log", "line"}


def levels(node: ast.expr, names: dict[str, ast.expr]) -> list[int]:
    """The levels at which a called thing logs; none when it does not log. `names`: what names in reach were set to."""
    if isinstance(node, ast.Attribute) and node.attr in LEVELS and logger(node.value):
        return [LEVELS[node.attr]]
    if isinstance(node, ast.IfExp):
        return [*levels(node.body, names), *levels(node.orelse, names)]
    if isinstance(node, ast.Name) and node.id in names:
        return levels(names[node.id], {})
    return []


def events(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Each event that a module logs, with its gravest level. Raises Unreadable."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        names = {
            target.id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and (found := levels(call.func, names)):
                yield from ((event, max(found)) for event in said(call, function, tree))


def said(call: ast.Call, function: ast.FunctionDef | ast.AsyncFunctionDef, tree: ast.Module) -> Iterator[str]:
    """The event of one line: written there, or by whoever calls the function with it."""
    first = call.args[0] if call.args else None
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        yield first.value
        return
    parameters = [one.arg for one in function.args.args if one.arg != "self"]
    if not isinstance(first, ast.Name) or first.id not in parameters:
        raise Unreadable(ast.unparse(call))
    place = parameters.index(first.id)
    for caller in ast.walk(tree):
        if (
            isinstance(caller, ast.Call)
            and isinstance(caller.func, ast.Attribute)
            and caller.func.attr == function.name
        ):
            given = caller.args[place]
            if not isinstance(given, ast.Constant):
                raise Unreadable(ast.unparse(caller))
            yield given.value


@cache
def logged() -> dict[str, int]:
    """Every event of the server, with its gravest level."""
    found: defaultdict[str, int] = defaultdict(int)
    for path in sorted((ROOT / "src" / "novitai").rglob("*.py")):
        try:
            for event, level in events(ast.parse(path.read_text(encoding="utf-8"))):
                found[event] = max(found[event], level)
        except Unreadable as why:
            raise AssertionError(f"{named(path)}: the event of {why} cannot be read") from why
    return found


def told() -> dict[str, str]:
    """The events of the page, with the level beside them."""
    return dict(re.findall(r"^\| `(\w+)` \| (\w+) \| .+ \| .+ \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))


def test_every_warning_and_error_is_on_the_page():
    """Who is woken by a line finds what it means and what to do."""
    grave = {event for event, level in logged().items() if level >= LEVELS["warning"]}

    assert grave - set(told()) == set()


def test_the_page_names_no_line_that_does_not_exist_and_no_other_level():
    """Who searches the log for what the page names finds it."""
    known = logged()

    assert {event: level for event, level in told().items() if level != WORDS.get(known.get(event, -1))} == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def f():\n log.warning('a', x=1)", [("a", 2)]),
        ("def f():\n try:\n  pass\n except E:\n  _log.exception('b')", [("b", 3)]),
        ("def f(g):\n (log.error if g else log.info)('c')", [("c", 3)]),
        ("def f(g):\n say = log.warning if g else log.info\n say('d')", [("d", 2)]),
        ("def f(self):\n self._line(1).warning('e')", [("e", 2)]),
        ("def f(self, event):\n log.warning(event)\ndef g(self):\n self.f('h')", [("h", 2)]),
        ("def f(task):\n task.exception()", []),
    ],
)
def test_a_line_is_found_however_it_is_written(text, found):
    """The two checks above can fail."""
    assert list(events(ast.parse(text))) == found


def test_a_line_whose_event_cannot_be_read_is_an_offence():
    """Nobody hides a line from the page by computing its name."""
    with pytest.raises(Unreadable):
        list(events(ast.parse("def f():\n log.error(name())")))
