"""The idle stop: its candidates and statistics, the link that postpones it, and what was measured of a machine."""

import asyncio
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from novitai.api import snooze_page
from novitai.api.access import Here, Parts
from novitai.api.idle_view import candidate_of, exempt_of
from novitai.api.parts import ApiParts
from novitai.api.routes.changing import require_control
from novitai.api.routing import Routes, json_answer
from novitai.api.schemas.auto_stop import (
    MetricsAnswer,
    MetricsQuery,
    SampleAnswer,
    SnoozeQuery,
    StatsAnswer,
    TriggerAnswer,
    TriggerBody,
)
from novitai.domain.automation import Part
from novitai.domain.errors import Code, Gone, ProviderFailure, Refusal
from novitai.domain.keys import Scope
from novitai.domain.metrics import Sample, Window
from novitai.domain.money import dollars
from novitai.domain.times import iso, iso_or_none
from novitai.operations.catalogue import upstream_refusal, upstream_timeout
from novitai.operations.snooze import LinkRefused, bearer_of_the_link
from novitai.policies.idle import Step
from novitai.ports.coordination import Share
from novitai.ports.provider import Call

ROUTES = Routes("auto-stop")
OPEN = Routes("auto-stop")
"""The link: whoever has it needs no key, and it is worth one postponement of one announcement."""

LOOK_SECONDS = 10.0
METRICS_SECONDS = 10.0
HTML = "text/html"
_LINK = {403: "The link is not one of ours", 410: "The link was used, or its time is over"}


@ROUTES.add("GET", "/api/instances/auto-stop/stats", needs=Scope.READ, answer=StatsAnswer)
async def auto_stop_stats(parts: Parts) -> Response:
    """What the idle stop checked, announced and stopped, and what that saved."""
    idle, stats = parts.idleness, await parts.idleness.stats()
    paused = parts.automation.paused(Part.IDLE)
    return json_answer(
        StatsAnswer(
            enabled=idle.usual.enabled,
            dry_run=idle.usual.dry_run,
            paused=paused,
            scheduler_running=idle.usual.enabled and not paused,
            check_interval_minutes=parts.settings.idle_interval / 60.0,
            default_inactivity_threshold_minutes=idle.usual.idle_seconds / 60.0,
            default_warn_minutes=idle.usual.warn_seconds / 60.0,
            checks=stats.checks,
            checked=stats.checked,
            last_check_at=iso_or_none(stats.last_check_at),
            warned=stats.warned,
            postponed=stats.postponed,
            stopped=stats.stopped,
            deleted=stats.deleted,
            usd_saved=dollars(stats.saved),
        )
    )


@ROUTES.add("POST", "/api/instances/auto-stop/trigger", needs=Scope.WRITE, answer=TriggerAnswer)
async def trigger_auto_stop(parts: Parts, visit: Here, body: TriggerBody | None = None) -> Response:
    """List every candidate with the value and age of every signal, read anew as far as the cap on reading allows.

    With `dryRun` false, what is due is also done, as soon as the loop gets to it.
    """
    dry = (body or TriggerBody()).dry_run
    if not dry:
        require_control(parts)
        await parts.ledger.write_down(visit.context(), "auto-stop.trigger", target="instances")
        parts.check_idle()
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            judged = await parts.idleness.look()
    except TimeoutError:
        judged = parts.idleness.all()
    now = parts.clock.now()
    held = [one for one in judged if one.verdict.step is not Step.EXEMPT]
    held.sort(key=lambda one: (one.verdict.idle_since or now, one.snapshot.instance.id))
    return json_answer(
        TriggerAnswer(
            message="this is how things stand" if dry else "what is due is being done",
            dry_run=dry,
            timestamp=iso(now),
            checked=len(judged),
            candidates=[candidate_of(one, now=now) for one in held],
            exempt=[exempt_of(one) for one in judged if one.verdict.step is Step.EXEMPT],
        )
    )


@ROUTES.add(
    "GET",
    "/api/instances/{instance_id:reference}/metrics",
    needs=Scope.READ,
    answer=MetricsAnswer,
    others={
        404: "There is no such instance",
        409: "It has no machine",
        502: "Novita failed",
        504: "Novita did not answer in time",
    },
)
async def instance_metrics(instance_id: str, parts: Parts, query: Annotated[MetricsQuery, Query()]) -> Response:
    """How much of the machine is in use, asked of Novita now."""
    instance = (await parts.verbs.resolve(instance_id)).instance
    machine = instance.serving
    if machine is None:
        raise Refusal(Code.INVALID_STATE, f"instance {instance.id} has no machine")
    now = parts.clock.now()
    window = Window(since=now - query.minutes * 60.0, until=now, interval=query.interval)
    call = Call(share=Share.ACT, longest_wait=METRICS_SECONDS / 2, deadline=METRICS_SECONDS)
    try:
        async with asyncio.timeout(METRICS_SECONDS):
            found = await parts.provider.metrics(machine.id, window, call)
    except TimeoutError:
        raise upstream_timeout("the metrics") from None
    except Gone:
        raise Refusal(Code.INVALID_STATE, f"Novita has no machine {machine.id} any more") from None
    except ProviderFailure as failure:
        raise upstream_refusal(failure, what="the metrics") from failure
    return json_answer(
        MetricsAnswer(
            instance_id=instance.id,
            novita_instance_id=machine.id,
            gpu=_samples(found.gpu),
            gpu_memory=_samples(found.gpu_memory),
            cpu=_samples(found.cpu),
            memory=_samples(found.memory),
            disk=_samples(found.disk),
        )
    )


@OPEN.add("GET", "/api/instances/{instance_id:reference}/snooze", needs=None, media=HTML, others=_LINK)
async def show_snooze(instance_id: str, parts: Parts, query: Annotated[SnoozeQuery, Query()]) -> Response:
    """The page behind the link of an announcement. Looking at it changes nothing."""
    try:
        warned = await parts.snooze.announced(instance_id, query.token)
    except LinkRefused as refused:
        return snooze_page.refused(refused)
    return snooze_page.offered(warned, name=_name(parts, instance_id))


@OPEN.add("POST", "/api/instances/{instance_id:reference}/snooze", needs=None, media=HTML, others=_LINK)
async def follow_snooze(
    instance_id: str, parts: Parts, visit: Here, query: Annotated[SnoozeQuery, Query()]
) -> Response:
    """Postpone what was announced: this moment counts like a use. Works once."""
    context = bearer_of_the_link(
        correlation_id=visit.correlation_id, request_id=visit.request_id, address=visit.address
    )
    try:
        until = await parts.snooze.postpone(instance_id, query.token, context)
    except LinkRefused as refused:
        return snooze_page.refused(refused)
    return snooze_page.postponed(until, name=_name(parts, instance_id))


def _name(parts: ApiParts, instance_id: str) -> str:
    snapshot = parts.reads.get(instance_id)
    return snapshot.instance.name if snapshot is not None else instance_id


def _samples(series: tuple[Sample, ...]) -> list[SampleAnswer]:
    return [SampleAnswer(at=iso(sample.at), value=sample.value) for sample in series]
