"""What was held before a restart is held after it (semantics: the limiter survives kill -9)."""

import signal
import subprocess
import sys
import textwrap

import pytest

from novitai.coordination.window_file import LocalWindow, StampFile, read_stamps
from novitai.resilience.limiter import LimiterSettings, Share, Slot, Stamp, Wait
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
    assert path.stat().st_size < 100


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
    content[8:16] = b"\xff" * 8
    path.write_bytes(content)

    stamps, warning = read_stamps(path)

    assert [stamp.share for stamp in stamps] == [OBSERVE]
    assert "1 records" in warning


def test_an_end_before_its_start_is_read_as_still_under_way(path):
    """A write that was cut short is taken at its safe side."""
    file = StampFile(path, capacity=1)
    file.write(0, Stamp(start=START, end=START - 500.0, share=ACT))

    assert read_stamps(path) == ([Stamp(start=START, end=None, share=ACT)], None)


async def test_where_no_file_can_be_written_the_window_lives_in_memory_and_says_so(tmp_path):
    """A full or read-only disk does not stop calls."""
    window, warning = LocalWindow.kept_in(tmp_path / "missing" / "window", LimiterSettings(), FakeClock())
    slot = await window.admit(ACT)
    await window.settle(slot.id)

    assert "cannot be written" in warning
    assert window.used() == 1


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
