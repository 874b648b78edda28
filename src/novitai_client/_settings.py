"""Where the server is and which key to show it: arguments first, then the environment, then the defaults.

`NOVITAI_URL`, `NOVITAI_API_KEY`, or `NOVITAI_API_KEY_FILE` naming a file that holds the key alone. The environment is
handed in, so that nothing here depends on the process.
"""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from novitai_client.errors import SettingsError

DEFAULT_URL = "http://127.0.0.1:3000"


class Target(msgspec.Struct, frozen=True):
    """A server and the key for it. Printing it does not show the key."""

    url: str
    api_key: str | None

    def __repr__(self) -> str:
        return f"Target({self.url})"

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine: proxies of the environment are not for it."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")


def target(base_url: str | None, api_key: str | None, environ: Mapping[str, str]) -> Target:
    """What to talk to. Raises SettingsError for an address or a key that cannot be used."""
    url = base_url or environ.get("NOVITAI_URL") or DEFAULT_URL
    return Target(_checked_url(url), _checked_key(api_key or _key_from(environ)))


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(f"{url!r} is not the address of a server; it looks like {DEFAULT_URL}")
    return url.rstrip("/")


def _key_from(environ: Mapping[str, str]) -> str | None:
    if key := environ.get("NOVITAI_API_KEY"):
        return key
    path = environ.get("NOVITAI_API_KEY_FILE")
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"NOVITAI_API_KEY_FILE: {path} cannot be read: {error}") from error


def _checked_key(key: str | None) -> str | None:
    if key is None:
        return None
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError("the API key must be printable ASCII without spaces; it looks like nvk_…")
    return key
