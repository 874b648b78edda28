"""Settings of webhooks: to whom, signed with what, tried again when and how often.

Durations are seconds; the secret is a `SecretStr`.
"""

from pydantic import SecretStr

from novitai.config.durations import duration, schedule, span
from novitai.config.kinds import Network, is_webhook_secret, networks, secret, statuses, url
from novitai.config.variables import group, setting


@group
class Webhooks:
    """Telling others."""

    url: str | None = setting(
        "WEBHOOK_URL",
        url(),
        default=None,
        meaning="An endpoint that gets every event; a `webhookUrl` in a request adds one for that instance.",
        reason="Only you know where it is.",
    )
    secret: SecretStr | None = setting(
        "WEBHOOK_SECRET",
        secret(allowed="at least 8 characters, or `whsec_` and base64", check=is_webhook_secret),
        default=None,
        meaning="Signs webhooks to endpoints that have no secret of their own.",
        reason="Without any secret webhooks go out unsigned, with a warning.",
    )
    retry_schedule: tuple[float, ...] = setting(
        "WEBHOOK_RETRY_SCHEDULE",
        schedule(longest=span("0s", "7d")),
        default="1s,2s,4s,30s,5m,30m,2h,5h,10h,14h,20h,24h",
        meaning=(
            "Pauses between attempts of one delivery, each varied by 20 %; after the last one it goes to the dead "
            "letters."
        ),
        reason="Quick at first for a receiver that restarts, then three days for one that is down over a weekend.",
    )
    retry_on: frozenset[int] = setting(
        "WEBHOOK_RETRY_ON",
        statuses(),
        default="3xx,5xx,408,425,429",
        meaning=(
            "Answers after which an attempt is repeated. No answer at all (network error, time-out) always is; other "
            "answers are final."
        ),
        reason="These can turn out well later; any other 4xx will be the same tomorrow.",
    )
    timeout: float = setting(
        "WEBHOOK_TIMEOUT",
        duration(usual=span("1s", "60s"), limits=span("100ms", "5m")),
        default="15s",
        meaning="Longest time for one attempt in all; connecting may take at most 5 s of it.",
        reason="A receiver should store the event and answer; work comes after.",
    )
    allow_cidrs: tuple[Network, ...] = setting(
        "WEBHOOK_ALLOW_CIDRS",
        networks(),
        default="",
        meaning="Private networks that webhooks may go to.",
        reason="Whoever may create an instance could otherwise make us call inside your network.",
    )
