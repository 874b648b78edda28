"""Time as the whole program keeps it: a ttl and a schedule that really stop and start machines, and the watchdog over what is late."""

from novitai.app.backlog import Backlog
from novitai.domain.automation import Part
from novitai.domain.events import FactType
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.domain.schedule import Schedule
from novitai.ports.store import JobCount, JobStatus
from support.clock import START
from support.running import context, running

# START is 2027-01-15 08:00 UTC, a Friday.


def pending(due: float | None) -> JobCount:
    return JobCount(type="create_instance", status=JobStatus.PENDING, count=1, oldest_due=due)


async def test_at_the_end_of_its_ttl_the_machine_is_stopped_to_the_second():
    """Nobody has to ask, and the event says whose doing it was and why."""
    async with running() as house:
        made = await house.ready(ttl_seconds=1800.0)
        await house.clock.run_until(START + 1799.9)
        assert house.state(made) is State.READY

        stopped = await house.until(made, State.STOPPED, within=60.0)

        assert [call.method for call in house.provider.log].count("stop") == 1
        assert stopped.desired.by == "ttl"
        stopping = next(event for event in await house.events(made) if event.type is FactType.STOPPING)
        assert (stopping.at, stopping.actor) == (START + 1800.0, "ttl")
        assert stopping.reason == "its ttl of 1800 s ended at 2027-01-15T08:30:00.000Z"


async def test_a_schedule_stops_and_starts_the_machine_itself():
    """At 09:00 it is stopped, at 10:00 started, and it becomes ready again."""
    async with running() as house:
        hours = Schedule(start="0 10 * * *", stop="0 9 * * *", timezone="UTC")
        made = await house.ready(schedule=hours)

        await house.until(made, State.STOPPED, within=3700.0)
        assert house.clock.now() < START + 3600.0 + 60.0
        again = await house.until(made, State.READY, within=3700.0)

        assert (again.desired.by, again.operation.verb) == ("schedule", Verb.START)
        methods = [call.method for call in house.provider.log]
        assert (methods.count("stop"), methods.count("start")) == (1, 1)


async def test_resuming_acts_at_once_on_what_came_due_meanwhile():
    """Work begins within a second of the resume."""
    async with running() as house:
        made = await house.ready(ttl_seconds=600.0)
        await house.program.operations.automation.pause([Part.SCHEDULE], "looking", context())
        await house.clock.run_until(START + 1000.0)
        assert house.state(made) is State.READY

        await house.program.operations.automation.resume([Part.SCHEDULE], "fine", context())
        await house.clock.advance(1.0)

        assert house.state(made) is State.STOPPING
        assert house.program.health().timer_late_seconds < 5.0


async def test_a_job_that_nobody_takes_up_makes_a_timer_late():
    """A lane that is dead shows in `/health` after a minute."""
    async with running() as house:
        lane = next(lane for lane in house.program.keepers.lanes if lane.name == "instances")
        await lane.stop(grace=0.0)
        await house.create()
        await house.clock.advance(50.0)
        assert house.program.health().timer_late_seconds <= 60.0

        await house.clock.advance(30.0)

        assert house.program.health().timer_late_seconds > 60.0


async def test_while_jobs_are_paused_none_of_them_is_late():
    """They were told to wait, and have their time from the resume on."""
    async with running() as house:
        await house.program.operations.automation.pause([Part.JOBS], "looking", context())
        await house.create()
        await house.clock.advance(600.0)
        assert house.program.health().timer_late_seconds <= 60.0

        await house.program.operations.automation.resume([Part.JOBS], "fine", context())
        await house.clock.advance(2.0)

        assert house.program.health().timer_late_seconds <= 60.0


def test_what_came_due_while_the_server_was_away_has_its_time_from_the_start():
    """A morning after does not begin with an alarm."""
    backlog = Backlog(since=START)
    backlog.saw([pending(START - 8 * 3600.0)], now=START, paused=False)

    assert backlog.late_by(START + 59.0) == 59.0
    assert backlog.late_by(START + 61.0) == 61.0


def test_what_is_not_yet_due_and_what_is_being_done_is_not_late():
    """Only work that could be begun counts."""
    backlog = Backlog(since=START)
    busy = JobCount(type="create_instance", status=JobStatus.PROCESSING, count=1, oldest_due=START)
    backlog.saw([pending(START + 500.0), pending(None), busy], now=START, paused=False)

    assert backlog.late_by(START + 100.0) == 0.0
