"""The one thread of a process that writes an SQLite file: all that waits, in one transaction."""

import asyncio
import contextlib
import os
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

from deputize.adapters.migrations import VERSION, Schema
from deputize.adapters.packing import appended_key
from deputize.adapters.sqlite_tables import COUNT, COUNTED, COUNTERS, Table
from deputize.core.rules import Fault

T = TypeVar("T")

GROUP_MAX: Final = 512  # commits in one transaction

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


def code(problem: BaseException) -> int:
    return getattr(problem, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def fault(problem: sqlite3.Error) -> Fault:
    name = getattr(problem, "sqlite_errorname", type(problem).__name__)
    return Fault(f"the store's file: {name}", retry=code(problem) in _PASSING)


class Step(NamedTuple):
    """A change with a condition: `write` changes one row where it holds; `ask` tells beforehand whether it does."""

    table: str
    key: str
    write: str
    values: tuple[Any, ...]
    ask: str
    place: tuple[Any, ...]
    absent: bool


class Work:
    """Something for the writer to do, and whom to tell."""

    __slots__ = ("future", "outcome")

    def __init__(self, future: "asyncio.Future[Any]") -> None:
        self.future = future
        self.outcome: Any = None  # what comes of it, or the exception


class Commit(Work):
    """What belongs together: the changes with conditions, and what is appended where all of them hold."""

    __slots__ = ("appends", "steps")

    def __init__(
        self, future: "asyncio.Future[Any]", steps: list[Step], appends: list[tuple[Table[Any], tuple[Any, ...]]]
    ) -> None:
        super().__init__(future)
        self.steps = steps
        self.appends = appends


class Job(Work):
    """Work that is a transaction of its own."""

    __slots__ = ("do",)

    def __init__(self, future: "asyncio.Future[Any]", do: Callable[[sqlite3.Connection], object]) -> None:
        super().__init__(future)
        self.do = do


class Writer:
    """The one thread of this process that writes. Whatever goes wrong, it tells those who wait, and goes on."""

    def __init__(self, path: Path, inbox: "SimpleQueue[list[Work] | None]", busy_seconds_max: float) -> None:
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
            raise fault(problem) from None

    def _open(self) -> sqlite3.Connection:
        connection = opened(str(self._path), busy_seconds=0)  # waits in `_patiently` alone
        (mode,) = self._patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone())
        if mode != "wal":
            connection.close()
            raise Fault(f"the store's file {self._path} lies where SQLite can keep no write-ahead log")
        connection.execute("PRAGMA synchronous = FULL")  # NORMAL forgets acknowledged commits when power fails
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA cache_size = -16384")
        self._patiently(lambda: connection.execute(COUNTERS))
        Schema(version=self._patiently(lambda: _stepped(connection))).check()
        return connection

    def run(self) -> None:
        waiting: list[Work] | None
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

    def _work_through(self, waiting: list[Work]) -> None:
        commits = [work for work in waiting if type(work) is Commit]
        for start in range(0, len(commits), GROUP_MAX):
            group = commits[start : start + GROUP_MAX]
            self._write(group)
            tell_all(group)
        for job in waiting:
            if type(job) is Job:
                self._do(job)
                tell_all([job])

    def _write(self, group: list[Commit]) -> None:
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
            if len(group) > 1 and code(problem) not in _PASSING:
                for commit in group:  # one of them is to blame, and the others shall not suffer for it
                    self._write([commit])
                return
            for commit in group:
                commit.outcome = fault(problem) if isinstance(problem, sqlite3.Error) else problem

    def _carry_out(self, commit: Commit, execute: Callable[..., sqlite3.Cursor]) -> bool:
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

    def _do(self, job: Job) -> None:
        try:
            connection = self._begin()
            job.outcome = job.do(connection)
            connection.execute("COMMIT")
        except Exception as problem:  # noqa: BLE001 (as in `_write`)
            self._undo(problem)
            job.outcome = fault(problem) if isinstance(problem, sqlite3.Error) else problem

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
                if code(problem) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
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
            if code(problem) not in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CORRUPT}:
                return
        except sqlite3.Error:
            pass
        self._connection = None
        with contextlib.suppress(sqlite3.Error):
            connection.close()


def _stepped(connection: sqlite3.Connection) -> int:
    """The step that the file is at; a new one is at ours from the start."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if not version:
        connection.execute(f"PRAGMA user_version = {VERSION}")
    return version or VERSION


class Connection(sqlite3.Connection):
    """One that can be referred to weakly: a thread's reader goes with its thread."""


def opened(name: str, *, busy_seconds: float, uri: bool = False) -> Connection:
    connection = sqlite3.connect(
        name,
        uri=uri,
        timeout=busy_seconds,
        isolation_level=None,
        cached_statements=512,
        check_same_thread=False,
        factory=Connection,
    )
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def tell_all(done: list[Any]) -> None:
    """Tell those who wait, with one call a loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Work]] = {}
    for work in done:
        by_loop.setdefault(work.future.get_loop(), []).append(work)
    for loop, works in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop has ended, and its callers with it
            loop.call_soon_threadsafe(tell, works)


def tell(works: list[Work]) -> None:
    for work in works:
        if work.future.done():
            continue  # the caller was cancelled
        if isinstance(work.outcome, BaseException):
            work.future.set_exception(work.outcome)
        else:
            work.future.set_result(work.outcome)
