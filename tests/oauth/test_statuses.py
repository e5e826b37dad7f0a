"""Where statuses stand: entries are drawn at random and once, lists close and are forgotten, ends are told."""

from dataclasses import replace
from typing import Any

import pytest

from deputize.core.ports import Add
from deputize.core.rules import Fault, Refusal
from deputize.core.values import Instant, Issuer
from deputize.oauth import statuses
from deputize.oauth.statuses import (
    FINAL,
    FITS,
    INVALID,
    Drawn,
    Settings,
    StatusEntry,
    Statuses,
    StatusList,
    StatusTie,
    entry_key,
)
from deputize.oauth.tokens import Revoked
from tests.support.proofs import lets_through, stops
from tests.support.world import World

SMALL = statuses.SIZES[0]
ISSUER = Issuer("https://as.example")


def of(**settings: Any) -> Statuses:
    return Statuses(ISSUER, Settings(**{"size": SMALL, **settings}))


async def drawn(here: Statuses, world: World, *, life: int = 300, under: tuple[str, ...] = ()) -> Drawn:
    got = await here.draw(Instant(world.now + life), world.env, under=under)
    assert await world.store.commit(*got.changes)
    return got


def place(got: Drawn) -> tuple[str, int]:
    told = got.claim["status_list"]
    return told["uri"], told["idx"]


async def entry(world: World, got: Drawn) -> StatusEntry:
    uri, idx = place(got)
    found = await world.store.read(StatusEntry, entry_key(uri.rpartition("/")[2], idx))
    assert found is not None
    return found


@pytest.mark.parametrize(
    "bad",
    [
        {"bits": 3},
        {"bits": 0},
        {"size": 8},
        {"size": SMALL + 4},
        {"size": 2**30},
        {"lists": 0},
        {"lists": 17},
        {"ttl": 0},
        {"ttl": 100, "life": 99},
        {"life": 10**6},
        {"base": "http://cdn.example"},
    ],
)
def test_settings_that_leave_a_gap_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Settings(**bad)


async def test_an_entry_is_given_away_once(world: World) -> None:
    here = of()
    places = [place(await drawn(here, world)) for _ in range(300)]
    assert len(set(places)) == 300
    assert len({uri for uri, _ in places}) == 2
    assert len(await statuses.kept(world.env)) == 2


async def test_several_processes_share_the_lists(world: World) -> None:
    places = [place(await drawn(of(), world)) for _ in range(20)]
    assert len({uri for uri, _ in places}) == 2


async def test_of_two_who_draw_the_same_one_gets_it(world: World) -> None:
    got = await drawn(of(), world)
    assert not await world.store.commit(*got.changes)


async def test_a_full_list_is_left_for_a_fresh_one(world: World) -> None:
    here = of(lists=1)
    full = (await drawn(here, world)).claim["status_list"]["uri"]
    name = full.rpartition("/")[2]
    for idx in range(SMALL):
        await world.store.commit(Add(StatusEntry(key=entry_key(name, idx), expires_at=Instant(world.now + 999))))
    other, _ = place(await drawn(here, world))
    assert other != full
    kept = await world.store.read(StatusList, name)
    assert kept is not None
    assert kept.full


async def test_lists_close_and_are_forgotten_when_the_last_of_their_tokens_is_over(world: World) -> None:
    here = of()
    first, _ = place(await drawn(here, world))
    world.clock.forward(3600)
    later, _ = place(await drawn(here, world))
    assert first != later
    assert {here.uri_of(one.key) for one in await statuses.kept(world.env)} >= {first, later}
    world.clock.forward(900 + 20)
    assert first not in {here.uri_of(one.key) for one in await statuses.kept(world.env)}


async def test_an_entry_is_not_forgotten_while_its_list_is_open(world: World) -> None:
    got = await drawn(of(), world, life=5)
    world.clock.forward(3000)
    await world.store.sweep(world.now)
    assert (await entry(world, got)).at(None) == 0


@pytest.mark.parametrize(("life", "span"), [(5, 900), (900, 900), (901, 86400), (30 * 86400, 31 * 86400)])
async def test_long_lives_have_lists_of_their_own(world: World, life: int, span: int) -> None:
    got = await drawn(of(), world, life=life)
    one = await world.store.read(StatusList, place(got)[0].rpartition("/")[2])
    assert one is not None
    assert one.expires_at is not None
    assert one.span == str(span)
    assert one.expires_at >= one.closes_at + life


async def test_what_lives_for_longer_than_any_list_has_none(world: World) -> None:
    with pytest.raises(Fault):
        await of().draw(Instant(world.now + 10**9), world.env)


async def test_the_address_is_that_where_the_lists_are_served(world: World) -> None:
    assert place(await drawn(of(), world))[0].startswith("https://as.example/status/")
    assert place(await drawn(of(base="https://cdn.example/lists/"), world))[0].startswith("https://cdn.example/lists/")


# --- what ends ------------------------------------------------------------------------------------------------------


def mark(name: str, world: World) -> tuple[Add]:
    return (Add(Revoked(key=name, expires_at=Instant(world.now + 1000))),)


