"""`novitai demo` as a user sees it: the story it tells, how it ends, and that nothing of it stays behind."""

import os
import pty
import re
import signal
import subprocess
from pathlib import Path

from integration.demo.demo_process import Finished

LINE_SECONDS = re.compile(r" *(\d+\.\d)s  ")


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    """Its output up to the line with this text."""
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if text in line:
            return read
    raise AssertionError(f"{text!r} was never said:\n{read}")


def in_order(story: str, *told: str) -> None:
    """All of these were told, one after the other."""
    place = 0
    for text in told:
        found = story.find(text, place)
        assert found >= 0, f"{text!r} is missing, or too early, in:\n{story}"
        place = found + len(text)


def test_the_demo_tells_the_whole_story(finished: Finished) -> None:
    """From ranked offers to a start by name; neither the caller's settings nor a `.env` have a say."""
    assert finished.exit_code == 0, finished.story

    in_order(
        finished.story,
        "The Novita key in your environment is ignored",
        "RANK",
        "the cheapest that fits",
        "is above the cap of",
        "REGISTRY_AUTH_NOT_FOUND",
        "registry.example.com/private/llm-server:1.4",
        "demo-registry",
        "create demo-llm: accepted",
        "state    creating",
        "instance.created",
        "state    ready",
        "phases   startRequested",
        "health   healthy",
        "http 8080: healthy",
        "cost     $0.175 an hour",
        "address  http://127.0.0.1:",
        "ssh      ssh ",
        "stop demo-llm: stopping",
        "state    stopped",
        "start demo-llm: starting",
        "state    ready",
        "EVENT",
        "instance.startup_initiated",
        "In short",
        "with a word changed: refused",
        "demo-llm is ready",
    )


def test_every_webhook_is_verified_and_none_is_missing(finished: Finished) -> None:
    """What is counted at the end is what was told on the way."""
    counted = re.search(r"(\d+) webhooks received, (\d+) verified, none missing", finished.story)

    assert counted is not None, finished.story
    assert int(counted[1]) == int(counted[2]) == finished.story.count("signature ok") >= 15


def test_the_story_is_plain_text_with_seconds_at_its_left(finished: Finished) -> None:
    """In a pipe there is no colour and no control code, whatever the caller's environment asks; nothing is wider than 100
    columns, and the run takes less than a minute after its set-up.
    """
    lines = finished.story.splitlines()
    seconds = [float(found[1]) for line in lines if (found := LINE_SECONDS.match(line))]
    set_up = next(float(line.partition("s")[0]) for line in lines if "s  receiver " in line)

    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) <= 100
    assert seconds == sorted(seconds)
    assert seconds[-1] - set_up <= 60


def test_no_password_is_ever_told(finished: Finished) -> None:
    """Neither the registry's nor the machine's."""
    assert "password" not in finished.story.lower()


def test_nothing_stays_behind(finished: Finished) -> None:
    """No process and no file, but those of the caller."""
    assert finished.processes == {}
    assert finished.files == ["here"]


def test_told_to_end_in_the_middle_it_cleans_up(start, living, tmp_path: Path) -> None:
    """SIGTERM ends everything in order; the exit code says that the story was not finished."""
    process = start(DEMO_EXIT="1")
    read_until(process, "create demo-llm")

    process.send_signal(signal.SIGTERM)

    assert process.wait(30) == 128 + signal.SIGTERM
    assert living() == {}
    assert [place.name for place in tmp_path.iterdir()] == ["here"]


def test_killed_without_a_chance_to_clean_up_it_leaves_no_process(start, living, all_end) -> None:
    """kill -9 takes simulator and server with it."""
    process = start(DEMO_EXIT="1")
    read_until(process, "create demo-llm")
    assert len(living()) == 3

    process.kill()
    process.wait(10)

    assert all_end()


def test_a_server_that_dies_is_told_with_its_last_lines(start, living) -> None:
    """The message names who ended, the end of the log follows, and the exit code is 1."""
    process = start(DEMO_EXIT="1")
    read_until(process, "create demo-llm")
    server = next(pid for pid, command in living().items() if command.rstrip().endswith(" serve"))

    os.kill(server, signal.SIGKILL)
    told, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    in_order(told, "The demo failed: ", "The last lines of the server", "listening")
    assert "Traceback" not in told
    assert living() == {}


def test_on_a_terminal_it_stays_until_ctrl_c(start, living) -> None:
    """It says what to try next, with address and key, and cleans up with exit code 0 when asked to end."""
    ours, theirs = pty.openpty()
    process = start(stdout=theirs, TERM="xterm-256color", CI="", DEMO_EXIT="")
    os.close(theirs)
    shown = ""
    while "Ctrl-C ends everything" not in shown:
        assert process.poll() is None, shown
        shown += os.read(ours, 65_536).decode()

    process.send_signal(signal.SIGINT)

    assert process.wait(30) == 0
    os.close(ours)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert re.search(r"export NOVITAI_URL=http://127\.0\.0\.1:\d+ NOVITAI_API_KEY=nvk_\w+", plain)
    in_order(plain, "novitai list", "novitai create", "/_sim/reclaim")
    assert plain != shown
    assert living() == {}
