"""The client's shapes against the real application: what the server says is what the client hands on, field by field, with nothing lost."""

import inspect
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

import novitai_client
from novitai.api.events_view import event_answer
from novitai.api.schemas import (
    account,
    auto_stop,
    automation,
    budgets,
    costs,
    creating,
    events,
    explain,
    fleet,
    instances,
    jobs,
    keys,
    migration,
    offers,
    prices,
    system,
    verbs,
)
from novitai.api.streams import message
from novitai.domain.errors import Code
from novitai.domain.instance import EndpointHealth, Health, LastError
from novitai.domain.keys import Scope
from novitai.domain.lifecycle import State
from novitai.domain.machine import BillingMode, MachineStatus
from novitai.domain.money import Usd
from novitai.domain.offers import Inventory
from novitai.domain.orphan import orphan_of
from novitai.domain.prices import PriceEntry, PricePoint, Quote, SeriesKey
from novitai.domain.templates import RegistryAuth, Template
from novitai.operations.history import History
from novitai.operations.records import append_prices
from novitai.policies.outcomes import create_accepted
from novitai.ports.provider import ProviderJob
from novitai.ports.store import Commit
from novitai_client import AsyncClient, KeyLimits, models
from novitai_client._stream import MessageReader, events_in
from support import builders
from support.api_house import URL, open_house

ID = builders.INSTANCE_ID
SERVER = {
    models.Port: [instances.PortAnswer],
    models.ConnectionDetails: [instances.ConnectionAnswer],
    models.Endpoint: [instances.EndpointAnswer],
    models.HealthCheck: [instances.HealthAnswer],
    models.HealthCheckSpec: [creating.HealthCheckBody],
    models.Spot: [instances.SpotAnswer],
    models.Desired: [instances.DesiredAnswer],
    models.NextAction: [instances.NextActionAnswer],
    models.Explanation: [explain.ExplainAnswer],
    models.Sign: [explain.SignAnswer],
    models.PolicyVerdict: [explain.PolicyViewAnswer],
    models.Decision: [explain.DecisionAnswer],
    models.Offer: [offers.OfferAnswer],
    models.LastError: [instances.LastErrorAnswer],
    models.Instance: [instances.InstanceAnswer],
    models.ComprehensiveInstance: [instances.ComprehensiveInstanceAnswer],
    models.InstancePage: [instances.InstancePage],
    models.ComprehensiveList: [instances.ComprehensivePage],
    models.Choice: [creating.ChosenOffer],
    models.Created: [creating.CreatedAnswer, creating.PlanAnswer],
    models.Accepted: [verbs.AcceptedAnswer],
    models.LastUsed: [verbs.LastUsedAnswer],
    models.Event: [events.EventAnswer],
    models.EventPage: [events.EventListAnswer],
    models.OfferList: [offers.OfferPage],
    models.BudgetScope: [budgets.ScopeAnswer],
    models.Budget: [budgets.BudgetAnswer],
    models.Savings: [costs.SavingsAnswer],
    models.CostSum: [costs.InstanceCost, costs.LabelCost, costs.KeyCost, costs.DayCost],
    models.Forecast: [costs.ForecastAnswer],
    models.Balance: [costs.BalanceAnswer],
    models.BillDifference: [costs.DifferenceAnswer],
    models.ReconciledDay: [costs.ReconciledDay],
    models.Reconciliation: [costs.ReconciliationAnswer],
    models.CostPage: [costs.CostAnswer],
    models.CostSegment: [costs.SegmentAnswer],
    models.InstanceCost: [costs.InstanceCostAnswer],
    models.PriceNow: [prices.PriceNow],
    models.PriceAt: [prices.PriceAt],
    models.PriceChange: [prices.PriceChange],
    models.PriceHistory: [prices.PriceAnswer],
    models.CheapestPrice: [prices.CheapestPrice],
    models.PricePage: [prices.PricePage],
    models.Template: [account.TemplateAnswer],
    models.Region: [account.RegionAnswer],
    models.RegistryAuth: [account.RegistryAuthAnswer],
    models.Job: [jobs.JobAnswer],
    models.JobPage: [jobs.JobListAnswer],
    models.Health: [system.HealthAnswer],
    models.KeyLimits: [keys.KeyLimitsAnswer],
    models.Key: [keys.KeyAnswer],
    models.CreatedKey: [keys.NewKeyAnswer],
    models.BulkResult: [fleet.BulkResult],
    models.BulkOutcome: [fleet.BulkAnswer],
    models.Difference: [fleet.DifferenceAnswer],
    models.SyncReport: [fleet.SyncData],
    models.SyncOutcome: [fleet.SyncedAnswer],
    models.Orphan: [fleet.OrphanAnswer],
    models.Pause: [automation.PauseAnswer],
    models.AutomationSwitch: [automation.AutomationAnswer],
    models.AuditEntry: [automation.AuditEntryAnswer],
    models.ChainProblem: [automation.BreakAnswer],
    models.ChainReport: [automation.ChainAnswer],
    models.AutoStopStats: [auto_stop.StatsAnswer],
    models.IdleSignal: [auto_stop.SignalAnswer],
    models.IdleCandidate: [auto_stop.CandidateAnswer],
    models.IdleExempt: [auto_stop.ExemptAnswer],
    models.AutoStopReport: [auto_stop.TriggerAnswer],
    models.ProviderJob: [jobs.ProviderJobAnswer],
    models.ProviderJobPage: [jobs.ProviderJobsAnswer],
    models.Replacement: [migration.ReplacementAnswer],
    models.FailedMigration: [migration.FailedMigrationAnswer],
    models.FailedMigrations: [migration.CheckResult],
    models.MigrationCheck: [migration.CheckAnswer],
    models.MigrationTrigger: [migration.TriggeredAnswer],
    models.LeftAlone: [migration.SkippedAnswer],
    models.Recovery: [migration.RecoveryAnswer],
    models.MigrationChecks: [migration.ChecksAnswer],
    models.MigrationScheduler: [migration.SchedulerAnswer],
    models.SchedulerHealth: [migration.SchedulerHealth],
    models.MigrationStatus: [migration.SchedulerStatusAnswer],
    models.MetricSample: [auto_stop.SampleAnswer],
    models.InstanceMetrics: [auto_stop.MetricsAnswer],
}
NEVER_SENT = {(models.Region, "available")}
"""Fields that older servers may have sent."""


