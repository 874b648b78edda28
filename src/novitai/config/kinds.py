"""Kinds of values a variable can hold: how the text is read, what is allowed, and how the value is shown again.

A kind knows no variable by name. It says what is wrong with a text; the loader adds whose text it was. Nothing here
shows a secret.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

T = TypeVar("T")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

USD = 100_000  # money is counted in 1/100000 USD, the unit of Novita's price lists
USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")


class RefusedError(Exception):
    """Why a text is not acceptable, in words that follow `NAME=text`; never quotes the text of a secret."""


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[T]):
    """One kind of value. `remark` is for what is taken but worth a warning, again in words that follow `NAME=text`."""

    allowed: str
    read: Callable[[str], T]
    show: Callable[[T], str] = str
    remark: Callable[[T], str | None] = lambda _: None
    secret: bool = False


def masked(text: str) -> str:
    """A text fit to be shown: user and password inside an URL are `***`."""
    return USERINFO.sub("***@", text)


def text(*, allowed: str, pattern: str) -> Kind[str]:
    """A text that matches `pattern` whole."""

    def read(given: str) -> str:
        if re.fullmatch(pattern, given, re.ASCII) is None:
            raise RefusedError("is not of the right form")
        return given

    return Kind(allowed=allowed, read=read)


def integer(low: int, high: int) -> Kind[int]:
    """A whole number from `low` to `high`."""

    def read(given: str) -> int:
        if re.fullmatch(r"-?\d{1,18}", given, re.ASCII) is None:
            raise RefusedError("is not a whole number")
        if not low <= int(given) <= high:
            raise RefusedError("is out of range")
        return int(given)

    return Kind(allowed=f"a whole number from {low} to {high}", read=read)


def money(*, least: str) -> Kind[int]:
    """An amount of USD, exact to 1/100000; the value is an integer of that unit."""

    def read(given: str) -> int:
        try:
            units = Decimal(given) * USD
        except InvalidOperation:
            raise RefusedError("is not an amount") from None
        if not units.is_finite() or units != units.to_integral_value():
            raise RefusedError("is finer than 1/100000 USD")
        if not Decimal(least) * USD <= units <= 10**6 * USD:
            raise RefusedError("is out of range")
        return int(units)

    return Kind(allowed=f"USD from {least} to 1000000, at most 5 decimals", read=read, show=usd)


def usd(units: int) -> str:
    """An amount as it is written: 35000 is `0.35`."""
    return format((Decimal(units) / USD).normalize(), "f")


def flag() -> Kind[bool]:
    """A yes or no."""
    said = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}

    def read(given: str) -> bool:
        if given.lower() not in said:
            raise RefusedError("is neither true nor false")
        return said[given.lower()]

    return Kind(allowed="true or false", read=read, show=lambda value: str(value).lower())


def choice(*options: str, also: dict[str, str] | None = None) -> Kind[str]:
    """One word of a few, in any case; `also` maps accepted synonyms to an option."""

    def read(given: str) -> str:
        word = (also or {}).get(given.lower(), given.lower())
        if word not in options:
            raise RefusedError("is not one of them")
        return word

    return Kind(allowed=" or ".join(options), read=read)


def words(*, allowed: str, pattern: str) -> Kind[tuple[str, ...]]:
    """Several texts, separated by commas, each matching `pattern` whole. Spaces around them do not count."""

    def read(given: str) -> tuple[str, ...]:
        parts = tuple(part.strip() for part in given.split(",") if part.strip())
        if wrong := [part for part in parts if re.fullmatch(pattern, part, re.ASCII) is None]:
            raise RefusedError(f"has {masked(wrong[0])!r}, which is not of the right form")
        return parts

    return Kind(allowed=f"{allowed}, separated by commas", read=read, show=",".join)


def networks() -> Kind[tuple[Network, ...]]:
    """Networks in CIDR form, separated by commas. Host bits are refused: they show that another network was meant."""

    def read(given: str) -> tuple[Network, ...]:
        return tuple(_network(part.strip()) for part in given.split(",") if part.strip())

    return Kind(
        allowed="networks such as 10.0.0.0/8, fd00::/8 or single addresses, separated by commas",
        read=read,
        show=lambda value: ",".join(map(str, value)),
    )


def _network(part: str) -> Network:
    try:
        loose = ipaddress.ip_network(part, strict=False)
    except ValueError:
        raise RefusedError(f"has {part!r}, which is not a network") from None
    if loose.network_address != ipaddress.ip_interface(part).ip:
        raise RefusedError(f"has {part!r}; did you mean {loose}?")
    return loose


def statuses() -> Kind[frozenset[int]]:
    """HTTP statuses as numbers and classes (`503`, `5xx`), separated by commas."""

    def read(given: str) -> frozenset[int]:
        found: set[int] = set()
        for part in (part.strip().lower() for part in given.split(",")):
            if re.fullmatch(r"[345](xx|\d\d)", part, re.ASCII) is None:
                raise RefusedError(f"has {part!r}, which is not a status")
            found.update(range(int(part[0]) * 100, int(part[0]) * 100 + 100) if part.endswith("xx") else [int(part)])
        return frozenset(found)

    return Kind(
        allowed="statuses from 300 to 599 or 3xx, 4xx, 5xx, separated by commas", read=read, show=_show_statuses
    )


def _show_statuses(value: frozenset[int]) -> str:
    whole = [hundred for hundred in (300, 400, 500) if value.issuperset(range(hundred, hundred + 100))]
    single = [str(status) for status in sorted(value) if status // 100 * 100 not in whole]
    return ",".join([f"{hundred // 100}xx" for hundred in whole] + single)


def key(*, least: int) -> Kind[SecretStr]:
    """A key that is sent in a header: `least` or more visible ASCII characters."""
    return secret(
        allowed=f"at least {least} visible ASCII characters",
        check=lambda given: len(given) >= least and re.fullmatch(r"[!-~]{1,512}", given) is not None,
    )


def secret(*, allowed: str, check: Callable[[str], bool]) -> Kind[SecretStr]:
    """A secret: a type whose printed form shows nothing."""

    def read(given: str) -> SecretStr:
        if not check(given):
            raise RefusedError("is not acceptable")
        return SecretStr(given)

    return Kind(allowed=allowed, read=read, show=lambda _: "***", secret=True)


def is_webhook_secret(given: str) -> bool:
    """Whether receivers can verify with it: what follows `whsec_` must be base64, as the Standard Webhooks libraries
    read it.
    """
    if given.startswith("whsec_"):
        return decoded_key(given.removeprefix("whsec_")) is not None
    return len(given) >= 8


def are_aes_keys(given: str) -> bool:
    """Whether each of these is base64 of exactly 32 bytes, and no two are the same."""
    keys = [decoded_key(one) for one in key_texts(given)]
    return bool(keys) and len(set(keys)) == len(keys) and all(len(key or b"") == 32 for key in keys)


def key_texts(given: str) -> list[str]:
    """Keys one by one: separated by commas in a variable, by lines in a file."""
    return given.replace(",", " ").split()


def decoded_key(given: str) -> bytes | None:
    """The bytes of a base64 text (either alphabet), or None when it is not one."""
    try:
        return base64.b64decode(given.replace("-", "+").replace("_", "/"), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def url(*, allowed: str = "an http:// or https:// address") -> Kind[str]:
    """A web address with a host; shown without user and password."""
    return Kind(allowed=allowed, read=lambda given: _web_address(given).geturl(), show=masked)


def _web_address(given: str) -> SplitResult:
    try:
        parts = urlsplit(given)
        usable = bool(parts.hostname) and parts.port != 0 and parts.scheme in {"http", "https"}
    except ValueError:  # a port or an IPv6 host that cannot be one
        raise RefusedError("is not a web address") from None
    if not usable or re.search(r"[\s\x00-\x1f\x7f]", given):
        raise RefusedError("is not a web address with http or https and a host")
    return parts


def base_url(*, versioned: bool = False) -> Kind[str]:
    """An address that paths are added to: no query, no closing slash, and no version where paths bring their own `/v1`."""

    def read(given: str) -> str:
        parts = _web_address(given)
        trimmed = parts.geturl().rstrip("/")
        if parts.query or parts.fragment or parts.username:
            raise RefusedError("carries more than scheme, host and path")
        if trimmed.endswith("/v1") and not versioned:
            raise RefusedError(f"ends in /v1, which is added by itself; did you mean {trimmed.removesuffix('/v1')}?")
        return trimmed

    without = "without query" if versioned else "without query and without /v1"
    return Kind(allowed=f"an http:// or https:// address {without}", read=read, show=masked)


def path() -> Kind[Path]:
    """A place in the file system; relative ones count from the working directory."""
    return Kind(allowed="a path", read=Path)


LATER_STORES = ("postgresql:", "postgres:", "redis:", "rediss:", "upstash")


def database() -> Kind[Path | None]:
    """Where the store lives: the file of a SQLite database, or None for memory."""

    def read(given: str) -> Path | None:
        if given == "memory":
            return None
        if given.startswith(LATER_STORES):
            raise RefusedError("comes with a later release")
        if not given.startswith("sqlite:///") or given == "sqlite:///":
            raise RefusedError("is not a store")
        return Path(given.removeprefix("sqlite:///"))

    return Kind(
        allowed="sqlite:///relative/path, sqlite:////absolute/path or memory",
        read=read,
        show=lambda value: "memory" if value is None else f"sqlite:///{value}",
    )
