"""What every part stands on: settings, clocks, ids, the open store, sealing, coordination, the way to Novita.

Every adapter can be replaced by a test: what `Replaced` holds is used instead of the real one.
"""

from dataclasses import dataclass

from novitai.app import groups
from novitai.app.identity import installation_id
from novitai.app.sealing import check_key, keyring_of
from novitai.config import Settings
from novitai.coordination.local import LocalCoordination
from novitai.egress.client import EgressClient
from novitai.novita.provider import NovitaProvider
from novitai.ports.coordination import Coordination
from novitai.ports.provider import Provider
from novitai.ports.store import Store
from novitai.ports.world import Clock, Ids, Sealer
from novitai.stores.measured import MeasuredStore
from novitai.stores.sqlite import open_sqlite
from novitai.telemetry.metrics import Metrics
from novitai.world import SteadyClock, SystemClock, SystemIds


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """What a test puts in place of the real thing."""

    clock: Clock | None = None
    steady: Clock | None = None
    ids: Ids | None = None
    store: Store | None = None
    provider: Provider | None = None
    egress: EgressClient | None = None


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """What everything stands on."""

    settings: Settings
    clock: Clock
    steady: Clock
    ids: Ids
    owner: str
    installation: str
    store: MeasuredStore
    sealer: Sealer
    coordination: Coordination
    provider: Provider
    metrics: Metrics
    egress: EgressClient | None = None
    """In place of the guarded clients of webhooks and health checks."""


async def lay(settings: Settings, replaced: Replaced) -> Foundation:
    """Open what lies on disk and make the clients. Raises StoreError, OSError or ValueError when the ground is
    missing.
    """
    clock, ids = replaced.clock or SystemClock(), replaced.ids or SystemIds()
    metrics = Metrics()
    in_memory = settings.store.database is None
    if not in_memory:
        settings.store.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = replaced.store or await open_sqlite(settings.store.database, clock=clock)
    store = MeasuredStore(
        engine,
        told=lambda outcome, seconds: metrics.committed(outcome=outcome, seconds=seconds),
        slow_seconds=settings.logging.slow_operation,
    )
    sealer = keyring_of(settings)
    if not in_memory:
        await check_key(store, sealer)
    coordination = LocalCoordination(
        clock=clock,
        limits={"public": settings.upstream.rate_limit, "internal": settings.upstream.internal_rate_limit},
        breaker=groups.breaker(settings),
        data_dir=None if in_memory else settings.store.data_dir,
        steady=SteadyClock() if replaced.clock is None else None,
    )
    provider = replaced.provider or NovitaProvider(
        groups.novita(settings), coordination=coordination, clock=clock, chance=ids, telemetry=metrics
    )
    return Foundation(
        settings=settings,
        clock=clock,
        steady=replaced.steady or (SteadyClock() if replaced.clock is None else clock),
        ids=ids,
        owner=ids.new("process"),
        installation=await installation_id(store, ids, settings.store.installation_id),
        store=store,
        sealer=sealer,
        coordination=coordination,
        provider=provider,
        metrics=metrics,
        egress=replaced.egress,
    )