def shapes() -> list[type[models.Shape]]:
    """Every shape that the client publishes."""
    found = [one for _, one in inspect.getmembers(models, inspect.isclass) if issubclass(one, models.Shape)]
    return [one for one in found if one is not models.Shape]


def said_by(answers: list[Any]) -> set[str]:
    """The names that the server's answers have."""
    named = {True: "validation", False: "serialization"}
    return {
        name
        for answer in answers
        for name in answer.model_json_schema(mode=named[answer is creating.HealthCheckBody])["properties"]
    }


def same(sent: Any, read: Any) -> None:
    """Everything that the client read is what was sent, under the same name."""
    if isinstance(read, models.Shape):
        for name, encoded in zip(read.__struct_fields__, read.__struct_encode_fields__, strict=True):
            if encoded in sent:
                same(sent[encoded], getattr(read, name))
    elif isinstance(read, tuple):
        assert len(read) == len(sent)
        for one, other in zip(sent, read, strict=True):
            same(one, other)
    elif isinstance(read, datetime):
        assert read == datetime.fromisoformat(sent)
    else:
        assert read == sent


class Sent:
    """The last body that the server gave."""

    body: Any = None

    async def remember(self, response: Any) -> None:
        self.body = msgspec.json.decode(await response.aread())


@pytest.fixture
def sent():
    return Sent()


@pytest.fixture
async def house():
    async with open_house() as opened:
        yield opened


@pytest.fixture
async def client(house, sent):
    """The client package, talking to the application without a network."""
    async with house.client(None) as http:
        http.event_hooks = {"response": [sent.remember]}
        yield AsyncClient(URL, house.keys[Scope.ADMIN], http=http)


def test_every_shape_of_the_client_has_its_counterpart():
    """A shape that nobody compares could drift."""
    assert set(SERVER) == set(shapes())


