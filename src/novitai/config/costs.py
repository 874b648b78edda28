"""Settings of the cost ledger: when Novita's bill can be believed, and when the account's balance is worth an alarm."""

from novitai.config.durations import duration, span
from novitai.config.kinds import integer
from novitai.config.variables import group, setting


@group
class Costs:
    """How our figures are held against Novita's bill and balance."""

    bill_delay: float = setting(
        "COST_BILL_DELAY",
        duration(usual=span("1h", "24h"), limits=span("1m", "7d")),
        default="3h",
        meaning="How long after the end of a day (UTC) its bill is first read; it is read again on the next three days.",
        reason="Novita settles by the hour (its bills tell when), and a bill that is not whole yet says too little.",
    )
    balance_alert_hours: int = setting(
        "BALANCE_ALERT_HOURS",
        integer(0, 8760),
        default="24",
        meaning="Tell when the account's balance pays for fewer hours of what runs now than this; 0 never tells.",
        reason="A day is time enough to top an account up; without balance Novita stops machines.",
    )
