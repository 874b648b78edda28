"""The reference of events, from their catalogue."""

from pages.markdown import page, table

from novitai.domain.events import MEANING

INTRODUCTION = """# Events

What the event log holds and webhooks tell. Each happens once, has one id for all endpoints, and counts up in
`sequence` within its instance. How they are delivered, signed and tried again: [webhooks](../explanation/webhooks.md);
a receiver to start from: [receive webhooks](../howto/receive-webhooks.md)."""


def events_page() -> str:
    """One table of all types."""
    return page(
        INTRODUCTION, table(("type", "when"), ((f"`{kind.value}`", meaning) for kind, meaning in MEANING.items()))
    )
