"""Long work of Novita on a machine: saving its image, moving it to another node (novita-wire.md 3.10, 7.3)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

TYPES = ("saveImage", "instanceMigrate", "autoInstanceMigrate")
STATES = ("pulling", "running", "fail", "success", "break")
OPEN_STATES = frozenset({"pulling", "running"})


@dataclass(slots=True, kw_only=True)
class Job:
    id: str
    type: str
    instance_id: str
    created_at: float
    creator: str
    state: str = "pulling"
    error: str = ""
    error_message: str = ""
    updated_at: float = 0

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    def move(self, state: str, now: float, *, error: str = "", message: str = "") -> None:
        self.state, self.error, self.error_message, self.updated_at = state, error, message, now


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """What to list; an empty value filters nothing."""

    job_id: str = ""
    state: str = ""
    type: str = ""
    start: int = 0
    end: int = 0
    instance_id: str = ""
    creators: tuple[str, ...] = ()

    def fits(self, job: Job) -> bool:
        return (
            self.job_id in ("", job.id)
            and self.state in ("", job.state)
            and self.type in ("", job.type)
            and self.instance_id in ("", job.instance_id)
            and (not self.creators or job.creator in self.creators)
            and self.start <= job.created_at
            and (not self.end or int(job.created_at) <= self.end)
        )


class JobBook:
    """All jobs there ever were."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._jobs: dict[str, Job] = {}
        self._new_id = new_id

    def open(self, job_type: str, *, instance_id: str, creator: str, now: float) -> Job:
        job = Job(
            id=self._new_id(),
            type=job_type,
            instance_id=instance_id,
            created_at=now,
            creator=creator,
            updated_at=now,
        )
        self._jobs[job.id] = job
        return job

    def get(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def newest_first(self, wanted: JobFilter) -> Iterator[Job]:
        return (job for job in reversed(self._jobs.values()) if wanted.fits(job))

    def running(self) -> Iterator[Job]:
        return (job for job in self._jobs.values() if job.is_open)
