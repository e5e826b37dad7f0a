"""A store in one SQLite file: one thread writes all that is waiting in one transaction; every thread reads for itself.

A commit costs a flush to the disk, which is most of what it costs. So the commits of one turn of an event loop go to
the writer together, and it writes whatever has come meanwhile as one group: each commit conditional by itself, all
answered once the group is durable. Reads need no thread: a look into the file's pages takes microseconds, and sees
every commit that was acknowledged to anybody, in this process or another.
"""

import asyncio
import contextlib
import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar, cast
from urllib.parse import quote

from deputize.adapters.packing import appended_key, check_replace, check_where
from deputize.adapters.sqlite_tables import COUNT, COUNTED, COUNTERS, KINDS, Table, forget
from deputize.core.ports import Add, Append, Change, Record, Replace
from deputize.core.rules import Fault
from deputize.core.values import Instant

R = TypeVar("R", bound=Record)
T = TypeVar("T")

BUSY_SECONDS_MAX: Final = 5.0  # how long others may keep us from writing
GROUP_MAX: Final = 512  # commits in one transaction
SWEPT_MAX: Final = 1000  # rows that one transaction of `sweep` forgets

_PASSING: Final = frozenset(  # what may be over in a moment, so that the same commit is worth another try
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)


def _code(problem: BaseException) -> int:
    return getattr(problem, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _fault(problem: sqlite3.Error) -> Fault:
    name = getattr(problem, "sqlite_errorname", type(problem).__name__)
    return Fault(f"the store's file: {name}", retry=_code(problem) in _PASSING)


class _Step(NamedTuple):
    """A change with a condition: `write` changes one row where it holds; `ask` tells beforehand whether it does."""

    table: str
    key: str
    write: str
    values: tuple[Any, ...]
    ask: str
    place: tuple[Any, ...]
    absent: bool


class _Work:
    """Something for the writer to do, and whom to tell."""

    __slots__ = ("future", "outcome")

    def __init__(self, future: "asyncio.Future[Any]") -> None:
        self.future = future
        self.outcome: Any = None  # what comes of it, or the exception


class _Commit(_Work):
    __slots__ = ("appends", "steps")

    def __init__(
        self, future: "asyncio.Future[Any]", steps: list[_Step], appends: list[tuple[Table[Any], tuple[Any, ...]]]
    ) -> None:
        super().__init__(future)
        self.steps = steps
        self.appends = appends


class _Job(_Work):
    """Work that is a transaction of its own."""

    __slots__ = ("do",)

    def __init__(self, future: "asyncio.Future[Any]", do: Callable[[sqlite3.Connection], object]) -> None:
        super().__init__(future)
        self.do = do


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
        self._readers: weakref.WeakSet[_Connection] = weakref.WeakSet()
        self._lock = threading.Lock()  # nothing is handed over once `close` has said the last word
        self._closed = False
        self._inbox: SimpleQueue[list[_Work] | None] = SimpleQueue()
        self._writer = _Writer(self._path, self._inbox, busy_seconds_max)
        self._thread = threading.Thread(target=self._writer.run, name="deputize-store", daemon=True)
        self._thread.start()

    # --- reading: here and now ------------------------------------------------------------------------------------

    async def read(self, kind: type[R], key: str) -> R | None:
        table = self._tables.get(kind) or await self._made(kind)
        try:
            row = self._reader().execute(table.read, (key,)).fetchone()
        except sqlite3.Error as problem:
            raise _fault(problem) from None
        except UnicodeEncodeError:
            return None  # half a character: no such key was ever kept
        return None if row is None else cast("Table[R]", table).packing.unpack(row[2], row[0], row[1])

    async def select(self, kind: type[R], where: str, equals: str, *, after: str = "", limit: int = 100) -> list[R]:
        table: Table[R] = self._tables.get(kind) or await self._made(kind)
        check_where(kind, where)
        asked = (equals, after, limit) if where else (after, limit)
        try:
            rows = self._reader().execute(table.by[where], asked).fetchall()
        except sqlite3.Error as problem:
            raise _fault(problem) from None
        except UnicodeEncodeError:
            return []
        unpack = table.packing.unpack
        return [unpack(body, key, version) for key, version, body in rows]

    def _reader(self) -> sqlite3.Connection:
        if self._closed:
            raise Fault("the store is closed")
        if self._here.reader is None:
            self._here.reader = reader = _opened(
                f"file:{quote(str(self._path))}?mode=ro", busy_seconds=self._busy_seconds_max, uri=True
            )
            with self._lock:
                self._readers.add(reader)
        return self._here.reader

    # --- writing: handed over -------------------------------------------------------------------------------------

    async def commit(self, *changes: Change) -> bool:
        steps: list[_Step] = []
        appends: list[tuple[Table[Any], tuple[Any, ...]]] = []
        for change in changes:
            record = change.new if type(change) is Replace else cast("Add | Append", change).record
            table = self._tables.get(type(record)) or await self._made(type(record))
            kept = table.packing
            values = (record.expires_at, kept.pack(record), *kept.indexed(record))
            key = record.key
            if type(change) is Add:
                steps.append(_Step(table.name, key, table.add, (key, *values), table.is_there, (key,), absent=True))
            elif type(change) is Replace:
                check_replace(change.old, record)
                this = (key, change.old.version)
                steps.append(_Step(table.name, key, table.replace, (*values, *this), table.is_this, this, absent=False))
            else:
                appends.append((table, values))
        if len(steps) > 1 and len({(step.table, step.key) for step in steps}) < len(steps):
            return False  # a key changes once in a commit: the second change finds its condition gone
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._gather(_Commit(future, steps, appends))
        return await future

    async def sweep(self, now: Instant) -> int:
        def names(connection: sqlite3.Connection) -> list[str]:
            return [name for (name,) in connection.execute(KINDS)]

        swept = 0
        for name in await self._done(names):
            sentence = forget(name)

            def some(connection: sqlite3.Connection, sentence: str = sentence) -> int:
                return connection.execute(sentence, (now, SWEPT_MAX)).rowcount

            while (count := await self._done(some)) > 0:  # commits have their turn between two slices
                swept += count
        return swept

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
        self._gather(_Job(future, do))
        return await future

    def _gather(self, work: _Work) -> None:
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
        _tell(gathered)


class _Here(threading.local):
    """What belongs to one thread."""

    def __init__(self) -> None:
        self.reader: _Connection | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.gathered: list[_Work] = []


class _Writer:
    """The one thread of this process that writes. Whatever goes wrong, it tells those who wait, and goes on."""

    def __init__(self, path: Path, inbox: "SimpleQueue[list[_Work] | None]", busy_seconds_max: float) -> None:
        self._path = path
        self._busy_seconds_max = busy_seconds_max
        self._inbox = inbox
        self._numbers: dict[str, int] = {}
        self._connection: sqlite3.Connection | None = None
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # -wal and -shm take after it
            self._connection = self._open()
        except OSError as problem:
            raise Fault(f"the store's file {path}: {problem.strerror}") from None
        except sqlite3.Error as problem:
            raise _fault(problem) from None

    def _open(self) -> sqlite3.Connection:
        connection = _opened(str(self._path), busy_seconds=0)  # waits in `_patiently` alone
        (mode,) = self._patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone())
        if mode != "wal":
            connection.close()
            raise Fault(f"the store's file {self._path} lies where SQLite can keep no write-ahead log")
        connection.execute("PRAGMA synchronous = FULL")  # NORMAL forgets acknowledged commits when power fails
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA cache_size = -16384")
        self._patiently(lambda: connection.execute(COUNTERS))
        return connection

    def run(self) -> None:
        waiting: list[_Work] | None
        while (waiting := self._inbox.get()) is not None:
            last = False
            with contextlib.suppress(Empty):
                while len(waiting) < GROUP_MAX:
                    more = self._inbox.get_nowait()
                    if more is None:
                        last = True
                        break
                    waiting += more
            self._work_through(waiting)
            if last:
                break
        if self._connection is not None:
            self._connection.close()

    def _work_through(self, waiting: list[_Work]) -> None:
        commits = [work for work in waiting if type(work) is _Commit]
        for start in range(0, len(commits), GROUP_MAX):
            group = commits[start : start + GROUP_MAX]
            self._write(group)
            _tell_all(group)
        for job in waiting:
            if type(job) is _Job:
                self._do(job)
                _tell_all([job])

    def _write(self, group: list[_Commit]) -> None:
        try:
            connection = self._begin()
            execute = connection.cursor().execute
            for commit in group:
                commit.outcome = self._carry_out(commit, execute)
            for counted in self._numbers.items():
                execute(COUNT, counted)
            execute("COMMIT")
        except Exception as problem:  # noqa: BLE001 (a thread that ends leaves all callers waiting for ever)
            self._undo(problem)
            if len(group) > 1 and _code(problem) not in _PASSING:
                for commit in group:  # one of them is to blame, and the others shall not suffer for it
                    self._write([commit])
                return
            for commit in group:
                commit.outcome = _fault(problem) if isinstance(problem, sqlite3.Error) else problem

    def _carry_out(self, commit: _Commit, execute: Callable[..., sqlite3.Cursor]) -> bool:
        """Write one commit of the group, or nothing of it.

        All conditions but the first are looked at before anything is written, and the first is part of its own
        write: nothing is ever undone, at the price of a savepoint or less.
        """
        steps = commit.steps
        for step in steps[1:]:
            if (execute(step.ask, step.place).fetchone() is None) is not step.absent:
                return False
        for nth, step in enumerate(steps):
            if execute(step.write, step.values).rowcount != 1:
                if nth:
                    raise RuntimeError("a condition that held a moment ago does not")
                return False
        for table, values in commit.appends:
            execute(table.append, (self._next_key(table.name, execute), *values))
        return True

    def _next_key(self, name: str, execute: Callable[..., sqlite3.Cursor]) -> str:
        number = self._numbers.get(name)
        if number is None:
            row = execute(COUNTED, (name,)).fetchone()
            number = 0 if row is None else row[0]
        self._numbers[name] = number + 1
        return appended_key(number + 1)

    def _do(self, job: _Job) -> None:
        try:
            connection = self._begin()
            job.outcome = job.do(connection)
            connection.execute("COMMIT")
        except Exception as problem:  # noqa: BLE001 (as in `_write`)
            self._undo(problem)
            job.outcome = _fault(problem) if isinstance(problem, sqlite3.Error) else problem

    def _begin(self) -> sqlite3.Connection:
        connection = self._connection
        if connection is None:
            self._connection = connection = self._open()
        self._patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
        self._numbers.clear()  # another process may have counted on
        return connection

    def _patiently(self, do: Callable[[], T]) -> T:
        """Do it as soon as other processes let us; for so long, and no longer.

        SQLite's own waiting sleeps longer each time, up to a tenth of a second: with two busy processes, one starved
        (p99 35 ms against 9 ms).
        """
        until = time.monotonic() + self._busy_seconds_max
        while True:
            try:
                return do()
            except sqlite3.OperationalError as problem:
                if _code(problem) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
            time.sleep(random.uniform(0.0002, 0.001))  # noqa: S311 (so that two do not keep step; no secret)

    def _undo(self, problem: Exception) -> None:
        """Back to before the transaction; with a new connection, where the old one cannot be trusted to get there."""
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if _code(problem) not in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CORRUPT}:
                return
        except sqlite3.Error:
            pass
        self._connection = None
        with contextlib.suppress(sqlite3.Error):
            connection.close()


class _Connection(sqlite3.Connection):
    """One that can be referred to weakly: a thread's reader goes with its thread."""


def _opened(name: str, *, busy_seconds: float, uri: bool = False) -> _Connection:
    connection = sqlite3.connect(
        name,
        uri=uri,
        timeout=busy_seconds,
        isolation_level=None,
        cached_statements=512,
        check_same_thread=False,
        factory=_Connection,
    )
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _tell_all(done: list[Any]) -> None:
    """Tell those who wait, with one call a loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Work]] = {}
    for work in done:
        by_loop.setdefault(work.future.get_loop(), []).append(work)
    for loop, works in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop has ended, and its callers with it
            loop.call_soon_threadsafe(_tell, works)


def _tell(works: list[_Work]) -> None:
    for work in works:
        if work.future.done():
            continue  # the caller was cancelled
        if isinstance(work.outcome, BaseException):
            work.future.set_exception(work.outcome)
        else:
            work.future.set_result(work.outcome)
