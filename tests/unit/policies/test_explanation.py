"""A reader at night understands every state without the documentation: sentences, always with what comes next, and never a secret."""

import random
import re

import msgspec
import pytest

from novitai.domain.errors import Code
from novitai.domain.explanation import Step, sooner
from novitai.domain.idle import AutoStop, IdleRule, Warned
from novitai.domain.instance import CheckType, DesiredState, HealthCheck, LastError, Refusal, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus, SpotStatus
from novitai.domain.money import Usd
from novitai.domain.schedule import Schedule, Ttl
from novitai.domain.secrets import Sealed
from novitai.domain.times import span, spoken
from novitai.policies import explanation, idle, idle_verdict, schedule_verdict, verdicts
from novitai.policies.actions import Limits
from novitai.policies.idle import Known
from support import builders
from support.builders import NOW
from support.rehearsal import Rehearsal
from support.trouble import trouble

SECRET = "kept-to-itself"
WORDS = re.compile(r"\bNone\b|\bTrue\b|\bFalse\b|<|State\.|MachineStatus|  ")
RULE = IdleRule()


def views_of(instance, *, rule=RULE, known=None, now=NOW):
    """Every view of an instance that rests on its record."""
    judged = idle.judge(instance, rule, known or Known(), now=now)
    return (
        verdicts.startup(instance, Limits(), now=now),
        verdicts.health_check(instance, HealthCheck(), now=now),
        idle_verdict.auto_stop(instance.spec.auto_stop, rule, judged, now=now),
        schedule_verdict.ttl(instance, now=now),
        schedule_verdict.schedule(instance, now=now),
        verdicts.protection(instance),
        verdicts.price_cap(instance),
        verdicts.wait_for_capacity(instance, now=now),
    )


def told(instance, *, now=NOW, **others):
    """The summary of an instance."""
    coming = None
    for view in views_of(instance, now=now, **others):
        coming = sooner(coming, view.next)
    return explanation.summary(instance, coming=coming, now=now)


def with_rules(instance, chance):
    """The instance with rules that somebody may have set, and a secret where secrets are."""
    spec = msgspec.structs.replace(
        instance.spec,
        envs=(("TOKEN", Sealed(SECRET)),),
        protect=chance.random() < 0.3,
        ttl=chance.choice((None, Ttl(seconds=chance.choice((60.0, 600.0, 86_400.0))))),
        schedule=chance.choice((None, Schedule(start="0 8 * * *"), Schedule(start="0 8 * * *", stop="*/7 * * * *"))),
        auto_stop=chance.choice((None, AutoStop(idle_seconds=60.0, delete_after_stopped_seconds=3600.0))),
        wait_for_capacity_seconds=chance.choice((None, 1800.0)),
    )
    return msgspec.structs.replace(instance, spec=spec)


@pytest.mark.parametrize("seed", range(10))
def test_every_instance_that_can_come_about_is_told_whole(seed):
    """Nothing raises, every rule speaks, each sentence ends, what comes next is in it, and no value of code and no secret is."""
    for case in range(12):
        chance = random.Random(seed * 1000 + case)
        rehearsal = Rehearsal()
        rehearsal.instance = with_rules(rehearsal.instance, chance)
        for _ in range(chance.randrange(1, 15)):
            trouble(chance, rehearsal)
            rehearsal.run(chance.choice((0.5, 7.0, 45.0, 700.0)))
            now = rehearsal.now + chance.choice((0.0, 30.0, 90_000.0))
            views = views_of(rehearsal.instance, now=now)
            story = told(rehearsal.instance, now=now)
            everything = (story, *(view.verdict for view in views))
            assert all(text.endswith((".", ")")) for text in everything), everything
            assert not [text for text in everything if WORDS.search(text)], everything
            assert "Next: " in story or "Nothing is planned" in story, story
            assert SECRET not in str((everything, [view.value for view in views]))


@pytest.mark.parametrize("state", list(State))
def test_every_state_says_what_it_is_since_when_and_who_wanted_it(state):
    """The three questions that everybody asks first."""
    story = told(builders.instance(state))

    assert story.startswith("demo ")
    assert " ago)" in story
    assert "API key key_1" in story


