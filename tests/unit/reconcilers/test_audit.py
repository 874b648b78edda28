"""The audit log is sealed a second after each change, and what is done to it afterwards shows (promise A4)."""

import msgspec

from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.domain.secrets import Sealed
from novitai.operations import audit, records
from novitai.ports.store import Commit
from support.clock import FakeClock
from support.running import context, running


async def test_what_was_done_is_sealed_within_a_second_and_holds():
    """The create, why its offer was chosen, and the stop; the chain goes on after a restart."""
    async with running() as house:
        made = await house.ready()
        await house.ask(made, Verb.STOP)
        await house.until(made, State.STOPPED)
        await house.clock.advance(2.0)
        report = await house.program.operations.audit.verify()

        assert report.whole
        assert (report.entries, report.unsealed) == (3, 0)
        assert report.seals >= 1
        assert report.head


async def test_an_entry_that_is_gone_shows():
    """Whoever removes one from the database is found out."""
    async with running() as house:
        made = await house.ready()
        for verb, state in ((Verb.STOP, State.STOPPED), (Verb.START, State.READY)):
            await house.ask(made, verb)
            await house.until(made, state)
        await house.clock.advance(2.0)
        await house.store.trim_log(records.AUDIT, before=house.clock.now(), limit=1)
        report = await house.program.operations.audit.verify()

        assert [(broken.number, "missing" in broken.what) for broken in report.breaks] == [(1, True)]


async def test_what_was_not_sealed_before_the_end_is_sealed_after_the_next_start():
    """A process that is killed within the second leaves nothing out of the chain."""
    clock = FakeClock()
    async with running(clock=clock) as house:
        await house.program.operations.ledger.write_down(context(), "cache.clear", target="all")
        assert (await house.program.operations.audit.verify()).unsealed == 1
        await clock.advance(1.5)
        assert (await house.program.operations.audit.verify()).unsealed == 0


async def test_quiet_hours_make_no_seals():
    """The chain grows by what is done, not by time."""
    async with running() as house:
        await house.clock.advance(1800.0)

        assert (await house.program.operations.audit.verify()).seals == 0


async def test_a_busy_service_makes_a_seal_a_second_and_not_one_for_each_entry():
    """What is written down while a batch is sealed waits for the next second."""
    async with running() as house:
        program = house.program
        for _ in range(300):
            await program.operations.ledger.write_down(context(), "cache.clear", target="all")
            await house.clock.advance(0.02)
        await house.clock.advance(2.0)
        report = await program.operations.audit.verify()

        assert (report.whole, report.entries, report.unsealed) == (True, 300, 0)
        assert report.seals <= 9


async def test_more_entries_than_a_page_are_sealed_and_verified():
    """Seals and pages of the walk need not meet."""
    async with running(start=False) as house:
        written = [house.program.operations.ledger.note(context(), "cache.clear", target="all") for _ in range(1234)]
        await house.store.commit(Commit(appends=tuple(written)))
        house.program.start()
        await house.clock.advance(2.0)
        await house.program.operations.ledger.write_down(context(), "cache.clear", target="all")
        report = await house.program.operations.audit.verify()

        assert (report.whole, report.seals, report.entries, report.unsealed) == (True, 3, 1234, 1)


async def test_a_seal_that_is_no_seal_any_more_shows_and_does_not_end_the_walk():
    """Garbage in the database is a finding, not a failure."""
    async with running() as house:
        for _ in range(3):
            await house.program.operations.ledger.write_down(context(), "cache.clear", target="all")
            await house.clock.advance(2.0)
        record = (await house.store.list(records.SEALS, "all")).records[1]
        harmed = msgspec.structs.replace(
            records.put_seal(records.read_seal(record)), body=b"nonsense", expect=record.version
        )
        await house.store.commit(Commit(puts=(harmed,)))
        report = await house.program.operations.audit.verify()

        assert [broken.number for broken in report.breaks] == [2, 3]
        assert report.seals == 2


async def test_a_key_that_cannot_be_opened_is_a_finding():
    """Nothing can be verified then, which is said, with the reason."""
    async with running() as house:
        await house.program.operations.ledger.write_down(context(), "cache.clear", target="all")
        await house.clock.advance(2.0)
        record = await house.store.get(records.META, audit.KEY_RECORD)
        await house.store.commit(Commit(puts=(audit.put_key(Sealed("v1:none:AAAA"), expect=record.version),)))
        report = await house.program.operations.audit.verify()

        assert not report.whole
        assert [broken.number for broken in report.breaks] == [0]


async def test_entries_are_forgotten_after_a_year_and_the_chain_still_holds():
    """Of seals that old only the link is left; what is younger is judged as ever."""
    async with running() as house:
        for _ in range(3):
            await house.program.operations.ledger.write_down(context(), "cache.clear", target="all")
            await house.clock.advance(2.0)
        retention = house.program.keepers.loops[-1]._work
        for loop in house.program.keepers.loops:
            await loop.stop()
        house.clock._now += audit.KEEP_SECONDS - 3.0
        await retention(None)
        report = await house.program.operations.audit.verify()

        assert report.whole
        assert (report.seals, report.entries, report.trimmed) == (3, 1, 2)


async def test_a_clock_that_is_set_back_leaves_nothing_unsealed_and_breaks_nothing():
    """The second between seals is not waited for until the clock is where it was."""
    async with running() as house:
        loop = house.program.keepers.audit_log
        await loop.stop()
        for step in (5.0, -7200.0):
            house.clock._now += step
            await house.program.operations.ledger.write_down(context(), "cache.clear", target="all")
            await loop._work(None)
        report = await house.program.operations.audit.verify()

        assert (report.whole, report.seals, report.unsealed) == (True, 2, 0)
