"""Novita's habits with lists, asked of the account as it is while doctor's own machine is in it."""

from novitai.doctor.facts import LIST_LAG, NAME_FILTER, NAME_LENGTH, NOT_FOUND, PAGE_BASE, PAGE_SIZE
from novitai.doctor.probing import Answer, shape
from novitai.doctor.report import Level
from novitai.doctor.upstream import CALL, Upstream
from novitai.domain.errors import Gone, ProviderFailure, Rejected
from novitai.domain.ids import MachineId
from novitai.domain.machine import Machine
from novitai.novita import v1
from novitai.novita.naming import TAIL
from novitai.novita.paging import SMALLER_SIZES
from novitai.novita.provider import PAGE_SIZE as WANTED_SIZE
from novitai.ports.provider import MachinePage

_ROUNDS = 3
_NOBODY = "novitai-doctor-looks-for-nothing"


async def raw(upstream: Upstream, page: int, size: int, *, name: str = "") -> MachinePage:
    """A page numbered as Novita numbers it."""
    return await upstream.provider.ask(v1.machines(page, size, name=name), CALL)


async def page_base(upstream: Upstream) -> Answer | None:
    """Pages 0 and 1 of one machine each; read again when the list changed meanwhile. None when it never stood still."""
    how = "pages 0 and 1 of size 1 compared"
    one = await raw(upstream, 1, 1)
    for _ in range(_ROUNDS):
        try:
            zero = await raw(upstream, 0, 1)
        except Rejected:
            return Answer(PAGE_BASE, "one", "1; 0 is refused", how)
        again = await raw(upstream, 1, 1)
        if _ids(one) == _ids(again):
            return _page_base_of(zero, one, how)
        one = again
    return None


def _page_base_of(zero: MachinePage, one: MachinePage, how: str) -> Answer:
    if not zero.machines:
        return Answer(PAGE_BASE, "one", "1; 0 is empty", how)
    if _ids(zero) == _ids(one):
        return Answer(PAGE_BASE, "both", "1, and 0 shows the same", how)
    return Answer(PAGE_BASE, "zero", "0, and 1 is the second: both are read", how)


async def page_size(upstream: Upstream) -> Answer:
    """Whether a page of our size is taken, and (with two machines or more) whether sizes count at all."""
    sizes = (WANTED_SIZE, *SMALLER_SIZES)
    for size in sizes:
        try:
            page = await raw(upstream, 1, size)
        except Rejected:
            continue
        return await _page_size_of(upstream, size, page)
    return Answer(PAGE_SIZE, 0, "every size is refused", f"sizes {sizes} tried", Level.FAIL, "the list cannot be read")


async def _page_size_of(upstream: Upstream, size: int, page: MachinePage) -> Answer:
    how = f"page of {size} read from an account of {page.total} machines"
    value = {"accepted": size, "machines": page.total}
    if page.total > 1 and len((await raw(upstream, 1, 1)).machines) > 1:
        if len(page.machines) < page.total:
            return Answer(PAGE_SIZE, value, "paging is ignored: only the first part of the list is ever shown", how,
                          Level.FAIL, "what runs beyond it cannot be watched: use an account of its own")  # fmt: skip
        return Answer(PAGE_SIZE, value, "sizes are ignored: the whole list is shown", how)
    words = f"pages of {size} are accepted"
    return Answer(PAGE_SIZE, value, words if size == WANTED_SIZE else f"{words}, larger ones refused", how)


async def name_filter(upstream: Upstream, machine: Machine) -> Answer:
    """Whether the list finds a machine by its name, its beginning, a part of it, or lets everything pass."""

    async def finds(name: str) -> bool:
        found = (await raw(upstream, 1, SMALLER_SIZES[-1], name=name)).machines
        return any(one.id == machine.id for one in found) or (name == _NOBODY and bool(found))

    how = "asked for the name, its beginning, a part of it, and a name that nobody has"
    for value, name, words in (
        ("ignored", _NOBODY, "it is ignored"),
        ("contains", machine.name[3:-3], "parts of names"),
        ("prefix", machine.name[:-3], "beginnings of names"),
        ("exact", machine.name, "whole names only"),
    ):
        if await finds(name):
            return Answer(NAME_FILTER, value, words, how)
    return Answer(NAME_FILTER, "nothing", "nothing at all", how)


async def not_found(upstream: Upstream) -> Answer:
    """What reading a machine that never was answers."""
    made_up = MachineId(f"{int(upstream.ids.random() * 16**12):016x}")
    return await unknown(upstream, made_up, NOT_FOUND, "an id that was made up")


async def unknown(upstream: Upstream, machine_id: MachineId, fact: str, whose: str) -> Answer:
    """What reading a machine that is not there answers, and whether we understand it."""
    how = f"GET of {whose}"
    try:
        await upstream.provider.machine(machine_id, CALL)
    except Gone:
        return Answer(fact, shape(upstream.last.reply), f"{shape(upstream.last.reply)}: understood", how)
    except ProviderFailure:
        return _not_understood(upstream, fact, how)
    return _not_understood(upstream, fact, how)


def _not_understood(upstream: Upstream, fact: str, how: str) -> Answer:
    said = shape(upstream.last.reply)
    advice = "`lost` is never told and a delete never confirmed: look at Novita's console when a machine seems gone"
    return Answer(fact, said, f"{said}: not understood as 'not found'", how, Level.FAIL, advice)


def list_lag(seconds: float | None, *, settle_time: float, longest: float) -> Answer:
    """How late a new machine was listed; None when it was not within the longest time."""
    how = "the list read again and again after a create"
    if seconds is None:
        words = f"not listed within {longest:.0f} s"
        return Answer(LIST_LAG, None, words, how, Level.FAIL, f"set NOVITA_SETTLE_TIME above {longest:.0f}s")
    words, value = f"listed after {seconds:.1f} s", round(seconds, 1)
    if seconds > settle_time:
        wanted = f"set NOVITA_SETTLE_TIME={max(1, round(2 * seconds))}s (it is {settle_time:g}s)"
        return Answer(LIST_LAG, value, words, how, Level.FAIL, wanted)
    if seconds > settle_time / 2:
        advice = f"NOVITA_SETTLE_TIME={max(1, round(2 * seconds))}s would leave room"
        return Answer(LIST_LAG, value, words, how, Level.WARN, advice)
    return Answer(LIST_LAG, value, words, how)


def name_length(sent: str, seen: str, *, refused: int) -> Answer:
    """What became of the longest name that we give. `refused`: the length of a longer one that was refused, or 0."""
    how = f"a machine made with a name of {len(sent)} characters"
    if seen != sent:
        kept = len(seen) if sent.startswith(seen) else 0
        advice = (
            f"give instances names of at most {kept - TAIL} characters"
            if kept > TAIL
            else "keep unclear creates in sight"
        )
        return Answer(NAME_LENGTH, kept, f"cut to {kept} characters, the marker is lost", how, Level.FAIL, advice)
    if refused:
        words = f"{refused} characters are refused, {len(sent)} are kept: names are shortened before the marker"
        return Answer(NAME_LENGTH, len(sent), words, how)
    return Answer(NAME_LENGTH, len(sent), f"{len(sent)} characters are kept", how)


def _ids(page: MachinePage) -> frozenset[str]:
    return frozenset(machine.id for machine in page.machines)
