"""What is known of one variable: its name, kind, default, meaning and why the default is what it is.

The groups declare their fields with `setting`; reading, checking, `novitai config` and the reference page all work from
these declarations, so a variable is described in one place.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, cast, dataclass_transform, overload

from novitai.config.kinds import Kind

T = TypeVar("T")

KEY = "variable"


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One variable. `default` is the text that stands for it when unset; `shown_default` replaces that text for
    readers.
    """

    name: str
    kind: Kind[Any]
    default: str | None
    meaning: str
    reason: str
    aliases: tuple[str, ...] = ()
    shown_default: str | None = None

    @property
    def file_name(self) -> str | None:
        """The variable that names a file with the value instead; only secrets have one."""
        return f"{self.name}_FILE" if self.kind.secret else None

    @property
    def default_text(self) -> str:
        """The default for readers; `none` when there is none."""
        return self.shown_default or self.default or "none"


@overload
def setting(
    name: str,
    kind: Kind[T],
    *,
    default: str,
    meaning: str,
    reason: str,
    aliases: tuple[str, ...] = (),
    shown_default: str | None = None,
) -> T: ...


@overload
def setting(
    name: str,
    kind: Kind[T],
    *,
    default: None,
    meaning: str,
    reason: str,
    aliases: tuple[str, ...] = (),
    shown_default: str | None = None,
) -> T | None: ...


def setting(
    name: str,
    kind: Kind[T],
    *,
    default: str | None,
    meaning: str,
    reason: str,
    aliases: tuple[str, ...] = (),
    shown_default: str | None = None,
) -> T | None:
    """A field of a group. Its default value is `default` read by `kind`, so that a group made without arguments holds
    the defaults.
    """
    variable = Variable(
        name=name,
        kind=kind,
        default=default,
        meaning=meaning,
        reason=reason,
        aliases=aliases,
        shown_default=shown_default,
    )
    value = None if default is None else kind.read(default)
    described: Any = field(default=value, metadata={KEY: variable})
    return cast("T | None", described)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(setting,))
def group(cls: type[T]) -> type[T]:
    """A group of settings: a frozen dataclass whose fields are made by `setting`."""
    return dataclass(frozen=True, kw_only=True)(cls)


def declared(group: type) -> Iterator[tuple[str, Variable]]:
    """The variables of a group in order, each with the name of the field that holds its value."""
    return ((one.name, one.metadata[KEY]) for one in fields(group) if KEY in one.metadata)
