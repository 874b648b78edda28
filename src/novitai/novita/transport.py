"""Every call to Novita goes through here, in the one order in which calls may be made.

Retry budget, breaker, limiter (with its own longest wait), breaker again, deadline (which starts at admission), the
caller's last word, transport. Each physical call, a retry too, takes a slot of the limiter and counts in the breaker;
the slot is settled when the answer has ended or the call was given up, whatever happens in between. Only reads are
repeated.

This is the only module here that knows the HTTP library. What a call is stands in `calls.py`, what its answer means in
`errors.py`.
"""

import asyncio
import ssl
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, Protocol, TypeVar

import aiohttp
import msgspec

from novitai.domain.errors import ProviderFailure
from novitai.novita.calls import BreakerName, Reply, Request, headers_of
from novitai.novita.errors import (
    breaker_open,
    broke_off,
    failure_of,
    limiter_full,
    may_repeat,
    never_sent,
    nothing_there,
    too_late,
    unreadable,
    works,
)
from novitai.novita.journal import Journal
from novitai.novita.reading import EmptyRecord, Unreadable
from novitai.novita.settings import NovitaSettings, Pacing
from novitai.novita.window import SharedWindow
from novitai.ports.coordination import BreakerPermit, Coordination
from novitai.ports.provider import Call, ClientName, UpstreamBreaker, UpstreamView
from novitai.ports.world import Clock
from novitai.resilience.budget import BudgetSettings, RetryBudget
from novitai.resilience.deadline import Deadline
from novitai.resilience.limiter import LimiterSettings, Share, Slot
from novitai.resilience.retry import delay, parse_retry_after
from novitai.resilience.waiting import LimiterBusy, WaitingRoom

T = TypeVar("T")

_LARGEST_BODY = 16 * 1024 * 1024
_CHUNK = 64 * 1024
_KEEP_ALIVE_SECONDS = 15.0
# A `Retry-After` beyond an hour is taken for a mistake.
_LONGEST_RETRY_AFTER = 3600.0


class NeverSent(Exception):
    """The call failed before its first byte went out."""


class BrokeOff(Exception):
    """The call failed after its first byte may have gone out."""

    def __init__(self, what: str, *, timed_out: bool = False) -> None:
        super().__init__(what)
        self.timed_out = timed_out


class TooLarge(Exception):
    """The answer is beyond any that Novita gives; the rest of it was not read."""


class Chance(Protocol):
    """Evenly spread in [0, 1); `ports.world.Ids` has it."""

    def random(self) -> float:
        """The next number."""
        ...


class Sender(Protocol):
    """One physical call, and nothing around it."""

    async def send(self, request: Request[Any], *, correlation_id: str, seconds: float) -> Reply:
        """The answer, whole, within that time. Raises NeverSent, BrokeOff or TooLarge."""
        ...

    async def close(self) -> None:
        """Give up connections."""
        ...


