"""How everything long-lived lives and dies: lanes of durable jobs, and loops that run now and then.

Both start at once, stop when asked, and a second stop is fine. Neither knows what the work is.
"""

from novitai.reconcilers.driver.lanes import Handler, JobTold, Lane
from novitai.reconcilers.driver.leasing import (
    FAULT_PAUSE,
    LEASE_SECONDS,
    LONGEST_SLEEP,
    RENEW_SECONDS,
    STORE_AWAY_PAUSE,
)
from novitai.reconcilers.driver.loops import Loop
from novitai.reconcilers.driver.nudge import Nudge

__all__ = [
    "FAULT_PAUSE",
    "LEASE_SECONDS",
    "LONGEST_SLEEP",
    "RENEW_SECONDS",
    "STORE_AWAY_PAUSE",
    "Handler",
    "JobTold",
    "Lane",
    "Loop",
    "Nudge",
]
