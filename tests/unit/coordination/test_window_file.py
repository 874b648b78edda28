"""What was held before a restart is held after it (semantics: the limiter survives kill -9)."""

import resource
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from novitai.coordination.local import LocalCoordination
from novitai.coordination.window_file import LocalWindow, StampFile, read_stamps
from novitai.ports.coordination import Share as PortShare
from novitai.resilience.limiter import LimiterSettings, Share, Slot, Stamp, Wait
from novitai.world import SteadyClock
from support.clock import START, FakeClock

ACT, OBSERVE, BULK = Share


@pytest.fixture
def path(tmp_path):
    return tmp_path / "window.public"


def reopened(path, *, limit=3, at=START):
    window, warning = LocalWindow.kept_in(path, LimiterSettings(limit=limit), FakeClock(at))
    assert warning is None
    return window


async def test_a_new_process_goes_on_with_the_slots_of_the_last_one(path):
    """Ended calls keep their end; a call under way counts as ended when the new process starts."""
    first = reopened(path)
    ended = await first.admit(ACT)
    await first.settle(ended.id)
    await first.admit(BULK)
    first.close()

    second = reopened(path, at=START + 30.0)

    assert second.used_by_share() == {ACT: 1, OBSERVE: 0, BULK: 1}
    third = reopened(path, at=START + 61.0)
    assert third.used_by_share() == {ACT: 0, OBSERVE: 0, BULK: 1}


async def test_released_and_expired_slots_are_not_found_again(path):
    """A restart invents no calls."""
    clock = FakeClock()
    window, _ = LocalWindow.kept_in(path, LimiterSettings(limit=2), clock)
    for _ in range(5):
        slot = await window.admit(ACT)
        await window.settle(slot.id)
        await clock.advance(61.0)
    never_sent = await window.admit(ACT)
    await window.release(never_sent.id)

    assert reopened(path, limit=2, at=clock.now()).used() == 0
    assert path.stat().st_size < 150


async def test_the_file_keeps_its_size_through_thousands_of_calls(path):
    """Records are used again."""
    clock = FakeClock()
    window, _ = LocalWindow.kept_in(path, LimiterSettings(limit=5, window=1.0), clock)
    size = path.stat().st_size
    for _ in range(2_000):
        outcome = await window.admit(ACT)
        if isinstance(outcome, Slot):
            await window.settle(outcome.id)
        else:
            await clock.advance(outcome.seconds)

    assert path.stat().st_size == size


async def test_a_smaller_limit_after_a_restart_still_knows_every_held_slot(path):
    """Lowering `UPSTREAM_RATE_LIMIT` does not forget calls."""
    window = reopened(path, limit=10)
    for _ in range(6):
        await window.settle((await window.admit(ACT)).id)

    smaller = reopened(path, limit=2, at=START + 1.0)

    assert smaller.used() == 6
    assert isinstance(await smaller.admit(ACT), Wait)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"nvwin\x00\x00\x09" + bytes(24), b"nvwin\x00\x00\x01" + bytes(23), b"\xff" * 999]
)
def test_a_foreign_or_spoiled_file_gives_an_empty_window_and_a_warning(path, content):
    """The server starts all the same, and says what it does not know."""
    path.write_bytes(content)

    window, warning = LocalWindow.kept_in(path, LimiterSettings(), FakeClock())

    assert "empty window" in warning
    assert window.used() == 0


async def test_records_that_make_no_sense_are_left_out_and_the_others_kept(path):
    """One torn record does not cost the rest."""
    window = reopened(path)
    await window.admit(ACT)
    await window.admit(OBSERVE)
    content = bytearray(path.read_bytes())
    first = len(content) - 3 * 24  # of three records, all of one size, at the end
    content[first : first + 8] = b"\xff" * 8
    path.write_bytes(content)

    stamps, warning = read_stamps(path)

    assert [stamp.share for stamp in stamps] == [OBSERVE]
    assert "1 records" in warning


def test_an_end_before_its_start_is_read_as_still_under_way(path):
    """A write that was cut short is taken at its safe side."""
    file = StampFile(path, capacity=1, era="")
    file.write(0, Stamp(start=START, end=START - 500.0, share=ACT))

    assert read_stamps(path) == ([Stamp(start=START, end=None, share=ACT)], None)


