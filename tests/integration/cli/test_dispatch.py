"""One command for three programs: the first words decide, and only the program that is meant is loaded."""

import subprocess
import sys

import pytest

from novitai_main import VERBS


def test_help_shows_the_verbs_of_every_program_in_groups(process) -> None:
    done = process("--help")

    words = done.stdout.split()
    assert done.returncode == 0
    assert all(verb.words[0] in words for verb in VERBS)
    assert {"create", "list", "show", "start", "stop", "restart", "delete", "offers", "events", "jobs", "keys"} <= set(
        words
    )
    assert all(group in done.stdout for group in ("Instances", "Server", "Trying it out"))


def test_help_of_keys_shows_the_verb_that_needs_no_server(process) -> None:
    assert "generate" in process("keys", "--help").stdout


def test_the_version_is_told(process) -> None:
    done = process("--version")

    assert (done.returncode, done.stdout.split()[0]) == (0, "novitai")


def test_another_programs_arguments_are_its_own(process) -> None:
    """`--help` behind its verb, too, and also when global options stand before it."""
    straight, after_options = process("simulate", "--help"), process("--url", "http://x", "simulate", "--help")

    assert straight.returncode == 0
    assert "--scenario" in straight.stdout
    assert after_options.stdout == straight.stdout


def test_another_programs_exit_code_is_kept(process) -> None:
    assert process("simulate", "--no-such-option").returncode == 2


@pytest.mark.parametrize(
    ("argv", "missing", "extra"),
    [("['simulate']", "aiohttp", "novitai[simulator]"), ("['config']", "pydantic", "novitai[server]")],
)
def test_a_missing_extra_is_named(environment: dict[str, str], argv: str, missing: str, extra: str) -> None:
    """The base install is the client alone; what is missing and how to get it is said in one line."""
    code = f"import sys; sys.modules[{missing!r}] = None; sys.argv[1:] = {argv}; import novitai_main; sys.exit(novitai_main.main())"

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=30
    )

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"pip install '{extra}'" in done.stderr


def test_the_client_loads_no_other_program(environment: dict[str, str]) -> None:
    code = (
        "import sys; sys.argv[1:] = ['--version']; import novitai_main; novitai_main.main();"
        "sys.exit(any(name.partition('.')[0] in {'novitai', 'novita_simulator', 'aiohttp'} for name in sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL, check=False, timeout=30
    )

    assert done.returncode == 0
