"""Breakers: five failures open, one probe at a time after a minute, three successes close."""

from novitai.ports.coordination import Coordination


async def report(keeper: Coordination, *outcomes: bool, breaker: str = "gpu") -> None:
    for ok in outcomes:
        await keeper.report(breaker, await keeper.permit(breaker), ok=ok)


async def test_a_breaker_begins_closed(keeper):
    """Calls are allowed, and nothing is counted."""
    view = await keeper.breaker("gpu")

    assert (view.state, view.failure_count, view.opened_at, view.retry_at) == ("CLOSED", 0, None, None)
    assert (await keeper.permit("gpu")).allowed


async def test_failures_in_a_row_open_it_and_a_success_between_starts_the_count_anew(keeper, clock):
    """The fifth consecutive failure opens; the view says since when and until when."""
    await report(keeper, False, False, False, False, True)
    await report(keeper, False, False, False, False)
    assert (await keeper.breaker("gpu")).state == "CLOSED"

    await report(keeper, False)

    view = await keeper.breaker("gpu")
    assert (view.state, view.opened_at, view.retry_at) == ("OPEN", clock.now(), clock.now() + 60)
    refused = await keeper.permit("gpu")
    assert (refused.allowed, refused.retry_at) == (False, clock.now() + 60)


async def test_an_open_breaker_lets_one_probe_through_after_its_pause(keeper, clock):
    """While the probe is out, others are refused; when it was never sent its place is free again."""
    await report(keeper, *[False] * 5)
    await clock.advance(60)

    probe = await keeper.permit("gpu")
    assert (probe.allowed, probe.probe) == (True, True)
    assert (await keeper.breaker("gpu")).state == "HALF_OPEN"
    assert not (await keeper.permit("gpu")).allowed

    await keeper.report("gpu", probe, ok=None)
    assert (await keeper.permit("gpu")).probe


async def test_three_successful_probes_close_it(keeper, clock):
    """One after the other."""
    await report(keeper, *[False] * 5)
    await clock.advance(60)

    await report(keeper, True, True)
    assert (await keeper.breaker("gpu")).state == "HALF_OPEN"
    await report(keeper, True)

    assert (await keeper.breaker("gpu")).state == "CLOSED"


async def test_a_failed_probe_opens_it_again(keeper, clock):
    """For another whole pause."""
    await report(keeper, *[False] * 5)
    await clock.advance(60)

    await report(keeper, False)

    view = await keeper.breaker("gpu")
    assert (view.state, view.retry_at) == ("OPEN", clock.now() + 60)


async def test_late_answers_of_an_earlier_state_do_not_count(keeper, clock):
    """Calls sent before it opened say nothing about the other side now."""
    early = await keeper.permit("gpu")
    await report(keeper, *[False] * 5)
    await clock.advance(60)
    probe = await keeper.permit("gpu")

    view = await keeper.report("gpu", early, ok=False)

    assert view.state == "HALF_OPEN"
    assert (await keeper.report("gpu", probe, ok=True)).state == "HALF_OPEN"


async def test_a_probe_given_up_does_not_answer_for_its_successor(keeper, clock):
    """A probe nobody reported on makes room for another; its late answer changes nothing."""
    await report(keeper, *[False] * 5)
    await clock.advance(60)
    lost = await keeper.permit("gpu")
    await clock.advance(60)
    successor = await keeper.permit("gpu")
    assert successor.probe

    view = await keeper.report("gpu", lost, ok=False)

    assert view.state == "HALF_OPEN"
    assert (await keeper.report("gpu", successor, ok=False)).state == "OPEN"


async def test_a_refused_permit_reports_nothing(keeper):
    """Handing it back changes neither state nor count."""
    await report(keeper, *[False] * 5)
    refused = await keeper.permit("gpu")

    await keeper.report("gpu", refused, ok=False)

    assert (await keeper.breaker("gpu")).failure_count == 5


async def test_breakers_are_independent(keeper):
    """A sick metrics host does not block a stop."""
    await report(keeper, *[False] * 5, breaker="account")

    assert (await keeper.permit("gpu")).allowed
    assert (await keeper.breaker("internal")).state == "CLOSED"
