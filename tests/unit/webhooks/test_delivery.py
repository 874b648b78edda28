"""Attempts of a delivery: when, to whom, signed how, the same to the byte, and when it ends (promises W1, W2; api.md 3)."""

import base64
import itertools

import pytest

from novitai.domain.delivery import DeliveryStatus
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.egress.errors import AddressRefused, BadAnswer, ConnectFailed, EgressError, InvalidUrl
from novitai.operations import records
from novitai.ports.store import Commit, JobStatus
from novitai.stores.sqlite import open_sqlite
from novitai_client.webhooks import verify
from support.clock import FakeClock, FakeIds
from support.receivers import Receivers, Reply
from support.running import HOOK, SECRET, House, running
from support.timed_provider import TimedProvider

SECRETS_KEY = base64.b64encode(bytes(32)).decode()
OWN = "https://own.example.test/hook"


async def deliveries(house: House, status: DeliveryStatus):
    page = await house.store.list(records.DELIVERIES, str(status), limit=500)
    return [records.read_delivery(record) for record in page.records]


def attempts(house: House) -> dict[str, int]:
    """How often each outcome was counted."""
    return {row["outcome"]: row["value"] for row in house.program.base.metrics.summary()["webhookAttempts"]}


async def test_an_event_is_delivered_at_once_and_once():
    """No failure, no wait, no duplicate."""
    async with running(WEBHOOK_URL=HOOK) as house:
        made = await house.ready()
        await house.clock.advance(1.0)

        told = [event.id for event in await house.events(made)]
        assert [one.id for one in house.receivers.received] == told
        lags = [house.receivers.received[n].at - event.at for n, event in enumerate(await house.events(made))]
        assert max(lags) <= 0.5
        assert attempts(house) == {"delivered": len(told)}


async def test_signatures_verify_with_the_client():
    """What the client package accepts, with the standard set and with the older one."""
    async with running(WEBHOOK_URL=HOOK) as house:
        await house.ready()
        await house.clock.advance(1.0)
        [*_, last] = house.receivers.received

        event = verify(last.body, last.headers, SECRET, now=last.at)
        assert (event.type, event.status) == ("instance.ready", "ready")
        older = {name: value for name, value in last.headers.items() if name.startswith("X-")}
        assert verify(last.body, older, SECRET, allow_legacy=True, now=last.at).id == event.id
        assert last.headers["X-Correlation-ID"] == "corr_1"


async def test_the_schedule_is_kept_and_every_attempt_is_the_same_to_the_byte():
    """1 s, 2 s, 4 s and so on, each within 20 %; one id, one body, a fresh timestamp."""
    async with running(WEBHOOK_URL=HOOK, WEBHOOK_RETRY_SCHEDULE="1s,2s,4s,30s") as house:
        house.receivers.always(HOOK, 500)
        house.provider.trouble = lambda method: None
        await house.create()
        await house.clock.advance(120.0)

        first = [one for one in house.receivers.received if one.event["type"] == "instance.creating"]
        pauses = [later.at - sooner.at for sooner, later in itertools.pairwise(first)]
        assert len(pauses) == 4
        assert all(0.8 * step <= pause <= 1.2 * step for step, pause in zip((1.0, 2.0, 4.0, 30.0), pauses, strict=True))
        assert len({(one.id, one.body) for one in first}) == 1
        assert len({one.headers["webhook-timestamp"] for one in first}) > 1
        for one in first:
            verify(one.body, one.headers, SECRET, now=one.at)


async def test_at_the_end_of_the_schedule_a_delivery_goes_to_the_dead_letters():
    """Kept with its attempts, counted, its job failed; nothing goes on."""
    async with running(WEBHOOK_URL=HOOK, WEBHOOK_RETRY_SCHEDULE="1s,2s") as house:
        house.receivers.always(HOOK, BadAnswer("reset"))
        made = await house.ready()
        await house.clock.advance(60.0)

        dead = await deliveries(house, DeliveryStatus.DEAD)
        assert len(dead) == len(await house.events(made))
        assert {(len(one.attempts), one.failures) for one in dead} == {(3, 3)}
        assert await house.live_jobs() == []
        counted = attempts(house)
        assert counted == {"retry": 2 * len(dead), "refused": len(dead)}
        jobs = {
            (row["type"], row["status"]): row["value"] for row in house.program.base.metrics.summary()["jobsFinished"]
        }
        assert jobs["send_webhook", str(JobStatus.FAILED)] == len(dead)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
