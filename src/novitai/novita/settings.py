"""The numbers the Novita client runs with, as plain values: what it needs to know of the configuration, and no more."""

from dataclasses import dataclass, field
from importlib import metadata
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class Pacing:
    """How a client waits and repeats; seconds, and `attempts` with the first try of a read."""

    request_timeout: float = 30.0
    attempts: int = 3
    base_delay: float = 1.0
    max_delay: float = 30.0


@dataclass(frozen=True, kw_only=True)
class NovitaSettings:
    """Addresses, keys and limits. Without an internal key there is no internal client.

    `rate_limit` and `internal_rate_limit` are calls in 60 s, used only to estimate waits; the windows themselves are kept
    by coordination. `slow_ms`: calls that took longer (milliseconds) are logged as warnings.
    """

    api_key: str = field(repr=False)
    api_base_url: str = "https://api.novita.ai/gpu-instance/openapi"
    internal_api_key: str | None = field(default=None, repr=False)
    internal_api_base_url: str = "https://api-server.novita.ai"
    account_base_url: str = ""  # metrics and billing; empty: `/openapi/v1` of the host of `api_base_url`
    pacing: Pacing = Pacing()
    pool_size: int = 20
    rate_limit: int = 100
    internal_rate_limit: int = 50
    slow_ms: float = 2000.0
    proxy: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    version: str = field(default_factory=lambda: metadata.version("novitai"))

    @property
    def account_address(self) -> str:
        """Where metrics and billing are (novita-wire.md 1.1)."""
        parts = urlsplit(self.api_base_url)
        return self.account_base_url or f"{parts.scheme}://{parts.netloc}/openapi/v1"