@pytest.mark.parametrize("shape", SERVER, ids=lambda shape: shape.__name__)
def test_the_client_waits_for_no_field_that_the_server_never_sends(shape):
    """A field under a wrong name would be None for ever, and nobody would notice."""
    waited_for = {name for name in shape.__struct_encode_fields__ if (shape, name) not in NEVER_SENT}

    assert waited_for <= said_by(SERVER[shape])


FULL = {
    "machine": builders.seen_machine(connection=builders.SSH, reclaim_at=builders.NOW + 60),
    "health": Health(
        started_at=builders.NOW,
        checked_at=builders.NOW,
        endpoints=(EndpointHealth(port=80, endpoint="https://x", type="http", healthy=False, error="refused"),),
    ),
    "last_error": LastError(code=Code.NO_CAPACITY, message="all refused", at=builders.NOW),
}


@pytest.mark.parametrize("fields", [{}, FULL], ids=["usual", "full"])
@pytest.mark.parametrize("state", State)
async def test_an_instance_in_any_state_reads_as_it_was_sent(house, client, sent, state, fields):
    """Singly, in a list and beside the account's machines."""
    await house.have(builders.instance(state, **fields))
    wanted = "deleted" if state is State.DELETED else None

    one = await client.get(ID)
    same(sent.body, one)
    page = await client.list_page(status=wanted)
    same(sent.body, page)
    both = await client.comprehensive()
    same(sent.body, both)

    assert (one.id, one.status, page.instances[0].id) == (ID, state, ID)


async def test_what_is_asked_of_an_instance_reads_as_it_was_answered(client, sent):
    """Create, its plan, every verb, and what was told of them."""
    ask = {
        "product": "RTX 4090",
        "image_url": "nginx",
        "ports": ["8080/http"],
        "envs": {"A": "1"},
        "labels": {"b": "c"},
    }

    plan = await client.create("plan", **ask, dry_run=True)
    same(sent.body, plan)
    made = await client.create("worker", **ask, max_price=1.5, wait_for_capacity="30m", protect=True)
    same(sent.body, made)
    used = await client.last_used("worker", datetime(2027, 1, 15, 7, tzinfo=UTC))
    same(sent.body, used)
    answers = [await client.stop("worker", reason="lunch"), await client.start("worker"), await client.delete("worker")]
    same(sent.body, answers[-1])
    told = await client.events_page("worker")
    same(sent.body, told)

    assert (plan.status, plan.instance_id, plan.offers[0].rank) == ("planned", "", 1)
    assert (made.status, made.offer.rank, made.price_per_hour) == ("creating", 1, 0.35)
    assert all(answer.operation_id for answer in answers)
    assert told.events[-1].type == "instance.creating"


async def test_the_account_and_the_service_read_as_they_were_answered(house, client, sent):
    """Offers, templates, regions, credentials, jobs, keys and health."""
    template = Template(id="7", name="torch", image_url="torch:1", ports=builders.spec().ports, envs=(("A", "secret"),))
    house.provider.known_templates = {"7": template}
    house.provider.known_auths = (RegistryAuth(id="a1", name="hub", username="me"),)
    await client.create("worker", product="RTX 4090", image_url="nginx")

    for read in (
        await client.offers("RTX 4090", gpus=1, region=["US-CA-06"]),
        await client.template(7),
        await client.health(),
        jobs_page := await client.jobs_page(),
        await client.job(jobs_page.jobs[0].id),
        await client.create_key("ci", scope="read", limits=KeyLimits(gpus=4, usd_per_hour=1.5)),
    ):
        assert read is not None
    same(sent.body, read)

    assert [one.id for one in await client.templates()] == ["7"]
    assert {one.code for one in await client.regions()} == {"US-CA-06", "CN-HK-01", "AS-IN-01"}
    assert [one.username for one in await client.registry_auths()] == ["me"]
    assert read.id in {key.id for key in await client.keys()}
    assert (await client.job_stats())["total"] >= 1
    assert (await client.upstream())["public"]["circuitBreaker"]["state"] == "CLOSED"
    await client.revoke_key(read.id)


