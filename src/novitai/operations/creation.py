"""Create: from a request to a durable intent. Everything that can be known to be wrong is said here, before any
money is spent.
"""

from collections.abc import Callable, Sequence

import msgspec

from novitai.domain.change import Change, fact
from novitai.domain.costs import Meter
from novitai.domain.errors import Code, Refusal, invalid
from novitai.domain.events import FactType
from novitai.domain.ids import InstanceId
from novitai.domain.instance import (
    CheckType,
    Desired,
    DesiredState,
    HealthCheck,
    Instance,
    Operation,
    Phase,
    Spec,
    Verb,
    WebhookTarget,
)
from novitai.domain.lifecycle import State
from novitai.domain.money import Usd, dollars
from novitai.domain.offers import Catalogue, Objection, Offer, Placement, Ranked, Requirement
from novitai.domain.schedule import Ttl
from novitai.domain.templates import Template
from novitai.operations.account import Account
from novitai.operations.catalogue import CatalogueBook
from novitai.operations.ceilings import Room
from novitai.operations.ledger import Ledger
from novitai.operations.reads import RESERVED_NAMES, ReadModel
from novitai.operations.requests import AnswerToCreate, CheckRequest, Context, Created, CreateRequest, Plan
from novitai.policies import placement
from novitai.ports.store import Put
from novitai.ports.world import Sealer

USUAL_BOOT_SECONDS = 180.0
DEFAULT_ROOTFS_GB = 60


class PlacementDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """What holds when a request does not say: regions as people write them."""

    region: str | None = None
    allowed_regions: tuple[str, ...] = ()
    placement: Placement = Placement.CHEAPEST
    max_price_per_hour: Usd | None = None


