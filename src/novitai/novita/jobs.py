"""Novita's own jobs, such as migrations: one list, two doors.

The public API has them under the ordinary key; the internal one gives more fields and wants a key of its own
(novita-wire.md 3.10, 5). Parameters and records are the same.
"""

from novitai.novita import translate, v1, wire
from novitai.novita.calls import BreakerName, Request
from novitai.ports.provider import ClientName, ProviderJobQuery, ProviderJobs


def public_jobs(query: ProviderJobQuery) -> Request[ProviderJobs]:
    """The list under the public key."""
    return _jobs(query, path="/v1/jobs", breaker=BreakerName.GPU, source=ClientName.PUBLIC)


def internal_jobs(query: ProviderJobQuery) -> Request[ProviderJobs]:
    """The list as the web console reads it."""
    return _jobs(query, path="/api/v1/jobs", breaker=BreakerName.INTERNAL, source=ClientName.INTERNAL)


def _jobs(query: ProviderJobQuery, *, path: str, breaker: BreakerName, source: ClientName) -> Request[ProviderJobs]:
    read_page = v1.page_reader("jobs", wire.Job, translate.job, page=query.page, page_size=query.page_size)

    def read(body: bytes) -> ProviderJobs:
        jobs, total = read_page(body)
        return ProviderJobs(jobs=tuple(jobs), total=total, source=source.value)

    return Request(operation="list_jobs", method="GET", path=path, breaker=breaker, query=_parameters(query), read=read)


def _parameters(query: ProviderJobQuery) -> dict[str, str]:
    filters = {
        "type": query.type,
        "state": query.state,
        "startTime": str(query.start_time or ""),
        "endTime": str(query.end_time or ""),
    }
    paging = {"pageNum": str(query.page), "pageSize": str(query.page_size)}
    return paging | {name: value for name, value in filters.items() if value}