async def test_an_explanation_reads_as_it_was_answered(house, client, sent):
    """Story, signals, policies, what comes next, and what was decided."""
    searching = builders.instance(State.CREATING, open_attempt=builders.open_attempt(ended=True), attempts=1)
    await house.have(searching)

    def found(now):
        return create_accepted(
            now, number=1, offer=builders.offer(), machine_id=builders.MACHINE_ID, machine_name="demo", at=builders.NOW
        )

    await house.parts.ledger.apply(ID, found)

    told = await client.explain("demo", limit=5)
    same(sent.body, told)

    assert (told.state, told.decisions[0].action) == ("creating", "instance.adopt")
    assert (told.next_action.what, told.next_action.unless) == ("fail", "it does")


async def test_budgets_read_as_they_were_answered(client, sent):
    """Made, changed, listed, taken away."""
    made = await client.create_budget("team a", limit=100, label="team=a", key="environment", hard_stop=True)
    same(sent.body, made)
    changed = await client.update_budget(made.id, limit=200, total=True, thresholds=[90])
    same(sent.body, changed)
    [listed] = await client.budgets()
    same(sent.body["budgets"][0], listed)
    gone = await client.delete_budget(made.id)
    same(sent.body, gone)

    assert (made.scope.label, changed.limit_usd, changed.scope.key, gone.id) == ("team=a", 200.0, None, made.id)


async def test_costs_read_as_they_were_answered(house, client, sent):
    """By instance and by label, of one instance with its rates, and the month as text."""
    made = await client.create("worker", product="RTX 4090", image_url="nginx", disk=100, labels={"team": "a"})
    instance = house.parts.reads.get(made.instance_id).instance
    machine = builders.seen_machine(started_at=house.clock.now(), rootfs_gb=100)
    await house.change(msgspec.structs.replace(instance, machine=machine))
    await house.clock.advance(3600.0)

    page = await client.costs(group_by="label", since=datetime.fromtimestamp(house.clock.now() - 7200, UTC))
    same(sent.body, page)
    whole = await client.costs(label="team=a")
    same(sent.body, whole)
    one = await client.instance_cost("worker")
    same(sent.body, one)

    assert (page.labels[0].label, page.count) == ("team=a", 1)
    assert whole.instances[0].instance_id == made.instance_id
    assert page.total == whole.total == one.total == pytest.approx(0.35 + 40 * 0.005 / 24, abs=0.0001)
    assert sorted(segment.kind for segment in one.segments) == ["disk", "gpu"]


async def test_migrations_read_as_they_were_answered(house, client, sent):
    """The check, the scheduler, and Novita's own jobs."""
    await house.have(builders.instance(State.MIGRATING, stopped_at=builders.NOW - 120.0))
    house.provider.hold(builders.machine(MachineStatus.MIGRATING))
    job = ProviderJob(
        id="j1",
        type="instanceMigrate",
        state="fail",
        error="no node",
        instance_id=builders.MACHINE_ID,
        created_at=builders.NOW - 90.0,
    )
    house.provider.known_jobs = (job,)
    await house.clock.advance(600.0)
    await house.parts.catalogue.for_acceptance()

    found = await client.novita_jobs(job_type="instanceMigrate", instance=ID, since=datetime.fromtimestamp(1, UTC))
    same(sent.body, found)
    would = await client.check_failed_migrations(dry_run=True)
    same(sent.body, would)
    scheduled = await client.check_failed_migrations()
    same(sent.body, scheduled)
    triggered = await client.trigger_migration()
    same(sent.body, triggered)
    status = await client.migration_status()
    same(sent.body, status)

    assert [one.error for one in found.jobs] == ["no node"]
    assert [(one.finding, one.outcome) for one in would.result.candidates] == [("failed", "would")]
    assert (scheduled.result, status.status.current_job_id) == (None, triggered.job_id)


