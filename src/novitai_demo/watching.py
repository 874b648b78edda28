"""Watching: states as the server gives them, webhooks as they come in, both told at once.

Webhooks may overtake one another; `sequence` says which are missing. While something is waited for, one that cannot be
verified ends the demo.
"""

import time
from collections.abc import Callable

from novitai_client import Client, Instance
from novitai_client.webhooks import Event
from novitai_demo.errors import DemoFailed
from novitai_demo.page import Page
from novitai_demo.receiver import Received, Receiver

_LOOK_SECONDS = 0.5
_ENDS_BADLY = {"failed", "lost", "deleting", "deleted"}
_COLOURS = {"ready": "bold green", "stopped": "bold"}


class Watch:
    """Follows one instance. `check` raises when there is nobody left to watch."""

    def __init__(self, page: Page, *, client: Client, receiver: Receiver, check: Callable[[], None]) -> None:
        self._page = page
        self._client = client
        self._receiver = receiver
        self._check = check
        self._state = ""
        self._told: set[str] = set()
        self.verified: list[Received] = []
        self.refused: list[Received] = []
        self.events: dict[int, Event] = {}

    def until(self, state: str, webhook: str, *, instance_id: str, deadline: float) -> tuple[Instance, Event]:
        """Tell everything until the instance is in `state`, a new `webhook` says so and none before it is missing; gives
        both. Raises DemoFailed when it fails, or at `deadline` (of the monotonic clock).
        """
        before = max(self.events, default=0)
        while True:
            self._check()
            self.webhooks(seconds=_LOOK_SECONDS)
            if self.refused:
                raise DemoFailed(f"a webhook could not be verified: {self.refused[0].problem}")
            instance = self._client.get(instance_id)
            self._tell_state(instance)
            said = next((e for n, e in self.events.items() if n > before and e.type == webhook), None)
            if instance.status == state and said is not None and not self.missing():
                return instance, said
            if instance.status in _ENDS_BADLY:
                raise DemoFailed(f"{instance.name} is {instance.status}: {_why(instance)}")
            if time.monotonic() > deadline:
                raise DemoFailed(f"{instance.name} is still {instance.status}; waited for {state} and {webhook}")

    def webhooks(self, *, seconds: float) -> None:
        """Tell of the webhooks that have arrived; waits at most so long for a first one."""
        for received in self._receiver.take(seconds=seconds):
            self._tell_webhook(received)

    def missing(self) -> set[int]:
        """The sequence numbers below the highest one that have not come."""
        return set(range(1, max(self.events, default=0))) - set(self.events)

    def _tell_state(self, instance: Instance) -> None:
        if instance.status != self._state:
            self._state = instance.status
            self._page.line(f"state    {instance.status}", style=_COLOURS.get(instance.status, "cyan"))

    def _tell_webhook(self, received: Received) -> None:
        event = received.event
        if event is None:
            self.refused.append(received)
            self._page.line(f"webhook  not verified: {received.problem}", style="bold red", hang=14)
            return
        if event.id in self._told:
            return  # delivered at least once; the id says that it is the same
        self._told.add(event.id)
        self.verified.append(received)
        if event.instance_id is not None and event.sequence:
            self.events[event.sequence] = event
        about = event.data.get("phase") or event.reason or ""
        self._page.line(
            f"webhook  #{event.sequence:<3} {event.type:<29} signature ok  {about}".rstrip(), style="green", hang=14
        )


def _why(instance: Instance) -> str:
    return instance.last_error.message if instance.last_error else "no reason was given"
