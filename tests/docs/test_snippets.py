"""Code on pages is true. A block marked `python run` or `sh run` is executed; of every other the form, the imports and the commands hold.

A block that runs gets an empty folder, this environment's commands, no server and ten seconds.
"""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import novitai_main
from novitai_client.cli.program import program
from support.pages import ROOT, Block, blocks, make_targets, named, pages

ALL = [block for page in pages() for block in blocks(page)]
OURS = ("novitai", "novitai_client", "novita_simulator")


def of(*languages):
    return [block for block in ALL if block.info.split(" ")[0] in languages]


def place(block):
    return f"{named(block.page)}:{block.text.splitlines()[0][:40]}"


def run(block, folder):
    shell = block.info.startswith("sh")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-eu", "-c", block.text] if shell else [sys.executable, "-c", block.text],
        cwd=folder,
        env={"PATH": path, "PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
        timeout=10,
    )


@pytest.mark.parametrize("block", of("python"), ids=place)
def test_python_on_a_page_can_be_read_and_imports_what_exists(block):
    """Who pastes an example gets no import error."""
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in OURS:
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("block", of("sh"), ids=place)
def test_shell_on_a_page_can_be_read_and_names_commands_that_exist(block):
    """Who types what a page says meets a verb of `novitai` and a target of `make`."""
    read = subprocess.run(["sh", "-n", "-c", block.text], check=False, capture_output=True, text=True)
    app = program(novitai_main.VERBS)
    verbs = {one.name for one in [*app.registered_commands, *app.registered_groups]}
    code = re.sub(r"#.*", "", block.text)

    assert read.returncode == 0, read.stderr
    assert set(re.findall(r"(?:^|\$\(|[;&|] *)novitai ([a-z]+)", code, re.MULTILINE)) <= verbs
    assert set(re.findall(r"^make ([a-z-]+)", code, re.MULTILINE)) <= make_targets()


@pytest.mark.parametrize("block", of("json"), ids=place)
def test_json_on_a_page_is_json(block):
    """Who copies a body can send it."""
    json.loads(block.text)


def test_every_block_that_says_so_runs(tmp_path):
    """An example marked to run ends well."""
    failed = {}
    for block in ALL:
        if block.info.split(" ")[1:] == ["run"]:
            folder = tmp_path / str(len(failed))
            folder.mkdir(exist_ok=True)
            done = run(block, folder)
            if done.returncode != 0:
                failed[place(block)] = done.stdout + done.stderr

    assert failed == {}


@pytest.mark.parametrize(("info", "text"), [("sh run", "false\ntrue\n"), ("python run", "raise SystemExit(3)\n")])
def test_a_block_that_fails_is_noticed(info, text, tmp_path):
    """The check above can fail."""
    done = run(Block(ROOT / "README.md", info, text), tmp_path)

    assert done.returncode != 0
