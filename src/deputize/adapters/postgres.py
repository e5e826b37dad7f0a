"""A store in PostgreSQL: whatever commits wait go over in one statement, each conditional by itself, all or nothing.

A commit costs a way to the database and a flush there, however many rows it has. So the commits of one turn of the
event loop, and those that came while the last batch was on its way, are written together; so are reads by key.
Several processes on several hosts share one database. What they agree on lies in its rows, and nowhere else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar, cast

from deputize.adapters import postgres_schema
from deputize.adapters.migrations import Schema
from deputize.adapters.packing import check_replace, check_where
from deputize.adapters.postgres_batches import Office, Step
from deputize.adapters.postgres_link import Link, fault
from deputize.adapters.postgres_tables import ADD, APPEND, REPLACE, Table, forget, meant, written
from deputize.adapters.sweeping import in_slices
from deputize.core.ports import Add, Change, Record, Replace
from deputize.core.rules import Fault
from deputize.core.values import Instant

R = TypeVar("R", bound=Record)
T = TypeVar("T")

_PATIENT: Final = {"statement_timeout": "0"}
_UNHURRIED: Final = {"synchronous_commit": "off"}  # a row that is forgotten again after a crash is swept again
BUSY_SECONDS_MAX: Final = 5.0  # how long others may hold a record that is to be replaced


class PostgresStore:
    """Keeps records in the database that `dsn` names. Belongs to one event loop at a time.

    What a commit returns True for is durable. Where the connection is lost before the answer comes, a commit may have
    been made or not: that is a Fault, and never a yes. A caller that is cancelled does not learn what came of its
    commit, which is made whole or not at all.

    `dev` brings in whatever tables are missing, and puts up with a database that may lose what it has acknowledged.
    """

    def __init__(
        self,
        dsn: str,
        *,
        dev: bool = False,
        writers: int = 2,
        readers: int = 2,
        busy_seconds_max: float = BUSY_SECONDS_MAX,
    ) -> None:
        self._dsn = dsn
        self._dev = dev
        self._writers = writers
        self._readers = readers
        self._busy_seconds_max = busy_seconds_max
        self._tables: dict[type[Record], Table[Any]] = {}
        self._kinds: dict[str, type[Record]] = {}
        self._office: Office | None = None
        self._closed = False

    # --- reading --------------------------------------------------------------------------------------------------

    async def read(self, kind: type[R], key: str) -> R | None:
        office = self._at_work()
        table: Table[R] = self._tables.get(kind) or await self._made(kind, office)
        if not table.kept:
            return await self._read(office, table, key)
        kept = await office.kept(table)
        if key in kept.records:
            return cast("R | None", kept.records[key])
        found = await self._read(office, table, key)
        kept.keep(key, found)
        return found

    async def _read(self, office: Office, table: Table[R], key: str) -> R | None:
        try:
            place = written(key)
        except UnicodeEncodeError:
            return None  # half a character: no such key was ever kept
        row = await office.read(table, place)
        return None if row is None else table.packing.unpack(row[2], key, row[1])

    async def select(self, kind: type[R], where: str, equals: str, *, after: str = "", limit: int = 100) -> list[R]:
        office = self._at_work()
        table: Table[R] = self._tables.get(kind) or await self._made(kind, office)
        check_where(kind, where)
        try:
            asked = (written(after), limit, written(equals)) if where else (written(after), limit)
        except UnicodeEncodeError:
            return []
        while True:
            rows = await office.ask(lambda link: link.ask(table.by[where], *asked))
            if all(row[0] is not None for row in rows):
                break
            await office.ask(lambda link: postgres_schema.fill_by(link, table, where))
        unpack = table.packing.unpack
        return [unpack(body, meant(key), version) for key, version, body in rows]

    # --- writing --------------------------------------------------------------------------------------------------

    async def commit(self, *changes: Change) -> bool:
        office = self._at_work()
        steps: list[Step] = []
        places: list[tuple[str, str]] = []
        size = 0
        for change in changes:
            record = change.new if type(change) is Replace else cast("Add", change).record
            table = self._tables.get(type(record)) or await self._made(type(record), office)
            kept = table.packing
            body = kept.pack(record)
            size += len(body)
            row = (record.expires_at, body, *map(written, kept.indexed(record)))
            if type(change) is Add:
                key = written(record.key)
                steps.append(Step((table.name, ADD), key, None, (key, *row)))
            elif type(change) is Replace:
                check_replace(change.old, record)
                key, version = written(record.key), change.old.version
                steps.append(Step((table.name, REPLACE), key, version, (key, version, *row)))
            else:
                steps.append(Step((table.name, APPEND), "", None, row))
                continue
            places.append((table.name, key))
        if len(places) > 1 and len(set(places)) < len(places):
            return False  # a key changes once in a commit: the second change finds its condition gone
        return not steps or await office.commit(steps, size, busy_seconds_max=self._busy_seconds_max)

    async def sweep(self, now: Instant) -> int:
        self._at_work()
        await self.ready()

        async def swept(link: Link) -> int:
            async def some(name: str, rows: int) -> int:
                ((count,),) = await link.ask(forget(name), now, rows)
                return int(count)

            kinds = [kind for (kind,) in await link.ask("SELECT kind FROM _kinds ORDER BY kind")]
            return sum([await in_slices(partial(some, kind)) for kind in kinds])

        return await self._alone(swept, session=_UNHURRIED)

    async def close(self) -> None:
        self._closed = True
        office, self._office = self._office, None
        if office is not None:
            await office.close()

    # --- what lies there ------------------------------------------------------------------------------------------

    async def schema(self, kinds: Sequence[type[Record]] = ()) -> Schema:
        """What is there, and what of these kinds is not."""
        tables = postgres_schema.tables_of(kinds)
        return await self._alone(lambda link: postgres_schema.look(link, tables))

    async def migrate(self, kinds: Sequence[type[Record]]) -> list[str]:
        """Bring in what these kinds need; what was done."""
        tables = postgres_schema.tables_of(kinds)
        return await self._alone(lambda link: postgres_schema.migrate(link, tables), session=_PATIENT)

    async def ready(self, kinds: Sequence[type[Record]] = ()) -> None:
        """Raises Fault unless the database keeps its word and fits this program (and these kinds, all of them).

        In `dev`, what is missing is brought in.
        """
        tables = postgres_schema.tables_of(kinds)

        async def looked(link: Link) -> Schema:
            found = await postgres_schema.look(link, tables)
            if self._dev and found.trouble:
                await postgres_schema.migrate(link, tables)
                found = await postgres_schema.look(link, tables)
            return found

        (await self._alone(looked, session=_PATIENT if self._dev else None)).check()
        for table in tables:
            self._kinds.setdefault(table.name, table.packing.kind)
            self._tables[table.packing.kind] = table

    async def _alone(self, do: Callable[[Link], Awaitable[T]], *, session: dict[str, str] | None = None) -> T:
        """Something rare, on a connection of its own."""
        link = Link(self._dsn, dev=self._dev, session=session)
        try:
            return await do(link)
        except (Fault, TypeError):
            raise
        except Exception as problem:  # noqa: BLE001 (whatever it is, it is told as what it is)
            raise fault(problem) from None
        finally:
            await link.close()

    async def _made(self, kind: type[R], office: Office) -> Table[R]:
        """The kind's table, which is in the database now."""
        name = Table(kind).name
        if self._kinds.setdefault(name, kind) is not kind:
            raise TypeError(f"two classes of records call themselves {name!r}")
        async with office.making:
            if kind not in self._tables:
                await self.ready((kind,))
        return self._tables[kind]

    def _at_work(self) -> Office:
        if self._closed:
            raise Fault("the store is closed")
        loop = asyncio.get_running_loop()
        office = self._office
        if office is None or office.loop is not loop:
            if office is not None and not office.loop.is_closed():
                raise RuntimeError("a PostgresStore belongs to one event loop at a time")
            self._office = office = Office(
                loop,
                self._link,
                lambda name: self._tables[self._kinds[name]],
                writers=self._writers,
                readers=self._readers,
            )
        return office

    def _link(self) -> Link:
        return Link(self._dsn, dev=self._dev)