def test_a_create_that_waits_for_capacity_says_how_many_refused_and_until_when():
    """And that a person can end it."""
    key = builders.offer().key
    refusal = Refusal(key=key, code=Code.NO_CAPACITY, message="no GPU", at=NOW)
    spec = builders.spec(wait_for_capacity_seconds=1800.0)
    story = told(builders.instance(State.CREATING, spec=spec, refusals=(refusal, refusal)))

    assert "waits for capacity: 2 offers refused in this round" in story
    assert "in 25 min" in story
    assert "unless somebody stops or deletes it" in story


def test_a_ready_one_with_a_warning_out_says_when_it_is_stopped_and_what_keeps_it():
    """The warning names both ways: use it, or follow the link."""
    ready = builders.instance(
        State.READY,
        ready_at=NOW - 3000.0,
        created_at=NOW - 4000.0,
        desired=builders.desired(DesiredState.RUNNING, at=NOW - 4000.0),
        operation=builders.ended(Verb.CREATE, requested_at=NOW - 4000.0),
    )
    warned = Warned(id="warn_1", deed=idle.Deed.STOP, at=NOW - 60.0, idle_since=NOW - 1000.0, acts_at=NOW + 240.0)
    story = told(ready, known=Known(last_used_at=NOW - 1000.0, warned=warned))

    assert "Next: it is stopped, at" in story
    assert "(in 4 min)" in story
    assert "somebody uses it before (told by the API, or measured) or follows the link in the warning" in story
    assert "It costs $0.35 an hour (spot)." in story


@pytest.mark.parametrize(
    ("by", "reason", "words"),
    [
        ("user:key_7", "night", "the API key key_7 said so"),
        ("idle", "no use is known since 2027-01-15T07:00:00.000Z", "the idle stop said so"),
        ("schedule", "its schedule says stop", "its schedule said so"),
        ("ttl", "its ttl ended", "its time to live said so"),
        ("budget", "it is spent", "a budget said so"),
        ("outside", "seen stopped", "somebody outside of Novitai said so"),
        ("novita", "start refused: NO_CAPACITY", "Novita said so"),
    ],
)
def test_a_stopped_one_says_who_stopped_it_and_why(by, reason, words):
    """Whoever it was; times within the reason are told as all others."""
    stopped = builders.instance(State.STOPPED, desired=builders.desired(DesiredState.STOPPED, by=by, reason=reason))
    story = told(stopped)

    assert words in story
    assert "T07:00:00.000Z" not in story
    assert "only the disk may be billed" in story


def test_a_failed_one_says_the_error_what_is_left_and_what_can_be_done():
    """With its code, and the cost of a machine that runs on."""
    error = LastError(
        code=Code.HEALTH_CHECK_TIMEOUT, message="its application did not answer within 300 s", at=NOW - 60.0
    )
    failed = builders.instance(State.FAILED, last_error=error, machine=builders.seen_machine(), running_at=NOW - 360.0)
    story = told(failed)

    assert "its application did not answer within 300 s (HEALTH_CHECK_TIMEOUT)" in story
    assert "It costs $0.35 an hour" in story
    assert "What can be done: restart it, or stop or delete it" in story


def test_a_spot_notice_says_when_the_machine_is_taken_back():
    """As Novita announced it."""
    ready = builders.with_machine(
        builders.instance(State.READY), spot_status=SpotStatus.NOTIFIED, reclaim_at=NOW + 90.0
    )

    assert "Novita has announced that it takes this spot machine back at 08:01:30 UTC (in 1 min 30 s)." in told(ready)


def test_machines_beside_the_present_one_are_named():
    """They cost money."""
    ready = builders.instance(State.READY, discarded=("aa" * 8,), strays=("bb" * 8,))
    story = told(ready)

    assert "aa" * 8 in story
    assert "costs money: " + "bb" * 8 in story


def test_what_comes_sooner_is_the_next_action():
    """A ttl before an idle stop, and what is under way before both."""
    ready = builders.instance(State.READY, spec=builders.spec(ttl=Ttl(seconds=600.0)))
    starting = builders.instance(State.STARTING, spec=builders.spec(ttl=Ttl(seconds=200.0)))

    assert "Next: it is stopped, at 08:05:00 UTC (in 5 min), because its ttl ends" in told(ready)
    assert "because its ttl of 3 min 20 s ended" in told(starting)


