"""What holds for all tests: asyncio alone, and what the machine lacks is left out by name, never silently."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = "left out: "
# Marker: whether what it needs is here, and how to get it.
NEEDS = {
    "redis": (
        lambda: shutil.which("redis-server") is not None,
        "redis-server is not installed (Debian: apt-get install redis-server)",
    ),
    "peers": (
        (ROOT / ".peers" / "bin" / "python").exists,
        "the third-party clients are not installed (make peers)",
    ),
}


@pytest.fixture(scope="session")
def anyio_backend():
    """The server runs on asyncio, so the tests do."""
    return "asyncio"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    missing = {marker: why for marker, (there, why) in NEEDS.items() if not there()}
    for item in items:
        for marker, why in missing.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=LEFT_OUT + why))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter):
    """End with what was left out, and how to have it next time, instead of naming each test."""
    skipped = terminalreporter.stats.get("skipped", [])
    left_out = [report for report in skipped if LEFT_OUT in str(report.longrepr)]
    skipped[:] = [report for report in skipped if report not in left_out]
    result = yield
    if left_out:
        skipped += left_out
        terminalreporter.section("left out")
        counts = Counter(report.longrepr[2].partition(LEFT_OUT)[2] for report in left_out)
        for reason, count in sorted(counts.items()):
            terminalreporter.line(f"{count} tests: {reason}")
    return result
