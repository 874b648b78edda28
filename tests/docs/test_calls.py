"""What a page tells readers to type or to send is understood: verbs with their options, paths, bodies, calls of the Python client.

A block of JSON whose first line names a call (`json POST /api/budgets`) is a body of that call.
"""

import ast
import inspect
import json
import re
import shlex
import typing

import pytest
from pydantic import BaseModel
from typer.exceptions import TyperException
from typer.main import get_command

import novitai_main
from novitai.api.routes import declared
from novitai_client import Client
from novitai_client.cli.program import program
from support.pages import Block, blocks, named, pages

WRITTEN = [page for page in pages() if named(page).startswith(("docs/", "README"))]
ALL = [block for page in WRITTEN for block in blocks(page)]
FOREIGN = {verb.words[0] for verb in novitai_main.VERBS} - {"keys"}  # read their own arguments
ROUTES = {
    (one.method, re.sub(r"\{[^}]*\}", "{}", one.path)): one
    for routes in declared(production=False, metrics_public=False)
    for one in routes.declared
}
CALL = re.compile(r"`(GET|POST|PUT|PATCH|DELETE) (/api[^\s`?]*)")


def lines(block: Block) -> list[str]:
    """The commands of a block of shell; what is printed between them is left out."""
    text = block.text.replace("\\\n", " ")
    if not block.info.startswith("console"):
        return text.splitlines()
    return [line[2:] for line in text.splitlines() if line.startswith("$ ")]


def commands(word: str) -> list[tuple[Block, list[str]]]:
    """The arguments of every command of this name."""
    found = []
    for block in ALL:
        if block.info.split(" ")[0] in {"sh", "console"}:
            for line in lines(block):
                for piece in re.findall(rf"(?:^|\$\(|[;&|] *){word} ([^|&;)]*)", line.partition(" #")[0]):
                    found.append((block, shlex.split(re.sub(r"\d?>.*", "", piece), comments=True)))
    return found


def problem(arguments: list[str]) -> str:
    """Why the command line does not understand these arguments; empty when it does."""
    command, words = get_command(program(novitai_main.VERBS)), list(arguments)
    while words and not words[0].startswith("-") and hasattr(command, "commands"):
        name = words.pop(0)
        if name not in command.commands:
            return f"no verb {name}"
        if name in FOREIGN:
            return ""
        command = command.commands[name]
    if "--help" in words or hasattr(command, "commands"):
        return ""
    try:
        command.make_context("novitai", words)
    except TyperException as refused:
        return str(refused)
    return ""


def route(method: str, path: str):
    """The route that a reader's path means, however its ids are written."""
    wanted = re.sub(r"\{[^}]*\}", "{}", path)
    for (known, pattern), found in ROUTES.items():
        if known == method and re.fullmatch(re.escape(pattern).replace(r"\{\}", "[^/]+"), wanted):
            return found
    return None


def refused(method: str, path: str, body: str) -> str:
    """Why the server would not read this body; empty when it does."""
    found = route(method, path)
    if found is None:
        return f"no route {method} {path}"
    hints = typing.get_type_hints(found.endpoint)
    models = [one for hint in hints.values() for one in (hint, *typing.get_args(hint)) if inspect.isclass(one)]
    model = next(one for one in models if issubclass(one, BaseModel))
    try:
        model.model_validate(json.loads(body))
    except ValueError as why:
        return str(why)
    return ""


def test_every_command_on_a_page_is_understood():
    """Who types a line gets no usage error."""
    found = {(named(block.page), " ".join(typed)): problem(typed) for block, typed in commands("novitai")}

    assert len(found) > 20, "the pages are full of commands"
    assert {line: why for line, why in found.items() if why} == {}


def test_every_call_that_a_page_names_is_there():
    """A method and path in the text of a page is one of the server's."""
    told = {(named(page), *call) for page in WRITTEN for call in CALL.findall(page.read_text(encoding="utf-8"))}

    assert {one for one in told if route(one[1], one[2].rstrip(".,;:")) is None and "…" not in one[2]} == set()


def test_every_curl_on_a_page_is_answered():
    """Path, method and body of a call that a page shows are what the server takes."""
    wrong = {}
    for block, typed in commands("curl"):
        url = next((word for word in typed if ":3000/api" in word), "")
        given = {flag: typed[place + 1] for place, flag in enumerate(typed[:-1]) if flag in {"-X", "-d"}}
        method = given.get("-X", "POST" if "-d" in given else "GET")
        path = url.partition(":3000")[2].partition("?")[0]
        if url and (why := refused(method, path, given["-d"]) if "-d" in given else not route(method, path)):
            wrong[named(block.page), method, path] = why

    assert wrong == {}


@pytest.mark.parametrize(
    "block", [block for block in ALL if re.match(r"json [A-Z]+ /", block.info)], ids=lambda block: block.info
)
def test_a_body_on_a_page_is_taken(block):
    """Who copies a body gets no 422."""
    _, method, path = block.info.split(" ")

    assert refused(method, path, block.text) == ""


@pytest.mark.parametrize(
    "block", [block for block in ALL if block.info.startswith("python")], ids=lambda b: named(b.page)
)
def test_calls_of_the_client_are_ones_that_it_has(block):
    """`client.something(name=…)` on a page has that method, and that parameter."""
    for node in ast.walk(ast.parse(block.text)):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if called and isinstance(node.func.value, ast.Name) and node.func.value.id in {"client", "novitai"}:
            method = getattr(Client, node.func.attr)
            inspect.signature(method).bind_partial(None, *node.args, **{one.arg: None for one in node.keywords})


@pytest.mark.parametrize(
    "arguments",
    [["nosuchverb"], ["show"], ["show", "x", "--nosuch"], ["orphans", "nosuch"], ["create", "x", "--gpus", "many"]],
)
def test_a_command_that_does_not_exist_is_noticed(arguments):
    """The check of commands can fail."""
    assert problem(arguments)


def test_a_body_that_is_not_taken_is_noticed():
    """The checks of calls can fail."""
    assert refused("POST", "/api/budgets", '{"name": "x", "limit": 3}')
    assert refused("POST", "/api/nothing", "{}")