async def test_all_that_rests_on_what_ends_is_told_of_in_the_same_commit(world: World) -> None:
    here = of()
    resting = [await drawn(here, world, under=("family", name)) for name in ("alice", "bob", "alice")]
    other = await drawn(here, world, under=("another",))
    assert await statuses.commit(mark("family", world), world.env, ends="family")
    assert [(await entry(world, got)).at(None) for got in resting] == [INVALID] * 3
    assert (await entry(world, other)).at(None) == 0


async def test_where_nothing_has_an_entry_nobody_looks_for_one(world: World) -> None:
    """What ends is committed, and that is all: no list is looked into on behalf of those who never had any."""
    looked: list[str] = []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            looked.append(name)
            return getattr(world.store, name)

    env = replace(world.env, store=Watched())
    assert await statuses.commit(mark("family", world), env, ends="family", claims={"sub": "alice"})
    assert looked == ["read", "commit", "read"]
    await drawn(of(), world, under=("another",))
    assert await statuses.commit(mark("another", world), env, ends="another")
    assert "select" in looked


async def test_where_the_condition_fails_nothing_is_told(world: World) -> None:
    got = await drawn(of(), world, under=("family",))
    await world.add(mark("family", world)[0].record)
    assert not await statuses.commit(mark("family", world), world.env, ends="family")
    assert (await entry(world, got)).at(None) == 0
    assert not await statuses.commit(mark("family", world), world.env, ends="nothing")


async def test_more_than_a_page_of_tokens_ends_at_once(world: World) -> None:
    here = of()
    for _ in range(1100):
        got = await drawn(here, world, under=("family",))
    assert await statuses.commit(mark("family", world), world.env, ends="family")
    assert (await entry(world, got)).at(None) == INVALID
    told = [len(await statuses.told_in(one.key, world.env)) for one in await statuses.kept(world.env)]
    assert sum(told) == 1100


async def test_a_token_of_that_very_moment_is_told_of_right_after(world: World) -> None:
    """It is added between the look and the commit."""
    here = of()
    late: list[Drawn] = []
    commit = world.store.commit

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.store, name)

        async def commit(self, *changes: Any) -> bool:
            if not late:
                late.append(await drawn(here, world, under=("family",)))
            return await commit(*changes)

    env = replace(world.env, store=Slow())
    assert await statuses.commit(mark("family", world), env, ends="family")
    assert (await entry(world, late[0])).at(None) == INVALID


async def one_of(world: World, **settings: Any) -> tuple[StatusList, StatusEntry]:
    got = await drawn(of(lists=1, **settings), world)
    one = await world.store.read(StatusList, place(got)[0].rpartition("/")[2])
    assert one is not None
    return one, await entry(world, got)


async def now_at(world: World, found: StatusEntry) -> int:
    again = await world.store.read(StatusEntry, found.key)
    assert again is not None
    return again.at(None)


@lets_through(FITS, FINAL)
async def test_a_status_is_told_suspended_and_good_again(world: World) -> None:
    one, found = await one_of(world, bits=2)
    for status in (2, 0, 0, 2, 3, 1, 1):
        await statuses.tell(one, found.idx, status, world.env)
        assert await now_at(world, found) == status


@pytest.mark.parametrize(("bits", "status"), [(1, 2), (1, -1), (2, 4), (4, 16), (8, 256)])
@stops(FITS)
async def test_a_status_that_does_not_fit_is_refused(world: World, bits: int, status: int) -> None:
    one, found = await one_of(world, bits=bits)
    for idx, told in ((found.idx, status), (SMALL, 1), (-1, 1)):
        with pytest.raises(Refusal) as refused:
            await statuses.tell(one, idx, told, world.env)
        assert refused.value.rule is FITS


@pytest.mark.parametrize("status", [0, 2])
@stops(FINAL)
async def test_what_is_invalid_stays_so(world: World, status: int) -> None:
    one, found = await one_of(world, bits=2)
    await statuses.tell(one, found.idx, INVALID, world.env)
    with pytest.raises(Refusal) as refused:
        await statuses.tell(one, found.idx, status, world.env)
    assert refused.value.rule is FINAL
    assert await now_at(world, found) == INVALID


async def test_of_an_entry_that_nobody_has_nothing_is_told(world: World) -> None:
    one, found = await one_of(world)
    with pytest.raises(Fault):
        await statuses.tell(one, (found.idx + 1) % SMALL, 1, world.env)


async def test_an_entry_remembers_what_it_was(world: World) -> None:
    one, found = await one_of(world, bits=2)
    for status in (2, 0, 1):
        world.clock.forward(10)
        await statuses.tell(one, found.idx, status, world.env)
    again = await world.store.read(StatusEntry, found.key)
    assert again is not None
    assert [again.at(Instant(world.now - ago)) for ago in (100, 20, 15, 10, 1, 0)] == [0, 2, 2, 0, 0, 1]


async def test_ties_are_forgotten_with_their_tokens(world: World) -> None:
    await drawn(of(), world, life=300, under=("family",))
    world.clock.forward(321)
    await world.store.sweep(world.now)
    assert not await world.store.select(StatusTie, "", "")