async def test_a_clear_no_is_final(status):
    """Any 4xx but 408, 425 and 429 will be the same tomorrow."""
    async with running(WEBHOOK_URL=HOOK) as house:
        house.receivers.always(HOOK, status)
        await house.create()
        await house.clock.advance(3600.0)

        ids = [one.id for one in house.receivers.received]
        assert len(ids) == len(set(ids))
        assert len(await deliveries(house, DeliveryStatus.DEAD)) == len(ids)


@pytest.mark.parametrize(
    "answer", [301, 408, 425, 429, 500, 503, BadAnswer("reset"), ConnectFailed("refused"), Reply(hangs=True)]
)
async def test_what_can_turn_out_well_later_is_tried_again(answer):
    """3xx, 408, 425, 429, 5xx, and no answer at all."""
    async with running(WEBHOOK_URL=HOOK) as house:
        house.receivers.answer(HOOK, answer)
        await house.create()
        await house.clock.advance(60.0)

        first = [one for one in house.receivers.received if one.event["type"] == "instance.creating"]
        assert len(first) == 2
        assert await deliveries(house, DeliveryStatus.DEAD) == []


async def test_retry_after_is_obeyed_up_to_an_hour():
    """A receiver that asks for more time than the schedule gets it."""
    async with running(WEBHOOK_URL=HOOK) as house:
        house.receivers.answer(
            HOOK,
            Reply(status=503, headers={"retry-after": "600"}),
            Reply(status=429, headers={"retry-after": "999999"}),
        )
        made = await house.create()
        await house.ask(made, Verb.STOP)
        await house.clock.advance(3 * 3600.0)

        first = [one for one in house.receivers.received if one.id == house.receivers.received[0].id]
        again = [one for one in house.receivers.received if one.id == house.receivers.received[1].id]
        assert 600.0 <= first[1].at - first[0].at <= 601.0
        assert 3600.0 <= again[1].at - again[0].at <= 3601.0


@pytest.mark.parametrize(
    ("error", "word"), [(AddressRefused("private"), "blocked"), (InvalidUrl("not a URL"), "refused")]
)
async def test_an_address_that_is_not_called_is_counted_as_such(error: EgressError, word: str):
    """The guard's refusal is told apart from a receiver's; a URL that cannot be called is final."""
    async with running(WEBHOOK_URL=HOOK) as house:
        house.receivers.always(HOOK, error)
        await house.create()
        await house.clock.advance(1.0)

        assert set(attempts(house)) == {word}


async def test_the_global_and_the_requests_endpoint_are_both_told_the_same():
    """One event, one id, one body, two signatures."""
    async with running(WEBHOOK_URL=HOOK) as house:
        await house.ready(webhook_url=OWN, webhook_secret="another secret")
        await house.clock.advance(1.0)

        by_url = {url: {one.id: one.body for one in house.receivers.received if one.url == url} for url in (HOOK, OWN)}
        assert by_url[HOOK] == by_url[OWN] != {}
        own = next(one for one in house.receivers.received if one.url == OWN)
        verify(own.body, own.headers, "another secret", now=own.at)


async def test_one_address_given_twice_is_told_once():
    """The request names the endpoint of the settings: one delivery, with the request's secret."""
    async with running(WEBHOOK_URL=HOOK) as house:
        await house.ready(webhook_url=HOOK, webhook_secret="another secret")
        await house.clock.advance(1.0)

        ids = [one.id for one in house.receivers.received]
        assert len(ids) == len(set(ids))
        verify(
            house.receivers.received[0].body,
            house.receivers.received[0].headers,
            "another secret",
            now=house.clock.now(),
        )


