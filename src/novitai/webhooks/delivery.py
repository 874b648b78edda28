"""One attempt of one delivery: sign, send, record, schedule the next.

At least once: the attempt is made first and its result committed after, so a crash between the two repeats it, with the
same event id and the same bytes. A final answer (any 4xx but 408, 425 and 429) or the end of the schedule makes a
delivery dead: kept, shown, replayable.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import structlog

from novitai.domain.delivery import GLOBAL_ENDPOINT, KEPT_ATTEMPTS, Delivery, DeliveryAttempt, DeliveryStatus
from novitai.domain.secrets import Sealed
from novitai.egress.answers import Answer
from novitai.egress.client import EgressClient
from novitai.egress.errors import AddressRefused, EgressError, InvalidUrl, TimedOut
from novitai.operations import records
from novitai.policies.backoff import delivery_delay
from novitai.ports.store import Claim, Commit, Conflict, Finish, JobStatus, Requeue, Store
from novitai.ports.world import Clock, Ids, Sealer
from novitai.resilience.retry import parse_retry_after
from novitai.webhooks.signature import headers as signed_headers
from novitai.webhooks.slow import PATIENCE, Endpoints, Place, Standing

log = structlog.get_logger("novitai.webhooks")

LONGEST_RETRY_AFTER = 3600.0
ANSWER_LIMIT = 16_384
CONTENT_TYPE = "application/json"
UNREADABLE_SECRET = "secret_unreadable"  # noqa: S105 - a kind of error, not a secret


@dataclass(frozen=True)
class WebhookSettings:
    """`schedule`: seconds before each retry. `retry_on`: the statuses that are tried again; no answer at all always
    is.
    """

    url: str | None = None
    secret: str | None = None
    schedule: tuple[float, ...] = (1.0, 2.0, 4.0, 30.0, 300.0)
    retry_on: frozenset[int] = frozenset({*range(300, 400), 408, 425, 429, *range(500, 600)})
    timeout: float = 15.0
    user_agent: str = "novitai-webhooks/1"


class Deliveries:
    """Handler of the lane `deliveries`."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        ids: Ids,
        sealer: Sealer,
        egress: EgressClient,
        settings: WebhookSettings,
        told: Callable[[str, float | None], None],
        step_aside: Callable[[Claim], None],
    ) -> None:
        """`step_aside` gives the lane's place of a claim to another job while its attempt goes on. `told` is given the
        outcome of each attempt and, of one that delivered, its lag behind the event in seconds.

        Outcomes: `delivered`; `blocked` (the address is not one we call), `retry` (to be tried again), `refused` (for
        good).
        """
        self._store = store
        self._clock = clock
        self._ids = ids
        self._sealer = sealer
        self._egress = egress
        self._settings = settings
        self._told = told
        self._step_aside = step_aside
        self.endpoints = Endpoints()
        self.unsigned = 0
        """Attempts that went out without a signature, because there is no secret."""

    async def handle(self, claim: Claim) -> None:
        """Make one attempt and commit what came of it."""
        delivery_id = claim.key.partition(":")[2]
        record = await self._store.get(records.DELIVERY, delivery_id)
        if record is None:
            await self._store.commit(Commit(finish=Finish(claim=claim)))
            return
        delivery = records.read_delivery(record)
        structlog.contextvars.bind_contextvars(correlationId=delivery.correlation_id, instanceId=delivery.instance_id)
        if delivery.status is not DeliveryStatus.PENDING:
            await self._store.commit(Commit(finish=Finish(claim=claim)))
            return
        url, secret = self._destination(delivery)
        place = self.endpoints.enter(url, self._clock.now())
        if place is None:
            await self._wait_for_place(claim, url)
            return
        with place, self._patience(claim, place):
            attempt, answer = await self._attempt(delivery, url, secret)
            place.ended(timed_out=attempt.status is None and attempt.error.startswith(TimedOut.kind))
        await self._record(claim, delivery, record.version, attempt, answer)

    @contextmanager
    def _patience(self, claim: Claim, place: Place) -> Iterator[None]:
        """In here the lane's place is given back once the attempt takes long, or at once when it never had one."""
        if place.aside:
            self._step_aside(claim)

        async def run_out() -> None:
            while not place.slow and not place.aside:
                await self._clock.sleep(PATIENCE)
                if place.step_aside():
                    self._step_aside(claim)

        timer = asyncio.create_task(run_out(), name=f"patience with {claim.key}")
        try:
            yield
        finally:
            timer.cancel()

    async def _wait_for_place(self, claim: Claim, url: str) -> None:
        now = self._clock.now()
        due = self.endpoints.turn(url, now, seconds=self._settings.timeout)
        requeue = Requeue(due=due, type=claim.type, id=claim.id, priority=claim.priority)
        await self._store.commit(Commit(finish=Finish(claim=claim, requeue=requeue)))

    async def _attempt(
        self, delivery: Delivery, url: str, secret: str | Sealed | None
    ) -> tuple[DeliveryAttempt, Answer | None]:
        at = self._clock.now()
        body = delivery.body.encode()
        try:
            secrets = self._opened(secret)
        except ValueError as error:
            return DeliveryAttempt(at=at, duration_ms=0.0, error=f"{UNREADABLE_SECRET}: {error}"), None
        if not secrets:
            self.unsigned += 1
        sent = {
            "Content-Type": CONTENT_TYPE,
            "User-Agent": self._settings.user_agent,
            **signed_headers(
                event_id=delivery.event_id,
                timestamp=int(at),
                body=body,
                secrets=secrets,
                correlation_id=delivery.correlation_id or None,
            ),
        }
        began = time.perf_counter()
        try:
            answer = await self._egress.post(
                url, body, sent, deadline_seconds=self._settings.timeout, max_body=ANSWER_LIMIT
            )
        except EgressError as error:
            elapsed = (time.perf_counter() - began) * 1000
            return DeliveryAttempt(at=at, duration_ms=round(elapsed, 3), error=f"{error.kind}: {error}"), None
        return DeliveryAttempt(at=at, duration_ms=round(answer.elapsed_ms, 3), status=answer.status), answer

    def _destination(self, delivery: Delivery) -> tuple[str, str | Sealed | None]:
        """Address and secret now: the global endpoint's come from the settings, a request's from the delivery."""
        endpoint = delivery.endpoint
        url = (self._settings.url or endpoint.url) if endpoint.id == GLOBAL_ENDPOINT else endpoint.url
        return url, endpoint.secret if endpoint.secret is not None else self._settings.secret

    def _opened(self, secret: str | Sealed | None) -> Sequence[str]:
        """Raises ValueError for one that was sealed with another key."""
        if isinstance(secret, Sealed):
            return (self._sealer.open(secret),)
        return (secret,) if secret else ()

    async def _record(
        self, claim: Claim, delivery: Delivery, version: int, attempt: DeliveryAttempt, answer: Answer | None
    ) -> None:
        now = self._clock.now()
        noted = msgspec.structs.replace(delivery, attempts=(*delivery.attempts, attempt)[-KEPT_ATTEMPTS:])
        if attempt.status is not None and 200 <= attempt.status < 300:
            self._told("delivered", now - delivery.created_at)
            log.info(
                "webhook_delivered", type=delivery.event_type, endpoint=delivery.endpoint.id, status=attempt.status
            )
            ended = msgspec.structs.replace(noted, status=DeliveryStatus.DELIVERED, next_at=None, ended_at=now)
            await self._commit(ended, version, Finish(claim=claim))
            return
        failures = delivery.failures + 1
        why = attempt.error or f"answered {attempt.status}"
        delay = self._delay(failures, attempt, answer, now) if self._retried(attempt) else None
        if delay is None:
            self._told(_unlucky(attempt, otherwise="refused"), None)
            log.error("webhook_given_up", type=delivery.event_type, endpoint=delivery.endpoint.id, error=why)
            dead = msgspec.structs.replace(
                noted, status=DeliveryStatus.DEAD, failures=failures, next_at=None, ended_at=now
            )
            await self._commit(dead, version, Finish(claim=claim, status=JobStatus.FAILED, error=why))
            return
        delay = max(delay, self._queued(delivery, now))
        self._told(_unlucky(attempt, otherwise="retry"), None)
        log.warning("webhook_attempt_failed", type=delivery.event_type, error=why, retryInSeconds=round(delay, 1))
        waiting = msgspec.structs.replace(noted, failures=failures, next_at=now + delay)
        requeue = Requeue(
            due=now + delay, type=claim.type, id=claim.id, priority=claim.priority, keep_attempts=True, error=why
        )
        await self._commit(waiting, version, Finish(claim=claim, requeue=requeue))

    def _queued(self, delivery: Delivery, now: float) -> float:
        """Seconds until an endpoint that timed out has its turn: to come earlier would only be to be put off."""
        url, _ = self._destination(delivery)
        if self.endpoints.standing(url) is not Standing.TIMED_OUT:
            return 0.0
        return self.endpoints.turn(url, now, seconds=self._settings.timeout) - now

    async def _commit(self, delivery: Delivery, version: int, finish: Finish) -> None:
        try:
            await self._store.commit(Commit(puts=(records.put_delivery(delivery, expect=version),), finish=finish))
        except Conflict as conflict:
            if type(conflict) is not Conflict:
                raise
            # Replayed by hand meanwhile: that goes on by its own wake.
            log.info("delivery_changed_meanwhile", deliveryId=delivery.id)
            await self._store.commit(Commit(finish=finish))

    def _retried(self, attempt: DeliveryAttempt) -> bool:
        status = attempt.status
        if status is None:
            return not attempt.error.startswith(InvalidUrl.kind)
        return status in self._settings.retry_on

    def _delay(self, failures: int, attempt: DeliveryAttempt, answer: Answer | None, now: float) -> float | None:
        asked = None
        if answer is not None and attempt.status in {429, 503}:
            asked = parse_retry_after(answer.headers.get("retry-after"), now=now, cap=LONGEST_RETRY_AFTER)
        return delivery_delay(self._settings.schedule, failures, random=self._ids.random(), retry_after=asked)


def _unlucky(attempt: DeliveryAttempt, *, otherwise: str) -> str:
    return "blocked" if attempt.error.startswith(AddressRefused.kind) else otherwise
