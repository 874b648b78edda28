"""Settings of instances: how they are watched and checked, where they are placed, how many there may be.

Durations are seconds, money is in 1/100000 USD.
"""

from novitai.config.durations import duration, span
from novitai.config.kinds import Network, choice, flag, integer, money, networks, text, words
from novitai.config.variables import group, setting

REGION = r"[A-Za-z0-9][A-Za-z0-9 ()._-]{0,63}"


@group
class Lifecycle:
    """How instances are watched and how long their steps may take."""

    poll_interval: float = setting(
        "INSTANCE_POLL_INTERVAL",
        duration(usual=span("10s", "5m"), limits=span("100ms", "1h")),
        default="30s",
        meaning="How often the whole list is read from Novita while all is quiet; one sweep serves every instance.",
        reason="Two sweeps a minute cost a few of the 100 calls and notice a vanished machine within half a minute.",
    )
    fast_poll_interval: float = setting(
        "INSTANCE_FAST_POLL_INTERVAL",
        duration(usual=span("1s", "60s"), limits=span("50ms", "1h")),
        default="3s",
        meaning=(
            "The same while something is in motion. Never longer than `INSTANCE_POLL_INTERVAL`; stretched when calls "
            "are short."
        ),
        reason="Somebody is waiting; 20 calls a minute stay inside the share kept for observing.",
    )
    startup_timeout: float = setting(
        "INSTANCE_STARTUP_TIMEOUT",
        duration(usual=span("1m", "2h"), limits=span("100ms", "24h")),
        default="10m",
        meaning="From accepted by Novita to running, without the time spent pulling the image.",
        reason="A machine that takes longer rarely comes, and it may bill meanwhile.",
    )
    pull_timeout: float = setting(
        "INSTANCE_PULL_TIMEOUT",
        duration(usual=span("1m", "6h"), limits=span("100ms", "24h")),
        default="30m",
        meaning="Longest time for pulling the image.",
        reason="Images of model servers are tens of gigabytes.",
    )
    name_lookup: bool = setting(
        "INSTANCE_STARTUP_ENABLE_NAME_LOOKUP",
        flag(),
        default="true",
        meaning="Whether start, stop and delete by name also look among machines on Novita that we do not manage.",
        reason="The name shown in Novita's console should work.",
    )
    sync_interval: float = setting(
        "SYNC_INTERVAL",
        duration(usual=span("1m", "24h"), limits=span("1s", "7d")),
        default="30m",
        meaning="Pause between two audits of the whole account; the first is made at the start.",
        reason="Every poll shows what is new; an audit also takes back what is ours and forgets what is gone.",
    )
    deleted_retention: float = setting(
        "SYNC_OBSOLETE_INSTANCE_RETENTION",
        duration(usual=span("1d", "365d"), limits=span("1s", "3650d")),
        default="7d",
        meaning="How long a deleted instance can still be read, and a lost one is kept, before its record is forgotten.",
        reason="Long enough to look into last week.",
    )


@group
class Health:
    """Health checks of the application on a machine, where the request does not say otherwise."""

    timeout: float = setting(
        "HEALTH_CHECK_TIMEOUT_MS",
        duration(usual=span("500ms", "60s"), limits=span("10ms", "10m"), unit="ms"),
        default="10000",
        meaning="Longest time for one try.",
        reason="A model server that is warming up answers slowly.",
    )
    retry_attempts: int = setting(
        "HEALTH_CHECK_RETRY_ATTEMPTS",
        integer(1, 10),
        default="3",
        meaning="Tries in one round, the first included.",
        reason="One lost packet is not a sick machine.",
    )
    retry_delay: float = setting(
        "HEALTH_CHECK_RETRY_DELAY_MS",
        duration(usual=span("0s", "60s"), limits=span("0s", "10m"), unit="ms"),
        default="2000",
        meaning="Pause between the tries of one round.",
        reason="Short, since somebody waits for `ready`.",
    )
    max_wait_time: float = setting(
        "HEALTH_CHECK_MAX_WAIT_TIME_MS",
        duration(usual=span("10s", "2h"), limits=span("100ms", "2h"), unit="ms"),
        default="300000",
        meaning="From running to healthy; later the instance counts as failed, is kept, and goes on being probed.",
        reason="Loading a large model takes minutes.",
    )
    interval: float = setting(
        "HEALTH_CHECK_INTERVAL",
        duration(usual=span("500ms", "60s"), limits=span("50ms", "10m")),
        default="2s",
        meaning="Pause between rounds until the instance is ready.",
        reason="`ready` should be told within seconds; these calls do not count against Novita's limit.",
    )
    allow_cidrs: tuple[Network, ...] = setting(
        "HEALTH_CHECK_ALLOW_CIDRS",
        networks(),
        default="",
        meaning="Private networks that health checks may go to.",
        reason="Machines of Novita answer at public addresses; only a simulator is nearer.",
    )


@group
class Placement:
    """Which offer is taken, where the request does not say otherwise."""

    default_region: str = setting(
        "DEFAULT_REGION",
        text(allowed="a region's id, code or name", pattern=REGION),
        default="CN-HK-01",
        meaning="Region that wins between offers of the same price (with `region-first`: the one tried first).",
        reason="The region that clients of the earlier service expect.",
    )
    allowed_regions: tuple[str, ...] = setting(
        "ALLOWED_REGIONS",
        words(allowed="ids, codes or names of regions", pattern=REGION),
        default="",
        meaning="Regions that may be used at all.",
        reason="The more regions compete, the cheaper.",
        shown_default="all",
    )
    default_placement: str = setting(
        "DEFAULT_PLACEMENT",
        choice("cheapest", "region-first"),
        default="cheapest",
        meaning=(
            "`cheapest` takes the lowest price anywhere; `region-first` tries the default region before it compares "
            "prices."
        ),
        reason="The price is what one asks a broker for.",
    )
    default_max_price_per_hour: int | None = setting(
        "DEFAULT_MAX_PRICE_PER_HOUR",
        money(least="0.00001"),
        default=None,
        meaning="Highest price in USD per hour for a whole instance.",
        reason="A cap that is too low looks like a lack of machines.",
    )


@group
class Ceilings:
    """Limits of the whole installation, checked before any money is spent."""

    max_instances: int | None = setting(
        "MAX_INSTANCES",
        integer(0, 100_000),
        default=None,
        meaning="How many instances may exist at once; 0 forbids creating.",
        reason="Fleets differ; set it to what you could explain.",
    )
    max_usd_per_hour: int | None = setting(
        "MAX_USD_PER_HOUR",
        money(least="0"),
        default=None,
        meaning="What all instances together may cost per hour, in USD.",
        reason="Budgets differ; set it to what you could explain.",
    )
