"""The steps of one machine's short life, in which Novita answers what no document says.

It is made under the longest name that we give, watched until it runs, stopped, started and deleted. Each step leaves
its answers; any may raise ProviderFailure or TookTooLong, and then whoever runs it cleans up.
"""

from collections.abc import Awaitable, Sequence

import msgspec

from novitai.doctor import habits
from novitai.doctor.facts import ANSWERS, DELETED, REPEATS
from novitai.doctor.money import DISK_GB
from novitai.doctor.probing import Answer, shape
from novitai.doctor.removal import Removal, name_for
from novitai.doctor.report import Level
from novitai.doctor.upstream import CALL, Upstream
from novitai.doctor.walk import TookTooLong, Walk
from novitai.domain.errors import Gone, InvalidState, NoCapacity, ProviderFailure, TryLater
from novitai.domain.ids import MachineId
from novitai.domain.machine import Machine, MachineStatus
from novitai.domain.money import Usd, cost, dollars
from novitai.domain.offers import Offer
from novitai.ports.provider import MachineOrder

IMAGE, COMMAND = "docker.io/library/busybox:1.36", "sleep 3600"
"""Small, public, and it does nothing."""
LONGEST_LAG_SECONDS = 120.0
_NAMES_TRIED = 3


class Life:
    """One machine's. `answers` is what was found out so far."""

    def __init__(self, upstream: Upstream, walk: Walk, removal: Removal, *, run_id: str, settle_time: float) -> None:
        self._upstream = upstream
        self._provider = upstream.provider
        self._clock = upstream.clock
        self._walk = walk
        self._removal = removal
        self._run_id = run_id
        self._settle_time = settle_time
        self._sent_name = ""
        self._refused_name = 0
        self._used: list[tuple[float, float]] = []
        self._paid_since: float | None = None
        self._done: dict[str, str] = {}
        self._repeated: dict[str, str] = {}
        self._found: list[Answer] = []
        self.complete = False
        """Whether it came to its end by itself."""
        self.offer: Offer | None = None
        self.made: list[MachineId] = []

    @property
    def expected(self) -> Usd:
        """What it cost by price and time."""
        used = [*self._used, *([(self._paid_since, self._clock.now())] if self._paid_since is not None else [])]
        seconds = sum(max(0.0, until - since) for since, until in used)
        return cost(self.offer.price_per_hour, seconds) if self.offer is not None else Usd(0)

    @property
    def answers(self) -> list[Answer]:
        """What was found out, of a life cut short too."""
        states = self._walk.states()
        return [*self._found, *self._of_actions(), *([states] if states is not None else [])]

    async def live(self, offers: Sequence[Offer]) -> None:
        """From the create to the delete."""
        machine_id = await self._make(offers)
        await self._ask_the_list(await self._find(machine_id))
        await self._run_and_stop(machine_id)
        await self._start_again(machine_id)
        await self._delete(machine_id)
        self.complete = True

    # ── its beginning ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _make(self, offers: Sequence[Offer]) -> MachineId:
        """On the first offer that has a GPU free."""
        refused: NoCapacity | None = None
        for offer in offers:
            self._walk.begin(
                f"create: {offer.product_name}, {offer.region}, ${dollars(offer.price_per_hour):g} an hour"
            )
            self.offer = offer
            try:
                return await self._create(offer)
            except NoCapacity as failure:
                refused = failure
        assert refused is not None
        raise refused

    async def _create(self, offer: Offer) -> MachineId:
        """One order; again where the name was refused, since the next one is shorter."""
        name = name_for(self._run_id)
        order = MachineOrder(machine_name=name, offer=offer, image_url=IMAGE, rootfs_gb=DISK_GB, command=COMMAND)
        for _ in range(_NAMES_TRIED):
            self._removal.asking()
            try:
                machine_id = await self._provider.create(order, CALL)
            except ProviderFailure as failure:
                if failure.clear:
                    self._removal.refused()
                if not isinstance(failure, TryLater) or failure.retry_after != 0.0:
                    raise
                self._refused_name = self._refused_name or len(name)
            else:
                self._removal.bought(machine_id)
                self.made.append(machine_id)
                self._sent_name = msgspec.json.decode(self._upstream.last.request.body or b"{}").get("name", name)
                return machine_id
        raise TookTooLong("no name was short enough")

    async def _find(self, machine_id: MachineId) -> Machine:
        """Wait until the list shows it, and note how long that took."""
        self._walk.begin("wait until it is listed")
        since, longest = self._clock.now(), max(LONGEST_LAG_SECONDS, self._settle_time)
        for pause in self._walk.pauses():
            found = next((one for one in await self._upstream.machines() if one.id == machine_id), None)
            waited = self._clock.now() - since
            if found is not None or waited >= longest:
                lag = waited if found is not None else None
                self._found.append(habits.list_lag(lag, settle_time=self._settle_time, longest=longest))
                break
            await self._walk.wait(pause)
        machine = await self._look(machine_id)
        self._found.append(habits.name_length(self._sent_name, machine.name, refused=self._refused_name))
        return machine

    async def _ask_the_list(self, machine: Machine) -> None:
        self._walk.begin("ask how lists, names and missing machines are answered")
        base = await habits.page_base(self._upstream)
        if base is not None:
            self._found.append(base)
        self._found.append(await habits.page_size(self._upstream))
        self._found.append(await habits.name_filter(self._upstream, machine))
        self._found.append(await habits.not_found(self._upstream))

    # ── its middle ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _run_and_stop(self, machine_id: MachineId) -> None:
        machine = await self._until(machine_id, MachineStatus.RUNNING)
        self._paid_since = machine.started_at or self._clock.now()
        await self._again("start", self._provider.start(machine_id, CALL))
        await self._act("stop", self._provider.stop(machine_id, CALL))
        await self._again("stop", self._provider.stop(machine_id, CALL))
        machine = await self._until(machine_id, MachineStatus.STOPPED)
        self._paid_until(machine.stopped_at or self._clock.now())

    async def _start_again(self, machine_id: MachineId) -> None:
        """A stopped machine holds no GPU: this may be refused, and then it goes on without."""
        asked = self._clock.now()
        try:
            await self._act("start", self._provider.start(machine_id, CALL))
        except NoCapacity:
            self._done["start"] = shape(self._upstream.last.reply)
            return
        self._paid_since = asked
        machine = await self._until(machine_id, MachineStatus.RUNNING)
        self._paid_since = max(asked, machine.started_at)

    async def _delete(self, machine_id: MachineId) -> None:
        await self._act("delete", self._provider.delete(machine_id, CALL))
        self._paid_until(self._clock.now())
        await self._again("delete", self._provider.delete(machine_id, CALL))
        self._found.append(await self._see_it_go(machine_id))

    async def _act(self, verb: str, call: Awaitable[None]) -> None:
        self._walk.begin(verb)
        await call
        self._done[verb] = shape(self._upstream.last.reply)

    async def _again(self, verb: str, call: Awaitable[None]) -> None:
        """The same verb once more, whatever comes of it."""
        self._walk.begin(f"{verb}, once more")
        try:
            await call
            outcome = "accepted"
        except (InvalidState, Gone):
            outcome = "refused"
        except ProviderFailure:
            outcome = "unexpected"
        self._repeated[verb] = f"{outcome} ({shape(self._upstream.last.reply)})"

    async def _until(self, machine_id: MachineId, wanted: MachineStatus) -> Machine:
        self._walk.begin(f"wait until it is {wanted}")
        for pause in self._walk.pauses():
            machine = await self._look(machine_id)
            if machine.status is wanted:
                return machine
            await self._walk.wait(pause)
        raise AssertionError("the pauses have no end")

    async def _look(self, machine_id: MachineId) -> Machine:
        machine = await self._provider.machine(machine_id, CALL)
        self._removal.saw(machine_id)
        self._walk.saw(machine)
        return machine

    # ── its end ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _see_it_go(self, machine_id: MachineId) -> Answer:
        """Read it until it is not found, or shown as removed."""
        self._walk.begin("wait until it is gone")
        since, waited, gone = self._clock.now(), 0.0, False
        for pause in self._walk.pauses():
            gone = await self._is_gone(machine_id)
            waited = self._clock.now() - since
            if gone or waited >= LONGEST_LAG_SECONDS:
                break
            await self._walk.wait(pause)
        said = shape(self._upstream.last.reply)
        how = f"GET of a deleted machine, {waited:.0f} s after its delete"
        if not gone:
            advice = "deletes are confirmed late: look at Novita's console when one takes long"
            return Answer(DELETED, said, f"still shown after {waited:.0f} s: {said}", how, Level.WARN, advice)
        self._removal.removed(machine_id)
        listed = any(one.id == machine_id for one in await self._upstream.machines())
        return Answer(DELETED, said, f"{said}, {'still' if listed else 'no longer'} listed", how)

    async def _is_gone(self, machine_id: MachineId) -> bool:
        try:
            return (await self._look(machine_id)).status is MachineStatus.REMOVED
        except Gone:
            return True

    # ── notes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _paid_until(self, moment: float) -> None:
        if self._paid_since is not None:
            self._used.append((self._paid_since, moment))
            self._paid_since = None

    def _of_actions(self) -> list[Answer]:
        found = []
        if self._done:
            found.append(Answer(ANSWERS, self._done, _told(self._done), "each action once"))
        if self._repeated:
            odd = any(outcome.startswith("unexpected") for outcome in self._repeated.values())
            level = Level.WARN if odd else Level.OK
            found.append(Answer(REPEATS, self._repeated, _told(self._repeated), "each action twice", level))
        return found


def _told(by_verb: dict[str, str]) -> str:
    return "; ".join(f"{verb}: {said}" for verb, said in by_verb.items())
