"""How a loop of this process is, as the API shows it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LoopView:
    """Times are Unix seconds, `interval` the longest time between two runs; `runs` and `failures` count since the start of the process.
    `running`: at this moment.
    """

    interval: float
    running: bool = False
    last_run_at: float | None = None
    next_run_at: float | None = None
    runs: int = 0
    failures: int = 0
    last_error: str | None = None
