"""What stops a start: one readable line per variable, all of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong with one variable. `found` is what was there (`***` for a secret, empty when nothing was)."""

    name: str
    found: str
    message: str


class SettingsError(Exception):
    """The settings cannot be used; printed, it is one line per problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(problem.message for problem in self.problems))
