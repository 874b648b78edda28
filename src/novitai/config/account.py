"""Settings of our account at Novita and of the calls we make to it.

Durations are seconds. A variable stands here only while something uses it; the same holds for the neighbouring groups.
"""

from pathlib import Path

from pydantic import SecretStr

from novitai.config.durations import duration, span
from novitai.config.kinds import base_url, choice, integer, key, path, url
from novitai.config.variables import group, setting


@group
class Novita:
    """Our account at Novita, and what we may do to it."""

    api_key: SecretStr | None = setting(
        "NOVITA_API_KEY",
        key(least=6),
        default=None,
        meaning="Novita's API key. Required by `novitai serve`.",
        reason="It is the account that pays, so there is nothing to assume.",
        shown_default="required",
    )
    api_base_url: str = setting(
        "NOVITA_API_BASE_URL",
        base_url(),
        default="https://api.novita.ai/gpu-instance/openapi",
        meaning=(
            "Where Novita's GPU API is; `/v1/…` is added to it. Point it at the simulator to rehearse without money."
        ),
        reason="Novita's public address.",
    )
    internal_api_key: SecretStr | None = setting(
        "NOVITA_INTERNAL_API_KEY",
        key(least=6),
        default=None,
        meaning="Key of Novita's internal API, used only to read provider jobs.",
        reason="Optional: without it the same jobs are read from the public API.",
    )
    internal_api_base_url: str = setting(
        "NOVITA_INTERNAL_API_BASE_URL",
        base_url(),
        default="https://api-server.novita.ai",
        meaning="Where Novita's internal API is; `/api/v1/…` is added to it.",
        reason="The address that Novita's own console uses.",
    )
    metrics_base_url: str | None = setting(
        "NOVITA_METRICS_BASE_URL",
        base_url(versioned=True),
        default=None,
        meaning="Where Novita's metrics and bills are; `/metrics/…` and `/billing/…` are added to it.",
        reason="They lie beside the GPU API, on the same host.",
        shown_default="origin of `NOVITA_API_BASE_URL` + `/openapi/v1`",
    )
    mode: str = setting(
        "NOVITAI_MODE",
        choice("control", "observe"),
        default="control",
        meaning="`observe` reads, polls and explains what would be done, and changes nothing on Novita.",
        reason=(
            "Whoever starts a control plane wants it to act; `observe` is for a first look at an account that is in "
            "use."
        ),
    )
    settle_time: float = setting(
        "NOVITA_SETTLE_TIME",
        duration(usual=span("30s", "10m"), limits=span("100ms", "1h")),
        default="60s",
        meaning=(
            "How long Novita's list may lag behind a create. After an unclear answer nothing is sent again before it "
            "has passed."
        ),
        reason="Waiting a minute costs nothing; a second machine costs money.",
    )
    extra_machines: str = setting(
        "EXTRA_MACHINES",
        choice("report", "delete"),
        default="report",
        meaning=(
            "What becomes of a second machine with an instance's marker, which can exist when Novita shows one later "
            "than the settle time. `report` tells of it and keeps it until the instance is deleted; `delete` also "
            "deletes it after two readings 30 s apart, unless the instance is protected."
        ),
        reason="It bills, but nothing should be destroyed that nobody was asked about.",
    )


@group
class Upstream:
    """Calls to Novita: how long, how often, how many, by which way."""

    request_timeout: float = setting(
        "REQUEST_TIMEOUT",
        duration(usual=span("5s", "120s"), limits=span("100ms", "1h")),
        default="30s",
        meaning="Deadline of one call; it starts when the limiter lets the call through.",
        reason="Creates have been seen to take many seconds.",
    )
    max_retry_attempts: int = setting(
        "MAX_RETRY_ATTEMPTS",
        integer(1, 10),
        default="3",
        meaning="Tries of one reading call, the first included. What changes something is never blindly repeated.",
        reason="Two repetitions bridge a hiccup; more would only load a service in trouble.",
    )
    retry_base_delay: float = setting(
        "RETRY_BASE_DELAY",
        duration(usual=span("100ms", "30s"), limits=span("1ms", "5m")),
        default="1s",
        meaning="First pause before a repetition; it doubles each time and is varied.",
        reason="A second is about the length of a hiccup.",
    )
    retry_max_delay: float = setting(
        "RETRY_MAX_DELAY",
        duration(usual=span("1s", "5m"), limits=span("1ms", "1h")),
        default="30s",
        meaning="Longest pause before a repetition.",
        reason="Beyond it the call is better given back to the durable work.",
    )
    pool_size: int = setting(
        "UPSTREAM_POOL_SIZE",
        integer(1, 1000),
        default="20",
        meaning="Connections to Novita at once.",
        reason="At 100 calls a minute 20 are never all in use.",
    )
    rate_limit: int = setting(
        "UPSTREAM_RATE_LIMIT",
        integer(1, 100_000),
        default="100",
        meaning="Calls to the public API in any 60 s; the shares for acting, observing and bulk work scale with it.",
        reason="The limit that Novita documents.",
    )
    internal_rate_limit: int = setting(
        "UPSTREAM_INTERNAL_RATE_LIMIT",
        integer(1, 100_000),
        default="50",
        meaning="Calls to the internal API in any 60 s.",
        reason="It is made for a console, so we are more careful with it.",
    )
    proxy: str | None = setting(
        "UPSTREAM_PROXY",
        url(),
        default=None,
        meaning="HTTP proxy for calls to Novita.",
        reason="Proxy variables of the system are not read: what we call through is said here or nowhere.",
    )
    ca_file: Path | None = setting(
        "UPSTREAM_CA_FILE",
        path(),
        default=None,
        meaning="Certificates (PEM) to trust for Novita's addresses instead of the system's.",
        reason="Needed only behind a proxy that opens TLS.",
    )


@group
class Breaker:
    """When calls to a sick Novita stop, and when they are tried again."""

    failure_threshold: int = setting(
        "CIRCUIT_FAILURE_THRESHOLD",
        integer(1, 1000),
        default="5",
        meaning="Failures in a row that open the breaker; clear refusals (4xx other than 408 and 429) are none.",
        reason="One or two happen on a good day.",
    )
    open_seconds: float = setting(
        "CIRCUIT_OPEN",
        duration(usual=span("5s", "10m"), limits=span("50ms", "1h")),
        default="60s",
        meaning="How long no call is made; then one probe at a time.",
        reason="Time for a restart on the other side.",
    )
    success_threshold: int = setting(
        "CIRCUIT_SUCCESS_THRESHOLD",
        integer(1, 100),
        default="3",
        meaning="Successful probes in a row that close it again.",
        reason="The first answer after an outage is often luck.",
    )
