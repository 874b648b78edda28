"""Reading the settings: the environment first, then `.env` in the working directory, then defaults; checked whole, then
used.

Everything that is wrong is found in one go and told in one line per variable; what is legal but looks like a mistake
becomes a warning. An empty value counts as not set, because that is what compose files and shells leave behind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream

from novitai.config import rules
from novitai.config.kinds import RefusedError, masked
from novitai.config.problems import Problem, SettingsError
from novitai.config.settings import GROUPS, Settings
from novitai.config.spelling import unknown_names
from novitai.config.variables import Variable, declared

ENVIRONMENT = "environment"
DOTENV = ".env"


def load(environ: Mapping[str, str], cwd: Path, *, require_novita: bool = True) -> Settings:
    """The settings of one run, from `environ` and the `.env` in `cwd`; nothing else is read but the files that they
    name.

    `require_novita=False` is for commands that never call Novita. Raises SettingsError with one problem per wrong
    variable.
    """
    reader = _Reader(environ, cwd)
    found = Settings(**{name: reader.group(group) for name, group in GROUPS.items()}, origins=reader.origins)
    settings = rules.completed(found, cwd=cwd)
    already = {problem.name for problem in reader.problems}
    between = [one for one in rules.problems(settings, require_novita=require_novita) if one.name not in already]
    if reader.problems or between:
        raise SettingsError([*reader.problems, *between])
    return replace(settings, warnings=(*reader.warnings, *reader.misspelled(), *rules.warnings(settings)))


def known_names() -> frozenset[str]:
    """Every name that is read, with aliases and the `_FILE` forms of secrets."""
    variables = [variable for group in GROUPS.values() for _, variable in declared(group)]
    return frozenset(name for one in variables for name in (one.name, one.file_name, *one.aliases) if name)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A text for a variable, and where it was."""

    text: str
    origin: str


class _Reader:
    """Collects origins, warnings and problems over one reading."""

    def __init__(self, environ: Mapping[str, str], cwd: Path) -> None:
        self.cwd = cwd
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.origins: dict[str, str] = {}
        self.sources = {ENVIRONMENT: environ, DOTENV: self._dotenv()}

    def group(self, group: type) -> Any:
        """A group with the values found; where one was wrong its default stands and the problem is noted."""
        given: dict[str, Any] = {}
        for attribute, variable in declared(group):
            found = self._find(variable)
            if found is None:
                continue
            try:
                value = variable.kind.read(found.text)
            except RefusedError as refusal:
                self.problems.append(_refused(variable, found, refusal))
                continue
            given[attribute] = self.cwd / value if isinstance(value, Path) else value
            self.origins[variable.name] = found.origin
            if remark := variable.kind.remark(value):
                self.warnings.append(f"{variable.name}={_seen(variable, found)} {remark}")
        return group(**given)

    def misspelled(self) -> list[str]:
        """Warnings about names that look like ours."""
        given = (name for values in self.sources.values() for name, text in values.items() if text)
        return list(unknown_names(given, known=known_names()))

    def _dotenv(self) -> Mapping[str, str]:
        place = self.cwd / DOTENV
        if not place.is_file():
            return {}
        text = self._read_text(place, name=DOTENV, told=str(place))
        bindings = list(parse_stream(StringIO(text or "")))
        for line in (binding.original.line for binding in bindings if binding.error):
            self._note(DOTENV, found=f"line {line}", message=f"{place}, line {line}, is not NAME=value.")
        return {binding.key: binding.value for binding in bindings if binding.key and binding.value is not None}

    def _find(self, variable: Variable) -> _Found | None:
        for name in (variable.name, *variable.aliases):
            for origin, values in self.sources.items():
                text = values.get(name, "").strip()
                in_file = values.get(variable.file_name, "") if variable.file_name else ""
                if text and in_file:
                    self._note(
                        name, found="***", message=f"{name} and {variable.file_name} are both set. Set one of them."
                    )
                    return None
                if in_file:
                    return self._find_in_file(variable, in_file)
                if text:
                    return _Found(text=text, origin=origin if name == variable.name else f"{origin} ({name})")
        return None

    def _find_in_file(self, variable: Variable, written: str) -> _Found | None:
        text = self._read_text(self.cwd / written, name=variable.name, told=f"{variable.file_name}={written}")
        if text == "":
            self._note(variable.name, found=written, message=f"{variable.file_name}={written} is empty.")
        return _Found(text=text, origin=f"file {written}") if text else None

    def _read_text(self, place: Path, *, name: str, told: str) -> str | None:
        try:
            return place.read_text(encoding="utf-8").strip()
        except OSError as error:
            self._note(name, found=told, message=f"{told} cannot be read: {error.strerror}.")
        except ValueError:  # not UTF-8, or a path with a NUL in it
            self._note(name, found=told, message=f"{told} cannot be read: it is not UTF-8 text.")
        return None

    def _note(self, name: str, *, found: str, message: str) -> None:
        self.problems.append(Problem(name=name, found=found, message=message))


def _seen(variable: Variable, found: _Found) -> str:
    return "***" if variable.kind.secret else masked(found.text)


def _refused(variable: Variable, found: _Found, refusal: RefusedError) -> Problem:
    seen = _seen(variable, found)
    says = str(refusal) if str(refusal).endswith("?") else f"{refusal}."
    return Problem(
        name=variable.name, found=seen, message=f"{variable.name}={seen} {says} Allowed: {variable.kind.allowed}."
    )
