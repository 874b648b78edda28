"""Settings: read once, checked whole, handed out in groups.

`load` turns an environment and a working directory into `Settings`, or says everything that is wrong with them. The
composition root calls it; all other parts receive their own group and never learn where a value came from. A variable
exists only while something uses it.
"""

from novitai.config.account import Breaker, Novita, Upstream
from novitai.config.instances import Ceilings, Health, Lifecycle, Placement
from novitai.config.loading import load
from novitai.config.problems import Problem, SettingsError
from novitai.config.service import Inbound, Logging, Server, Store
from novitai.config.settings import Row, Settings, describe
from novitai.config.webhooks import Webhooks

__all__ = [
    "Breaker",
    "Ceilings",
    "Health",
    "Inbound",
    "Lifecycle",
    "Logging",
    "Novita",
    "Placement",
    "Problem",
    "Row",
    "Server",
    "Settings",
    "SettingsError",
    "Store",
    "Upstream",
    "Webhooks",
    "describe",
    "load",
]
