"""The demo run to its end, or started and left to the test; and its stage, for the examples."""

import os
import select
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from integration.demo.demo_process import Finished, Living, processes_below, run_demo
from novitai_demo.stage import Stage


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The demo in a pipe, with a caller whose environment asks for colour and a narrow page."""
    folder = tmp_path_factory.mktemp("finished")
    with run_demo(folder, DEMO_EXIT="1", FORCE_COLOR="1", COLUMNS="30") as process:
        story, _ = process.communicate(timeout=110)
    return Finished(
        story=story,
        exit_code=process.returncode,
        processes=processes_below(folder),
        files=[place.name for place in folder.iterdir()],
    )


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start the demo; it is killed when the test has ended and it has not."""
    with ExitStack() as ends:

        def run(**options: Any) -> "subprocess.Popen[str]":
            process = ends.enter_context(run_demo(tmp_path, **options))
            ends.callback(process.kill)
            return process

        yield run


@pytest.fixture
def living(tmp_path: Path) -> Living:
    """Processes that work below the folder of this test."""
    return lambda: processes_below(tmp_path)


@pytest.fixture
def all_end(living: Living) -> Callable[[], bool]:
    """Wait until the processes that live now have ended; whether they did within twenty seconds."""

    def wait() -> bool:
        for pid in living():
            try:
                watched = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            try:
                if not select.select([watched], [], [], 20)[0]:
                    return False
            finally:
                os.close(watched)
        return not living()

    return wait


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A simulator and a server that know each other, and a receiver that gets the server's webhooks."""
    with Stage(tmp_path_factory.mktemp("stage")) as stage:
        stage.set_up()
        yield stage