def test_a_schedule_is_not_heard_where_something_stronger_holds():
    """The verdict says what that is: a person's stop, or a ttl that is over."""
    schedule = Schedule(start="0 9 * * *", stop="0 18 * * *")
    by_hand = builders.instance(State.STOPPED, spec=builders.spec(schedule=schedule))
    over = builders.instance(State.STOPPED, spec=builders.spec(schedule=schedule, ttl=Ttl(seconds=60.0)))

    assert "a person's stop holds" in schedule_verdict.schedule(by_hand, now=NOW).verdict
    assert "its ttl is over" in schedule_verdict.schedule(over, now=NOW).verdict
    assert "a used-up budget" in schedule_verdict.schedule(by_hand, now=NOW, held=True).verdict
    assert (schedule_verdict.schedule(by_hand, now=NOW).next, schedule_verdict.schedule(over, now=NOW).next) == (
        None,
        None,
    )


def test_the_idle_stop_names_the_values_that_a_request_set():
    """Sources can differ value by value."""
    asked = AutoStop(idle_seconds=3600.0)
    ready = builders.instance(State.READY, spec=builders.spec(auto_stop=asked))
    judged = idle.judge(ready, RULE, Known(), now=NOW)
    view = idle_verdict.auto_stop(asked, RULE, judged, now=NOW)

    assert (view.source, view.value["warnMinutes"]) == ("request", 5.0)
    assert "idleMinutes is from the request, the rest from the settings" in view.verdict


def test_a_dry_run_says_that_nothing_is_done():
    """And there is no next action of it."""
    ready = builders.instance(State.READY)
    rule = IdleRule(dry_run=True)
    view = idle_verdict.auto_stop(None, rule, idle.judge(ready, rule, Known(), now=NOW), now=NOW)

    assert "this is a dry run: nothing is done" in view.verdict
    assert view.next is None


def test_a_health_check_shows_its_source_and_how_it_stands():
    """Asked until a moment, passed since a moment, or not asked at all."""
    checking = builders.instance(
        State.HEALTH_CHECKING, spec=builders.spec(health_check=HealthCheck(type=CheckType.TCP))
    )
    view = verdicts.health_check(checking, HealthCheck(), now=NOW)

    assert (view.source, view.next.what if view.next else None) == ("request", "fail")
    assert "has to answer by" in view.verdict
    assert "Not asked now" in verdicts.health_check(builders.instance(State.CREATING), HealthCheck(), now=NOW).verdict


def test_a_price_cap_is_told_beside_the_price():
    """What is allowed, and what is paid."""
    capped = builders.instance(
        State.READY, spec=builders.spec(requirement=builders.requirement(max_price_per_hour=Usd(50_000)))
    )

    assert (
        verdicts.price_cap(capped).verdict == "Nothing above $0.5 an hour is bought for it; it costs $0.35 an hour now."
    )


def test_of_two_steps_the_sooner_counts():
    """What has no time is due within a moment; of two such the first counts."""
    now, soon, late = (Step(what=str(at), at=at, because="") for at in (None, 10.0, 20.0))
    other = Step(what="other", at=None, because="")

    assert sooner(late, soon) is soon
    assert sooner(soon, late) is soon
    assert sooner(soon, now) is now
    assert sooner(now, other) is now
    assert (sooner(None, soon), sooner(soon, None), sooner(None, None)) == (soon, soon, None)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (8000, "2 h 13 min"),
        (90_061, "1 d 1 h"),
    ],
)
def test_a_span_is_told_in_its_two_largest_units(seconds, words):
    """No more than a person needs."""
    assert span(seconds) == words


def test_a_moment_is_told_with_its_distance_and_its_day_when_that_is_another():
    """Nobody has to subtract."""
    assert spoken(NOW - 61.0, now=NOW) == "07:58:59 UTC (1 min 1 s ago)"
    assert spoken(NOW + 86_400.0, now=NOW) == "2027-01-16 08:00:00 UTC (in 1 d)"


def test_a_stopped_machine_is_not_said_to_cost_what_a_running_one_does():
    """Three kinds of bill: running, standing, none."""
    bills = [explanation.bill(builders.instance(state)) for state in (State.READY, State.STOPPED, State.CREATING)]

    assert [text.split(":")[0] for text in bills] == [
        "It costs $0.35 an hour (spot).",
        "Its machine stands still",
        "It costs nothing now.",
    ]
    assert builders.seen_machine(MachineStatus.STOPPED).status is MachineStatus.STOPPED
