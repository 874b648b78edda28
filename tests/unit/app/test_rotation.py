"""Sealing everything with a new key: nothing is left out, and at no moment can something not be opened."""

import asyncio
import inspect
import typing

import msgspec
import pytest

from novitai.app.rotation import HOLDERS, move_to_first, rotate, rotate_key_file
from novitai.app.sealing import RECORD, check_key
from novitai.config import load
from novitai.domain.delivery import Delivery, DeliveryStatus, Endpoint
from novitai.domain.instance import WebhookTarget
from novitai.domain.lifecycle import State
from novitai.domain.secrets import Sealed
from novitai.operations import records
from novitai.operations.audit import Audit
from novitai.ports.store import Commit, StoreInUse
from novitai.stores.crypto import Keyring, KeySealer
from novitai.stores.key_file import KEY_FILE, key_text, load_or_make_keys, new_key, read_keys
from novitai.stores.sqlite import open_sqlite
from support import builders
from support.clock import FakeClock
from support.crashing import Ended, Fuse, Fused
from support.running import end_abruptly

POINTS = frozenset({"commit"})
HELD = 130
"""More than one page of a list."""


def secret_instance(ring, number):
    deleted = number % 3 == 0
    made = builders.instance(State.DELETED if deleted else State.READY, id=f"inst_{number:026d}", name=f"one-{number}")
    spec = msgspec.structs.replace(
        made.spec,
        envs=(("TOKEN", ring.seal(f"env {number}")),),
        webhook=WebhookTarget(url="https://example.com", secret=ring.seal(f"hook {number}")),
    )
    machine = made.machine and msgspec.structs.replace(made.machine, password=ring.seal(f"password {number}"))
    return msgspec.structs.replace(made, spec=spec, machine=machine, deleted_at=builders.NOW if deleted else None)


def secret_delivery(ring, number):
    return Delivery(
        id=f"dlv_{number:04d}",
        event_id="evt_1",
        event_type="instance.ready",
        endpoint=Endpoint(id="x", url="https://example.com", secret=ring.seal(f"delivery {number}")),
        body="{}",
        correlation_id="",
        created_at=builders.NOW,
        status=list(DeliveryStatus)[number % 3],
    )


async def filled(ring, *, held=HELD):
    """A store with something sealed in each kind of place."""
    store = await open_sqlite(None, clock=FakeClock())
    await check_key(store, ring)
    for number in range(held):
        puts = (
            records.put_instance(secret_instance(ring, number), expect=0, retention_seconds=1e6),
            records.put_delivery(secret_delivery(ring, number), expect=0),
        )
        await store.commit(Commit(puts=puts))
    return store


async def everything(store):
    """Every record that may hold something sealed, by kind and id."""
    found = {}
    for listing, partitions in (("instances", ("live", "deleted")), ("deliveries", tuple(map(str, DeliveryStatus)))):
        for partition in partitions:
            page = await store.list(listing, partition, limit=10_000)
            found |= {(record.kind, record.id): record for record in page.records}
    return found


def boxes(record):
    """Every box in a document, as JSON has it."""
    stack, found = [msgspec.json.decode(record.body)], []
    while stack:
        value = stack.pop()
        if isinstance(value, dict) and set(value) == {"box"}:
            found.append(Sealed(value["box"]))
        elif isinstance(value, dict | list):
            stack += value.values() if isinstance(value, dict) else value
    return found


async def texts(store, ring):
    """What is sealed, opened; raises when something cannot be."""
    found = {key: sorted(map(ring.open, boxes(record))) for key, record in (await everything(store)).items()}
    probe = await store.get(records.META, RECORD)
    return found | {"probe": ring.open(msgspec.json.decode(probe.body, type=Sealed))}


async def test_everything_opens_with_the_new_key_alone_afterwards(tmp_path):
    """Live and deleted instances, deliveries in every state, more of them than fit a page; the file holds one key, mode 0600."""
    (old,) = load_or_make_keys(tmp_path)
    store = await filled(Keyring([old]))
    before, fresh = await texts(store, Keyring([old])), new_key()

    rotated = await rotate_key_file(store, tmp_path / KEY_FILE, fresh=fresh)

    assert rotated.records == 2 * HELD
    assert await texts(store, Keyring([fresh])) == before
    assert read_keys(tmp_path / KEY_FILE) == (fresh,)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


async def test_the_audit_log_can_still_be_sealed_and_verified_with_the_new_key_alone(tmp_path):
    """The key of its seals is sealed itself: without it the whole chain could never be verified again."""
    (old,) = load_or_make_keys(tmp_path)
    store, clock, fresh = await filled(Keyring([old]), held=3), FakeClock(), new_key()
    before = await Audit(store=store, clock=clock, sealer=Keyring([old])).key()

    rotated = await rotate_key_file(store, tmp_path / KEY_FILE, fresh=fresh)

    assert await Audit(store=store, clock=clock, sealer=Keyring([fresh])).key() == before
    assert rotated.records == 2 * 3 + 1
    assert rotated.unreadable == ()


async def test_an_audit_key_that_no_key_opens_is_named_and_left_alone(tmp_path):
    """It was so before, and the rest is moved all the same."""
    (old,) = load_or_make_keys(tmp_path)
    store = await filled(Keyring([old]), held=3)
    await Audit(store=store, clock=FakeClock(), sealer=Keyring([new_key()])).key()

    rotated = await rotate_key_file(store, tmp_path / KEY_FILE, fresh=new_key())

    assert rotated.unreadable == ("the audit log's key",)


