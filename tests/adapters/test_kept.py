"""What a store keeps in memory of kinds that seldom change: it knows of each change that anybody has made."""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from deputize.adapters import sqlite as sqlite_store
from deputize.adapters.postgres import PostgresStore
from deputize.adapters.postgres_link import Link
from deputize.adapters.sqlite import SqliteStore
from deputize.adapters.stores import DurableStore, open_store
from deputize.core.ports import Add, Record, Replace
from deputize.core.values import Instant
from tests.adapters.conftest import Servers
from tests.adapters.records import Mark
from tests.support.postgres import CARRIED, OWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Name(Record):
    """Read often, and seldom changed."""

    kind: ClassVar[str] = "name"
    kept: ClassVar[bool] = True

    text: str = ""


@pytest.fixture
async def two(place: str) -> AsyncIterator[tuple[DurableStore, DurableStore]]:
    """Two processes' stores in one place, as far as they can know."""
    stores = open_store(place, dev=True), open_store(place, dev=True)
    yield stores
    for store in stores:
        await store.close()


async def test_what_another_changes_is_seen_by_the_next_who_asks(two: tuple[DurableStore, DurableStore]) -> None:
    mine, theirs = two
    assert await mine.read(Name, "a") is None
    for number in range(20):
        before = await theirs.read(Name, "a")
        new = Name(key="a", text=str(number))
        assert await theirs.commit(Add(new) if before is None else Replace(before, new))
        assert await mine.read(Name, "a") == new
        assert await theirs.read(Name, "a") == new


async def test_who_has_committed_sees_it_at_once(two: tuple[DurableStore, DurableStore]) -> None:
    mine, _ = two

    async def one(key: str) -> None:
        assert await mine.read(Name, key) is None
        assert await mine.commit(Add(Name(key=key)))
        assert await mine.read(Name, key) == Name(key=key)

    await asyncio.gather(*(one(str(number)) for number in range(50)))


async def test_a_replacement_of_what_was_kept_is_held_against_the_store(two: tuple[DurableStore, DurableStore]) -> None:
    """Of two who have read the same version, one wins."""
    mine, theirs = two
    assert await mine.commit(Add(Name(key="a")))
    seen, also_seen = await mine.read(Name, "a"), await theirs.read(Name, "a")
    assert seen is not None
    assert also_seen is not None
    won = await asyncio.gather(
        mine.commit(Replace(seen, replace(seen, text="mine"))),
        theirs.commit(Replace(also_seen, replace(also_seen, text="theirs"))),
    )
    assert sorted(won) == [False, True]
    left = await mine.read(Name, "a")
    assert left is not None
    assert left.text == ("mine" if won[0] else "theirs")


async def test_what_was_swept_is_gone_for_all(two: tuple[DurableStore, DurableStore]) -> None:
    mine, theirs = two
    assert await theirs.commit(Add(Name(key="a", expires_at=Instant(1))))
    assert await mine.read(Name, "a") is not None
    await theirs.sweep(Instant(2))
    assert await mine.read(Name, "a") is None


async def test_a_program_that_knows_nothing_of_keeping_is_noticed(tmp_path: Path) -> None:
    """The file counts by itself: an earlier version beside us, or an operator by hand, changes nothing unseen."""
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    assert await store.commit(Add(Name(key="a")), Add(Name(key="b")))
    assert await store.read(Name, "a") is not None
    with sqlite3.connect(path) as other:
        other.execute("DELETE FROM name WHERE key = 'a'")
    other.close()
    await asyncio.sleep(0)  # what comes to pass within one turn of the loop, nobody can have been told
    assert await store.read(Name, "a") is None
    assert await store.read(Name, "b") is not None
    await store.close()


async def test_no_more_is_kept_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "KEPT_MAX", 10)
    store = SqliteStore(tmp_path / "store.db")
    for number in range(25):
        assert await store.read(Name, str(number)) is None
    assert len(store._here.kept["name"]) <= 10
    await store.close()


async def test_what_is_used_once_is_never_kept(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    assert await store.commit(Add(Mark(key="a")))
    assert await store.read(Mark, "a") is not None
    assert "mark" not in store._here.kept
    await store.close()


_OTHER = """
import asyncio, sys
from deputize.adapters.stores import open_store
from deputize.core.ports import Replace
from tests.adapters.test_kept import Name

async def main():
    store = open_store(sys.argv[1], dev=True)
    before = await store.read(Name, "a")
    print(await store.commit(Replace(before, Name(key="a", text="from elsewhere"))))
    await store.close()

asyncio.run(main())
"""


async def test_another_process_is_seen(place: str) -> None:
    store = open_store(place, dev=True)
    assert await store.commit(Add(Name(key="a")))
    assert await store.read(Name, "a") == Name(key="a")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _OTHER, place, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    out, _ = await process.communicate()
    assert out.split() == [b"True"]
    left = await store.read(Name, "a")
    assert left is not None
    assert left.text == "from elsewhere"
    await store.close()


@pytest.mark.parametrize("version", [CARRIED, OWN])
async def test_a_database_that_does_not_count_is_told_to(servers: Servers, version: str) -> None:
    """One of an earlier version has the table already: a server does not start on it before it is migrated."""
    place = servers(version).fresh()
    store = PostgresStore(place)
    await store.migrate((Name, Mark))
    link = Link(place, dev=True)
    await link.run('DROP TRIGGER "deputize counts" ON name')
    assert (await store.schema((Name, Mark))).missing == ("the count of changes of name",)
    assert await store.migrate((Name, Mark)) == ["the count of changes of name"]
    assert (await store.schema((Name, Mark))).trouble is None
    assert await store.migrate((Name, Mark)) == []
    assert await store.read(Name, "a") is None
    await link.run("INSERT INTO name (key, version, body) VALUES ('a', 0, '\\x81a36b6579a161')")
    assert await store.read(Name, "a") == Name(key="a")
    await link.close()
    await store.close()
