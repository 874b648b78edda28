"""What holds between settings: values that follow from others, combinations that are wrong, and some that are worth a
warning.
"""

import ipaddress
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from novitai.config.durations import short
from novitai.config.problems import Problem
from novitai.config.settings import Settings, shown

EXAMPLE = re.compile(
    r"(^|[^a-z0-9])(your|example|sample|changeme|change[-_]me|placeholder|dummy|demo|sim|simulator)([^a-z0-9]|$)|^(.)\4+$",
    re.IGNORECASE,
)


def completed(settings: Settings, *, cwd: Path) -> Settings:
    """The same settings with everything filled in that follows from something else; paths are absolute afterwards."""
    store = replace(settings.store, data_dir=cwd / settings.store.data_dir)
    if "NOVITAI_STORE" not in settings.origins:
        store = replace(store, database=store.data_dir / "novitai.db")
    elif store.database is not None:
        store = replace(store, database=cwd / store.database)
    logging = settings.logging
    if settings.server.production and logging.format == "auto":
        logging = replace(logging, format="json")
    return _calm_polling(replace(settings, store=store, logging=logging))


def _calm_polling(settings: Settings) -> Settings:
    lifecycle = settings.lifecycle
    if lifecycle.fast_poll_interval <= lifecycle.poll_interval:
        return settings
    origin = f"taken down to INSTANCE_POLL_INTERVAL ({short(lifecycle.poll_interval)})"
    return replace(
        settings,
        lifecycle=replace(lifecycle, fast_poll_interval=lifecycle.poll_interval),
        origins={**settings.origins, "INSTANCE_FAST_POLL_INTERVAL": origin},
    )


def problems(settings: Settings, *, require_novita: bool) -> Iterator[Problem]:
    """Everything that must not be started with, beyond single values."""
    if require_novita and settings.novita.api_key is None:
        message = (
            "NOVITA_API_KEY is not set; it is the API key of your Novita account (or of the simulator: `novitai "
            "simulate` prints it)."
        )
        yield Problem(name="NOVITA_API_KEY", found="", message=message)
    if settings.upstream.retry_base_delay > settings.upstream.retry_max_delay:
        base, longest = short(settings.upstream.retry_base_delay), short(settings.upstream.retry_max_delay)
        message = f"RETRY_BASE_DELAY={base} is longer than RETRY_MAX_DELAY={longest}. Allowed: at most RETRY_MAX_DELAY."
        yield Problem(name="RETRY_BASE_DELAY", found=base, message=message)
    idle = settings.auto_stop
    if idle.warn >= idle.threshold:
        warn, threshold = short(idle.warn), short(idle.threshold)
        message = f"AUTO_STOP_WARN={warn} is not shorter than AUTO_STOP_THRESHOLD={threshold}. Allowed: less than AUTO_STOP_THRESHOLD."
        yield Problem(name="AUTO_STOP_WARN", found=warn, message=message)
    yield from _tls(settings)
    yield from _files(settings)
    if settings.server.production:
        yield from _production(settings)


def _tls(settings: Settings) -> Iterator[Problem]:
    pair = {"TLS_CERT_FILE": settings.server.tls_cert_file, "TLS_KEY_FILE": settings.server.tls_key_file}
    missing = [name for name, value in pair.items() if value is None]
    if len(missing) == 1:
        yield Problem(
            name=missing[0], found="", message=f"{missing[0]} is not set, but its other half is. HTTPS needs both."
        )


def _files(settings: Settings) -> Iterator[Problem]:
    named = {
        "TLS_CERT_FILE": settings.server.tls_cert_file,
        "TLS_KEY_FILE": settings.server.tls_key_file,
        "UPSTREAM_CA_FILE": settings.upstream.ca_file,
    }
    for name, place in named.items():
        if place is not None and not (place.is_file() and os.access(place, os.R_OK)):
            yield Problem(name=name, found=str(place), message=f"{name}={place} is not a readable file.")


def _production(settings: Settings) -> Iterator[Problem]:
    for _, variable, value in settings.each():
        if variable.kind.secret and value is not None and EXAMPLE.search(value.get_secret_value()):
            message = (
                f"{variable.name}=*** is an example, and NOVITAI_ENV is production. Allowed: a key made for this "
                "installation."
            )
            yield Problem(name=variable.name, found="***", message=message)
    place = settings.store.data_dir
    if place.is_dir() and place.stat().st_mode & stat.S_IRWXO:
        message = (
            f"NOVITAI_DATA_DIR={place} can be read by everybody, and NOVITAI_ENV is production. Try: chmod 700 {place}"
        )
        yield Problem(name="NOVITAI_DATA_DIR", found=str(place), message=message)


def warnings(settings: Settings) -> Iterator[str]:
    """What is legal and looks like a mistake."""
    server = settings.server
    if not _stays_here(server.host) and server.tls_cert_file is None:
        yield (
            f"HOST={server.host} serves plain HTTP beyond this machine: put a proxy with TLS before it or set "
            "TLS_CERT_FILE and TLS_KEY_FILE"
        )
    if wide := [str(network) for network in settings.inbound.trusted_proxies if network.prefixlen == 0]:
        yield f"TRUSTED_PROXIES={','.join(wide)} believes everybody: any caller can then choose the address it is known by"
    if settings.webhooks.url is not None and settings.webhooks.secret is None:
        yield "WEBHOOK_URL is set without WEBHOOK_SECRET: webhooks go out unsigned"
    if settings.store.database is None:
        yield (
            "NOVITAI_STORE=memory forgets every instance at the end; machines that still run then are only found "
            "again by their names"
        )
    yield from _addresses(settings)


def _addresses(settings: Settings) -> Iterator[str]:
    for _, variable, value in settings.each():
        if variable.name not in {"NOVITA_API_BASE_URL", "NOVITA_INTERNAL_API_BASE_URL", "NOVITA_METRICS_BASE_URL"}:
            continue
        parts = urlsplit(value or "")
        if parts.scheme == "http" and not _stays_here(parts.hostname or ""):
            yield f"{variable.name}={shown(variable, value)} sends the key in clear text; did you mean https?"
    if settings.novita.api_base_url == "https://api.novita.ai":
        yield "NOVITA_API_BASE_URL=https://api.novita.ai usually ends in /gpu-instance/openapi; it is taken as said"


def _stays_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