class HttpSender:
    """One HTTP client for one of Novita's hosts. The connection pool is made at the first call, inside the event loop."""

    def __init__(self, *, base_url: str, api_key: str, settings: NovitaSettings) -> None:
        self._base_url = base_url.rstrip("/")
        self._account_url = settings.account_address.rstrip("/")
        self._headers = {
            "Authorization": f"Bearer {api_key}",
            "User-Agent": f"novitai/{settings.version}",
            "Accept": "application/json",
        }
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def send(self, request: Request[Any], *, correlation_id: str, seconds: float) -> Reply:
        """See Sender."""
        progress = SimpleNamespace(sent=False)
        try:
            async with self._open().request(
                request.method,
                (self._account_url if request.breaker is BreakerName.ACCOUNT else self._base_url) + request.path,
                params=request.query,
                data=request.body,
                headers=headers_of(request, correlation_id),
                timeout=aiohttp.ClientTimeout(total=seconds, ceil_threshold=seconds + 1),
                proxy=self._settings.proxy,
                allow_redirects=False,
                trace_request_ctx=progress,
            ) as response:
                return Reply(
                    status=response.status,
                    body=await _read_capped(response),
                    content_type=response.headers.get("Content-Type", ""),
                    retry_after=response.headers.get("Retry-After"),
                    date=response.headers.get("Date"),
                )
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            if not progress.sent:
                raise NeverSent(_describe(error)) from None
            raise BrokeOff(_describe(error), timed_out=isinstance(error, TimeoutError)) from None

    async def close(self) -> None:
        """See Sender."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise NeverSent("this client is closed")
        if self._session is None:
            self._session = self._new_session()
        return self._session

    def _new_session(self) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_note_sent)
        ca_file = self._settings.ca_file
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._settings.pool_size,
                keepalive_timeout=_KEEP_ALIVE_SECONDS,
                ssl=ssl.create_default_context(cafile=ca_file) if ca_file else True,
            ),
            headers=self._headers,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[trace],
        )
        # The library quietly repeats a read whose kept connection was closed; such a call would escape limiter and breaker.
        session._retry_connection = False  # noqa: SLF001
        return session


class Transport:
    """Carries out calls of one client. `breakers` are those that people are shown for it."""

    def __init__(
        self,
        *,
        client: ClientName,
        sender: Sender,
        coordination: Coordination,
        clock: Clock,
        chance: Chance,
        journal: Journal,
        pacing: Pacing,
        rate_limit: int,
        breakers: tuple[str, ...],
        secrets: tuple[str, ...] = (),
    ) -> None:
        self._client = client
        self._sender = sender
        self._coordination = coordination
        self._clock = clock
        self._chance = chance
        self._journal = journal
        self._pacing = pacing
        self._breakers = breakers
        self._secrets = secrets
        self._budget = RetryBudget(BudgetSettings())
        self._room = WaitingRoom(
            SharedWindow(coordination, client.value), clock, pace=LimiterSettings(limit=rate_limit).pace
        )
        self._endings: set[asyncio.Task[None]] = set()
        self._cut_off: set[asyncio.Task[None]] = set()

    async def call(self, request: Request[T], call: Call) -> T:
        """The answer in our words. Raises ProviderFailure, and unchanged what `call.before_send` raises."""
        deadline: Deadline | None = None
        attempt = 0
        while True:
            attempt += 1
            slot = await self._admit(request, call, deadline)
            deadline = deadline or self._deadline(call)
            outcome = await self._attempt(request, call, deadline, slot)
            if not isinstance(outcome, ProviderFailure):
                self._budget.succeeded()
                return outcome
            await self._pause_or_give_up(request, call, outcome, deadline=deadline, attempt=attempt)

    async def view(self) -> UpstreamView:
        """The state of this client."""
        health = self._journal.health
        use = await self._coordination.window_use(self._client.value)
        return UpstreamView(
            client=self._client,
            enabled=True,
            reachable=health.reachable,
            last_success_at=health.last_success_at,
            last_failure_at=health.last_failure_at,
            last_error=health.last_error,
            auth_failed=health.auth_failed,
            breakers={name: await self._breaker_view(name) for name in self._breakers},
            limit=use.limit,
            window_seconds=use.window_seconds,
            used=use.used,
            queue_length=self._room.queue_length,
            oldest_wait_ms=self._room.oldest_wait_ms,
            latency_p50_ms=self._journal.latency_ms(0.50),
            latency_p99_ms=self._journal.latency_ms(0.99),
        )

    async def close(self) -> None:
        """Send waiting callers away and give up connections."""
        await self._room.close()
        await asyncio.gather(*self._endings)
        for late in self._cut_off:
            late.cancel()  # kept as under way, these slots are held for what a dead process had sent
        await self._sender.close()

    async def _admit(self, request: Request[Any], call: Call, deadline: Deadline | None) -> Slot:
        """Breaker, then limiter. A retry may wait no longer than its call has left."""
        now = self._clock.now()
        breaker = await self._coordination.breaker(request.breaker)
        if breaker.state == "OPEN" and breaker.retry_at is not None and breaker.retry_at > now:
            raise breaker_open(request.breaker, breaker.retry_at - now)
        patience = min(call.longest_wait, deadline.remaining(now)) if deadline else call.longest_wait
        try:
            return await self._room.acquire(Share(call.share.value), patience)
        except LimiterBusy as busy:
            raise limiter_full(busy.wait_seconds) from None

    def _deadline(self, call: Call) -> Deadline:
        seconds = self._pacing.request_timeout if call.deadline is None else call.deadline
        return Deadline.after(seconds, self._clock.now())

    async def _attempt(self, request: Request[T], call: Call, deadline: Deadline, slot: Slot) -> T | ProviderFailure:
        """Breaker again, the caller's last word, transport. A failure of the call is returned; what `before_send` raises
        is raised.
        """
        permit: BreakerPermit | None = None
        well: bool | None = None
        sent = cut_off = False
        try:
            permit = await self._coordination.permit(request.breaker)
            if not permit.allowed:
                raise breaker_open(request.breaker, max(0.0, (permit.retry_at or 0.0) - self._clock.now()))
            if call.before_send is not None:
                await call.before_send()
            seconds = deadline.remaining(self._clock.now())
            if seconds <= 0:
                raise too_late()
            sent = True
            outcome = await self._ask(request, call, seconds)
        except asyncio.CancelledError:
            cut_off = sent
            raise
        else:
            well = works(outcome) if isinstance(outcome, ProviderFailure) else True
            return outcome
        finally:
            if cut_off:
                self._settle_later(slot, deadline.remaining(self._clock.now()))
            await self._finish_surely(self._finish(request, slot, permit, sent=sent, well=well, settle=not cut_off))

    async def _ask(self, request: Request[T], call: Call, seconds: float) -> T | ProviderFailure:
        began = self._clock.now()
        reply: Reply | None = None
        outcome: T | ProviderFailure
        try:
            reply = await self._sender.send(request, correlation_id=call.correlation_id, seconds=seconds)
            outcome = self._judge(request, reply)
        except NeverSent as error:
            outcome = never_sent(str(error))
        except BrokeOff as error:
            outcome = broke_off(str(error), effect=request.effect, timed_out=error.timed_out)
        except TooLarge as error:
            outcome = unreadable(str(error), effect=request.effect, status=None)
        except asyncio.CancelledError:
            self._journal.cancelled(request, call, began=began)
            raise
        failure = outcome if isinstance(outcome, ProviderFailure) else None
        self._journal.ended(request, call, began=began, reply=reply, failure=failure)
        return outcome

    def _judge(self, request: Request[T], reply: Reply) -> T | ProviderFailure:
        if reply.succeeded:
            try:
                return request.read(reply.body)
            except EmptyRecord:
                return nothing_there(reply.status)
            except Unreadable as error:
                return unreadable(str(error), effect=request.effect, status=reply.status)
        return failure_of(
            reply,
            effect=request.effect,
            names_one=request.names_one,
            retry_after=parse_retry_after(reply.retry_after, now=self._clock.now(), cap=_LONGEST_RETRY_AFTER),
            secrets=self._secrets + request.secrets,
        )

    async def _pause_or_give_up(
        self, request: Request[Any], call: Call, failure: ProviderFailure, *, deadline: Deadline, attempt: int
    ) -> None:
        """Return when the call is to be repeated; raise the failure when it is not."""
        if attempt >= self._pacing.attempts or not may_repeat(failure, effect=request.effect):
            raise failure
        pause = failure.retry_after
        if pause is None:
            base, cap = self._pacing.base_delay, self._pacing.max_delay
            pause = delay(attempt, base=base, cap=cap, random01=self._chance.random())
        if pause >= deadline.remaining(self._clock.now()) or not self._budget.spend():
            raise failure
        self._journal.retrying(request, call, failure, attempt=attempt, pause=pause)
        await self._clock.sleep(pause)

    def _settle_later(self, slot: Slot, seconds: float) -> None:
        """Nobody waits for the answer any more, but what is on its way may arrive until the call would have been given up."""
        task = asyncio.ensure_future(self._settle_after(slot, seconds))
        self._cut_off.add(task)
        task.add_done_callback(self._cut_off.discard)

    async def _settle_after(self, slot: Slot, seconds: float) -> None:
        await self._clock.sleep(max(0.0, seconds))
        await self._room.settle(slot)

    async def _finish(
        self,
        request: Request[Any],
        slot: Slot,
        permit: BreakerPermit | None,
        *,
        sent: bool,
        well: bool | None,
        settle: bool,
    ) -> None:
        """A call that was held back uses up nothing: many are, while a probe is out."""
        if not sent:
            await self._room.release(slot)
        elif settle:
            await self._room.settle(slot)
        if permit is not None and permit.allowed:
            view = await self._coordination.report(request.breaker, permit, ok=well)
            self._journal.breaker_seen(request.breaker, view.state)

    async def _finish_surely(self, finish: Coroutine[Any, Any, None]) -> None:
        """Go through with it even when the caller is being cancelled: a slot that is never settled would be lost."""
        task = asyncio.ensure_future(finish)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
        await asyncio.shield(task)

    async def _breaker_view(self, name: str) -> UpstreamBreaker:
        seen = await self._coordination.breaker(name)
        return msgspec.convert(seen, UpstreamBreaker, from_attributes=True)


async def _note_sent(_session: aiohttp.ClientSession, context: SimpleNamespace, _parameters: object) -> None:
    context.trace_request_ctx.sent = True


async def _read_capped(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > _LARGEST_BODY:
            response.close()
            raise TooLarge("it is too large")
    return bytes(body)


def _describe(error: Exception) -> str:
    """The kind of failure without addresses: messages of the library can contain a proxy's password."""
    reason = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__
