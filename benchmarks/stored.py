"""Many stored grants, put into a store in bulk: packed as the program packs them, the indexes made afterwards.

A grant is what is left of one person's yes to one client: a family of refresh tokens, a standing, and the mark of an
assertion that was used. The first token of each family is known, so that all of them can be used. Keys are random.
"""

import asyncio
import hashlib
import itertools
import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped] # it has no types

from deputize.adapters import postgres_tables, sqlite_tables
from deputize.adapters.packing import packing
from deputize.adapters.stores import is_postgres, open_store
from deputize.compose.kinds import KINDS
from deputize.core.ports import Add, Record
from deputize.core.values import ClientId, Instant, Subject
from deputize.core.wire import b64u
from deputize.oauth import standing as standings
from deputize.oauth.assertion import AssertionSeen
from deputize.oauth.authority import Authority
from deputize.oauth.client import Client, Person, Resource, SecretHash, secret_hash
from deputize.oauth.families import PREFIX, Family
from deputize.oauth.grants import refresh_token
from deputize.oauth.standing import Standing

RESOURCE: Final = "https://api.example"
SCOPE: Final = frozenset({"prescriptions:read"})
CLIENT: Final = ClientId("grown")
AT_ONCE: Final = 250_000  # grants that are put in together, in the order of their keys
_DAY: Final = 24 * 3600


def _text(purpose: str, number: int) -> str:
    return b64u(hashlib.sha256(f"{purpose} {number}".encode()).digest())


def first_token(number: int) -> str:
    """The refresh token that the family of this number began with."""
    return f"{PREFIX}{_text('family', number)[:22]}.{_text('secret', number)}"


def _records(numbers: Iterable[int], now: int) -> Iterator[tuple[Person, Family, Standing, AssertionSeen]]:
    until = Instant(now + 30 * _DAY)
    authority = Authority(audience=frozenset({RESOURCE}), scope=SCOPE, until=until)
    since = Instant(now - _DAY)
    for number in numbers:
        person = Subject(_text("person", number)[:22])
        standing = Standing(
            key=standings.key_of(person, CLIENT), person=person, client=CLIENT, since=since, allowed=(authority,)
        )
        family = Family(
            key=_text("family", number)[:22],
            expires_at=until,
            client=CLIENT,
            person=person,
            authority=authority,
            sha256=b64u(hashlib.sha256(_text("secret", number).encode()).digest()),
            rotated_at=since,
            lives_until=until,
            idle_until=Instant(now + 7 * _DAY),
            standing=standing.key,
            allowed_at=since,
        )
        mark = AssertionSeen(key=_text("jti", number), expires_at=Instant(now + _DAY + number % 3600))
        yield Person(key=person, login=person.lower(), name="Alice"), family, standing, mark


def grow(place: str, first: int, beyond: int, *, secret: str) -> None:
    """Put in the grants numbered from `first` to before `beyond`, and their client, where they are missing."""
    asyncio.run(_beginnings(place, secret))
    kinds: tuple[type[Record], ...] = (Person, Family, Standing, AssertionSeen)
    now = int(time.time())
    parts = (range(at, min(at + AT_ONCE, beyond)) for at in range(first, beyond, AT_ONCE))
    put(place, kinds, ([list(kind) for kind in zip(*_records(numbers, now), strict=True)] for numbers in parts))


def put(place: str, kinds: tuple[type[Record], ...], parts: Iterable[list[list[Any]]]) -> None:
    """Add records, a list a kind, into tables that are there; in parts. The indexes are made at the end."""
    into = _into_postgres if is_postgres(place) else _into_sqlite
    into(place, kinds, ([sorted(kind, key=lambda record: record.key) for kind in part] for part in parts))
    asyncio.run(_migrated(place))


async def _migrated(place: str) -> None:
    store = open_store(place)
    await store.migrate(KINDS)
    await store.close()


async def _beginnings(place: str, secret: str) -> None:
    store = open_store(place)
    await store.migrate(KINDS)
    await store.commit(Add(Resource(key=RESOURCE, name="An API", scopes=dict.fromkeys(SCOPE, "read"))))
    await store.commit(
        Add(
            Client(
                key=CLIENT,
                name="A client with many people",
                auth_method="client_secret_basic",
                grant_types=frozenset({refresh_token.TYPE}),
                audiences=frozenset({RESOURCE}),
                scope=SCOPE,
                secrets=(SecretHash(secret_hash(secret)),),
            )
        )
    )
    await store.close()


def _into_sqlite(place: str, kinds: tuple[type[Record], ...], parts: Iterable[list[list[Any]]]) -> None:
    with sqlite3.connect(place, isolation_level=None) as connection:
        for sentence in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -2000000"):
            connection.execute(f"PRAGMA {sentence}").fetchall()
        tables = [sqlite_tables.Table(kind) for kind in kinds]
        for table in tables:
            for (index,) in connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = ?",
                (table.name,),
            ).fetchall():
                connection.execute(f'DROP INDEX "{index}"')
        for part in parts:
            connection.execute("BEGIN IMMEDIATE")
            for table, records in zip(tables, part, strict=True):
                kept = packing(table.packing.kind)
                rows = ((one.key, one.expires_at, kept.pack(one), *kept.indexed(one)) for one in records)
                connection.executemany(table.append, rows)
            connection.execute("COMMIT")
        for table in tables:
            table.make(connection)
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.close()


def _into_postgres(place: str, kinds: tuple[type[Record], ...], parts: Iterable[list[list[Any]]]) -> None:
    asyncio.run(_copied(place, kinds, parts))


async def _copied(place: str, kinds: tuple[type[Record], ...], parts: Iterable[list[list[Any]]]) -> None:
    connection = await asyncpg.connect(place, server_settings={"maintenance_work_mem": "512MB"})
    tables = [postgres_tables.Table(kind) for kind in kinds]
    for name, _ in itertools.chain.from_iterable(table.indexes() for table in tables):
        await connection.execute(f'DROP INDEX IF EXISTS "{name}"')
    for part in parts:
        for table, records in zip(tables, part, strict=True):
            kept = packing(table.packing.kind)
            rows = ((one.key, 0, one.expires_at, kept.pack(one), *kept.indexed(one)) for one in records)
            columns = ["key", "version", "expires_at", "body", *table.by_fields]
            await connection.copy_records_to_table(table.name, records=rows, columns=columns)
    for name, on in itertools.chain.from_iterable(table.indexes() for table in tables):
        await connection.execute(f'CREATE INDEX "{name}" ON {on}', timeout=None)
    for table in tables:
        await connection.execute(f'VACUUM (ANALYZE) "{table.name}"', timeout=None)
    await connection.execute("CHECKPOINT")
    await connection.close()