class Creation:
    """Accepts creates."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        reads: ReadModel,
        catalogue: CatalogueBook,
        account: Account,
        sealer: Sealer,
        defaults: PlacementDefaults,
        health: HealthCheck,
        barred: Callable[[str], str | None],
        room: Room,
        creates_per_minute: float,
    ) -> None:
        """`barred` says why webhooks cannot go to a URL, judged by its text."""
        self._ledger = ledger
        self._reads = reads
        self._catalogue = catalogue
        self._account = account
        self._sealer = sealer
        self._defaults = defaults
        self._health = health
        self._barred = barred
        self.room = room
        self._creates_per_minute = creates_per_minute

    async def create(self, request: CreateRequest, context: Context, answer: AnswerToCreate) -> Created:
        """Accept a create: durable before it returns. `answer` gives what an idempotent repeat will be told."""
        spec, catalogue = await self._specify(request)
        ranked = self.rank(catalogue, spec.requirement)
        offer = _choose(ranked, spec.requirement, catalogue, waits=request.wait_for_capacity_seconds is not None)
        created = Created(instance=self._instance(request.name, spec, offer, context, ranked=ranked), ranked=ranked)
        with self.room.taken(created.instance, context.actor):
            puts: tuple[Put, ...] = ()
            if context.draft is not None:
                puts = (context.draft.put(answer(created), now=created.instance.created_at),)
            told = fact(
                FactType.CREATING,
                created.instance,
                before=None,
                at=created.instance.created_at,
                actor=context.actor.by,
                reason="accepted",
            )
            change = Change(instance=created.instance, facts=(told,))
            noted = self._ledger.note(
                context,
                "instance.create",
                target=created.instance.id,
                name=request.name,
                product=offer.product_name,
                region=offer.region,
                billingMode=str(offer.billing_mode),
                pricePerHour=dollars(offer.price_per_hour),
            )
            wakes = (self._ledger.wake(created.instance),)
            written = await self._ledger.commit(0, change, puts=puts, appends=(noted,), wakes=wakes)
        return Created(instance=written.snapshot.instance, ranked=ranked)

    async def plan(self, request: CreateRequest, context: Context) -> Plan:
        """What `create` would do, with nothing written and nothing bought."""
        spec, catalogue = await self._specify(request)
        ranked = self.rank(catalogue, spec.requirement)
        offer = _choose(ranked, spec.requirement, catalogue, waits=request.wait_for_capacity_seconds is not None)
        self.room.check(self._instance(request.name, spec, offer, context, ranked=ranked), context.actor)
        return Plan(offer=offer, ranked=ranked)

    def rank(self, catalogue: Catalogue, requirement: Requirement) -> tuple[Ranked, ...]:
        """The offers for a requirement as they stand now."""
        now = self._ledger.clock.now()
        return placement.rank(catalogue, requirement, now=now, cooling=self._catalogue.cooling())

    async def requirement(
        self, request: CreateRequest, *, rootfs_gb: int | None = None
    ) -> tuple[Requirement, Catalogue]:
        """The request's constraints in Novita's cluster ids. Raises Refusal REGION_NOT_FOUND."""
        catalogue = await self._catalogue.for_acceptance()
        words = request.regions or self._defaults.allowed_regions
        preferred = catalogue.region(self._defaults.region) if self._defaults.region else None
        cap = request.max_price_per_hour
        requirement = Requirement(
            product_name=request.product_name,
            product_id=request.product_id,
            gpu_num=request.gpu_num,
            rootfs_gb=rootfs_gb or request.rootfs_gb or DEFAULT_ROOTFS_GB,
            billing=request.billing,
            regions=tuple(_region(catalogue, word) for word in words),
            preferred=preferred.cluster_id if preferred else None,
            placement=request.placement or self._defaults.placement,
            max_price_per_hour=cap if cap is not None else self._defaults.max_price_per_hour,
        )
        return requirement, catalogue

    def health_check(self, asked: CheckRequest) -> HealthCheck:
        """The check as asked, over the settings."""
        usual = self._health
        return HealthCheck(
            type=CheckType(asked.type) if asked.type else None,
            port=asked.port,
            path=asked.path or usual.path,
            expect_status=asked.expect_status,
            expect_body=asked.expect_body,
            timeout_ms=asked.timeout_ms if asked.timeout_ms is not None else usual.timeout_ms,
            retry_attempts=asked.retry_attempts if asked.retry_attempts is not None else usual.retry_attempts,
            retry_delay_ms=asked.retry_delay_ms if asked.retry_delay_ms is not None else usual.retry_delay_ms,
            max_wait_time_ms=asked.max_wait_time_ms if asked.max_wait_time_ms is not None else usual.max_wait_time_ms,
        )

    def target(self, url: str | None, secret: str | None) -> WebhookTarget | None:
        """A request's own endpoint, its secret sealed. Raises Refusal for an address that would not be called."""
        if url is None:
            return None
        why = self._barred(url)
        if why is not None:
            raise invalid("webhookUrl", why)
        return WebhookTarget(url=url, secret=self._sealer.seal(secret) if secret else None)

    def estimate(self, now: float, *, calls_ahead: int) -> float:
        """When an instance will be ready if all goes as usual, with the creates that wait for the limiter before it."""
        return now + USUAL_BOOT_SECONDS + calls_ahead * 60.0 / self._creates_per_minute

    async def _specify(self, request: CreateRequest) -> tuple[Spec, Catalogue]:
        if request.name in RESERVED_NAMES:
            raise invalid("name", f"{request.name!r} is a word of the API's paths; choose another")
        template = await self._account.template(request.template_id) if request.template_id is not None else None
        rootfs = request.rootfs_gb or (template.rootfs_gb if template else 0) or DEFAULT_ROOTFS_GB
        requirement, catalogue = await self.requirement(request, rootfs_gb=rootfs)
        spec = self._spec(request, template, requirement)
        if spec.image_auth_id:
            await self._account.require_registry_auth(spec.image_auth_id)
        if spec.network_storages:
            spec = await self._near_storages(spec, catalogue)
        _check_port(spec)
        return spec, catalogue

    def _spec(self, request: CreateRequest, template: Template | None, requirement: Requirement) -> Spec:
        image_url = request.image_url or (template.image_url if template else "")
        if not image_url:
            raise invalid("imageUrl", "name an image, or a template that has one")
        envs = dict(template.envs) if template else {}
        envs |= dict(request.envs or ())
        ports = request.ports if request.ports is not None else (template.ports if template else ())
        return Spec(
            requirement=requirement,
            image_url=image_url,
            template_id=request.template_id,
            ports=ports,
            envs=tuple((key, self._sealer.seal(value)) for key, value in envs.items()),
            command=_said(request.command, template.command if template else ""),
            entrypoint=_said(request.entrypoint, template.entrypoint if template else ""),
            image_auth_id=_said(request.image_auth_id, template.image_auth_id if template else ""),
            network_storages=request.network_storages,
            labels=request.labels,
            health_check=self.health_check(request.health_check),
            webhook=self.target(request.webhook_url, request.webhook_secret),
            wait_for_capacity_seconds=request.wait_for_capacity_seconds,
            protect=request.protect,
            auto_stop=request.auto_stop,
            migration=request.migration,
            ttl=None if request.ttl_seconds is None else Ttl(seconds=request.ttl_seconds),
            schedule=request.schedule,
            budget=request.budget,
        )

    async def _near_storages(self, spec: Spec, catalogue: Catalogue) -> Spec:
        """A network volume can be mounted only in its own region: that region is the only one allowed."""
        known = {storage.id: storage for storage in await self._account.network_storages()}
        clusters: set[str] = set()
        for storage_id, _ in spec.network_storages:
            if storage_id not in known:
                message = f"there is no network volume {storage_id!r} in the account"
                raise Refusal(Code.NETWORK_STORAGE_NOT_FOUND, message)
            clusters.add(known[storage_id].cluster_id)
        asked = set(spec.requirement.regions)
        if len(clusters) > 1 or (asked and not clusters & asked):
            names = ", ".join(sorted(region.name for region in catalogue.regions if region.cluster_id in clusters))
            raise invalid(
                "networkStorages", f"the volumes lie in {names}; a machine must be in the region of its volumes"
            )
        near = msgspec.structs.replace(spec.requirement, regions=tuple(clusters))
        return msgspec.structs.replace(spec, requirement=near)

    def _instance(self, name: str, spec: Spec, offer: Offer, context: Context, *, ranked: Sequence[Ranked]) -> Instance:
        now = self._ledger.clock.now()
        by = context.actor.by
        return Instance(
            id=InstanceId(self._ledger.ids.new("inst")),
            name=name,
            owner=context.actor.owner,
            created_at=now,
            spec=spec,
            offer=offer,
            desired=Desired(state=DesiredState.RUNNING, by=by, reason="created", at=now),
            operation=Operation(
                id=self._ledger.ids.new("op"),
                verb=Verb.CREATE,
                by=by,
                reason="created",
                requested_at=now,
                correlation_id=context.correlation_id,
                estimated_ready_at=self.estimate(now, calls_ahead=self._reads.backlog()),
                phases=((Phase.START_REQUESTED, now),),
            ),
            state=State.CREATING,
            state_since=now,
            meter=Meter(dearest=max((place.offer.price_per_hour for place in ranked if place.fits), default=None)),
        )