async def test_prices_read_as_they_were_answered(house, client, sent):
    """What is offered, what is gone, and the two cheapest."""
    key = SeriesKey("4090", BillingMode.SPOT)
    quote = Quote(price=Usd(35_000), inventory=Inventory.LOW, deployable=True, clusters=("us-ca-6",))
    told = [
        PricePoint(at=house.clock.now() - 60 + n, key=key, product_name="RTX 4090", quote=q)
        for n, q in enumerate((quote, None))
    ]
    other = PricePoint(at=told[0].at, key=SeriesKey("l4", BillingMode.SPOT), product_name="L4", quote=quote)
    entry = PriceEntry(at=told[1].at, points=(*told, other), regions={"us-ca-6": "US-CA-06 (California)"})
    await house.parts.store.commit(Commit(appends=(append_prices(entry, entry_id="prc_1"),)))

    page = await client.prices(region="US-CA-06", billing="spot", days=1)
    same(sent.body, page)

    assert [(one.product_name, one.now is None) for one in page.prices] == [("L4", False), ("RTX 4090", True)]
    assert (page.cheapest_now.product_id, page.prices[1].changes[-1].price_per_gpu_hour) == ("l4", None)
    with pytest.raises(novitai_client.NotFound):
        await client.prices("H900")


async def test_the_fleet_reads_as_it_was_answered(house, client, sent):
    """Many at once, orphans, the switch, and the audit log."""
    await client.create("worker", product="RTX 4090", image_url="nginx", labels={"team": "a"})
    stranger = builders.machine(id="feedfacefeedface", name="somebody-elses", created_at=builders.NOW - 60)
    house.provider.hold(stranger)
    price = builders.offer().price_per_hour
    await house.parts.orphans.record([orphan_of(stranger, price=price, ours=False, at=builders.NOW)], None)

    stopped = await client.stop_all(labels={"team": "a"}, dry_run=True)
    same(sent.body, stopped)
    many = await client.bulk("stop", instances=["worker", "nobody"])
    same(sent.body, many)
    synced = await client.sync(dry_run=True, force=True)
    same(sent.body, synced)
    switch = await client.pause("idle", reason="a bad night")
    same(sent.body, switch)
    ignored = await client.ignore_orphan("feedfacefeedface")
    same(sent.body, ignored)
    assert [one.novita_id for one in await client.orphans(ignored=True)] == ["feedfacefeedface"]
    assert await client.orphans() == ()
    taken = await client.adopt("somebody-elses")
    same(sent.body, taken)
    chain = await client.verify_audit()
    same(sent.body, chain)
    entries = [entry async for entry in client.audit(target="automation")]

    assert [(one.reference, one.outcome) for one in many.results] == [("worker", "accepted"), ("nobody", "refused")]
    assert (stopped.count, synced.data.orphans) == (1, ("feedfacefeedface",))
    assert [one.scope for one in switch.scopes if one.paused] == ["idle"]
    assert not (await client.resume("idle")).paused
    assert [(entry.action, entry.detail["reason"]) for entry in entries] == [("automation.pause", "a bad night")]
    assert chain.intact


async def test_refusals_arrive_as_the_exceptions_that_the_client_documents(house, client):
    """Each by its code, with what the server said of it."""
    await house.have(builders.instance(State.DELETING))

    with pytest.raises(novitai_client.NotFound):
        await client.get("nobody")
    with pytest.raises(novitai_client.NoCapacity) as capped:
        await client.create("a", product="RTX 4090", image_url="nginx", max_price=0.01)
    with pytest.raises(novitai_client.ValidationFailed) as wrong:
        await client.create("a b", product="RTX 4090", image_url="nginx")
    with pytest.raises(novitai_client.InvalidState):
        await client.start(ID)

    assert capped.value.offers[0].product_id == "4090.16c62g"
    assert wrong.value.field_errors[0].field == "name"


async def test_messages_of_the_stream_read_as_they_were_sent(house, client):
    """What the log keeps is what a follower is given, with the id to go on from."""
    await client.create("worker", product="RTX 4090", image_url="nginx")
    [entry] = await History(house.parts.store).after(0, limit=10)
    reader = MessageReader()

    [event] = events_in(reader.feed(message(entry)))

    same(event_answer(entry.event).model_dump(by_alias=True), event)
    assert (reader.last_id, event.type) == (str(entry.position), "instance.creating")
