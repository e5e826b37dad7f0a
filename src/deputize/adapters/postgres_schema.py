"""The tables of a database, looked at and brought up to date while others go on using them."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Final

from deputize.adapters.migrations import VERSION, Schema
from deputize.adapters.packing import packing
from deputize.adapters.postgres_link import Link, code_of
from deputize.adapters.postgres_tables import COUNTER, Table, written

_BOOKS: Final = (
    "CREATE TABLE IF NOT EXISTS _schema (version int PRIMARY KEY, since timestamptz NOT NULL DEFAULT now())",
    'CREATE TABLE IF NOT EXISTS _kinds (kind text COLLATE "C" PRIMARY KEY)',
    'CREATE TABLE IF NOT EXISTS _changed (kind text COLLATE "C" PRIMARY KEY, times bigint NOT NULL)',
    (
        "CREATE OR REPLACE FUNCTION _count_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " EXECUTE format('UPDATE %I._changed SET times = times + 1 WHERE kind = $1', TG_TABLE_SCHEMA)"
        " USING TG_TABLE_NAME;"
        " RETURN NULL; END $$"
    ),
)
_THERE: Final = (
    "SELECT c.relname, array_agg(a.attname::text) FROM pg_class c"
    " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') GROUP BY c.relname"
)
_INDEXES: Final = (
    "SELECT c.relname, i.indisvalid FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid"
    " WHERE c.relnamespace = current_schema()::regnamespace"
)
_COUNTED: Final = (
    "SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
    " WHERE c.relnamespace = current_schema()::regnamespace AND t.tgname = $1 AND t.tgenabled IN ('O', 'A')"
)
_ALONE: Final = "SELECT pg_try_advisory_lock(1684369525, 1)"  # beside the turn to append, and held by the connection
_ALONE_NO_MORE: Final = "SELECT pg_advisory_unlock(1684369525, 1)"
_FILLED_AT_ONCE: Final = 1000
_TRIES_MAX: Final = 5


async def look(link: Link, tables: Sequence[Table[Any]]) -> Schema:
    """What is there, and what of these tables is not."""
    there = {name: set(columns) for name, columns in await link.ask(_THERE)}
    if "_schema" not in there or "_kinds" not in there:
        return Schema(version=None, missing=tuple(f"the table {table.name}" for table in tables))
    ((version,),) = await link.ask("SELECT max(version) FROM _schema")
    kinds = tuple(kind for (kind,) in await link.ask("SELECT kind FROM _kinds ORDER BY kind"))
    valid = {name for name, is_valid in await link.ask(_INDEXES) if is_valid}
    counted = {name for (name,) in await link.ask(_COUNTED, COUNTER)}
    missing: list[str] = []
    for table in tables:
        if table.name not in there or table.name not in kinds:
            missing.append(f"the table {table.name}")
            continue
        missing += [f"{table.name}.{by}" for by in table.by_fields if by not in there[table.name]]
        missing += [f"the index {name}" for name, _ in table.indexes() if name not in valid]
        missing += [f"the count of changes of {table.name}"] if table.kept and table.name not in counted else []
    return Schema(version=version, missing=tuple(missing), kinds=kinds)


async def migrate(link: Link, tables: Sequence[Table[Any]]) -> list[str]:
    """Bring in what is missing; what was done. Others read and write all the while, but no two migrate at once."""
    # Asked again and not waited for: an index that is made beside the work waits for all who wait in the database.
    while not (await link.ask(_ALONE))[0][0]:  # noqa: ASYNC110 (no event here tells when another process is done)
        await asyncio.sleep(random.uniform(0.01, 0.05))  # noqa: S311 (so that two do not keep step; no secret)
    try:
        return await _migrate(link, tables)
    finally:
        await link.ask(_ALONE_NO_MORE)


async def _migrate(link: Link, tables: Sequence[Table[Any]]) -> list[str]:
    before = await look(link, tables)
    if before.version is not None and before.version > VERSION:
        before.check()
        return []  # a newer program was here and has brought all that this one needs
    for sentence in _BOOKS:
        await link.run(sentence)
    there = {name: set(columns) for name, columns in await link.ask(_THERE)}
    counted = {name for (name,) in await link.ask(_COUNTED, COUNTER)}
    done: list[str] = []
    for table in tables:
        if table.name not in there:
            done.append(f"the table {table.name}")
        done += await _made(link, table, there.get(table.name))
        if table.kept and table.name not in counted:
            for sentence in table.counts():
                await _patiently(link, sentence)
            done += [f"the count of changes of {table.name}"] if table.name in there else []
        await link.ask("INSERT INTO _kinds (kind) VALUES ($1) ON CONFLICT DO NOTHING", table.name)
    if before.version != VERSION:
        await link.ask("INSERT INTO _schema (version) VALUES ($1) ON CONFLICT DO NOTHING", VERSION)
        done.append(f"step {VERSION}")
    return done


async def _made(link: Link, table: Table[Any], columns: set[str] | None) -> list[str]:
    done: list[str] = []
    for sentence in table.made():
        await link.run(sentence)
    missing = [by for by in table.by_fields if columns is not None and by not in columns]
    for by in missing:
        await _patiently(link, f'ALTER TABLE "{table.name}" ADD COLUMN IF NOT EXISTS {by} text COLLATE "C"')
        done.append(f"{table.name}.{by}")
    if missing:
        await fill(link, table)
    is_valid = dict(tuple(row) for row in await link.ask(_INDEXES))
    for name, on in table.indexes():
        if is_valid.get(name):
            continue
        if name in is_valid:  # whoever began it was stopped
            await link.run(f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"')
        await link.run(f'CREATE INDEX {"" if columns is None else "CONCURRENTLY "}IF NOT EXISTS "{name}" ON {on}')
        if columns is not None:
            done.append(f"the index {name}")
    return done


async def _patiently(link: Link, sentence: str) -> None:
    """Take the whole table for a moment; where somebody holds it, let those behind us pass and come again."""
    for tries in range(1, _TRIES_MAX + 1):
        try:
            await link.run(sentence)
        except Exception as problem:
            if code_of(problem) != "55P03" or tries == _TRIES_MAX:
                raise
            await asyncio.sleep(random.uniform(0.5, 1.0) * tries)  # noqa: S311 (no secret)
        else:
            return


async def fill(link: Link, table: Table[Any]) -> None:
    """Write into the columns what the bodies say, from the first row to the last."""
    last = ""
    while rows := await link.ask(table.unfilled, last, _FILLED_AT_ONCE):
        await _filled(link, table, rows)
        last = rows[-1][0]


async def fill_by(link: Link, table: Table[Any], field: str) -> None:
    """The same for the few rows that a program has written since which did not know this field."""
    while rows := await link.ask(table.unfilled_by[field], _FILLED_AT_ONCE):
        await _filled(link, table, rows)


async def _filled(link: Link, table: Table[Any], rows: Sequence[Any]) -> None:
    indexed = table.packing.indexed_in
    filled = [(key, version, *map(written, indexed(body, version))) for key, version, body in rows]
    await link.ask(table.fill, *(list(column) for column in zip(*filled, strict=True)))


def tables_of(kinds: Sequence[type[Any]]) -> list[Table[Any]]:
    """The tables of these kinds. Raises TypeError where two kinds share a name."""
    names = [packing(kind).name for kind in kinds]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise TypeError(f"two classes of records call themselves {min(twice)!r}")
    return [Table(kind) for kind in kinds]
