"""One step apart, programs share a database; further apart, they say so and do not begin."""

import ast
import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import asyncpg  # type: ignore[import-untyped] # it has no types
import pytest

from deputize.adapters import migrations
from deputize.adapters.migrations import VERSION, Schema
from deputize.adapters.packing import packing
from deputize.adapters.postgres_tables import Table
from deputize.adapters.stores import DurableStore, is_postgres, open_store
from deputize.cli import db
from deputize.compose.kinds import KINDS
from deputize.core.ports import Add, Append, Record, Replace
from deputize.core.rules import Fault
from tests.adapters.conftest import Servers
from tests.adapters.records import Line, Mark, Ticket
from tests.architecture.source import modules
from tests.support.postgres import CARRIED


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketBefore(Record):
    """A ticket as the program of the step before knows it: no index, fewer fields."""

    kind: ClassVar[str] = "ticket"

    client: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LineBefore(Record):
    kind: ClassVar[str] = "line"

    text: str


BEFORE = (TicketBefore, LineBefore)
NOW = (Ticket, Line, Mark)


@contextlib.asynccontextmanager
async def opened(place: str, **more: bool) -> AsyncIterator[DurableStore]:
    store = open_store(place, **more)
    try:
        yield store
    finally:
        await store.close()


async def told_to(place: str, postgres: str, sqlite: str | None = None) -> None:
    if is_postgres(place):
        connection = await asyncpg.connect(place)
        await connection.execute(postgres)
        await connection.close()
    else:
        with contextlib.closing(sqlite3.connect(place)) as file:
            file.execute(sqlite or postgres)
            file.commit()


async def at_step(place: str, step: int) -> None:
    await told_to(place, f"INSERT INTO _schema (version) VALUES ({step})", f"PRAGMA user_version = {step}")


# --- side by side -------------------------------------------------------------------------------------------------


async def test_the_program_of_the_step_before_goes_on_when_the_schema_moves_under_it(place: str) -> None:
    async with opened(place) as before, opened(place) as now:
        await before.migrate(BEFORE)
        old = TicketBefore(key="a", client="ours", number=1)
        assert await before.commit(Add(old), Append(LineBefore(key="", text="1")))

        await now.migrate(NOW)

        assert await before.commit(Add(TicketBefore(key="b", client="ours")), Append(LineBefore(key="", text="2")))
        assert await before.commit(Replace(old, replace(old, number=2)))
        assert await now.commit(Add(Ticket(key="c", client="ours", person="p")), Append(Line(key="", text="3", by="x")))
        assert await now.commit(Add(Mark(key="new kind")))
        assert await before.read(TicketBefore, "c") == TicketBefore(key="c", client="ours")
        assert await now.read(Ticket, "b") == Ticket(key="b", client="ours")
        assert [line.text for line in await before.select(LineBefore, "", "")] == ["1", "2", "3"]
        assert [line.text for line in await now.select(Line, "", "")] == ["1", "2", "3"]


async def test_what_the_step_before_writes_is_found_by_a_field_that_it_does_not_index(place: str) -> None:
    async with opened(place) as before, opened(place) as now:
        await before.migrate(BEFORE)
        await before.commit(*(Add(TicketBefore(key=f"{n:04}", client=f"c{n % 2}")) for n in range(1500)))
        await now.migrate(NOW)
        assert len(await now.select(Ticket, "client", "c1", limit=10_000)) == 750
        for n in range(3):
            await before.commit(Add(TicketBefore(key=f"late{n}", client="c1")))
            assert len(await now.select(Ticket, "client", "c1", limit=10_000)) == 751 + n
            assert [t.key for t in await now.select(Ticket, "client", "c1", after="1499", limit=10)][-1] == f"late{n}"
        assert len(await now.select(Ticket, "person", "", limit=10_000)) == 1503


async def test_of_two_programs_a_step_apart_one_wins(place: str) -> None:
    async with opened(place) as before, opened(place) as now:
        await before.migrate(BEFORE)
        await now.migrate(NOW)
        for n in range(10):
            key = f"k{n}"
            await before.commit(Add(TicketBefore(key=key, client="c")))
            theirs, ours = await before.read(TicketBefore, key), await now.read(Ticket, key)
            assert theirs is not None
            assert ours is not None
            won = await asyncio.gather(
                before.commit(Replace(theirs, replace(theirs, number=1))),
                now.commit(Replace(ours, replace(ours, number=2))),
            )
            assert won.count(True) == 1
            added = await asyncio.gather(
                before.commit(Add(TicketBefore(key=f"new{n}"))), now.commit(Add(Ticket(key=f"new{n}")))
            )
            assert added.count(True) == 1


async def test_the_reverse_does_not_begin_and_says_what_to_do(place: str) -> None:
    """A program on the schema of the step before it: PostgreSQL is migrated by its operator, a file by itself."""
    async with opened(place) as before:
        await before.migrate(BEFORE)
        await before.commit(Add(TicketBefore(key="a", client="c")))
    async with opened(place) as now:
        if is_postgres(place):
            for do in (lambda: now.ready(NOW), lambda: now.select(Ticket, "client", "c"), lambda: now.read(Mark, "a")):
                with pytest.raises(Fault, match="run `deputize db migrate`") as problem:
                    await do()
                assert not problem.value.retry
            found = await now.schema(NOW)
            assert "ticket.by_client" in found.missing
            assert "the table mark" in found.missing
            await now.migrate(NOW)
        await now.ready(NOW)
        assert (await now.schema(NOW)) == Schema(version=VERSION, kinds=("line", "mark", "ticket"))
        assert [ticket.key for ticket in await now.select(Ticket, "client", "c")] == ["a"]
    async with opened(place) as again:
        assert await again.migrate(NOW) == []


