"""A client whose retries cost nothing: in an outage each request is sent as often as it may be."""

from novitai.resilience.budget import RetryBudget


def spend(_budget: RetryBudget) -> bool:
    """In place of RetryBudget.spend."""
    return True
