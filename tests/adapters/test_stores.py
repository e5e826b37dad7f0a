"""One suite for all stores: what `Store` promises, in order, in a race, and across processes."""

import asyncio
import json
import os
import random
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.adapters.memory import MemoryStore
from deputize.adapters.sqlite import SqliteStore
from deputize.adapters.stores import DurableStore, open_store
from deputize.core.ports import Add, Append, Change, Record, Replace, Store
from deputize.core.rules import Fault
from deputize.core.values import Instant
from tests.adapters.conftest import DURABLE, Servers
from tests.adapters.kills import Killed
from tests.adapters.processes import kept, process, tell, told
from tests.adapters.records import Line, Mark, Ticket


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture(params=["memory", *DURABLE])
async def store(request: pytest.FixtureRequest, path: Path, servers: Servers) -> AsyncIterator[Store]:
    database, _, version = request.param.partition(" ")
    made: Store
    if database == "memory":
        made = MemoryStore()
    else:
        made = open_store(servers(version).fresh() if version else str(path), dev=True)
    yield made
    await made.close()


@pytest.fixture
async def durable(place: str) -> AsyncIterator[DurableStore]:
    made = open_store(place, dev=True)
    yield made
    await made.close()


@pytest.fixture
async def sqlite(path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(path)
    yield made
    await made.close()


def a_line(text: str) -> Append:
    return Append(Line(key="", text=text))


# --- what the verbs do --------------------------------------------------------------------------------------------


async def test_what_was_added_is_read_back(store: Store) -> None:
    ticket = Ticket(key="a", expires_at=Instant(5), client="c", person="p", text="t", number=-7)
    assert await store.read(Ticket, "a") is None
    assert await store.commit(Add(ticket))
    assert await store.read(Ticket, "a") == ticket


async def test_a_key_is_added_once_even_after_it_expired(store: Store) -> None:
    assert await store.commit(Add(Mark(key="jti", expires_at=Instant(1))))
    assert not await store.commit(Add(Mark(key="jti", expires_at=Instant(2**40))))
    read = await store.read(Mark, "jti")
    assert read is not None
    assert read.expires_at == 1


async def test_a_replacement_wins_once_and_then_the_old_is_stale(store: Store) -> None:
    await store.commit(Add(Ticket(key="a", number=1)))
    old = await store.read(Ticket, "a")
    assert old is not None
    assert await store.commit(Replace(old, replace(old, number=2)))
    assert not await store.commit(Replace(old, replace(old, number=3)))
    now = await store.read(Ticket, "a")
    assert now is not None
    assert (now.number, now.version) == (2, old.version + 1)
    assert await store.commit(Replace(now, replace(now, number=4)))


async def test_what_is_not_there_is_not_replaced(store: Store) -> None:
    never = Ticket(key="never")
    assert not await store.commit(Replace(never, replace(never, number=1)))
    assert await store.read(Ticket, "never") is None


async def test_a_replacement_is_found_by_its_new_fields_only_and_expires_anew(store: Store) -> None:
    old = Ticket(key="a", client="before", expires_at=Instant(10))
    await store.commit(Add(old))
    assert await store.commit(Replace(old, replace(old, client="after", expires_at=Instant(20))))
    assert await store.select(Ticket, "client", "before") == []
    assert [ticket.key for ticket in await store.select(Ticket, "client", "after")] == ["a"]
    assert await store.sweep(Instant(10)) == 0
    assert await store.sweep(Instant(20)) == 1


async def test_key_and_kind_stay_when_a_record_is_replaced(store: Store) -> None:
    ticket = Ticket(key="a")
    await store.commit(Add(ticket))
    with pytest.raises(ValueError, match="its own kind and key"):
        await store.commit(Replace(ticket, replace(ticket, key="b")))
    with pytest.raises(ValueError, match="its own kind and key"):
        await store.commit(Replace(ticket, Mark(key="a")))


async def test_appended_keys_sort_in_the_order_of_appending(store: Store) -> None:
    for n in range(30):
        assert await store.commit(Append(Line(key="", text=str(n))), Append(Line(key="ignored", text=f"{n}+")))
    lines = await store.select(Line, "", "")
    assert [line.text for line in lines] == [text for n in range(30) for text in (str(n), f"{n}+")]
    assert sorted(line.key for line in lines) == [line.key for line in lines]
    assert len({line.key for line in lines}) == 60


async def test_an_appended_record_can_be_read_and_replaced(store: Store) -> None:
    await store.commit(Append(Line(key="", text="waits")))
    (line,) = await store.select(Line, "", "")
    assert await store.commit(Replace(line, replace(line, text="told")))
    assert (await store.read(Line, line.key)) == replace(line, text="told")


async def test_keys_are_not_given_twice_when_everything_was_swept(store: Store) -> None:
    await store.commit(Append(Line(key="", text="1", expires_at=Instant(1))))
    (first,) = await store.select(Line, "", "")
    assert await store.sweep(Instant(1)) == 1
    await store.commit(Append(Line(key="", text="2")))
    assert [line.text for line in await store.select(Line, "", "", after=first.key)] == ["2"]


async def test_a_commit_of_nothing_succeeds(store: Store) -> None:
    assert await store.commit()


# --- all or nothing -----------------------------------------------------------------------------------------------

THERE = Ticket(key="there", number=1)
OTHER = Ticket(key="other", number=1)
STALE = replace(THERE, version=7)
GOOD: list[Change] = [
    Add(Ticket(key="new")),
    Replace(OTHER, replace(OTHER, number=2)),
    Append(Line(key="", text="never")),
]
BAD: dict[str, Change] = {
    "added before": Add(replace(THERE, number=2)),
    "stale": Replace(STALE, replace(STALE, number=2)),
    "never there": Replace(Mark(key="no"), Mark(key="no")),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("place", range(4))
async def test_where_one_condition_fails_nothing_happens(store: Store, bad: Change, place: int) -> None:
    """And the commits of the same group, before and after, are none the worse."""
    await store.commit(Add(THERE), Add(OTHER))
    told = await asyncio.gather(
        store.commit(Add(Mark(key="before"))),
        store.commit(*GOOD[:place], bad, *GOOD[place:]),
        store.commit(Add(Mark(key="next"))),
    )
    assert told == [True, False, True]
    assert await store.select(Ticket, "", "") == [OTHER, THERE]
    assert await kept(store, Line) == []
    assert await kept(store, Mark) == ["before", "next"]


async def test_what_belongs_together_is_written_together(store: Store) -> None:
    await store.commit(Add(THERE), Add(OTHER))
    assert await store.commit(*GOOD)
    assert await kept(store, Ticket) == ["new", "other", "there"]
    assert [line.text for line in await store.select(Line, "", "")] == ["never"]


async def test_a_key_changes_once_in_a_commit(store: Store) -> None:
    await store.commit(Add(THERE))
    assert not await store.commit(Add(Mark(key="a")), Add(Mark(key="a")))
    assert not await store.commit(Replace(THERE, replace(THERE, number=2)), Replace(THERE, replace(THERE, number=3)))
    assert not await store.commit(Add(Ticket(key="b")), Replace(Ticket(key="b"), Ticket(key="b", number=2)))
    assert await kept(store, Mark) == []
    assert await store.select(Ticket, "", "") == [THERE]


# --- kinds --------------------------------------------------------------------------------------------------------


async def test_a_record_of_one_kind_is_never_read_as_another(store: Store) -> None:
    """RC-11: a key that was minted for one purpose and is presented for another is not found."""
    await store.commit(Add(Ticket(key="k")))
    assert await store.read(Mark, "k") is None
    assert await store.commit(Add(Mark(key="k")))
    assert await store.read(Ticket, "k") == Ticket(key="k")


async def test_two_classes_cannot_share_a_kind(store: Store) -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Impostor(Record):
        kind: ClassVar[str] = "ticket"

    await store.commit(Add(Ticket(key="k")))
    with pytest.raises(TypeError, match="'ticket'"):
        await store.read(Impostor, "k")


@pytest.mark.parametrize(
    "name", ["", "Ticket", "ticket; --", 'a"b', "_appended", "sqlite_x", "1", "a-b", "ä", "a" * 49]
)
async def test_a_kind_is_a_plain_name(store: Store, name: str) -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Odd(Record):
        kind: ClassVar[str] = name

    with pytest.raises(TypeError, match="a kind is named"):
        await store.commit(Add(Odd(key="k")))


# --- selecting ----------------------------------------------------------------------------------------------------


async def test_select_goes_through_a_field_in_pages_in_the_order_of_keys(store: Store) -> None:
    keys = sorted([*(f"k{n}" for n in range(230)), "K", "Ä", "ä", "日本", "\U0001f600", "z\x00z"])
    shuffled = random.Random(5).sample(keys, len(keys))
    await store.commit(*(Add(Ticket(key=key, client="ours")) for key in shuffled))
    await store.commit(Add(Ticket(key="k1x", client="theirs")))
    found: list[str] = []
    while page := await store.select(Ticket, "client", "ours", after=found[-1] if found else ""):
        assert len(page) <= 100
        found += [ticket.key for ticket in page]
    assert found == keys
    assert [t.key for t in await store.select(Ticket, "client", "ours", after="k1", limit=2)] == ["k10", "k100"]
    assert [t.key for t in await store.select(Ticket, "", "", after="k1", limit=500)] == sorted(
        [key for key in keys if key > "k1"] + ["k1x"]
    )


async def test_only_indexed_fields_are_looked_for(store: Store) -> None:
    for where in ("text", "key", 'client" = client --'):
        with pytest.raises(ValueError, match="no indexed field"):
            await store.select(Ticket, where, "x")


async def test_a_value_is_data_and_never_part_of_the_question(store: Store) -> None:
    await store.commit(Add(Ticket(key="a", client="' OR 1=1 --", person="%")))
    assert await store.select(Ticket, "client", "' OR '1'='1") == []
    assert await store.select(Ticket, "person", "_") == []
    assert len(await store.select(Ticket, "client", "' OR 1=1 --")) == 1


# --- forgetting ---------------------------------------------------------------------------------------------------


async def test_sweep_forgets_what_has_expired_and_nothing_else(store: Store) -> None:
    await store.commit(*(Add(Mark(key=f"old{n}", expires_at=Instant(n % 100))) for n in range(2500)))
    await store.commit(Add(Mark(key="now", expires_at=Instant(100))), Add(Mark(key="then", expires_at=Instant(101))))
    await store.commit(Add(Mark(key="ever")), Add(Ticket(key="ever")), Add(Ticket(key="old", expires_at=Instant(-1))))
    assert await store.sweep(Instant(100)) == 2502
    assert await kept(store, Mark) == ["ever", "then"]
    assert await kept(store, Ticket) == ["ever"]
    assert await store.sweep(Instant(100)) == 0


# --- what can be kept ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ticket",
    [
        Ticket(key="nul\x00key", client="c\x00d", text="\x00"),
        Ticket(key="nul"),
        Ticket(key="💊é\u202e\n'\"", client="Ü", text="日本"),
        Ticket(key="number", number=2**53),
        Ticket(key="number", number=-(2**53), expires_at=Instant(2**53)),
        Ticket(key="large", text="x" * 5_000_000),
        Ticket(key="k" * 100_000, client="c" * 100_000),
        Ticket(key=random.Random(1).randbytes(5000).hex(), client="é" * 501, person="\x01\x00" * 600),
    ],
    ids=["NUL", "no NUL", "not ASCII", "2^53", "-2^53", "5 MB", "long key", "long key that cannot be squeezed"],
)
async def test_what_is_kept_comes_back_to_the_letter(store: Store, ticket: Ticket) -> None:
    assert await store.commit(Add(ticket))
    assert await store.read(Ticket, ticket.key) == ticket
    assert await store.select(Ticket, "client", ticket.client) == [ticket]
    assert await store.read(Ticket, ticket.key.partition("\x00")[0] + "-") is None


async def test_half_a_character_is_no_key_and_is_not_kept(store: Store) -> None:
    assert await store.read(Mark, "\ud800") is None
    assert await store.select(Ticket, "client", "\ud800") == []
    with pytest.raises(Fault):
        await store.commit(Add(Mark(key="\ud800")), Add(Mark(key="fine")))
    assert await kept(store, Mark) == []


async def test_keys_sort_by_their_letters_whatever_those_are(store: Store) -> None:
    keys = sorted(
        [
            "",
            "\x00",
            "\x00\x00",
            "\x00\x01",
            "\x00a",
            "\x01",
            "\x01\x00",
            "\x01\x01",
            "\x01\x02",
            "\x01\x03",
            "\x02",
            "a",
        ]
    )
    await store.commit(*(Add(Mark(key=key)) for key in keys))
    found = await kept(store, Mark)
    assert [*([""] if await store.read(Mark, "") else []), *found] == keys
    assert [mark.key for mark in await store.select(Mark, "", "", after="\x00a", limit=3)] == keys[5:8]


@pytest.mark.parametrize("at", [2**63, -(2**63) - 1, 10**30])
async def test_a_time_beyond_all_time_is_a_fault(store: Store, at: int) -> None:
    """PY-10."""
    with pytest.raises(Fault, match="cannot be kept") as problem:
        await store.commit(Add(Mark(key="a", expires_at=Instant(at))))
    assert not problem.value.retry
    with pytest.raises(Fault, match="cannot be kept"):
        await store.commit(Add(Ticket(key="a", number=2**64)))
    assert await store.commit(Add(Mark(key="a", expires_at=Instant(2**63 - 1))))
    assert await kept(store, Mark) == ["a"]


# --- races --------------------------------------------------------------------------------------------------------


async def test_of_a_hundred_who_add_one_wins(store: Store) -> None:
    won = await asyncio.gather(*(store.commit(Add(Ticket(key="one", number=n))) for n in range(100)))
    assert won.count(True) == 1
    assert await store.read(Ticket, "one") == Ticket(key="one", number=won.index(True))


async def test_of_a_hundred_who_replace_one_wins(store: Store) -> None:
    old = Ticket(key="one")
    await store.commit(Add(old))
    won = await asyncio.gather(*(store.commit(Replace(old, replace(old, number=n))) for n in range(1, 101)))
    assert won.count(True) == 1
    assert await store.read(Ticket, "one") == replace(old, number=won.index(True) + 1)


async def test_a_hundred_who_try_again_all_count(store: Store) -> None:
    await store.commit(Add(Ticket(key="counter")))

    async def count() -> None:
        while True:
            old = await store.read(Ticket, "counter")
            assert old is not None
            if await store.commit(Replace(old, replace(old, number=old.number + 1))):
                return

    await asyncio.gather(*(count() for _ in range(100)))
    counter = await store.read(Ticket, "counter")
    assert counter is not None
    assert (counter.number, counter.version) == (100, 100)


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_a_caller_who_gives_up_breaks_nothing(store: Store, turns: int) -> None:
    """PY-11, TK-20: their commit is there as a whole or not at all, and those beside it are answered."""
    leaving = asyncio.create_task(store.commit(Add(Ticket(key="left")), Add(Mark(key="left"))))
    staying = [asyncio.create_task(store.commit(Add(Ticket(key=str(n))))) for n in range(20)]
    for _ in range(turns):
        await asyncio.sleep(0)
    leaving.cancel()
    assert await asyncio.gather(*staying) == [True] * 20
    await asyncio.gather(leaving, return_exceptions=True)
    await store.commit(Add(Mark(key="later")))
    assert (await store.read(Ticket, "left") is None) == (await store.read(Mark, "left") is None)


async def test_a_closed_store_says_so(store: Store) -> None:
    await store.commit(Add(Mark(key="a")))
    await store.close()
    await store.close()
    with pytest.raises(Fault, match="closed"):
        await store.commit(Add(Mark(key="b")))
    with pytest.raises(Fault, match="closed"):
        await store.read(Mark, "a")


CHANGES = st.one_of(
    st.builds(lambda key, number: ("add", key, number), st.sampled_from("abc"), st.integers(0, 3)),
    st.builds(lambda key, number: ("replace", key, number), st.sampled_from("abc"), st.integers(0, 3)),
    st.builds(lambda number: ("append", "", number), st.integers(0, 3)),
)


@given(st.lists(st.lists(CHANGES, max_size=4), max_size=12))
@settings(max_examples=40, deadline=None)
def test_the_stores_agree(tmp_path_factory: pytest.TempPathFactory, commits: list[list[tuple[str, str, int]]]) -> None:
    async def played(store: Store) -> tuple[list[bool], list[Ticket], list[Line]]:
        told: list[bool] = []
        first = {key: Ticket(key=key) for key in "abc"}
        for commit in commits:
            changes: list[Change] = []
            for verb, key, number in commit:
                if verb == "append":
                    changes.append(Append(Line(key="", text=str(number))))
                elif verb == "add":
                    changes.append(Add(Ticket(key=key, number=number)))
                else:
                    old = await store.read(Ticket, key) or first[key]
                    changes.append(
                        Replace(replace(old, version=old.version - number // 3), replace(old, number=number))
                    )
            told.append(await store.commit(*changes))
        found = (told, await store.select(Ticket, "", ""), await store.select(Line, "", ""))
        await store.close()
        return found

    path = tmp_path_factory.mktemp("agree") / "store.db"
    assert asyncio.run(played(SqliteStore(path))) == asyncio.run(played(MemoryStore()))


# --- processes and crashes: each store that lasts -----------------------------------------------------------------


async def test_what_was_acknowledged_is_there_after_reopening(place: str) -> None:
    store = open_store(place, dev=True)
    await store.commit(Add(Ticket(key="a", text="kept")), Append(Line(key="", text="1")))
    await store.close()
    again = open_store(place, dev=True)
    assert await again.read(Ticket, "a") == Ticket(key="a", text="kept")
    await again.commit(Append(Line(key="", text="2")))
    assert [line.text for line in await again.select(Line, "", "")] == ["1", "2"]
    await again.close()


async def test_of_four_processes_one_wins_each_key(place: str) -> None:
    racers = [process(place, "race") for _ in range(4)]
    for racer in racers:
        assert told(racer) == "ready"
    for racer in racers:
        tell(racer, "go")
    wins = [json.loads(racer.communicate()[0]) for racer in racers]
    assert sorted(key for keys in wins for key in keys) == sorted(str(n) for n in range(100))


async def test_a_read_sees_what_another_process_was_told_is_there(durable: DurableStore, place: str) -> None:
    other = process(place, "answer")
    assert told(other) == "ready"
    for n in range(50):
        tell(other, f"add theirs{n}")
        assert told(other) == "True"
        assert await durable.read(Mark, f"theirs{n}") is not None
        assert await durable.commit(Add(Mark(key=f"ours{n}")))
        tell(other, f"read ours{n}")
        assert told(other) == "True"
        tell(other, f"add ours{n}")
        assert told(other) == "False"
    other.communicate()


async def test_stores_that_race_in_one_place_make_each_commit_whole_or_not_at_all(
    durable: DurableStore, place: str
) -> None:
    """Four add the same few keys in sets of three: who won has all three, who lost left none."""
    stores = [durable, *(open_store(place, dev=True) for _ in range(3))]
    dice = random.Random(3)
    for turn in range(20):
        sets = [(n, dice.sample(range(12), 3)) for n in range(40)]

        async def attempt(n: int, keys: list[int], turn: int) -> tuple[int, list[int], bool]:
            adds = [Add(Ticket(key=f"{turn}.{key}", number=n)) for key in keys[:2]]
            return n, keys, await stores[n % 4].commit(*adds, Add(Mark(key=f"{turn}.{keys[2]}")), a_line(f"{turn}.{n}"))

        told_all = await asyncio.gather(*(attempt(n, keys, turn) for n, keys in sets))
        won = {n: keys for n, keys, ours in told_all if ours}
        tickets = {
            t.key: t.number for t in await durable.select(Ticket, "", "", limit=10_000) if t.key.startswith(f"{turn}.")
        }
        assert tickets == {f"{turn}.{key}": n for n, keys in won.items() for key in keys[:2]}
        marks = [key for key in await kept(durable, Mark) if key.startswith(f"{turn}.")]
        assert sorted(marks) == sorted(f"{turn}.{keys[2]}" for keys in won.values())
        lines = [line.text for line in await durable.select(Line, "", "", limit=10_000)]
        assert sorted(text for text in lines if text.startswith(f"{turn}.")) == sorted(f"{turn}.{n}" for n in won)
        for n, keys in sets:  # nobody lost for nothing
            assert n in won or any(set(keys[:2]) & set(other[:2]) or keys[2] == other[2] for other in won.values())
    for other in stores[1:]:
        await other.close()


async def test_what_is_moved_between_records_in_a_race_is_neither_lost_nor_made(
    durable: DurableStore, place: str
) -> None:
    stores = [durable, *(open_store(place, dev=True) for _ in range(2))]
    await durable.commit(*(Add(Ticket(key=str(n), number=100)) for n in range(6)))

    async def move(store: DurableStore, seed: int) -> int:
        dice = random.Random(seed)
        won = 0
        for _ in range(15):
            one, two = [await store.read(Ticket, str(n)) for n in dice.sample(range(6), 2)]
            assert one is not None
            assert two is not None
            won += await store.commit(
                Replace(one, replace(one, number=one.number - 1)), Replace(two, replace(two, number=two.number + 1))
            )
        return won

    won = sum(await asyncio.gather(*(move(stores[n % 3], n) for n in range(12))))
    tickets = await durable.select(Ticket, "", "")
    assert sum(ticket.number for ticket in tickets) == 600
    assert sum(ticket.version for ticket in tickets) == 2 * won > 0
    for other in stores[1:]:
        await other.close()


async def test_whoever_reads_on_from_the_last_appended_key_misses_none(durable: DurableStore, place: str) -> None:
    """However many append at once: a key that is seen has no smaller one that is still to come."""
    stores = [open_store(place, dev=True) for _ in range(3)]
    await durable.commit(a_line("first"))

    async def append(n: int) -> None:
        for m in range(60):
            assert await stores[n % 3].commit(a_line(f"{n}.{m}"), Add(Mark(key=f"{n}.{m}")))

    writers = asyncio.gather(*(append(n) for n in range(9)))
    found: list[Line] = []
    page: list[Line] = []
    while page or not writers.done():
        page = await durable.select(Line, "", "", after=found[-1].key if found else "")
        found += page
        await asyncio.sleep(0)
    await writers
    assert sorted(line.text for line in found) == sorted(["first", *(f"{n}.{m}" for n in range(9) for m in range(60))])
    for n in range(9):
        assert [line.text for line in found if line.text.startswith(f"{n}.")] == [f"{n}.{m}" for m in range(60)]
    for other in stores:
        await other.close()


async def test_two_stores_in_one_place_append_in_one_order(durable: DurableStore, place: str) -> None:
    other = open_store(place, dev=True)
    for n in range(20):
        await (durable, other)[n % 2].commit(Append(Line(key="", text=str(n))))
    assert [line.text for line in await durable.select(Line, "", "")] == [str(n) for n in range(20)]
    await other.close()


async def test_whatever_was_acknowledged_survives_a_kill(place: str) -> None:
    """Killed at random moments of its commits, and opened again; `make test-slow` does it two hundred times."""
    killed = Killed(place, 20)
    for _ in range(6):
        await killed.once()
    assert killed.acknowledged > 50


async def test_a_field_that_is_indexed_later_finds_what_was_there_before(durable: DurableStore, place: str) -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Plain(Record):
        kind: ClassVar[str] = "ticket"
        client: str = ""
        person: str = ""

    await durable.commit(*(Add(Plain(key=f"{n:04}", client=f"c{n % 3}", person="alice")) for n in range(1500)))
    await durable.close()
    again = open_store(place, dev=True)
    assert len(await again.select(Ticket, "client", "c1", limit=1000)) == 500
    assert len(await again.select(Ticket, "person", "alice", limit=2000)) == 1500
    assert await again.commit(Add(Ticket(key="new", client="c1")))
    assert (await again.select(Ticket, "client", "c1", after="1499"))[0] == Ticket(key="new", client="c1")
    await again.close()


async def test_commits_that_were_handed_over_are_durable_when_close_returns(durable: DurableStore, place: str) -> None:
    await durable.commit(Add(Mark(key="a")))
    tasks = [asyncio.create_task(durable.commit(Add(Mark(key=str(n))))) for n in range(50)]
    await asyncio.sleep(0)
    await durable.close()
    assert await asyncio.gather(*tasks) == [True] * 50
    again = open_store(place, dev=True)
    assert len(await kept(again, Mark)) == 51
    await again.close()


# --- the file: what is SQLite's own ---------------------------------------------------------------------------------


async def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        store = SqliteStore(path)
        await store.commit(Add(Mark(key="a")))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}
    await store.close()


def test_a_place_where_no_file_can_be_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="No such file or directory"):
        SqliteStore(tmp_path / "nowhere" / "store.db")
    (tmp_path / "text").write_text("This is no database, and it is longer than the head of one would be. " * 20)
    with pytest.raises(Fault, match="SQLITE_NOTADB"):
        SqliteStore(tmp_path / "text")


async def test_a_full_disk_is_a_fault_for_those_commits_and_the_store_goes_on(path: Path) -> None:
    child = process(str(path), "full")
    said = child.communicate()[0].split("\n")
    assert said == ["True", "Fault True", "Fault True", "Fault True", "True", ""]
    store = SqliteStore(path)
    assert await kept(store, Mark) == ["after", "before"]
    assert await kept(store, Ticket) == []
    await store.close()


async def test_a_store_that_another_process_holds_is_waited_for_and_then_a_fault(path: Path) -> None:
    """RC-12: bounded patience, then a Fault that may be tried again; reading goes on all the while."""
    store = SqliteStore(path, busy_seconds_max=0.1)
    await store.commit(Add(Mark(key="a")))
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    waiting = [asyncio.create_task(store.commit(Add(Mark(key=key)))) for key in "bc"]
    assert await store.read(Mark, "a") is not None
    for problem in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(problem, Fault)
        assert problem.retry
    holder.execute("COMMIT")
    holder.close()
    assert await store.commit(Add(Mark(key="d")))
    assert await kept(store, Mark) == ["a", "d"]
    await store.close()


async def test_a_commit_waits_for_another_process_to_finish(sqlite: SqliteStore, path: Path) -> None:
    """PY-12: each transaction that writes begins as one that writes, so none is stuck between reading and writing."""
    await sqlite.commit(Add(Mark(key="a")))
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(sqlite.commit(Add(Mark(key="b"))))
    done, _ = await asyncio.wait([waiting], timeout=0.02)
    assert not done
    holder.execute("COMMIT")
    holder.close()
    assert await waiting


async def test_one_bad_commit_of_a_group_fails_alone(sqlite: SqliteStore) -> None:
    """A line that was added under the key that comes next, which no caller should do."""
    await sqlite.commit(Add(Line(key="0000000000000001", text="in the way")))
    good, bad, good_too = await asyncio.gather(
        sqlite.commit(Add(Mark(key="a"))),
        sqlite.commit(Add(Mark(key="b")), Append(Line(key="", text="x"))),
        sqlite.commit(Add(Mark(key="c"))),
        return_exceptions=True,
    )
    assert (good, good_too) == (True, True)
    assert isinstance(bad, Fault)
    assert not bad.retry
    assert await kept(sqlite, Mark) == ["a", "c"]


async def test_a_body_that_is_no_such_record_is_a_fault(sqlite: SqliteStore, path: Path) -> None:
    await sqlite.commit(Add(Ticket(key="a")), Add(Ticket(key="b")))
    with sqlite3.connect(path) as vandal:
        vandal.execute("UPDATE ticket SET body = ? WHERE key = 'a'", (b"\x00",))
        vandal.execute("UPDATE ticket SET body = ? WHERE key = 'b'", (b"\x81\xa6number\xa1x",))
    vandal.close()
    for key in "ab":
        with pytest.raises(Fault, match="a stored ticket cannot be read as one"):
            await sqlite.read(Ticket, key)


def test_several_loops_share_a_store_and_one_wins_each_key(path: Path) -> None:
    store = SqliteStore(path)
    won: list[str] = []

    async def add() -> None:
        keys = [str(n) for n in range(200)]
        told = await asyncio.gather(*(store.commit(Add(Mark(key=key))) for key in keys))
        won.extend(key for key, ours in zip(keys, told, strict=True) if ours)
        assert await store.read(Mark, "199") is not None

    threads = [threading.Thread(target=lambda: asyncio.run(add())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won, key=int) == [str(n) for n in range(200)]
    asyncio.run(store.close())


def test_a_loop_that_ends_while_its_commit_is_written_leaves_the_store_whole(path: Path) -> None:
    store = SqliteStore(path)

    async def left_behind(turns: int) -> None:
        task = asyncio.create_task(store.commit(Add(Mark(key=f"left{turns}"))))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()

    for turns in range(1, 5):
        asyncio.run(left_behind(turns))

    async def next_one() -> None:
        assert await store.commit(Add(Mark(key="next")))
        await store.close()

    asyncio.run(next_one())
