"""The verb itself: reads what was asked, runs an examination, prints it for people or programs, gives the exit code."""

import asyncio
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from novitai.config import SettingsError, load
from novitai.doctor import ground
from novitai.doctor.examination import Asked, Examination
from novitai.doctor.findings import Findings
from novitai.doctor.live import Terminal
from novitai.doctor.report import USAGE, Check, LiveSummary, as_json, exit_code, fact_lines, fail
from novitai.domain.money import usd
from novitai.telemetry import logging
from novitai.telemetry.redaction import Redactor
from novitai.world import SystemClock, SystemIds

DEFAULT_MAX_SPEND_USD = 0.20


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line. `max_spend` is USD, None when it was not given."""

    as_json: bool = False
    ping: bool = False
    live: bool = False
    max_spend: float | None = None
    yes: bool = False


def run(options: Options, environ: Mapping[str, str], cwd: Path) -> int:
    """Examine the installation that these settings describe."""
    refusal = _misused(options)
    if refusal:
        sys.stderr.write(f"novitai doctor: {refusal}\n")
        return USAGE
    try:
        settings = load(environ, cwd, require_novita=False)
    except SettingsError as error:
        checks = ground.wrong_settings(error)
        _print(checks, Findings(against=""), None, redactor=Redactor(), options=options)
        return exit_code(checks)
    if options.live and settings.novita.mode == "observe":
        sys.stderr.write("novitai doctor: NOVITAI_MODE=observe changes nothing on Novita, so there is no --live\n")
        return USAGE
    redactor = Redactor(settings.secret_values())
    logging.configure(level="error", as_json=False, redactor=redactor, stream=sys.stderr)
    examination = Examination(
        settings=settings, clock=SystemClock(), ids=SystemIds(), terminal=_terminal(redactor, yes=options.yes)
    )
    most = DEFAULT_MAX_SPEND_USD if options.max_spend is None else options.max_spend
    asked = Asked(ping=options.ping, live=usd(most) if options.live else None)
    try:
        asyncio.run(_until_told_to_stop(examination, asked))
    except (asyncio.CancelledError, KeyboardInterrupt) as told:
        examination.checks.append(fail("doctor", "interrupted before its end"))
        if isinstance(told, KeyboardInterrupt):
            raise
    finally:
        _print(examination.checks, examination.known, examination.live, redactor=redactor, options=options)
    return exit_code(examination.checks)


def _misused(options: Options) -> str:
    if not options.live and (options.max_spend is not None or options.yes):
        return "--max-spend and --yes belong to --live"
    if options.max_spend is not None and not 0 < options.max_spend <= 1000:
        return "--max-spend is an amount in USD, such as 0.20"
    if options.live and not options.yes and not sys.stdin.isatty():
        return "--live asks before it spends; without a terminal it needs --yes"
    return ""


async def _until_told_to_stop(examination: Examination, asked: Asked) -> None:
    """SIGTERM, too, ends it in order: a machine that is left behind costs money."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await examination.run(asked)


def _terminal(redactor: Redactor, *, yes: bool) -> Terminal:
    errors = logging.CalmStream(sys.stderr)  # a terminal that went away must not keep a machine from being removed

    def say(text: str) -> None:
        errors.write(f"{redactor.text(text)}\n")
        errors.flush()

    def ask(question: str) -> bool:
        if yes:
            say(question)
            return True
        errors.write(f"{redactor.text(question)} [y/N] ")
        errors.flush()
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    return Terminal(say, ask)


def _print(
    checks: list[Check], known: Findings, live: LiveSummary | None, *, redactor: Redactor, options: Options
) -> None:
    if options.as_json:
        text = as_json(checks, known, live=live).decode()
    else:
        text = "\n".join([*(check.line() for check in checks), "", *fact_lines(known)])
    sys.stdout.write(f"{redactor.text(text)}\n")
    sys.stdout.flush()
