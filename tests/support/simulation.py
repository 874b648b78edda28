"""The whole system in one process and one seed: a day of people, Novita, receivers and a disk, with trouble drawn from the seed.

    outcome = simulate(4711)
    assert not outcome.findings, outcome.story()

The same seed always goes the same way. After the trouble everything is given time to come to rest; then it is judged from outside (see
`simulation_judge`).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import structlog

from novitai.domain.ids import MachineId
from novitai.operations import records
from support.clock import FakeIds
from support.memory_store import MemoryDisk
from support.running import HOOK
from support.running import settings as settings_of
from support.simulation_calls import judge_the_calls
from support.simulation_judge import Evidence, judge_the_end
from support.simulation_loop import LoopClock, run_virtually
from support.simulation_novita import BadNovita
from support.simulation_people import People
from support.simulation_process import CHANGES, NoAnswer, Process, remember_lives
from support.simulation_reasons import judge_the_reasons
from support.simulation_receivers import BadReceivers
from support.simulation_stage import Stage
from support.simulation_telling import judge_the_telling

REST_SECONDS = 30.0
LONGEST_REST = 6 * 3600.0
QUIET_LOOKS = 4
EXPECTED_ERRORS = frozenset(
    {"create_failed", "start_refused", "delete_not_confirmed", "webhook_given_up", "state_changed"}
)
ENVIRONMENT = {
    "WEBHOOK_URL": HOOK,
    "INSTANCE_STARTUP_TIMEOUT": "120s",
    "IMAGE_PULL_TIMEOUT": "300s",
    "NOVITAI_SECRETS_KEY": "dGhpcnR5LXR3byBieXRlcyBvZiBtYWRlLXVwIGtleSE=",
}


@dataclass(frozen=True)
class Outcome:
    """What came of a seed."""

    seed: int
    findings: tuple[str, ...]
    hits: Counter[str]
    fingerprint: str
    trace: tuple[str, ...]
    seconds: float

    def story(self) -> str:
        """What happened, for people."""
        return "\n".join((f"seed {self.seed}:", *self.findings, "", *self.trace))


def simulate(seed: int, **environment: str) -> Outcome:
    """One seed, from the first request to the judgement."""
    return run_virtually(_simulate(seed, tuple(sorted(environment.items()))))


@cache
def _settings(environment: tuple[tuple[str, str], ...]) -> Any:
    return settings_of({**ENVIRONMENT, **dict(environment)})


async def _simulate(seed: int, environment: tuple[tuple[str, str], ...]) -> Outcome:
    loop = asyncio.get_running_loop()
    remember_lives(loop)
    clock = LoopClock(loop)
    stage = Stage(seed=seed, clock=clock, length=900.0)
    loop.set_exception_handler(lambda _, context: _unhandled(stage, context))
    world = World(stage, _settings(environment))
    with _listening(stage):
        await world.trouble()
        await world.rest()
    evidence = Evidence(stage, world.disk, world.novita, world.receivers, world.people)
    for judge in (judge_the_end, judge_the_calls, judge_the_telling, judge_the_reasons):
        judge(evidence)
    began = clock.now()
    return Outcome(seed, tuple(stage.findings), stage.hits, stage.fingerprint(), tuple(stage.trace), began)


class World:
    """Everything that is there, and how a day goes."""

    def __init__(self, stage: Stage, settings: Any) -> None:
        self.stage = stage
        self.settings = settings
        self.disk = MemoryDisk()
        self.novita = BadNovita(stage)
        self.novita.is_known = self._is_known
        self.receivers = BadReceivers(stage, self.novita)
        self.people = People(stage, self.novita)
        self.ids = FakeIds(stage.seed)
        self.process: Process | None = None
        self._ending = False

    async def trouble(self) -> None:
        """The bad part of the day: everybody does what they do, and the process ends now and then."""
        chance = self.stage.chance
        keeper = asyncio.create_task(self._keep_up())
        busy = [
            asyncio.create_task(self.people.live(orders=chance.randint(1, 2), words=chance.randint(1, 7)))
            for _ in range(chance.randint(1, 3))
        ]
        meddler = asyncio.create_task(self.people.meddle(chance.choice((0, 0, 3, 8))))
        await asyncio.wait({*busy})
        await self.stage.clock.sleep(chance.uniform(0.0, 200.0))
        self._ending = True
        self.stage.calm = True
        self.stage.note("calm")
        meddler.cancel()
        await asyncio.wait({meddler})
        await keeper
        for task in busy:
            task.result()

    async def _keep_up(self) -> None:
        """Start the process, and again whenever it is gone."""
        chance = self.stage.chance
        ends = chance.choice((0, 0, 1, 2, 4))
        while True:
            lasting = self._ending or ends <= 0
            point = 0 if lasting else int(10 ** chance.uniform(0.5, 3.0))
            process = Process(self.stage, ends_at=point, only=chance.choice((CHANGES, CHANGES, frozenset())))
            self.process = self.people.process = process
            try:
                await process.open(self.disk, self.novita, self.receivers, self.ids, self.settings)
            except NoAnswer:
                ends -= 1
                continue
            except Exception as error:
                self.stage.note("the process could not start", error)
                process.end("could not start")
                await self.stage.clock.sleep(5.0)
                continue
            if lasting:
                return
            await self._until_gone(process)
            ends -= 1
            await self.stage.clock.sleep(chance.choice((0.0, 1.0, 30.0, 200.0)))

    async def _until_gone(self, process: Process) -> None:
        """Until it has ended by itself, or somebody ends it."""
        chance = self.stage.chance
        patience = chance.uniform(1.0, 400.0)
        try:
            async with asyncio.timeout(patience):
                await process.gone.wait()
        except TimeoutError:
            if chance.random() < 0.5:
                process.end("killed")
                return
            self.stage.hits["process stopped"] += 1
            try:
                await process.stop()
            except NoAnswer:
                return

    async def rest(self) -> None:
        """Let time pass until nothing is left to be done."""
        clock, began, quiet = self.stage.clock, self.stage.clock.now(), 0
        while quiet < QUIET_LOOKS:
            await clock.sleep(REST_SECONDS)
            quiet = quiet + 1 if self._at_rest() else 0
            if clock.now() - began > LONGEST_REST:
                jobs = sorted((row.job_key, row.type, row.error) for row in self.disk.jobs.values())
                self.stage.finding(f"not at rest after {LONGEST_REST:g} s; jobs: {jobs}")
                break
        assert self.process is not None
        await self.process.stop()

    def _at_rest(self) -> bool:
        moving = any(kept.coming for kept in self.novita.kept.values())
        return not self.disk.jobs and not moving and not any(map(self._warms_up, self.novita.kept))

    def _warms_up(self, machine_id: MachineId) -> bool:
        ran_since = self.novita.ran_since(machine_id)
        return ran_since is not None and self.stage.clock.now() < self.receivers.answers_at(machine_id, ran_since)

    def _is_known(self, machine_id: str) -> bool:
        word = f'"{machine_id}"'.encode()
        return any(
            word in kept.record.body for (kind, _), kept in self.disk.records.items() if kind == records.INSTANCE
        )


def _unhandled(stage: Stage, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, Exception):
        stage.finding(f"nobody took care of {type(error).__name__}: {error}")


@contextmanager
def _listening(stage: Stage) -> Iterator[None]:
    """Hear what the program logs: an error that nobody expects is a finding."""

    def hear(_logger: Any, level: str, entry: MutableMapping[str, Any]) -> Any:
        event = str(entry.get("event"))
        stage.note("log", level, event, str(entry.get("error", "")), str(entry.get("what", "")))
        if level in {"error", "critical", "exception"} and event not in EXPECTED_ERRORS:
            last_line = str(entry.get("exception", "")).rpartition("\n")[2]
            stage.finding(f"logged {event}: {entry.get('error', '')} {last_line}".strip())
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, hear],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)