async def test_a_database_two_steps_ahead_is_left_alone(place: str) -> None:
    async with opened(place) as store:
        await store.migrate(NOW)
        await store.commit(Add(Mark(key="a")))
    await at_step(place, VERSION + 1)
    async with opened(place) as next_to_it:
        await next_to_it.ready(NOW)
        assert await next_to_it.migrate(NOW) == []
        assert await next_to_it.read(Mark, "a") is not None
    await at_step(place, VERSION + 2)
    with pytest.raises(Fault, match="it has to be a newer Deputize"):
        async with opened(place, dev=True) as behind:
            await behind.ready(NOW)
    if is_postgres(place):
        async with opened(place) as behind:
            for do in (lambda: behind.commit(Add(Mark(key="b"))), lambda: behind.migrate(NOW)):
                with pytest.raises(Fault, match="it has to be a newer Deputize"):
                    await do()


async def test_a_database_a_step_behind_is_to_be_migrated(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(place) as store:
        await store.migrate(NOW)
    monkeypatch.setattr(migrations, "VERSION", VERSION + 1)
    with pytest.raises(Fault, match=r"is at step 1 and this program is at 2: run `deputize db migrate`"):
        async with opened(place) as store:
            await store.ready(NOW)


async def test_in_dev_all_is_brought_in_by_itself(place: str) -> None:
    async with opened(place, dev=True) as store:
        assert await store.commit(Add(Ticket(key="a", client="c")))
        await store.ready(NOW)
        assert (await store.schema(NOW)).trouble is None


# --- PostgreSQL: while others use it ------------------------------------------------------------------------------


@pytest.fixture
def dsn(servers: Servers) -> str:
    return servers(CARRIED).fresh()


async def test_several_who_migrate_at_once_do_it_once(dsn: str) -> None:
    stores = [open_store(dsn) for _ in range(5)]
    done = await asyncio.gather(*(store.migrate(NOW) for store in stores))
    assert sorted(map(len, done)) == [0, 0, 0, 0, 4]
    for store in stores:
        await store.ready(NOW)
        await store.close()


async def test_a_migration_lets_others_pass_while_somebody_holds_the_table(dsn: str) -> None:
    async with opened(dsn) as before, opened(dsn) as now:
        await before.migrate(BEFORE)
        holder = await asyncpg.connect(dsn)
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("SELECT FROM ticket")
        migrating = asyncio.create_task(now.migrate(NOW))
        written = 0
        until = asyncio.get_running_loop().time() + 1.5
        while asyncio.get_running_loop().time() < until:
            with contextlib.suppress(Fault):
                written += await before.commit(Add(TicketBefore(key=str(written), client="c")))
        assert not migrating.done()
        await transaction.rollback()
        assert "ticket.by_client" in await migrating
        assert written > 10
        assert len(await now.select(Ticket, "client", "c", limit=100_000)) == written
        await holder.close()


async def test_an_index_that_was_left_half_made_is_made_again(dsn: str) -> None:
    async with opened(dsn) as store:
        await store.migrate(NOW)
        await told_to(
            dsn,
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '\"ticket by_client\"'::regclass",
        )
        with pytest.raises(Fault, match="lacks the index ticket by_client: run `deputize db migrate`"):
            await store.ready(NOW)
        assert await store.migrate(NOW) == ["the index ticket by_client"]
        await store.ready(NOW)


async def test_a_row_that_cannot_be_read_stops_nobody_who_looks_for_others(place: str) -> None:
    async with opened(place) as before, opened(place) as now:
        await before.migrate(BEFORE)
        await before.commit(Add(TicketBefore(key="a", client="c")), Add(TicketBefore(key="b", client="c")))
        await told_to(
            place, "UPDATE ticket SET body = 'x' WHERE key = 'a'", "UPDATE ticket SET body = x'c1' WHERE key = 'a'"
        )
        await now.migrate(NOW)
        assert [ticket.key for ticket in await now.select(Ticket, "client", "c")] == ["b"]


# --- the verbs ----------------------------------------------------------------------------------------------------


def test_the_verbs_tell_and_do(place: str) -> None:
    if is_postgres(place):
        assert db.status(place).trouble == "there is no schema yet: run `deputize db migrate`"
    else:
        with pytest.raises(Fault, match="there are no records at"):
            db.status(place)
        assert not Path(place).exists()
    assert {"the table ask", "the table client"} <= set(db.migrate(place))
    assert db.migrate(place) == []
    found = db.status(place)
    assert (found.step, found.program, found.missing, found.trouble) == (VERSION, VERSION, (), None)
    assert found.kinds == tuple(sorted(kind.kind for kind in KINDS))
    assert db.sweep(place) == 0


def test_every_kind_of_the_package_is_brought_in() -> None:
    def records(tree: ast.AST) -> list[str]:
        bases: Callable[[ast.ClassDef], list[str]] = lambda node: [ast.unparse(base) for base in node.bases]  # noqa: E731
        return [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and "Record" in bases(node)]

    there = {name for module in modules() for name in records(module.tree)}
    assert there == {kind.__name__ for kind in KINDS}, "put it into compose/kinds.py, or it has no table"


def test_names_that_are_too_long_for_postgresql_stay_apart() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Long(Record):
        kind: ClassVar[str] = "a" * 48
        indexed: ClassVar[tuple[str, ...]] = ("b" * 40, "b" * 39 + "c")

        bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb: str = ""
        bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbc: str = ""

    packing(Long)
    table: Table[Any] = Table(Long)
    names = [name for name, _ in table.indexes()] + [table.keys]
    assert len({name[:63] for name in names}) == len(names) == 4
