"""One examination from its first check to its last, and what is kept of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from novitai.config import Settings
from novitai.doctor import findings, ground, money, outward, reach
from novitai.doctor.facts import ROWS
from novitai.doctor.findings import Findings, Pending
from novitai.doctor.live import LiveRun, Terminal
from novitai.doctor.probing import Answer
from novitai.doctor.report import Check, Level, LiveSummary, fail, ok, warn
from novitai.doctor.upstream import CALL, Upstream
from novitai.domain.errors import ProviderFailure
from novitai.domain.ids import MachineId
from novitai.domain.money import Usd
from novitai.ports.provider import BillQuery
from novitai.ports.world import Clock, Ids

HOW_TO_VERIFY = "`novitai doctor --live --max-spend 0.20` rents a machine for some minutes and finds out"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What beyond the usual is wanted. `live`: the most that a live run may cost, None for none."""

    ping: bool = False
    live: Usd | None = None


@dataclass(kw_only=True)
class Examination:
    """What was found so far; it can be shown at any time."""

    settings: Settings
    clock: Clock
    ids: Ids
    terminal: Terminal
    checks: list[Check] = field(default_factory=list)
    live: LiveSummary | None = None
    known: Findings = field(init=False)

    def __post_init__(self) -> None:
        self.known = findings.load(self.settings.store.data_dir, self.settings.novita.api_base_url)

    async def run(self, asked: Asked) -> None:
        """All checks, in order. Cancelled, it keeps what it found."""
        holder = self._check_ground()
        await self._check_novita(asked, alone=holder is None)
        self.checks += await outward.webhooks(self.settings)
        if asked.ping:
            self.checks.append(await outward.ping(self.settings, clock=self.clock, ids=self.ids))
        self.checks.append(await outward.own_server(self.settings, expected=holder is not None))
        self._check_facts()

    def _check_ground(self) -> str | None:
        settings = self.settings
        holder = ground.holder_of(settings.store.database)
        self.checks += ground.settings(settings)
        self.checks.append(ground.data_directory(settings))
        self.checks.append(ground.secrets_key(settings))
        self.checks.append(ground.store(settings, holder=holder))
        return holder

    async def _check_novita(self, asked: Asked, *, alone: bool) -> None:
        if self.settings.novita.api_key is None:
            self.checks.append(fail("novita", "NOVITA_API_KEY is not set", "the key of your Novita account goes there"))
            return
        upstream = Upstream(self.settings, clock=self.clock, ids=self.ids, alone=alone)
        try:
            public = await reach.public(upstream)
            self.checks += public
            enabled = self.settings.novita.internal_api_key is not None
            self.checks.append(await reach.internal(upstream, enabled=enabled))
            if public[0].level is Level.FAIL:
                return
            await self._read_late_bill(upstream)
            if asked.live is not None:
                await self._live(upstream, asked.live)
        finally:
            await upstream.close()

    async def _read_late_bill(self, upstream: Upstream) -> None:
        pending = self.known.pending
        if pending is None:
            return
        machine_id = MachineId(pending.machine_id)
        query = BillQuery(machine_id=machine_id, start=int(pending.began) - 3600, end=int(pending.ended) + 3600)
        try:
            rows = await upstream.provider.bills(query, CALL)
        except ProviderFailure as failure:
            self.checks.append(warn("bill", f"could not be read: {failure.message}"))
            return
        answer = money.judge_late(pending, money.billed(rows), now=self.clock.now())
        if answer is None and self.clock.now() - pending.ended < money.SETTLED_AFTER_SECONDS:
            self.checks.append(ok("bill", f"machine {pending.machine_id} of an earlier run is not billed in full yet"))
            return
        if answer is None:
            self.checks.append(warn("bill", f"of machine {pending.machine_id} too little was billed to judge by"))
        self._keep([answer] if answer is not None else [], pending=None)

    async def _live(self, upstream: Upstream, most: Usd) -> None:
        settle_time = self.settings.novita.settle_time
        run = LiveRun(upstream, self.terminal, settle_time=settle_time, most=most)
        try:
            await run.go()
        except ProviderFailure as failure:
            self.checks.append(fail("live", failure.message))
        finally:
            self.checks += run.checks
            self.live = run.summary
            self._keep(run.answers, pending=self.known.pending if run.summary is None else run.pending)

    def _keep(self, answers: Sequence[Answer], *, pending: Pending | None) -> None:
        """Write down what was found out, and whose bill is still to come."""
        found = [answer.at(self.clock.now()) for answer in answers]
        known = msgspec.structs.replace(self.known.having(found), pending=pending)
        if known == self.known:
            return
        self.known = known
        try:
            path = findings.save(self.settings.store.data_dir, self.known)
        except OSError as error:
            self.checks.append(fail("findings", f"could not be written: {error.strerror or error}"))
        else:
            self.checks.append(ok("findings", f"{len(found)} written to {path}"))

    def _check_facts(self) -> None:
        """What was found to be otherwise than our code takes it, and how much is still open."""
        for row in ROWS:
            finding = self.known.facts.get(row.fact)
            if finding is not None and finding.level != Level.OK:
                judged = fail if finding.level == Level.FAIL else warn
                self.checks.append(judged(row.fact, finding.words, finding.advice))
        verified = len(self.known.facts)
        told = f"{verified} of {len(ROWS)} facts about Novita are verified"
        self.checks.append(ok("facts", told) if verified == len(ROWS) else warn("facts", told, HOW_TO_VERIFY))
