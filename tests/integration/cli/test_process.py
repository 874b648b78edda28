"""The command as a process: what a shell, a pipe, a terminal and Ctrl-C see."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading

import pytest

from unit.client.stand_in import Asked, Reply, StandIn, accepted, error, instance

NOVITAI = (sys.executable, "-m", "novitai_main")


def test_a_pipe_gets_whole_rows_without_colour(server: StandIn, process) -> None:
    found = [instance("inst_" + "7" * 40, name="n" * 60)]
    server.on("GET", "/api/instances", Reply(body={"instances": found, "total": 1}))

    done = process("list")

    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "n" * 60 + "  inst_" + "7" * 40 in done.stdout


def test_json_and_exit_codes_reach_the_shell(server: StandIn, process) -> None:
    server.on("GET", "/api/instances/a", Reply(body=instance()))
    server.on("GET", "/api/instances/b", error(404, "INSTANCE_NOT_FOUND"))

    found, missing = process("show", "a", "--json"), process("show", "b", "--json")

    assert json.loads(found.stdout) == instance()
    assert (missing.returncode, missing.stdout) == (3, "")


def test_the_key_may_be_in_a_file(server: StandIn, process, tmp_path) -> None:
    path = tmp_path / "key"
    path.write_text("nvk_from_file\n", encoding="utf-8")
    server.on("GET", "/api/instances", Reply(body={"instances": [], "total": 0}))

    process("list", NOVITAI_API_KEY="", NOVITAI_API_KEY_FILE=str(path))

    assert server.asked[0].headers["authorization"] == "Bearer nvk_from_file"


def test_without_a_terminal_what_destroys_needs_yes(server: StandIn, process) -> None:
    """Nobody can be asked, so nothing is sent."""
    done = process("delete", "trainer")

    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert server.asked == []


@pytest.mark.parametrize(("answer", "exit_code", "deleted"), [("y", 0, True), ("n", 1, False), ("", 1, False)])
def test_on_a_terminal_what_destroys_asks_first(
    server: StandIn, environment: dict[str, str], answer: str, exit_code: int, deleted: bool
) -> None:
    """The question names the very instance, and the answer is about that one, whatever its name means a moment later."""
    server.on("GET", "/api/instances/trainer", Reply(body=instance()))
    server.on("DELETE", "/api/instances/inst_1", Reply(202, accepted("deleting")))
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())

    done = subprocess.run(
        [*NOVITAI, "delete", "trainer"],
        env=environment,
        stdin=theirs,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    os.close(ours)
    os.close(theirs)

    assert "Delete trainer (inst_1, ready)" in done.stderr
    assert done.returncode == exit_code
    assert ("DELETE" in [asked.method for asked in server.asked]) is deleted


@pytest.mark.parametrize(("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_colour_unless_it_is_unwanted(
    server: StandIn, environment: dict[str, str], more: dict[str, str], coloured: bool
) -> None:
    server.on("GET", "/api/instances", Reply(body={"instances": [instance()], "total": 1}))
    ours, theirs = pty.openpty()

    subprocess.run(
        [*NOVITAI, "list"], env={**environment, "TERM": "xterm", **more}, stdout=theirs, check=True, timeout=30
    )
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)

    assert "inst_1" in shown
    assert ("\x1b[32m" in shown) is coloured


def test_ctrl_c_ends_quietly_with_130(server: StandIn, environment: dict[str, str]) -> None:
    asked, release = threading.Event(), threading.Event()

    def hold(_: Asked) -> Reply:
        asked.set()
        return Reply(after=release, chunks=[])

    server.on("GET", "/api/events/stream", hold)
    with subprocess.Popen(
        [*NOVITAI, "events", "-f"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert asked.wait(20)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=20)
    release.set()

    assert (running.returncode, out, err) == (130, "", "")


def test_events_can_be_followed_as_json_lines(server: StandIn, environment: dict[str, str]) -> None:
    """One object a line, each as soon as it is there; only of the instance that was named."""
    events = [{"id": str(n), "type": "instance.ready", "instanceId": f"inst_{n % 2}"} for n in range(4)]
    chunks = [f"id: {one['id']}\ndata: {json.dumps(one)}\n\n".encode() for one in events]
    ended = threading.Event()
    server.on("GET", "/api/instances/trainer", Reply(body=instance("inst_1")))
    server.on("GET", "/api/events/stream", Reply(chunks=chunks), Reply(after=ended, chunks=[]))

    with subprocess.Popen(
        [*NOVITAI, "events", "trainer", "-f", "--json"], env=environment, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        seen = [json.loads(running.stdout.readline())["id"] for _ in range(2)]
        running.send_signal(signal.SIGINT)
        running.wait(20)
    ended.set()

    assert seen == ["1", "3"]


def test_a_reader_that_closes_the_pipe_is_no_crash(server: StandIn, environment: dict[str, str]) -> None:
    found = [instance(f"inst_{n}") for n in range(200)]
    server.on("GET", "/api/instances", Reply(body={"instances": found, "total": 200}))
    read, write = os.pipe()
    os.close(read)

    done = subprocess.run(
        [*NOVITAI, "list"], env=environment, stdout=write, stderr=subprocess.PIPE, text=True, check=False, timeout=30
    )
    os.close(write)

    assert "Traceback" not in done.stderr


def test_the_shell_completes_verbs_of_every_program(process) -> None:
    done = process(_NOVITAI_COMPLETE="complete_bash", COMP_WORDS="novitai s", COMP_CWORD="1")

    assert {"start", "stop", "show", "serve", "simulate"} <= set(done.stdout.split())