async def test_records_keep_their_places_and_their_end(tmp_path):
    """Lists, counts and the time after which a record is forgotten are as before."""
    (old,) = load_or_make_keys(tmp_path)
    store = await filled(Keyring([old]), held=7)
    before = await everything(store)

    await rotate_key_file(store, tmp_path / KEY_FILE, fresh=new_key())

    after = await everything(store)
    assert {key: record.expires_at for key, record in after.items()} == {
        key: record.expires_at for key, record in before.items()
    }
    assert await store.count("instances", "live") == 4


async def crashed_rotation(store, path, at, fresh):
    """Rotate in a process that ends at a point; whether it did."""
    fuse = Fuse(at)
    others = asyncio.all_tasks()
    work = asyncio.create_task(rotate_key_file(Fused(store, fuse, POINTS), path, fresh=fresh))
    blown = asyncio.create_task(fuse.blown.wait())
    await asyncio.wait({work, blown}, return_when=asyncio.FIRST_COMPLETED)
    fuse.cleared = True
    if fuse.blown.is_set():
        await end_abruptly(others)
        return True
    blown.cancel()
    assert not isinstance(work.exception(), Ended)
    return False


async def test_a_crash_before_or_after_any_write_leaves_everything_open_and_can_be_run_again(tmp_path):
    """The keys in the file open everything at once after the crash; the next run finishes with the key that was begun with.

    The first point lies behind the first writing of the file, the last one before the second.
    """
    at = 0
    while True:
        at += 1
        folder = tmp_path / str(at)
        (old,) = load_or_make_keys(folder)
        path = folder / KEY_FILE
        store = await filled(Keyring([old]), held=60)
        before, fresh = await texts(store, Keyring([old])), new_key()

        ended = await crashed_rotation(store, path, at, fresh)

        assert await texts(store, Keyring(read_keys(path))) == before, at
        if not ended:
            break
        await rotate_key_file(store, path, fresh=new_key())
        assert read_keys(path) == (fresh,)
        assert await texts(store, Keyring([fresh])) == before, at
    assert at > 10


async def test_keys_of_another_store_change_nothing(tmp_path):
    """A file from the wrong backup must not be made worse."""
    store = await filled(Keyring([new_key()]), held=3)
    before = load_or_make_keys(tmp_path)

    with pytest.raises(ValueError, match="not the key that the store was sealed with"):
        await rotate_key_file(store, tmp_path / KEY_FILE, fresh=new_key())

    assert read_keys(tmp_path / KEY_FILE) == before


async def test_what_no_key_opens_is_named_and_does_not_keep_the_rest_from_moving(tmp_path):
    """It was lost before, with a key that is gone."""
    old, gone, fresh = new_key(), new_key(), new_key()
    store = await filled(Keyring([old]), held=3)
    lost = msgspec.structs.replace(secret_delivery(Keyring([gone]), 9), id="dlv_lost")
    await store.commit(Commit(puts=(records.put_delivery(lost, expect=0),)))

    rotated = await move_to_first(store, Keyring([fresh, old]))

    assert rotated.unreadable == ("delivery dlv_lost",)
    assert rotated.records == 6


def sealed_within(kind, seen=frozenset()):
    """Whether a type has a Sealed in it, however deep."""
    if kind is Sealed:
        return True
    if kind in seen:
        return False
    inner = typing.get_args(kind)
    if inspect.isclass(kind) and issubclass(kind, msgspec.Struct):
        inner = typing.get_type_hints(kind).values()
    return any(sealed_within(one, seen | {kind}) for one in inner)


def test_every_kind_of_record_that_holds_something_sealed_is_moved():
    """A new one must be added to the list of holders, or rotating would leave it behind."""
    readers = [read for name, read in inspect.getmembers(records, inspect.isfunction) if name.startswith("read_")]
    holding = {read for read in readers if sealed_within(typing.get_type_hints(read)["return"])}

    assert len(readers) > 5
    assert holding == {holder.read for holder in HOLDERS}


def settings(folder, **environment):
    return load({"NOVITAI_DATA_DIR": str(folder), **environment}, folder, require_novita=False)


async def test_a_store_that_is_served_is_left_alone(tmp_path):
    """The server would go on sealing with the key that is about to go."""
    (old,) = load_or_make_keys(tmp_path)
    serving = await open_sqlite(tmp_path / "novitai.db", clock=FakeClock())

    with pytest.raises(StoreInUse):
        await rotate(settings(tmp_path))
    await serving.close()

    assert read_keys(tmp_path / KEY_FILE) == (old,)


async def test_with_one_key_in_the_setting_a_new_one_is_given_and_nothing_is_touched(tmp_path):
    """We cannot write the operator's settings; the present key is not shown."""
    await (await open_sqlite(tmp_path / "novitai.db", clock=FakeClock())).close()
    present = key_text(new_key())

    told = await rotate(settings(tmp_path, NOVITAI_SECRETS_KEY=present))

    assert "NOVITAI_SECRETS_KEY" in told
    assert present not in told


async def test_with_two_keys_in_the_setting_everything_moves_to_the_first(tmp_path):
    """Then only the first is needed."""
    old, new = new_key(), new_key()
    store = await open_sqlite(tmp_path / "novitai.db", clock=FakeClock())
    await check_key(store, KeySealer(old))
    await store.close()

    told = await rotate(settings(tmp_path, NOVITAI_SECRETS_KEY=f"{key_text(new)},{key_text(old)}"))

    assert told.startswith("0 records")
    reopened = await open_sqlite(tmp_path / "novitai.db", clock=FakeClock())
    await check_key(reopened, KeySealer(new))
    await reopened.close()


async def test_without_a_store_there_is_nothing_to_rotate(tmp_path):
    """And none is made by asking."""
    with pytest.raises(ValueError, match="no store"):
        await rotate(settings(tmp_path))

    assert not (tmp_path / "novitai.db").exists()
