"""What can be learnt of Novita without spending anything: clients and keys, the clock, leftovers, a bill that was late."""

from collections.abc import Sequence

from novitai.doctor.removal import is_own
from novitai.doctor.report import Check, fail, ok, warn
from novitai.doctor.upstream import CALL, Upstream
from novitai.domain.errors import NotAllowed, ProviderFailure
from novitai.domain.machine import Machine
from novitai.domain.money import dollars
from novitai.ports.provider import ClientName, ProviderJobQuery

WORTH_A_WARNING_SECONDS, TOO_FAR_SECONDS = 5.0, 60.0


async def public(upstream: Upstream) -> list[Check]:
    """The public client, the account's money, our clock, and machines that an earlier run left."""
    try:
        catalogue = await upstream.provider.catalogue(CALL)
        machines = await upstream.machines()
    except NotAllowed as failure:
        return [fail("novita", f"the key is refused: {failure.message}", "check NOVITA_API_KEY"), clock(upstream)]
    except ProviderFailure as failure:
        return [fail("novita", failure.message, "check NOVITA_API_BASE_URL, UPSTREAM_PROXY and the network")]
    prices = sorted(product.price_per_gpu for product in catalogue.products)
    offers = f"{len(prices)} prices from ${dollars(prices[0]):g} an hour" if prices else "no prices"
    told = (
        f"key accepted; {len(catalogue.regions)} regions, {offers}, {len(machines)} machines;"
        f" {upstream.latency_ms():.0f} ms a call"
    )
    reached = ok("novita", told) if prices else warn("novita", told, "nothing can be bought: see price-unit below")
    return [reached, await balance(upstream), clock(upstream), *leftovers(machines)]


async def balance(upstream: Upstream) -> Check:
    """What is left of the account's money."""
    try:
        left = await upstream.provider.balance(CALL)
    except ProviderFailure as failure:
        return warn("balance", f"could not be read: {failure.message}")
    if left <= 0:
        return warn("balance", f"${dollars(left):.2f}", "Novita refuses creates and starts until it is topped up")
    return ok("balance", f"${dollars(left):.2f}")


def clock(upstream: Upstream) -> Check:
    """Our clock against the `Date` of Novita's answers."""
    ahead = upstream.clock_ahead()
    if ahead is None:
        return warn("clock", "Novita's answers have no date to compare with")
    words = f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} Novita's"
    if abs(ahead) > TOO_FAR_SECONDS:
        return fail("clock", words, "set the time (NTP): webhooks and costs would be wrong")
    if abs(ahead) > WORTH_A_WARNING_SECONDS:
        return warn("clock", words, "set the time (NTP)")
    return ok("clock", "agrees with Novita's")


def leftovers(machines: Sequence[Machine]) -> list[Check]:
    """Machines that an earlier `--live` could not delete."""
    return [
        warn(
            "leftover", f"{machine.id} ({machine.name[:20]}…) is {machine.status}", "`novitai doctor --live` deletes it"
        )
        for machine in machines
        if is_own(machine)
    ]


async def internal(upstream: Upstream, *, enabled: bool) -> Check:
    """The internal client, which reads Novita's jobs when it has a key of its own."""
    name = "novita internal"
    if not enabled:
        return ok(name, "disabled: without NOVITA_INTERNAL_API_KEY jobs are read from the public API")
    upstream.exchanges.clear()
    try:
        jobs = await upstream.provider.jobs(ProviderJobQuery(page_size=1), CALL)
    except ProviderFailure as failure:
        return fail(name, f"jobs can be read from neither API: {failure.message}", "failed migrations go unnoticed")
    if jobs.source == ClientName.INTERNAL:
        return ok(name, "key accepted")
    why = next((one.failure.message for one in upstream.exchanges if one.failure is not None), "no answer")
    return warn(
        name,
        f"falls back to the public API: {why}",
        "check NOVITA_INTERNAL_API_KEY and NOVITA_INTERNAL_API_BASE_URL, or unset the key",
    )
