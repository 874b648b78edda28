"""How the parts of the story look: offers, phases, health, addresses, money. It knows the client's shapes and the page."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from novitai_client import Instance, Offer
from novitai_client.webhooks import Event
from novitai_demo.page import Page

BEST_SHOWN, LOSERS_SHOWN = 6, 3


def offers(page: Page, found: Sequence[Offer]) -> None:
    """The best offers with the reason for each place, then some that do not fit, each for a reason of its own."""
    fitting = [one for one in found if one.fits][:BEST_SHOWN]
    losing = list(_of_different_kind([one for one in found if not one.fits]))[:LOSERS_SHOWN]
    rows = [_offer_row(one) for one in (*fitting, *losing)]
    page.table(("RANK", "BILLING", "REGION", "PRICE, AND WHY THIS PLACE"), rows, faint_from=len(fitting))


def _of_different_kind(losing: Sequence[Offer]) -> Iterator[Offer]:
    seen: set[tuple[str | None, float | None]] = set()
    for one in losing:
        kind = (one.billing_mode, one.price_per_hour)
        if kind not in seen:
            seen.add(kind)
            yield one


def _offer_row(one: Offer) -> tuple[str, ...]:
    return (str(one.rank) if one.rank else "-", one.billing_mode or "", one.region or "", one.reason or "")


def phases(page: Page, event: Event) -> None:
    """The phases of a create or start, in seconds since it was asked for, as the webhook tells them."""
    operation = event.data.get("startupOperation") or {}
    began = _time(operation.get("startedAt"))
    reached = [(name, _time(at)) for name, at in (operation.get("phases") or {}).items()]
    told = [f"{name} {(at - began).total_seconds():.1f} s" for name, at in reached if at and began]
    page.line(f"phases   {', '.join(told) or 'none told'}", hang=9)


def health(page: Page, event: Event) -> None:
    """The health check's result, as the webhook tells it."""
    result = event.data.get("healthCheckResult") or {}
    page.line(f"health   {result.get('overallStatus', 'not told')}")
    for one in result.get("endpoints") or ():
        took = one.get("responseTime")
        time = f", {took:.0f} ms" if took is not None else ""
        page.more(f"         {one.get('type')} {one.get('port')}: {one.get('status')}{time}")


def connection(page: Page, instance: Instance) -> None:
    """How to reach the machine: its ports and SSH; a password is never told."""
    for port in instance.port_mappings:
        page.line(f"address  {port.endpoint or 'none yet'} (port {port.port}, {port.type})")
    if instance.connection_details and instance.connection_details.ssh:
        page.line(f"ssh      {instance.connection_details.ssh}", hang=9)


def money(usd: float | None) -> str:
    """USD with as many places as it has, at least two."""
    if usd is None:
        return "an unknown price"
    whole, _, cents = f"{usd:.5f}".rstrip("0").partition(".")
    return f"${whole}.{cents.ljust(2, '0')}"


def moment(at: datetime | None) -> str:
    """The time of day of an event."""
    return at.strftime("%H:%M:%S.%f")[:-4] if at else ""


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
