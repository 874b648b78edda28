"""Settings of migration: what is done about spot machines that Novita takes back. Durations are seconds."""

from novitai.config.durations import duration, span
from novitai.config.kinds import flag, integer
from novitai.config.variables import group, setting


@group
class Migration:
    """Whether reclaimed instances are brought back; `migration` of a create says otherwise, and how, for one."""

    enabled: bool = setting(
        "MIGRATION_ENABLED",
        flag(),
        default="true",
        meaning="Whether instances whose spot machine Novita takes back are moved.",
        reason="Whoever rents spot machines counts on being brought back without watching.",
    )
    interval: float = setting(
        "MIGRATION_INTERVAL_MINUTES",
        duration(usual=span("1m", "1h"), limits=span("1s", "24h"), unit="m"),
        default="15m",
        meaning="The longest time between looks; a notice or a reclaim that was seen is acted on at once.",
        reason="Only what no event tells waits for it.",
    )
    dry_run: bool = setting(
        "MIGRATION_DRY_RUN",
        flag(),
        default="false",
        meaning="Only write down what would be moved, once for each case.",
        reason="Whoever leaves migration on wants it to act.",
    )
    max_concurrent: int = setting(
        "MIGRATION_MAX_CONCURRENT",
        integer(1, 1000),
        default="5",
        meaning="How many instances may be moving at once; others wait for their turn.",
        reason="A region that is emptied should not empty the account, or the limiter, with it.",
    )