def _said(asked: str | None, usual: str) -> str:
    return usual if asked is None else asked


def _region(catalogue: Catalogue, word: str) -> str:
    region = catalogue.region(word)
    if region is None:
        known = ", ".join(sorted(region.code for region in catalogue.regions))
        raise Refusal(
            Code.REGION_NOT_FOUND, f"Novita has no region {word!r}; it has: {known}", details={"region": word}
        )
    return region.cluster_id


def _check_port(spec: Spec) -> None:
    wanted = spec.health_check.port
    if wanted is not None and all(port.port != wanted for port in spec.ports):
        have = ", ".join(str(port.port) for port in spec.ports) or "none"
        raise invalid("healthCheck.port", f"{wanted} is not among the ports of the instance ({have})")


def _choose(ranked: Sequence[Ranked], requirement: Requirement, catalogue: Catalogue, *, waits: bool) -> Offer:
    """The best offer, or the refusal that says most exactly why there is none."""
    if ranked and ranked[0].fits:
        return ranked[0].offer
    wanted = requirement.product_id or requirement.product_name
    require_product(catalogue, requirement)
    objections = {place.objection for place in ranked}
    passing = [place for place in ranked if place.objection is not None and place.objection.passes]
    if passing and waits:
        return passing[0].offer
    details = {"offers": [_loser(place) for place in ranked[:50]]}
    if passing:
        raise Refusal(Code.NO_CAPACITY, f"no offer of {wanted!r} has capacity now", details=details)
    if Objection.PRICE in objections:
        cap = requirement.max_price_per_hour or Usd(0)
        cheapest = next(place.offer for place in ranked if place.objection is Objection.PRICE)
        price = f"${dollars(cheapest.price_per_hour):g} an hour"
        message = f"the cheapest offer of {wanted!r} costs {price}, the cap is ${dollars(cap):g}"
        raise Refusal(Code.NO_OFFER_WITHIN_CAP, message, details=details)
    if Objection.DISK in objections:
        reasons = sorted({place.reason for place in ranked if place.objection is Objection.DISK})
        raise invalid(
            "rootfsSize", f"{requirement.rootfs_gb} GB fits no offer of {wanted!r}: it {'; it '.join(reasons)}"
        )
    raise Refusal(Code.NO_CAPACITY, f"no offer of {wanted!r} fits this request", details=details)


def require_product(catalogue: Catalogue, requirement: Requirement) -> None:
    """Raises Refusal PRODUCT_NOT_FOUND, with what there is, unless Novita has the named product at all."""
    if placement.known_product(catalogue, requirement):
        return
    wanted = requirement.product_id or requirement.product_name
    names = ", ".join(sorted({product.name for product in catalogue.products}))
    raise Refusal(Code.PRODUCT_NOT_FOUND, f"Novita offers no product {wanted!r}; it has: {names}")


def _loser(place: Ranked) -> dict[str, object]:
    offer = place.offer
    return {
        "productId": offer.product_id,
        "region": offer.region,
        "billingMode": str(offer.billing_mode),
        "pricePerHour": dollars(offer.price_per_hour),
        "reason": place.reason,
    }
