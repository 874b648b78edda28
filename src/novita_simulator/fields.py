"""Typed reading of JSON that others sent.

One reader serves request bodies, query strings, control calls and scenario files. Whatever is wrong is reported as one
exception that names the field, and each edge turns it into its own answer (400 for Novita's API, 422 for the control API).
"""

import math
from collections.abc import Iterable, Mapping

_MISSING = object()


class InvalidField(ValueError):
    """A field that is missing, of the wrong type, out of range or unknown; `field` is its dotted name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


class Fields:
    """One JSON object. Numbers may also come as decimal strings, as Novita's own service accepts them."""

    def __init__(self, body: object, where: str = "") -> None:
        if not isinstance(body, Mapping):
            raise InvalidField(where or "body", "must be an object")
        self._body = body
        self.where = where
        self._seen: set[str] = set()

    def over(self, defaults: Mapping[str, object]) -> "Fields":
        """These fields, with defaults for those that are absent."""
        return Fields({**defaults, **self._body}, self.where)

    def name(self, field: str) -> str:
        return f"{self.where}.{field}" if self.where else field

    def has(self, field: str) -> bool:
        return self._take(field) is not _MISSING

    def text(self, field: str, default: str | None = None, *, longest: int | None = None, shortest: int = 0) -> str:
        value = self._take(field)
        if value is _MISSING:
            value = self._default(field, default)
        if not isinstance(value, str):
            raise InvalidField(self.name(field), "must be a string")
        if len(value) < shortest or (longest is not None and len(value) > longest):
            limits = f"at least {shortest}" if longest is None else f"{shortest} to {longest}"
            raise InvalidField(self.name(field), f"must have {limits} characters")
        return value

    def whole(
        self, field: str, default: int | None = None, *, least: int | None = None, most: int | None = None
    ) -> int:
        value = self.number(field, default, least=least, most=most)
        if value != int(value):
            raise InvalidField(self.name(field), "must be a whole number")
        return int(value)

    def number(
        self, field: str, default: float | None = None, *, least: float | None = None, most: float | None = None
    ) -> float:
        value = self._take(field)
        number = self._as_number(field, self._default(field, default) if value is _MISSING else value)
        if least is not None and number < least:
            raise InvalidField(self.name(field), f"must be at least {least}")
        if most is not None and number > most:
            raise InvalidField(self.name(field), f"must be at most {most}")
        return number

    def flag(self, field: str, *, default: bool | None = None) -> bool:
        value = self._take(field)
        if value is _MISSING:
            value = self._default(field, default)
        if not isinstance(value, bool):
            raise InvalidField(self.name(field), "must be true or false")
        return value

    def choice(self, field: str, allowed: Iterable[str], default: str | None = None) -> str:
        value = self.text(field, default)
        options = tuple(allowed)
        if value not in options:
            raise InvalidField(self.name(field), f"must be one of {', '.join(options)}")
        return value

    def items(self, field: str, *, most: int | None = None) -> list["Fields"]:
        """The objects of a list; an absent list is an empty one."""
        values = self.values(field, most=most)
        return [Fields(value, f"{self.name(field)}[{index}]") for index, value in enumerate(values)]

    def values(self, field: str, *, most: int | None = None) -> list[object]:
        value = self._take(field)
        if value is _MISSING:
            return []
        if not isinstance(value, list):
            raise InvalidField(self.name(field), "must be a list")
        if most is not None and len(value) > most:
            raise InvalidField(self.name(field), f"must have at most {most} items")
        return value

    def group(self, field: str) -> "Fields":
        """A nested object; an absent one is empty."""
        value = self._take(field)
        return Fields({} if value is _MISSING else value, self.name(field))

    def raw(self) -> dict[str, object]:
        return {str(key): value for key, value in self._body.items()}

    def keys(self) -> list[str]:
        return [str(key) for key in self._body]

    def refuse_unknown(self) -> None:
        """To be called after the last read: a field nobody asked for is most likely a typing error."""
        for key in self._body:
            if key not in self._seen:
                raise InvalidField(self.name(str(key)), f"unknown field; known are {', '.join(sorted(self._seen))}")

    def _take(self, field: str) -> object:
        self._seen.add(field)
        value = self._body.get(field, _MISSING)
        return _MISSING if value is None else value

    def _default(self, field: str, default: object) -> object:
        if default is None:
            raise InvalidField(self.name(field), "is required")
        return default

    def _as_number(self, field: str, value: object) -> float:
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise InvalidField(self.name(field), "must be a number") from None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InvalidField(self.name(field), "must be a number")
        return value
