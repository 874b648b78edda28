"""Planted: an attempt keeps its place in the lane for as long as it waits, at first contact too. What is held back is only what is known to
hang.

A program of its own, in the place of support/forking.py.
"""

from novitai.webhooks import slow
from support import forking


class KeepsItsPlace(slow.Place):
    """Never aside."""

    def __init__(self, room: slow.Room, endpoint: slow.Endpoint, number: int) -> None:
        super().__init__(room, endpoint, number)
        self.aside = False

    def step_aside(self) -> bool:
        return False


if __name__ == "__main__":
    slow.Place = KeepsItsPlace
    forking.main()
