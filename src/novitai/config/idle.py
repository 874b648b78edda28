"""Settings of the idle stop: what holds for every instance that does not say otherwise. Durations are seconds."""

from novitai.config.durations import duration, span
from novitai.config.kinds import flag
from novitai.config.variables import group, setting


@group
class AutoStop:
    """When an instance that nobody uses is stopped; `autoStop` of a create says otherwise for one."""

    enabled: bool = setting(
        "AUTO_STOP_ENABLED",
        flag(),
        default="true",
        meaning="Whether instances that nobody uses are stopped.",
        reason="A machine that everybody forgot is what costs most.",
    )
    dry_run: bool = setting(
        "AUTO_STOP_DRY_RUN",
        flag(),
        default="false",
        meaning="Only write down what would be stopped, with its evidence; for a first week of watching.",
        reason="Whoever leaves the idle stop on wants it to act.",
    )
    interval: float = setting(
        "AUTO_STOP_INTERVAL",
        duration(usual=span("30s", "1h"), limits=span("1s", "24h")),
        default="5m",
        meaning="The longest time between checks; a known deadline is acted on when it comes.",
        reason="Only what no event tells waits for it.",
    )
    threshold: float = setting(
        "AUTO_STOP_THRESHOLD",
        duration(usual=span("5m", "24h"), limits=span("1s", "7d")),
        default="20m",
        meaning="How long every signal has to say idle.",
        reason="Longer than a pause between two requests of a person, shorter than a lunch.",
    )
    warn: float = setting(
        "AUTO_STOP_WARN",
        duration(usual=span("1m", "1h"), limits=span("0s", "24h")),
        default="5m",
        meaning="How long before a stop it is announced, with a link that postpones it; 0 announces nothing.",
        reason="Time enough to read a message and follow its link.",
    )
