"""The command itself: who is watching, how the demo begins and ends, and what is said when it fails."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

from rich.console import Console

from novitai_client import NovitaiError
from novitai_demo.errors import DemoFailed
from novitai_demo.farewell import hints
from novitai_demo.page import WIDEST, Page
from novitai_demo.stage import Stage
from novitai_demo.story import Story

OK, FAILED = 0, 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PAUSE_SECONDS = 0.5


class Ended(BaseException):
    """Somebody asked the demo to end. Like KeyboardInterrupt it is no Exception, so that nothing swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def main(argv: list[str]) -> int:
    """Run the demo; the exit code is 0 after a whole run, 1 when something failed, 128 + N when signal N cut it short."""
    parser = argparse.ArgumentParser(
        prog="novitai demo",
        description="Start a simulated Novita and a server on this machine, and show one instance from request to "
        "signed webhook. Nothing costs money. Without a terminal, or with CI or DEMO_EXIT set, it ends after its run.",
    )
    parser.parse_args(argv)
    page = Page(_console())
    _listen_to_signals(_end)
    try:
        return _run(page, stays=_somebody_stays(os.environ))
    except Ended as ended:
        page.line("Asked to end in the middle. Server and simulator are stopped, what they wrote is removed.")
        return ended.exit_code


def _run(page: Page, *, stays: bool) -> int:
    # Files that a dying process still writes are no reason to complain.
    with (
        tempfile.TemporaryDirectory(prefix="novitai-demo-", ignore_cleanup_errors=True) as folder,
        Stage(Path(folder)) as stage,
    ):
        try:
            story = _tell(page, stage)
            if stays:
                _stay(page, stage, story)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is said in a way that can be read
            _explain(page, stage, error)
            return FAILED
        finally:
            _listen_to_signals(signal.SIG_IGN)  # what follows takes seconds, and must not be cut short
    return OK


def _tell(page: Page, stage: Stage) -> Story:
    page.line("Novitai demo: a simulated Novita, a server, one instance. Nothing here costs money.", style="bold")
    if any(os.environ.get(name) for name in ("NOVITA_API_KEY", "NOVITA_API_KEY_FILE")):
        page.line("The Novita key in your environment is ignored, like every other setting of yours.")
    stage.set_up()
    page.line(f"simulator  {stage.simulator_url}, where a minute passes in a second; the clock is real")
    page.line(f"server     {stage.url}")
    page.line(f"receiver   {stage.receiver.url}, for the server's webhooks")
    story = Story(page, stage)
    story.tell()
    return story


def _stay(page: Page, stage: Stage, story: Story) -> None:
    """Leave everything running and tell of webhooks, until somebody asks for the end."""
    try:
        hints(page, stage, story.instance)
        while True:
            stage.check()
            story.tell_webhooks(seconds=_PAUSE_SECONDS)
    except Ended:
        page.plain("")
        page.line("Stopping server and simulator, and removing what they wrote.")


def _explain(page: Page, stage: Stage, error: Exception) -> None:
    expected = isinstance(error, (DemoFailed, NovitaiError))
    page.plain(f"\nThe demo failed: {error if expected else repr(error)}", style="bold red")
    for name, tail in stage.logs().items():
        page.plain(f"\nThe last lines of the {name}:", style="bold")
        page.plain(tail or "(it said nothing)")


def _somebody_stays(environ: Mapping[str, str]) -> bool:
    return sys.stdout.isatty() and not environ.get("CI") and not environ.get("DEMO_EXIT")


def _console() -> Console:
    if not sys.stdout.isatty():
        return Console(width=WIDEST, color_system=None, force_terminal=False)
    return Console(width=min(WIDEST, shutil.get_terminal_size().columns))


def _listen_to_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for one in _SIGNALS:
        signal.signal(one, handler)


def _end(number: int, _frame: FrameType | None) -> None:
    _listen_to_signals(signal.SIG_IGN)
    raise Ended(number)
