"""Settings of this service itself: how it is reached, where it keeps the truth, whom it lets in, what it writes down.

Durations are seconds; secrets are `SecretStr`.
"""

from pathlib import Path

from pydantic import SecretStr

from novitai.config.durations import duration, span
from novitai.config.kinds import (
    Network,
    are_aes_keys,
    base_url,
    choice,
    database,
    decoded_key,
    flag,
    integer,
    key,
    key_texts,
    networks,
    path,
    secret,
    text,
    words,
)
from novitai.config.variables import group, setting


@group
class Server:
    """How we are reached, and as what we run."""

    api_key: SecretStr | None = setting(
        "NOVITAI_API_KEY",
        key(least=16),
        default=None,
        meaning="An admin key of our own API for first use; also read by the client and the command line.",
        reason="Nobody is let in without a key; make one with `novitai keys generate`.",
    )
    host: str = setting(
        "HOST",
        text(allowed="an address or a host name", pattern=r"[A-Za-z0-9_.:-]{1,253}"),
        default="127.0.0.1",
        meaning="Address to listen on; `0.0.0.0` for all.",
        reason="A service that spends money should not be open to a network by accident.",
    )
    port: int = setting(
        "PORT",
        integer(0, 65535),
        default="3000",
        meaning="Port to listen on; 0 takes a free one.",
        reason="The documented port.",
    )
    public_url: str | None = setting(
        "PUBLIC_URL",
        base_url(),
        default=None,
        meaning="Where people reach this service from outside, such as https://gpus.example.com; links in webhooks begin with it.",
        reason="Behind a proxy it cannot be known; without it links are given as a path alone.",
    )
    tls_cert_file: Path | None = setting(
        "TLS_CERT_FILE",
        path(),
        default=None,
        meaning="Certificate chain (PEM) to serve HTTPS with; needs `TLS_KEY_FILE`.",
        reason="Most installations stand behind a proxy that does TLS.",
    )
    tls_key_file: Path | None = setting(
        "TLS_KEY_FILE",
        path(),
        default=None,
        meaning="Private key (PEM) of the certificate.",
        reason="See `TLS_CERT_FILE`.",
    )
    environment: str = setting(
        "NOVITAI_ENV",
        choice("development", "production", also={"test": "development"}),
        default="development",
        meaning=(
            "`production` logs JSON, asks a key for the API docs, refuses example keys and a data directory that "
            "others can read."
        ),
        reason="A first try should need no preparation.",
        aliases=("NODE_ENV",),
    )

    @property
    def production(self) -> bool:
        """Whether the stricter rules hold."""
        return self.environment == "production"


@group
class Store:
    """Where the truth is kept, and who we are in it."""

    data_dir: Path = setting(
        "NOVITAI_DATA_DIR",
        path(),
        default="novitai-data",
        meaning=(
            "Directory of the database, the key file and the limiter's memory; made when missing, readable by its "
            "owner alone."
        ),
        reason="Beside where the program was started, so that a trial leaves nothing elsewhere.",
        shown_default="./novitai-data",
    )
    database: Path | None = setting(
        "NOVITAI_STORE",
        database(),
        default="sqlite:///novitai-data/novitai.db",
        meaning="The store. `memory` forgets everything at the end and is for trials only.",
        reason="A file needs no server, and a commit on it survives a power cut.",
        shown_default="sqlite:///<data dir>/novitai.db",
    )
    installation_id: str | None = setting(
        "NOVITAI_INSTALLATION_ID",
        text(allowed="4 characters of a-z and 0-9", pattern=r"[a-z0-9]{4}"),
        default=None,
        meaning="Who we are in the names of our machines, so that several installations can share an account.",
        reason="Made with the store and kept there.",
        shown_default="made at first start",
    )
    secrets_key: SecretStr | None = setting(
        "NOVITAI_SECRETS_KEY",
        secret(
            allowed="32 bytes in base64 (`openssl rand -base64 32`), or several such keys separated by commas",
            check=are_aes_keys,
        ),
        default=None,
        meaning=(
            "Key for what is encrypted at rest: environment values, webhook secrets and passwords of machines. Of "
            "several the first encrypts and all decrypt; `novitai secrets rotate` moves everything to the first."
        ),
        reason=(
            "A key file is made in the data directory at first start; keep the key elsewhere to back up the two apart."
        ),
        shown_default="made at first start",
    )

    def sealing_keys(self) -> tuple[bytes, ...]:
        """The keys of `NOVITAI_SECRETS_KEY`, 32 bytes each; none when it is not set."""
        if self.secrets_key is None:
            return ()
        return tuple(decoded_key(one) or b"" for one in key_texts(self.secrets_key.get_secret_value()))


@group
class Inbound:
    """What callers of our own API may do."""

    rate_limit_window: float = setting(
        "RATE_LIMIT_WINDOW",
        duration(usual=span("1s", "1h"), limits=span("1s", "24h")),
        default="60s",
        meaning="Length of the window in which requests of one key are counted.",
        reason="A minute forgives a burst and stops a loop.",
    )
    rate_limit_max_requests: int = setting(
        "RATE_LIMIT_MAX_REQUESTS",
        integer(0, 10_000_000),
        default="600",
        meaning="Requests of one key within the window; 0 turns the limit off.",
        reason="Ten a second is more than a well-made client needs.",
    )
    allowed_origins: tuple[str, ...] = setting(
        "ALLOWED_ORIGINS",
        words(allowed="origins such as https://ui.example.com, or *", pattern=r"\*|https?://[A-Za-z0-9.-]+(:\d{1,5})?"),
        default="",
        meaning="Web pages of which origins may call the API from a browser (CORS).",
        reason="Programs do not need it, and other people's pages should not.",
    )
    trusted_proxies: tuple[Network, ...] = setting(
        "TRUSTED_PROXIES",
        networks(),
        default="",
        meaning=(
            "Proxies whose `X-Forwarded-For` or `Forwarded` is believed: the caller is then the right-most address that "
            "is none of them."
        ),
        reason="Anybody can write such a header; without a list the address of the connection counts.",
    )
    metrics_public: bool = setting(
        "METRICS_PUBLIC",
        flag(),
        default="false",
        meaning="Whether `GET /metrics` answers without a key.",
        reason="Metrics tell how much is running; Prometheus can send a key.",
    )


@group
class Logging:
    """What is written down."""

    level: str = setting(
        "LOG_LEVEL",
        choice("debug", "info", "warning", "error", also={"warn": "warning"}),
        default="info",
        meaning="The least important lines that are written.",
        reason="`info` tells what happened; `debug` adds each call to Novita.",
    )
    format: str = setting(
        "LOG_FORMAT",
        choice("auto", "json", "console"),
        default="auto",
        meaning=(
            "`json` is one object a line, `console` is for people; `auto` takes `json` when the output is not a "
            "terminal, and in production."
        ),
        reason="Collectors want JSON, people do not.",
    )
    slow_operation: float = setting(
        "SLOW_OPERATION_MS",
        duration(usual=span("100ms", "60s"), limits=span("1ms", "1h"), unit="ms"),
        default="2000",
        meaning="Calls, requests and commits that take longer are logged as warnings.",
        reason="Longer than a person waits without wondering.",
    )

    def as_json(self, *, terminal: bool) -> bool:
        """Whether lines are JSON, given whether the output is a terminal."""
        return self.format == "json" or (self.format == "auto" and not terminal)
