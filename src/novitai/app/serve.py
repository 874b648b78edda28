"""`novitai serve`: a program with its door open, until it is told to stop."""

import asyncio
import signal
import ssl
import sys

import structlog

from novitai.api.app import build_app
from novitai.api.parts import ApiParts
from novitai.api.server import Server
from novitai.app import groups
from novitai.app.program import Program
from novitai.config import Settings
from novitai.ports.store import StoreError
from novitai.telemetry import logging
from novitai.telemetry.redaction import Redactor

log = structlog.get_logger("novitai")

OK, FAILED, USAGE = 0, 1, 2
SIGNALS = (signal.SIGTERM, signal.SIGINT)
LONGEST_STOP = 8.0
LONGEST_GRACE = 5.0
SHORTEST_GRACE = 1.0
"""Seconds: jobs under way get what the door's own goodbye has left over of the first, so that stopping takes less than ten in all."""
NO_KEY = (
    "there is no API key, so nobody could get in: make one with `novitai keys generate` and put it into NOVITAI_API_KEY"
)


async def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT, of which a second one ends the process at once; gives the exit code. What is wrong with the
    ground is said in one line.
    """
    redactor = Redactor(settings.secret_values())
    as_json = settings.logging.as_json(terminal=sys.stderr.isatty())
    logging.configure(level=settings.logging.level, as_json=as_json, redactor=redactor, stream=sys.stderr)
    for warning in settings.warnings:
        log.warning("setting_unusual", what=warning)
    try:
        program = await Program.open(settings)
    except OSError as error:
        return _cannot_start(f"NOVITAI_DATA_DIR={settings.store.data_dir} cannot be used: {error.strerror or error}")
    except (StoreError, ValueError) as error:
        return _cannot_start(str(error))
    if not program.operations.keys.any:
        await program.base.store.close()
        return _cannot_start(NO_KEY)
    return await _run(program)


async def _run(program: Program) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in SIGNALS:
        loop.add_signal_handler(name, stop.set)
    shutting_down = asyncio.Event()
    server = _door(program, shutting_down)
    try:
        await server.start()  # before anything runs by itself: who cannot listen must not call Novita either
    except ssl.SSLError as error:
        await program.stop()
        return _cannot_start(f"TLS_CERT_FILE and TLS_KEY_FILE cannot be used: {error}")
    except OSError as error:
        await program.stop()
        wanted = program.base.settings.server
        return _cannot_start(f"cannot listen on {wanted.host}, port {wanted.port}: {error.strerror or error}")
    program.start()
    await stop.wait()
    log.info("stopping")
    for name in SIGNALS:
        loop.remove_signal_handler(name)
        signal.signal(name, signal.SIG_DFL)  # what was acknowledged is committed, so nobody has to wait for the rest
    began = loop.time()
    await server.stop()
    left = LONGEST_STOP - (loop.time() - began)
    await program.stop(grace=max(SHORTEST_GRACE, min(LONGEST_GRACE, left)))
    return OK


def _door(program: Program, shutting_down: asyncio.Event) -> Server:
    settings = program.base.settings.server
    return Server(
        build_app(_api_parts(program, shutting_down)),
        host=settings.host,
        port=settings.port,
        shutting_down=shutting_down,
        tls_cert_file=settings.tls_cert_file,
        tls_key_file=settings.tls_key_file,
    )


def _api_parts(program: Program, shutting_down: asyncio.Event) -> ApiParts:
    base, operations = program.base, program.operations
    return ApiParts(
        creation=operations.creation,
        verbs=operations.verbs,
        keys=operations.keys,
        budgets=operations.budgets,
        receipts=operations.receipts,
        reads=operations.reads,
        ledger=operations.ledger,
        catalogue=operations.catalogue,
        costs=operations.costs,
        prices=operations.prices,
        provider_jobs=operations.provider_jobs,
        migrations=operations.migrations,
        failed_migrations=operations.failed_migrations,
        move_trigger=operations.move_trigger,
        account=operations.account,
        freshness=operations.freshness,
        orphans=operations.orphans,
        sync=operations.sync,
        automation=operations.automation,
        idleness=operations.idleness,
        explaining=operations.explaining,
        snooze=operations.snooze,
        audit=operations.audit,
        provider=base.provider,
        coordination=base.coordination,
        store=base.store,
        sealer=base.sealer,
        metrics=base.metrics,
        clock=base.clock,
        ids=base.ids,
        check_idle=program.keepers.idle.nudge,
        loop=program.loop,
        system_health=program.health,
        shutting_down=shutting_down,
        settings=groups.api(base.settings),
    )


def _cannot_start(why: str) -> int:
    log.error("cannot_start", why=why)
    return FAILED
