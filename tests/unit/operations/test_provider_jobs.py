"""Novita's list of jobs is read to its end, or known not to be."""

import msgspec
import pytest

from novitai.coordination.local import LocalCoordination
from novitai.operations.provider_jobs import MOST_PAGES, PAGE_SIZE, ProviderJobBook
from novitai.ports.coordination import Share
from novitai.ports.provider import Call, ProviderJob, ProviderJobQuery, ProviderJobs
from support import builders
from support.clock import FakeClock
from support.scripted_provider import ScriptedProvider

BULK = Call(share=Share.BULK)


class Paged(ScriptedProvider):
    """A list of jobs whose total, from some page on, is another."""

    total_later: int | None = None

    async def jobs(self, query: ProviderJobQuery, call: Call) -> ProviderJobs:
        found = await super().jobs(query, call)
        later = query.page > 1 and self.total_later is not None
        return msgspec.structs.replace(found, total=self.total_later) if later else found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def provider(clock) -> Paged:
    return Paged(clock=clock)


@pytest.fixture
def book(clock, provider) -> ProviderJobBook:
    coordination = LocalCoordination(clock=clock, limits={"public": 100, "internal": 50})
    return ProviderJobBook(provider=provider, coordination=coordination)


def jobs(count: int) -> tuple[ProviderJob, ...]:
    return tuple(
        ProviderJob(id=f"j{n}", type="t", state="fail", error="", instance_id="m", created_at=builders.NOW)
        for n in range(count)
    )


async def test_every_page_is_read_once(provider, book):
    """And half a minute long not again."""
    provider.known_jobs = jobs(2 * PAGE_SIZE + 1)

    found = await book.since(builders.NOW, BULK)
    await book.since(builders.NOW, BULK)

    assert (len(found.jobs), found.complete) == (2 * PAGE_SIZE + 1, True)
    assert len(list(provider.asked("jobs"))) == 3


@pytest.mark.parametrize("later", [0, 1, PAGE_SIZE])
async def test_a_total_that_shrinks_from_page_to_page_hides_nothing(provider, book, later):
    """A page beyond what Novita shows may say that there is nothing at all."""
    provider.known_jobs = jobs(PAGE_SIZE)
    provider.total_later = later
    whole = await book.since(builders.NOW, BULK)
    provider.known_jobs = jobs(2 * PAGE_SIZE)[: PAGE_SIZE // 2] + jobs(2 * PAGE_SIZE)[: PAGE_SIZE + 1]

    short = await book.since(builders.NOW - 60.0, BULK)

    assert whole.complete
    assert not short.complete


async def test_a_list_without_end_is_not_read_for_ever(provider, book):
    """A thousand jobs are enough; that there are more is known."""
    provider.known_jobs = jobs((MOST_PAGES + 1) * PAGE_SIZE)

    found = await book.since(builders.NOW, BULK)

    assert (len(found.jobs), found.complete) == (MOST_PAGES * PAGE_SIZE, False)
