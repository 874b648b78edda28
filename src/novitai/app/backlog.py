"""How late due jobs are: the watchdog's view of durable work.

Work that nobody could do does not count as late: what came due while the process was away, or while jobs were paused,
has its time from the moment at which it could begin. A job that waits for Novita's limits or for a receiver has been
given a later due time, so what is left here is work that nobody takes up.
"""

from collections.abc import Sequence

from novitai.ports.store import JobCount, JobStatus


class Backlog:
    """Remembers the oldest due job of the last look. `since`: when the process began."""

    def __init__(self, *, since: float) -> None:
        self._could_begin = since
        self._oldest: float | None = None

    def saw(self, counts: Sequence[JobCount], *, now: float, paused: bool) -> None:
        """Take in what the store holds now."""
        if paused:
            self._could_begin = now
        due = [
            count.oldest_due for count in counts if count.status is JobStatus.PENDING and count.oldest_due is not None
        ]
        self._oldest = min(due, default=None)

    def late_by(self, now: float) -> float:
        """Seconds for which the oldest due job could have been begun and was not, as of the last look."""
        if self._oldest is None:
            return 0.0
        return max(0.0, now - max(self._oldest, self._could_begin))
