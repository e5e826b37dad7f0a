"""A store in one SQLite file: one thread writes all that is waiting in one transaction; every thread reads for itself.

A commit costs a flush to the disk, which is most of what it costs. So the commits of one turn of an event loop go to
the writer together, and it writes whatever has come meanwhile as one group: each commit conditional by itself, all
answered once the group is durable. Reads need no thread: a look into the file's pages takes microseconds, and sees
every commit that was acknowledged to anybody, in this process or another.
"""

import asyncio
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote

from deputize.adapters.migrations import Schema
from deputize.adapters.packing import check_replace, check_where
from deputize.adapters.sqlite_tables import CHANGED, KINDS, Table, forget
from deputize.adapters.sqlite_writer import Commit, Connection, Job, Step, Work, Writer, fault, opened, tell
from deputize.adapters.sweeping import in_slices
from deputize.core.ports import Add, Append, Change, Record, Replace
from deputize.core.rules import Fault
from deputize.core.values import Instant

R = TypeVar("R", bound=Record)
T = TypeVar("T")

BUSY_SECONDS_MAX: Final = 5.0  # how long others may keep us from writing
KEPT_MAX: Final = 10_000  # records of a kind that are kept in memory, or known not to be there


class SqliteStore:
    """Keeps records in the file at `path`, which several processes and event loops may share.

    The file is made for its owner alone. What a commit returns True for has reached the disk. A caller that is
    cancelled while it waits does not learn what came of its commit, which is made whole or not at all.
    """

    def __init__(self, path: str | os.PathLike[str], *, busy_seconds_max: float = BUSY_SECONDS_MAX) -> None:
        self._path = Path(path)
        self._busy_seconds_max = busy_seconds_max
        self._tables: dict[type[Record], Table[Any]] = {}
        self._kinds: dict[str, type[Record]] = {}
        self._here = _Here()
        self._readers: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._lock = threading.Lock()  # nothing is handed over once `close` has said the last word
        self._closed = False
        self._inbox: SimpleQueue[list[Work] | None] = SimpleQueue()
        self._writer = Writer(self._path, self._inbox, busy_seconds_max)
        self._thread = threading.Thread(target=self._writer.run, name="deputize-store", daemon=True)
        self._thread.start()

    # --- reading: here and now ------------------------------------------------------------------------------------

    async def read(self, kind: type[R], key: str) -> R | None:
        table: Table[R] = self._tables.get(kind) or await self._made(kind)
        if not table.kept:
            return self._read(table, key)
        kept: dict[str, R | None] = self._kept(table.name)
        if key in kept:
            return kept[key]
        found = self._read(table, key)
        if len(kept) >= KEPT_MAX:
            kept.clear()
        kept[key] = found
        return found

    def _read(self, table: Table[R], key: str) -> R | None:
        try:
            row = self._reader().execute(table.read, (key,)).fetchone()
        except sqlite3.Error as problem:
            raise fault(problem) from None
        except UnicodeEncodeError:
            return None  # half a character: no such key was ever kept
        return None if row is None else table.packing.unpack(row[2], row[0], row[1])

    def _kept(self, name: str) -> dict[str, Any]:
        """What was read of this kind, and has not changed since this turn of the loop began.

        Whoever asks has sent his request before that: all that was acknowledged to him by then is seen.
        """
        here, loop = self._here, asyncio.get_running_loop()
        if here.looked is not loop:
            try:
                self._look(here)
            except sqlite3.Error as problem:
                raise fault(problem) from None
            here.looked = loop
            loop.call_soon(here.look_again)
        kept = here.kept.get(name)
        if kept is None:
            kept = here.kept[name] = {}
        return kept

    def _look(self, here: "_Here") -> None:
        """Drop what was read of the kinds that have changed."""
        reader = self._reader()
        (file,) = reader.execute("PRAGMA data_version").fetchone()
        if file == here.file:
            return
        changed = dict(reader.execute(CHANGED).fetchall())
        for name, times in changed.items():
            if here.changed.get(name) != times:
                here.kept.pop(name, None)
        here.file, here.changed = file, changed

    async def select(self, kind: type[R], where: str, equals: str, *, after: str = "", limit: int = 100) -> list[R]:
        table: Table[R] = self._tables.get(kind) or await self._made(kind)
        check_where(kind, where)
        asked = (equals, after, limit) if where else (after, limit)
        try:
            if where and self._reader().execute(table.unfilled[where]).fetchone():
                await self._done(table.fill)
            rows = self._reader().execute(table.by[where], asked).fetchall()
        except sqlite3.Error as problem:
            raise fault(problem) from None
        except UnicodeEncodeError:
            return []
        unpack = table.packing.unpack
        return [unpack(body, key, version) for key, version, body in rows]

    def _reader(self) -> sqlite3.Connection:
        if self._closed:
            raise Fault("the store is closed")
        if self._here.reader is None:
            self._here.reader = reader = opened(
                f"file:{quote(str(self._path))}?mode=ro", busy_seconds=self._busy_seconds_max, uri=True
            )
            with self._lock:
                self._readers.add(reader)
        return self._here.reader

    # --- writing: handed over -------------------------------------------------------------------------------------

    async def commit(self, *changes: Change) -> bool:
        steps: list[Step] = []
        appends: list[tuple[Table[Any], tuple[Any, ...]]] = []
        for change in changes:
            record = change.new if type(change) is Replace else cast("Add | Append", change).record
            table = self._tables.get(type(record)) or await self._made(type(record))
            kept = table.packing
            key, body, indexed = record.key, kept.pack(record), kept.indexed(record)
            values: tuple[Any, ...]
            if type(change) is Replace:
                old = change.old
                check_replace(old, record)
                this = (key, old.version)
                if record.expires_at == old.expires_at and indexed == kept.indexed(old):
                    write, values = table.replace_body, (body, *this)
                else:
                    write, values = table.replace, (record.expires_at, body, *indexed, *this)
                steps.append(Step(table.name, key, write, values, table.is_this, this, absent=False))
                continue
            values = (record.expires_at, body, *indexed)
            if type(change) is Add:
                steps.append(Step(table.name, key, table.add, (key, *values), table.is_there, (key,), absent=True))
            else:
                appends.append((table, values))
        if len(steps) > 1 and len({(step.table, step.key) for step in steps}) < len(steps):
            return False  # a key changes once in a commit: the second change finds its condition gone
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._gather(Commit(future, steps, appends))
        return await future

    async def sweep(self, now: Instant) -> int:
        def names(connection: sqlite3.Connection) -> list[str]:
            return [name for (name,) in connection.execute(KINDS)]

        async def some(name: str, rows: int) -> int:
            def forgotten(connection: sqlite3.Connection) -> int:
                return connection.execute(forget(name), (now, rows)).rowcount

            return await self._done(forgotten)

        return sum([await in_slices(partial(some, name)) for name in await self._done(names)])

    async def schema(self, kinds: Sequence[type[Record]] = ()) -> Schema:
        """What is there, and what of these kinds is not."""

        def looked(connection: sqlite3.Connection) -> Schema:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            there = {name for (name,) in connection.execute(KINDS)}
            missing: list[str] = []
            for table in map(Table, kinds):
                columns = [f"{table.name}.{column}" for column in table.missing(connection)]
                missing += columns if table.name in there else [f"the table {table.name}"]
            return Schema(version=version, missing=tuple(missing), kinds=tuple(sorted(there)))

        return await self._done(looked)

    async def migrate(self, kinds: Sequence[type[Record]]) -> list[str]:
        """Bring in what these kinds need; what was done. It is done at a kind's first use, too."""
        missing = (await self.schema(kinds)).missing
        for kind in kinds:
            if kind not in self._tables:
                await self._made(kind)
        return list(missing)

    async def ready(self, kinds: Sequence[type[Record]] = ()) -> None:
        """Raises Fault unless the file fits this program. What its kinds need is brought in."""
        await self.migrate(kinds)
        (await self.schema(kinds)).check()

    async def close(self) -> None:
        self._hand_over()
        with self._lock:
            if not self._closed:
                self._closed = True
                self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)
        for reader in list(self._readers):
            reader.close()

    async def _made(self, kind: type[R]) -> Table[R]:
        """The kind's table, which is in the file now."""
        table = Table(kind)
        if self._kinds.setdefault(table.name, kind) is not kind:
            raise TypeError(f"two classes of records call themselves {table.name!r}")
        await self._done(table.make)
        self._tables[kind] = table
        return table

    async def _done(self, do: Callable[[sqlite3.Connection], T]) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._gather(Job(future, do))
        return await future

    def _gather(self, work: Work) -> None:
        """Keep what one turn of this thread's loop wants written, so that it goes over together."""
        if self._closed:
            raise Fault("the store is closed")
        here = self._here
        loop = work.future.get_loop()
        if here.loop is not loop:  # the first in this turn
            if here.gathered:
                self._hand_over()  # another loop of this thread was stopped in the middle of its turn
            here.loop = loop
            loop.call_soon(self._hand_over)
        here.gathered.append(work)

    def _hand_over(self) -> None:
        here = self._here
        gathered, here.gathered, here.loop = here.gathered, [], None
        with self._lock:
            if not self._closed:
                if gathered:
                    self._inbox.put(gathered)
                return
        for work in gathered:
            work.outcome = Fault("the store is closed")
        tell(gathered)


class _Here(threading.local):
    """What belongs to one thread."""

    def __init__(self) -> None:
        self.reader: Connection | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.gathered: list[Work] = []
        self.looked: asyncio.AbstractEventLoop | None = None  # the loop in whose present turn we have looked
        self.file = 0  # of which version the file was then
        self.changed: dict[str, int] = {}  # how often each kind had changed
        self.kept: dict[str, dict[str, Any]] = {}

    def look_again(self) -> None:
        self.looked = None