async def test_a_restart_in_the_middle_of_the_schedule_goes_on_where_it_was():
    """What waits is durable: the same id and body, at the time that was set."""
    clock = FakeClock()
    provider, receivers, store, ids = (
        TimedProvider(clock=clock),
        Receivers(clock),
        await open_sqlite(None, clock=clock),
        FakeIds(),
    )
    store.close = _nothing
    receivers.always(HOOK, 500)
    async with running(
        clock=clock,
        provider=provider,
        receivers=receivers,
        store=store,
        ids=ids,
        WEBHOOK_URL=HOOK,
        WEBHOOK_RETRY_SCHEDULE="1s,300s",
        NOVITAI_SECRETS_KEY=SECRETS_KEY,
    ) as house:
        await house.create()
        await clock.advance(10.0)
    before = len(receivers.received)
    receivers.always(HOOK, 200)
    async with running(
        clock=clock,
        provider=provider,
        receivers=receivers,
        store=store,
        ids=ids,
        WEBHOOK_URL=HOOK,
        WEBHOOK_RETRY_SCHEDULE="1s,300s",
        NOVITAI_SECRETS_KEY=SECRETS_KEY,
    ) as house:
        await clock.advance(200.0)
        early = [one for one in receivers.received[before:] if one.event["type"] == "instance.creating"]
        await clock.advance(400.0)

        creating = [one for one in receivers.received if one.event["type"] == "instance.creating"]
        assert early == []
        assert len(creating) == 3
        assert len({(one.id, one.body) for one in creating}) == 1


async def test_a_secret_that_cannot_be_opened_any_more_ends_in_the_dead_letters():
    """The key of the store was changed: said in the attempt, never sent unsigned, never for ever."""
    async with running(WEBHOOK_RETRY_SCHEDULE="1s") as house:
        house.receivers.always(OWN, 500)
        await house.create(webhook_url=OWN, webhook_secret="another secret")
        house.program.base.sealer.__dict__.clear()
        house.program.keepers.deliveries._sealer = _OtherKey()
        await house.clock.advance(60.0)

        dead = await deliveries(house, DeliveryStatus.DEAD)
        assert dead
        assert all("secret_unreadable" in one.attempts[-1].error for one in dead)


async def test_a_dead_letter_that_is_replayed_is_sent_with_the_same_id_and_body():
    """Replaying is waking it again with its status set back."""
    async with running(WEBHOOK_URL=HOOK) as house:
        house.receivers.answer(HOOK, 404)
        await house.create()
        await house.clock.advance(1.0)
        [dead] = await deliveries(house, DeliveryStatus.DEAD)
        record = await house.store.get(records.DELIVERY, dead.id)
        again = records.read_delivery(record)
        again = type(again)(
            **{name: getattr(again, name) for name in again.__struct_fields__}
            | {"status": DeliveryStatus.PENDING, "failures": 0}
        )
        wake = records.wake_delivery(again, job_id="job_replayed", due=house.clock.now())
        await house.program.base.store.commit(
            Commit(puts=(records.put_delivery(again, expect=record.version),), wakes=(wake,))
        )
        await house.clock.advance(1.0)

        sent = [one for one in house.receivers.received if one.id == dead.event_id]
        assert len(sent) == 2
        assert sent[0].body == sent[1].body
        assert (await deliveries(house, DeliveryStatus.DEAD)) == []


async def test_deleting_an_instance_is_still_told():
    """The last event of an instance reaches its own endpoint, too."""
    async with running() as house:
        made = await house.ready(webhook_url=OWN)
        await house.ask(made, Verb.DELETE)
        await house.until(made, State.DELETED)
        await house.clock.advance(1.0)

        assert house.receivers.events(OWN)[-1] == "instance.deleted"


class _OtherKey:
    def open(self, sealed):
        raise ValueError("sealed with another key")


async def _nothing() -> None:
    return None
