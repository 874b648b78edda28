"""Settings, group by group, as each part wants them: parts receive plain values of their own and never the whole."""

from importlib import metadata

from pydantic import SecretStr

from novitai.api.parts import ApiSettings
from novitai.config import Settings
from novitai.domain.idle import IdleRule
from novitai.domain.instance import HealthCheck
from novitai.domain.machine import BillingMode
from novitai.domain.migration import MoveRule
from novitai.domain.money import Usd
from novitai.domain.offers import Placement
from novitai.domain.prices import PriceAlert
from novitai.novita.settings import NovitaSettings, Pacing
from novitai.operations.ceilings import Ceilings
from novitai.operations.creation import PlacementDefaults
from novitai.policies.steps import Limits
from novitai.policies.strays import ExtraMachines
from novitai.reconcilers.adoption import AdoptionSettings
from novitai.reconcilers.costs import CostSettings
from novitai.reconcilers.health import ProbeSettings
from novitai.reconcilers.lifecycle import LifecycleSettings
from novitai.reconcilers.observer import ObserverSettings
from novitai.resilience.breaker import BreakerSettings
from novitai.webhooks.delivery import WebhookSettings

OBSERVE_PART = 0.30
"""The observer's guaranteed part of the public window."""
BULK_PART = 0.65
"""What creates can count on of the window while nobody acts: the rest is the observer's, and a float for people."""


def revealed(secret: SecretStr | None) -> str | None:
    """The text of a secret, for the part that needs it."""
    return secret.get_secret_value() if secret is not None else None


def novita(settings: Settings) -> NovitaSettings:
    """How Novita is called."""
    upstream = settings.upstream
    return NovitaSettings(
        api_key=revealed(settings.novita.api_key) or "",
        api_base_url=settings.novita.api_base_url,
        internal_api_key=revealed(settings.novita.internal_api_key),
        internal_api_base_url=settings.novita.internal_api_base_url,
        account_base_url=settings.novita.metrics_base_url or "",
        pacing=Pacing(
            request_timeout=upstream.request_timeout,
            attempts=upstream.max_retry_attempts,
            base_delay=upstream.retry_base_delay,
            max_delay=upstream.retry_max_delay,
        ),
        pool_size=upstream.pool_size,
        rate_limit=upstream.rate_limit,
        internal_rate_limit=upstream.internal_rate_limit,
        slow_ms=settings.logging.slow_operation * 1000,
        proxy=upstream.proxy,
        ca_file=str(upstream.ca_file) if upstream.ca_file else None,
    )


def placement(settings: Settings) -> PlacementDefaults:
    """What holds when a request does not say."""
    cap = settings.placement.default_max_price_per_hour
    return PlacementDefaults(
        region=settings.placement.default_region,
        allowed_regions=settings.placement.allowed_regions,
        placement=Placement(settings.placement.default_placement),
        max_price_per_hour=Usd(cap) if cap is not None else None,
    )


def health_check(settings: Settings) -> HealthCheck:
    """The usual health check."""
    health = settings.health
    return HealthCheck(
        timeout_ms=round(health.timeout * 1000),
        retry_attempts=health.retry_attempts,
        retry_delay_ms=round(health.retry_delay * 1000),
        max_wait_time_ms=round(health.max_wait_time * 1000),
    )


def ceilings(settings: Settings) -> Ceilings:
    """The installation's limits."""
    usd = settings.ceilings.max_usd_per_hour
    return Ceilings(instances=settings.ceilings.max_instances, usd_per_hour=Usd(usd) if usd is not None else None)


def price_alerts(settings: Settings) -> tuple[PriceAlert, ...]:
    """Prices that somebody wants to hear of."""
    return tuple(
        PriceAlert(
            text=str(alert),
            product_name=alert.product_name,
            billing_mode=BillingMode(alert.mode) if alert.mode else None,
            below=Usd(alert.below),
        )
        for alert in settings.prices.alerts
    )


def breaker(settings: Settings) -> BreakerSettings:
    """When calls to Novita pause."""
    asked = settings.breaker
    return BreakerSettings(
        failure_threshold=asked.failure_threshold,
        open_seconds=asked.open_seconds,
        success_threshold=asked.success_threshold,
    )


def probes(settings: Settings) -> ProbeSettings:
    """How applications are asked."""
    return ProbeSettings(interval=settings.health.interval)


def lifecycle(settings: Settings) -> LifecycleSettings:
    """Times that bound a start, and whether anything may be changed at all."""
    return LifecycleSettings(
        limits=Limits(
            startup_timeout=settings.lifecycle.startup_timeout,
            pull_timeout=settings.lifecycle.pull_timeout,
            settle_time=settings.novita.settle_time,
        ),
        observe=observes(settings),
    )


def observes(settings: Settings) -> bool:
    """`NOVITAI_MODE=observe`."""
    return settings.novita.mode == "observe"


def idle_rule(settings: Settings) -> IdleRule:
    """When what nobody uses is stopped, unless an instance says otherwise. Who only observes acts out nothing."""
    asked = settings.auto_stop
    return IdleRule(
        enabled=asked.enabled,
        dry_run=asked.dry_run or observes(settings),
        idle_seconds=asked.threshold,
        warn_seconds=asked.warn,
    )


def move_rule(settings: Settings) -> MoveRule:
    """What is done about machines that Novita takes back, unless an instance says otherwise. Who only observes moves nothing."""
    asked = settings.migration
    return MoveRule(enabled=asked.enabled, dry_run=asked.dry_run or observes(settings))


def observer(settings: Settings, installation: str) -> ObserverSettings:
    """How Novita is watched."""
    return ObserverSettings(
        installation=installation,
        quiet_interval=settings.lifecycle.poll_interval,
        fast_interval=settings.lifecycle.fast_poll_interval,
        settle_time=settings.novita.settle_time,
        extra_machines=ExtraMachines("report" if observes(settings) else settings.novita.extra_machines),
        calls_per_minute=max(1.0, settings.upstream.rate_limit * OBSERVE_PART),
    )


def adoption(settings: Settings, installation: str) -> AdoptionSettings:
    """How often the account is audited, and what is ours on it."""
    return AdoptionSettings(installation=installation, interval=settings.lifecycle.sync_interval)


def costs(settings: Settings) -> CostSettings:
    """How the ledger is held against Novita's bill and balance."""
    asked = settings.costs
    return CostSettings(bill_delay=asked.bill_delay, balance_alert_hours=asked.balance_alert_hours)


def api(settings: Settings) -> ApiSettings:
    """What callers may do and see."""
    return ApiSettings(
        version=metadata.version("novitai"),
        production=settings.server.production,
        allowed_origins=settings.inbound.allowed_origins,
        trusted_proxies=settings.inbound.trusted_proxies,
        rate_limit_window=settings.inbound.rate_limit_window,
        rate_limit_max_requests=settings.inbound.rate_limit_max_requests,
        slow_seconds=settings.logging.slow_operation,
        observe=observes(settings),
        metrics_public=settings.inbound.metrics_public,
        name_lookup=settings.lifecycle.name_lookup,
        tls=settings.server.tls_cert_file is not None,
        health_check=health_check(settings),
        move_rule=move_rule(settings),
        idle_interval=settings.auto_stop.interval,
    )


def webhooks(settings: Settings) -> WebhookSettings:
    """How others are told."""
    asked = settings.webhooks
    return WebhookSettings(
        url=asked.url,
        secret=revealed(asked.secret),
        schedule=asked.retry_schedule,
        retry_on=asked.retry_on,
        timeout=asked.timeout,
    )
