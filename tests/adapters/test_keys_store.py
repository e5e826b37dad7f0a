"""Keys in the store: several hosts sign as one server, with nothing in common but the database and the master key."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from structlog.testing import capture_logs

from deputize.adapters.keys_ring import State
from deputize.adapters.keys_store import NAME, KeyRing, StoreSigner, rewrap
from deputize.adapters.memory import MemoryStore
from deputize.adapters.stores import open_store
from deputize.core.ports import Change, Event, Record, Replace, Store
from deputize.core.rules import Fault
from deputize.core.values import Instant
from tests.adapters.conftest import Servers
from tests.adapters.keys import DAY, MASTER, OTHER_MASTER, kids, signs, states
from tests.support import logs
from tests.support.ports import FixedClock
from tests.support.postgres import CARRIED

R = TypeVar("R", bound=Record)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, servers: Servers) -> AsyncIterator[Store]:
    made: Store
    if request.param == "memory":
        made = MemoryStore()
    else:
        sqlite = request.param == "sqlite"
        made = open_store(str(tmp_path / "store.db") if sqlite else servers(CARRIED).fresh(), dev=True)
    yield made
    await made.close()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


async def document(store: Store) -> KeyRing:
    record = await store.read(KeyRing, NAME)
    assert record is not None
    return record


async def events(store: Store) -> list[str]:
    return [event.what for event in await store.select(Event, "", "")]


async def test_the_first_host_makes_the_keys_and_all_sign_with_them(store: Store, clock: FixedClock) -> None:
    first = await StoreSigner.open(store, MASTER, clock=clock)
    second = await StoreSigner.open(store, MASTER, clock=clock)
    assert await signs(first) == await signs(second)
    assert await events(store) == ["keys_founded"]
    assert '"d"' not in (await document(store)).document


async def test_of_hosts_that_start_at_once_all_have_the_same_key(store: Store, clock: FixedClock) -> None:
    signers = await asyncio.gather(*(StoreSigner.open(store, MASTER, clock=clock) for _ in range(8)))
    assert len({signer.active() for signer in signers}) == 1
    assert await events(store) == ["keys_founded"]


async def test_where_none_are_to_be_made_none_are(store: Store) -> None:
    with pytest.raises(Fault, match="no keys in the store"):
        await StoreSigner.open(store, MASTER, make=False)
    with pytest.raises(Fault, match="no keys in the store"):
        await rewrap(store, MASTER, OTHER_MASTER)


async def test_kr_03_of_hosts_that_rotate_at_the_same_moment_one_makes_the_key(store: Store, clock: FixedClock) -> None:
    signers = await asyncio.gather(*(StoreSigner.open(store, MASTER, clock=clock) for _ in range(8)))
    old = await signs(signers[0])
    await asyncio.gather(*(signer.rotate(at_once=True) for signer in signers))
    (new,) = {await signs(signer) for signer in signers}
    assert all(kids(signer) == {old, new} for signer in signers)
    assert (await events(store)).count("key_rotated") == 1


async def test_what_one_host_changes_the_others_see_at_their_next_look(store: Store, clock: FixedClock) -> None:
    here, there = [await StoreSigner.open(store, MASTER, clock=clock) for _ in range(2)]
    first = await signs(here)
    await there.rotate()
    await here.look()
    assert states(here) == states(there) == [(first, State.ACTIVE), (states(there)[1][0], State.NEXT)]
    await there.retire(first)
    await here.look()
    assert first not in kids(here)
    assert await signs(here) == await signs(there)
    assert await events(store) == ["keys_founded", "key_rotated", "key_retired"]


async def test_they_follow_each_other_by_age_and_all_hosts_agree(store: Store, clock: FixedClock) -> None:
    signers = [await StoreSigner.open(store, MASTER, clock=clock) for _ in range(3)]
    seen = []
    for _ in range(200):
        await asyncio.gather(*(signer.tend() for signer in signers))
        await asyncio.gather(*(signer.look() for signer in signers))
        (kid,) = {await signs(signer) for signer in signers}
        seen.append(kid)
        clock.forward(DAY)
    assert len(set(seen)) == 3
    assert (await events(store)).count("keys_tended") <= 4


@pytest.mark.parametrize("jump", [3600, -3600, DAY, -DAY])
async def test_a_clock_that_jumps_leaves_a_key_that_signs(clock: FixedClock, jump: int) -> None:
    """CK-01."""
    signer = await StoreSigner.open(MemoryStore(), MASTER, clock=clock)
    await signer.rotate()
    clock.forward(jump)
    await signs(signer)
    await signer.tend()
    await signs(signer)


# --- the master key ---------------------------------------------------------------------------------------------------


async def test_kr_04_without_the_right_master_key_they_are_not_opened_and_not_replaced(store: Store) -> None:
    await StoreSigner.open(store, MASTER)
    before = await document(store)
    with pytest.raises(Fault, match="are left as they are: it is wrapped by the master key"):
        await StoreSigner.open(store, OTHER_MASTER)
    assert await document(store) == before


async def test_a_master_key_is_followed_by_another(store: Store) -> None:
    first = await signs(await StoreSigner.open(store, MASTER))
    with pytest.raises(Fault, match="wrapped by"):
        await rewrap(store, OTHER_MASTER, MASTER)
    await rewrap(store, MASTER, OTHER_MASTER)
    assert await signs(await StoreSigner.open(store, OTHER_MASTER)) == first
    with pytest.raises(Fault, match="wrapped by"):
        await StoreSigner.open(store, MASTER)


# --- when it cannot be read -------------------------------------------------------------------------------------------


class Ailing(MemoryStore):
    """Fails when told to, and forgets when told to."""

    fails = False
    forgets = False
    refuses = False

    async def read(self, kind: type[R], key: str) -> R | None:
        if self.fails:
            raise Fault("the database is away", retry=True)
        return None if self.forgets else await super().read(kind, key)

    async def commit(self, *changes: Change) -> bool:
        return not self.refuses and await super().commit(*changes)


async def test_the_last_good_keys_stay_in_use_and_the_log_is_told_once(clock: FixedClock) -> None:
    """KR-07, at the server itself."""
    store = Ailing()
    signer = await StoreSigner.open(store, MASTER, clock=clock)
    first = await signs(signer)
    logs.plainly()

    async def still_signs_while(what: str) -> None:
        with capture_logs() as lines:
            for _ in range(3):
                await signer.look()
                clock.forward(1)
                assert await signs(signer) == first
        (line,) = lines
        assert what in line["what"]

    async def is_read_again() -> None:
        with capture_logs() as lines:
            await signer.look()
        assert [line["event"] for line in lines] == ["keys are read again"]

    store.fails = True
    await still_signs_while("the database is away")
    store.fails = False
    await is_read_again()
    store.forgets = True
    await still_signs_while("gone from the store")
    with pytest.raises(Fault, match="gone"):
        await signer.rotate()
    store.forgets = False
    await is_read_again()
    good = await document(store)
    await store.commit(Replace(good, replace(good, document="{}")))
    await still_signs_while("cannot be used")
    broken = await document(store)
    await store.commit(Replace(broken, replace(broken, document=good.document)))
    await is_read_again()


async def test_an_older_record_is_not_taken_while_the_newer_keys_are_in_use(store: Store, clock: FixedClock) -> None:
    """A database that was put back, or a copy of it that lags, does not bring back what was retired."""
    signer = await StoreSigner.open(store, MASTER, clock=clock)
    stolen, before = await signs(signer), await document(store)
    await signer.retire(stolen)
    now = await document(store)
    await store.commit(Replace(now, replace(now, document=before.document)))
    await signer.look()
    assert stolen not in kids(signer)


async def test_who_never_gets_through_gives_up(clock: FixedClock) -> None:
    store = Ailing()
    signer = await StoreSigner.open(store, MASTER, clock=clock)
    store.refuses = True
    with pytest.raises(Fault, match="others kept changing the keys"):
        await signer.rotate()
    with pytest.raises(Fault, match="meanwhile"):
        await rewrap(store, MASTER, OTHER_MASTER)


async def test_the_watch_looks_and_tends_and_survives_what_fails(clock: FixedClock) -> None:
    store = Ailing()
    signer = await StoreSigner.open(store, MASTER, clock=clock)
    first = await signs(signer)
    clock.now = Instant(clock.now + 100 * DAY)
    watch = asyncio.create_task(signer.watch())
    while len(kids(signer)) < 2:
        await asyncio.sleep(0)
    assert states(signer)[0] == (first, State.ACTIVE)
    watch.cancel()
    store.fails = True
    clock.now = Instant(clock.now + 200 * DAY)
    watch = asyncio.create_task(signer.watch())
    with capture_logs() as lines:
        while len(lines) < 2:
            await asyncio.sleep(0.001)
    assert not watch.done()
    watch.cancel()
