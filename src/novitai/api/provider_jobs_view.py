"""A job of Novita's as callers see it."""

from novitai.api.schemas.jobs import ProviderJobAnswer
from novitai.domain.times import iso_or_none
from novitai.ports.provider import ProviderJob


def provider_job(job: ProviderJob) -> ProviderJobAnswer:
    """Novita's words for type and state are handed on as they are."""
    return ProviderJobAnswer(
        id=job.id,
        type=job.type,
        state=job.state,
        error=job.error or None,
        instance_id=job.instance_id,
        created_at=iso_or_none(job.created_at),
        updated_at=iso_or_none(job.updated_at),
    )