async def test_where_no_file_can_be_written_the_window_lives_in_memory_and_says_so(tmp_path):
    """A full or read-only disk does not stop calls."""
    window, warning = LocalWindow.kept_in(tmp_path / "missing" / "window", LimiterSettings(), FakeClock())
    slot = await window.admit(ACT)
    await window.settle(slot.id)

    assert "cannot be written" in warning
    assert window.used() == 1


async def test_a_disk_that_cannot_be_written_later_stops_no_call(path):
    """The window goes on; only a restart would not know of these calls."""
    window = reopened(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        slot = await window.admit(ACT)
        await window.settle(slot.id)
        await window.release((await window.admit(OBSERVE)).id)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert window.used_by_share() == {ACT: 1, OBSERVE: 0, BULK: 0}
    assert read_stamps(path) == ([], None)


async def test_calls_before_the_machine_was_started_anew_count_as_just_made(path):
    """Their seconds were counted from another moment, so nobody knows how long ago they were."""
    before, _ = LocalWindow.kept_in(path, LimiterSettings(limit=3), FakeClock(90_000.0), era="first start")
    await before.settle((await before.admit(ACT)).id)
    clock = FakeClock(50.0)

    after, warning = LocalWindow.kept_in(path, LimiterSettings(limit=3), clock, era="second start")

    assert (warning, after.used()) == (None, 1)
    await clock.advance(59.0)
    assert after.used() == 1
    await clock.advance(60.0)
    assert after.used() == 0


async def test_seconds_of_one_start_of_the_machine_go_on_over_a_restart_of_the_process(path):
    """What was settled 61 s before is not held again."""
    before, _ = LocalWindow.kept_in(path, LimiterSettings(limit=3), FakeClock(1_000.0), era="one")
    await before.settle((await before.admit(ACT)).id)

    after, _ = LocalWindow.kept_in(path, LimiterSettings(limit=3), FakeClock(1_061.0), era="one")

    assert after.used() == 0


class Steady(FakeClock):
    """Seconds that nobody sets."""

    era = "one"


async def test_a_clock_set_forward_does_not_empty_the_window(tmp_path):
    """Novita's minute does not pass faster because our clock was wrong."""
    unix, steady = FakeClock(), Steady()
    keeper = LocalCoordination(clock=unix, limits={"public": 4}, data_dir=tmp_path, steady=steady)
    slot = (await keeper.admit("public", PortShare.ACT)).slot
    await keeper.settle("public", slot)

    await unix.advance(3_600.0)

    assert (await keeper.window_use("public")).used == 1
    await steady.advance(60.0)
    assert (await keeper.window_use("public")).used == 0
    await keeper.close()


def test_the_steady_clock_runs_and_names_its_era(tmp_path):
    """Where the system does not name it, its seconds are Unix time."""
    steady, unnamed = SteadyClock(), SteadyClock(tmp_path / "missing")
    first = steady.now()

    assert 0 <= steady.now() - first < 1.0
    assert unnamed.era == ""
    assert abs(unnamed.now() - time.time()) < 5.0


def test_closing_twice_is_fine(path):
    """As with everything long-lived."""
    window = reopened(path)

    window.close()
    window.close()


def test_kill_minus_nine_loses_no_stamp(path):
    """A process admits calls, reports each one, and is killed: every reported call is in the file."""
    program = textwrap.dedent("""
        import asyncio, sys, time
        from pathlib import Path
        from novitai.coordination.window_file import LocalWindow
        from novitai.resilience.limiter import LimiterSettings, Share

        class WallClock:
            now = staticmethod(time.time)

        async def main():
            window, _ = LocalWindow.kept_in(Path(sys.argv[1]), LimiterSettings(limit=100_000), WallClock())
            for number in range(100_000):
                slot = await window.admit(Share.ACT)
                await window.settle(slot.id)
                sys.stdout.write("x")
                sys.stdout.flush()

        asyncio.run(main())
    """)
    process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
    seen = len(process.stdout.read(500))
    process.send_signal(signal.SIGKILL)
    seen += len(process.stdout.read())
    process.wait()
    process.stdout.close()

    stamps, warning = read_stamps(path)

    assert warning is None
    assert seen <= len(stamps) <= seen + 1
