"""The reference of settings, from the declarations of the groups."""

from collections.abc import Iterator

from pages.markdown import page, table

from novitai.config.settings import GROUPS
from novitai.config.variables import Variable, declared

INTRODUCTION = """# Settings

Read once at the start: from the environment, then from `.env` in the working directory. Secrets may also lie in a file
of their own, named by the variable with `_FILE` added (`NOVITA_API_KEY_FILE=/run/secrets/novita`). An empty value
counts as not set; nothing is expanded inside values.

A wrong value stops the start with one line that names the variable, what was found and what is allowed. `novitai
config` prints every variable with its value, where that came from and what it means; secrets are shown as `***`.

**Durations** take a unit (`500ms`, `30s`, `10m`, `4h`, `7d`) and are then taken as said, with a warning when they are
unusual. A bare number is seconds (milliseconds in variables that end in `_MS`). A bare number that only makes sense in
another unit is asked about instead of being used: *REQUEST_TIMEOUT=30000 is 8 hours; did you mean 30s?*

**Money** is USD, exact to 1/100000."""


def settings_page() -> str:
    """One table for each group."""
    return page(INTRODUCTION, *(part for name, group in GROUPS.items() for part in _group(name, group)))


def _group(name: str, group: type) -> Iterator[str]:
    yield f"## {name.replace('_', ' ').capitalize()}"
    yield (group.__doc__ or "").strip()
    yield table(
        ("variable", "default", "allowed", "meaning, and why this default"),
        map(_row, (one for _, one in declared(group))),
    )


def _row(variable: Variable) -> tuple[str, str, str, str]:
    names = ", also ".join(f"`{name}`" for name in (variable.name, *variable.aliases))
    files = f" (or `{variable.file_name}`)" if variable.file_name else ""
    default = variable.default_text if variable.default is None else f"`{variable.default_text}`"
    return names + files, default, variable.kind.allowed, f"{variable.meaning} *{variable.reason}*"
