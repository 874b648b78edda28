"""A3: secrets do not leak. Everything that can hold a secret is given one, in a life with a real server, its command line, a receiver, a proxy
and a Novita that fails; then every byte that came out is searched: logs, answers, figures, webhooks, files, the list of processes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from proofs.planted import a3_nothing_sealed, a3_talkative_log
from support.canaries import Hit, hits
from support.processes import Forks
from support.secret_life import STORED_AS_GIVEN, Life, live
from support.sites import forks

__all__ = ["forks"]


def leaks(life: Life) -> list[Hit]:
    """Every secret in a place where it does not belong."""
    at_rest = {name: text for name, text in life.canaries.items() if name not in STORED_AS_GIVEN}
    return hits(life.canaries, life.told) + hits(at_rest, life.on_disk)


@pytest.mark.timeout(120)
async def test_planted_secrets_are_found_nowhere(book, scale, forks, tmp_path):
    """Each was really used, judged at its other end; none stands in anything that was told or kept."""
    lives = []
    for log_format in scale.pick(short=["json"], prove=["json", "console"]):
        folder = tmp_path / log_format
        folder.mkdir()
        lives.append(await live(forks, folder, log_format=log_format, troubles=scale.pick(short=2, prove=10)))

    unused = {name for life in lives for name in life.canaries.keys() - life.used}
    assert unused == set()
    found = [hit for life in lives for hit in leaks(life)]
    assert found == []
    book.figure("A3", "kinds of secrets planted, and used", len(lives[0].used), at_least=20)
    places = sum(len(life.told) + len(life.on_disk) for life in lives)
    book.figure(
        "A3", "answers, logs, webhooks, files, process entries searched, in all usual spellings", places, at_least=100
    )
    book.figure("A3", "secrets found", len(found), exactly=0)


@contextmanager
def bugged(bug: ModuleType) -> Iterator[Forks]:
    """Starts programs with a bug."""
    made = Forks(Path(str(bug.__file__)))
    try:
        yield made
    finally:
        made.close()


@pytest.mark.timeout(120)
async def test_a_leak_is_noticed(book, scale, tmp_path):
    """The same search on servers that have one."""
    for bug in scale.pick(short=[a3_talkative_log], prove=[a3_talkative_log, a3_nothing_sealed]):
        folder = tmp_path / bug.__name__
        folder.mkdir()
        with bugged(bug) as leaking:
            life = await live(leaking, folder, troubles=1, brief=True)
        book.planted("A3", bug.BUG, caught=bool(leaks(life)))
