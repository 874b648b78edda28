"""Keeping secrets out of what is written, in two ways at once.

By name: the value of a field, header or environment entry whose name promises a secret is replaced, however deep it
lies. By value: every secret that the process knows is replaced wherever it turns up, inside addresses, messages and
nested bodies, in the spellings that encoding gives it. Keys of callers are not known in plain; they and the usual
carriers of credentials are recognised by their form.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

REDACTED = "[REDACTED]"

SHORTEST = 6  # a shorter secret would blank out ordinary words
DEEPEST = 12
TOO_DEEP = "[TOO DEEP]"

NAMES = re.compile(
    r"passw|secret|token|apikey|accesskey|privatekey|authorization|cookie|credential|signature"
    r"|^envs$|^envvars$|imageauth$|registryauth$"
)

FORMS = (
    (re.compile(r"(?<=://)[^/?#\s@]+@"), f"{REDACTED}@"),
    (re.compile(r"(?i)\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=-]{6,}"), rf"\1\2{REDACTED}"),
    (re.compile(r"\b(nvk_[A-Za-z0-9]+_)[A-Za-z0-9_-]{6,}"), rf"\1{REDACTED}"),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]{6,}"), REDACTED),
    (
        re.compile(r"(?i)([?&][a-z0-9_.-]*(?:token|key|secret|signature|password|sig|code|auth|pass|pwd)=)[^&#\s\"']+"),
        rf"\1{REDACTED}",
    ),
)

HINT = re.compile(
    r"(?i)://|bearer|basic|nvk_|whsec_|[?&]"
)  # without any of these no form can match; most texts have none


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret; spelling with `_`, `-` or capitals makes no difference."""
    return NAMES.search(re.sub(r"[^a-z0-9]", "", name.lower())) is not None


class Redactor:
    """Replaces secrets in anything that is about to be written. One for the process; secrets made later are added to
    it.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._spellings: set[str] = set()
        self._known: re.Pattern[str] | None = None
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """From now on these values are replaced wherever they turn up; too short ones are left to their field's name."""
        self._spellings.update(form for secret in secrets if len(secret) >= SHORTEST for form in _spellings(secret))
        longest_first = sorted(self._spellings, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def text(self, text: str) -> str:
        """The text without secrets."""
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        if HINT.search(text) is not None:
            for form, instead in FORMS:
                text = form.sub(instead, text)
        return text

    def value(self, value: object, depth: int = 0) -> object:
        """Any value without secrets, made of what JSON knows; other objects become their fields or their printed form."""
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)  # JSON knows no NaN and no infinity
        if isinstance(value, (bytes, bytearray, memoryview)):
            return f"<{len(value)} bytes>"
        parts = _parts(value)
        if parts is None:
            return self.text(str(value))
        if depth >= DEEPEST:
            return TOO_DEEP
        return self._mapping(parts, depth) if isinstance(parts, Mapping) else self._sequence(parts, depth)

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        """As a structlog processor."""
        return self._mapping(event, 0)

    def _mapping(self, mapping: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        names_a_secret = (
            any(is_secret_name(str(mapping.get(label, ""))) for label in ("key", "name")) and "value" in mapping
        )
        return {
            self.text(str(name)): REDACTED
            if _hides(str(name), held) or (names_a_secret and name == "value")
            else self.value(held, depth + 1)
            for name, held in mapping.items()
        }

    def _sequence(self, found: list[object], depth: int) -> list[object]:
        if len(found) == 2 and isinstance(found[0], (str, bytes)) and _hides(_as_text(found[0]), found[1]):
            return [_as_text(found[0]), REDACTED]  # a header as a pair
        return [self.value(item, depth + 1) for item in found]


def _parts(value: object) -> Mapping[Any, Any] | list[object] | None:
    """What a value is made of, by name or in order; None when it is a text or has no parts to look at."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    names = getattr(type(value), "__struct_fields__", None) or getattr(type(value), "__dataclass_fields__", None)
    return None if names is None else {name: getattr(value, name) for name in names}


def _hides(name: str, held: object) -> bool:
    return held is not None and not isinstance(held, bool) and is_secret_name(name)


def _as_text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("latin-1")


def _spellings(secret: str) -> set[str]:
    """The forms in which a secret can stand in addresses, forms and JSON texts."""
    encoded = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    lower = {re.sub(r"%[0-9A-F]{2}", lambda hexadecimal: hexadecimal[0].lower(), form) for form in encoded}
    in_json = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return {secret, *encoded, *lower, *in_json}
