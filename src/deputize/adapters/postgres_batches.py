"""What one event loop wants written and read, and the few tasks that take it to the database, much at a time."""

import asyncio
import contextvars
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeVar

from deputize.adapters.postgres_link import (
    DEADLOCK,
    DIVISION_BY_ZERO,
    SERIALIZATION_FAILURE,
    Link,
    Lost,
    code_of,
    fault,
)
from deputize.adapters.postgres_tables import APPEND, CHANGED, Part, Shape, Table, arrays, sentence
from deputize.core.rules import Fault

T = TypeVar("T")
W = TypeVar("W")

BATCH_MAX: Final = 256  # commits in one statement
BATCH_BYTES_MAX: Final = 4 << 20
TRIES_MAX: Final = 5  # of a batch of which nothing was done
KEPT_MAX: Final = 10_000  # records of a kind that are kept in memory, or known not to be there
SHAPES_MAX: Final = 64  # sentences that are kept; beyond them, one sentence does for all

_AGAIN: Final = frozenset({SERIALIZATION_FAILURE, DEADLOCK, DIVISION_BY_ZERO})  # nothing was done: the same once more
_PAUSE_MAX: Final = 0.05


class Step(NamedTuple):
    """One change, as a row of its part; `held` is its condition: a version, or None for absence."""

    part: Part
    key: str
    held: int | None
    row: tuple[Any, ...]


class Commit:
    """A commit that waits for its answer; if somebody holds its rows, for so long."""

    __slots__ = ("conditions", "future", "size", "steps", "tries", "until")

    def __init__(self, future: "asyncio.Future[bool]", steps: list[Step], size: int, until: float) -> None:
        self.future = future
        self.steps = steps
        self.conditions = [(step.part[0], step.key) for step in steps if step.part[1] != APPEND]
        self.size = size
        self.until = until
        self.tries = 0

    def answer(self, outcome: bool) -> None:  # noqa: FBT001 (it is what the caller is told)
        if not self.future.done():  # else the caller was cancelled
            self.future.set_result(outcome)

    def refuse(self, problem: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(fault(problem))


class _Batch:
    """Commits that are written in one statement: no two of them touch the same key.

    One that does is deferred until the first is decided. Where both asked for the same (that a key be absent, that a
    record be as it was), it is decided with it.
    """

    def __init__(self) -> None:
        self.commits: list[Commit] = []
        self.deferred: list[Commit] = []
        self.rows: dict[Part, list[tuple[Any, ...]]] = {}
        self.several = False
        self.size = 0
        self._owners: list[int] = []  # of each step, the number of its commit
        self._places: dict[tuple[str, str], tuple[int, int | None]] = {}  # the step that is on a key, and what it holds

    @property
    def is_full(self) -> bool:
        return len(self.commits) >= BATCH_MAX or self.size >= BATCH_BYTES_MAX

    def take(self, commit: Commit) -> None:
        if any(place in self._places for place in commit.conditions):
            self.deferred.append(commit)
            return
        number = len(self.commits)
        self.commits.append(commit)
        self.size += commit.size
        self.several |= len(commit.conditions) > 1
        for step in commit.steps:
            if step.part[1] != APPEND:
                self._places[step.part[0], step.key] = (len(self._owners), step.held)
            self.rows.setdefault(step.part, []).append((number, len(self._owners), *step.row))
            self._owners.append(number)

    def settle(self, failed: list[int], busy: list[int]) -> list[Commit]:
        """Tell those of whom we know; whose rows are held by others."""
        lost = {self._owners[step] for step in failed}
        held = {self._owners[step] for step in busy} - lost
        for number, commit in enumerate(self.commits):
            if number not in held:
                commit.answer(number not in lost)
        gone = set(failed)  # the steps whose condition is no longer true for anybody
        gone.update(step for step, number in enumerate(self._owners) if number not in lost and number not in held)
        undecided: list[Commit] = []
        for commit in self.deferred:
            if any(self._same(step) in gone for step in commit.steps if step.part[1] != APPEND):
                commit.answer(False)
            else:
                undecided.append(commit)
        self.deferred = undecided
        return [self.commits[number] for number in sorted(held)]

    def _same(self, step: Step) -> int | None:
        """The step of this batch that had the same condition on the same key."""
        number, held = self._places.get((step.part[0], step.key), (None, None))
        return number if held == step.held else None


class Office:
    """What belongs to one event loop. Its tasks end with `close`, or with the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        link: Callable[[], Link],
        tables: Callable[[str], Table[Any]],
        *,
        writers: int,
        readers: int,
    ) -> None:
        self.loop = loop
        self.making = asyncio.Lock()  # one kind's table is made at a time
        self._tables = tables
        self._sentences: dict[Shape, str] = {}
        self._parts: set[Part] = set()
        self._commits: deque[Commit] = deque()
        self._later = 0  # commits that wait for others to let go of a row
        self._reads: dict[str, dict[str, list[asyncio.Future[Any]]]] = {}
        self._asked: deque[_Question] = deque()
        self._look: asyncio.Future[None] | None = None  # one that has not left yet, so that it sees all up to now
        self._changed: dict[str, int] = {}
        self._kept: dict[str, dict[str, Any]] = {}
        self._idle_writers: list[asyncio.Future[None]] = []
        self._idle_readers: list[asyncio.Future[None]] = []
        self._closing = False
        self._tasks = [
            *(self._task(self._lane(link(), self._idle_writers, self._batch, self._write)) for _ in range(writers)),
            *(self._task(self._lane(link(), self._idle_readers, self._question, self._do)) for _ in range(readers)),
        ]

    def _task(self, lane: Any) -> "asyncio.Task[None]":  # noqa: ANN401 (a coroutine)
        return self.loop.create_task(lane, context=contextvars.Context())  # no request's context lives on in it

    # --- what callers want ----------------------------------------------------------------------------------------

    async def commit(self, steps: list[Step], size: int, *, busy_seconds_max: float) -> bool:
        future: asyncio.Future[bool] = self.loop.create_future()
        self._put(Commit(future, steps, size, self.loop.time() + busy_seconds_max))
        return await future

    async def read(self, table: Table[Any], key: str) -> Any:  # noqa: ANN401 (a row)
        """The row with this key, in one question with all others of its table that are wanted now."""
        future: asyncio.Future[Any] = self.loop.create_future()
        waiting = self._reads.get(table.name)
        if waiting is None:
            waiting = self._reads[table.name] = {}
            self._asked.append(_Question(table, None, None))
            _wake(self._idle_readers)
        waiting.setdefault(key, []).append(future)
        return await future

    async def kept(self, table: Table[Any]) -> "Kept":
        """What was read of a kind and had not changed after this was asked: with one look for all who ask now."""
        look = self._look
        if look is None:
            look = self._look = self.loop.create_future()
            self._asked.append(_Question(None, self._looked, look))
            _wake(self._idle_readers)
        await asyncio.shield(look)
        return Kept(self._kept.setdefault(table.name, {}), self._changed, table.name)

    async def _looked(self, link: Link) -> None:
        self._look = None
        changed = dict(tuple(row) for row in await link.ask(CHANGED))
        for name, times in changed.items():
            if self._changed.get(name, -1) < times:
                self._kept.pop(name, None)
                self._changed[name] = times

    async def ask(self, do: Callable[[Link], Awaitable[T]]) -> T:
        """What comes of asking something else."""
        future: asyncio.Future[T] = self.loop.create_future()
        self._asked.append(_Question(None, do, future))
        _wake(self._idle_readers)
        return await future

    async def close(self) -> None:
        """Let go of the connections, after all that was handed over is answered."""
        self._closing = True
        for idle in (self._idle_writers, self._idle_readers):
            while idle:
                _wake(idle)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- the tasks ------------------------------------------------------------------------------------------------

    async def _lane(
        self,
        link: Link,
        idle: "list[asyncio.Future[None]]",
        take: Callable[[], W | None],
        do: Callable[[Link, W], Awaitable[None]],
    ) -> None:
        """One connection, and what it is given to do, one after the other."""
        try:
            while True:
                work = take()
                if work is not None:
                    await do(link, work)
                elif self._closing and not self._later:
                    break
                else:
                    waiter: asyncio.Future[None] = self.loop.create_future()
                    idle.append(waiter)
                    await waiter
            while idle:
                _wake(idle)  # they waited for the same end
            await link.close()
        finally:
            link.drop()

    def _put(self, commit: Commit) -> None:
        self._commits.append(commit)
        _wake(self._idle_writers)

    def _batch(self) -> _Batch | None:
        if not self._commits:
            return None
        batch = _Batch()
        while self._commits and not batch.is_full:
            batch.take(self._commits.popleft())
        return batch

    async def _write(self, link: Link, batch: _Batch) -> None:
        """Write the batch, whatever it takes, and tell all who wait for it."""
        for tries in range(1, TRIES_MAX + 1):
            try:
                text, values = self._said(batch)
                ((failed, busy, *_),) = await link.ask(text, *values)
            except Exception as problem:  # noqa: BLE001 (a task that ends leaves all callers waiting for ever)
                if code_of(problem) in _AGAIN and tries < TRIES_MAX:
                    await asyncio.sleep(random.uniform(0.0, 0.002) * 2**tries)  # noqa: S311 (no secret)
                    continue
                await self._write_singly(link, batch, problem)
            else:
                for commit in batch.settle(failed, busy):
                    self._put_later(commit)
            break
        if batch.deferred:
            self._commits.extendleft(reversed(batch.deferred))
            _wake(self._idle_writers)

    async def _write_singly(self, link: Link, batch: _Batch, problem: Exception) -> None:
        """One of them is to blame, and the others shall not suffer for it; unless it was the connection."""
        alone = len(batch.commits) == 1 or isinstance(problem, (Lost, Fault))
        for commit in batch.commits:
            if alone or self.loop.time() > commit.until:
                commit.refuse(problem)
            else:
                single = _Batch()
                single.take(commit)
                await self._write(link, single)

    def _put_later(self, commit: Commit) -> None:
        """Somebody holds a row of it: let the others pass, and come again."""
        if self.loop.time() > commit.until:
            commit.refuse(Fault("the store's database: somebody holds the record", retry=True))
            return
        commit.tries += 1
        pause = min(0.001 * 2**commit.tries, _PAUSE_MAX) * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)
        self._later += 1
        self.loop.call_later(pause, self._put_again, commit)

    def _put_again(self, commit: Commit) -> None:
        self._later -= 1
        self._put(commit)

    def _said(self, batch: _Batch) -> tuple[str, list[list[Any]]]:
        """The batch as a sentence and its values."""
        parts = tuple(sorted(batch.rows))
        shape = (batch.several, parts)
        if shape not in self._sentences:
            self._parts.update(parts)
            if len(self._sentences) >= SHAPES_MAX:
                shape = (True, tuple(sorted(self._parts)))
            if shape not in self._sentences:
                self._sentences[shape] = sentence(shape, {name: self._tables(name) for name, _ in shape[1]})
        values: list[list[Any]] = []
        for name, verb in shape[1]:
            values += arrays(batch.rows.get((name, verb), ()), self._tables(name).width(verb))
        return self._sentences[shape], values

    def _question(self) -> "_Question | None":
        return self._asked.popleft() if self._asked else None

    async def _do(self, link: Link, question: "_Question") -> None:
        if question.table is not None:
            await _read(link, question.table, self._reads.pop(question.table.name))
        elif question.do is not None and question.future is not None:
            try:
                outcome = await _patiently(link, question.do)
            except Exception as problem:  # noqa: BLE001 (as in `_write`)
                if not question.future.done():
                    question.future.set_exception(fault(problem))
            else:
                if not question.future.done():
                    question.future.set_result(outcome)


class Kept:
    """Records of one kind that lie in memory."""

    __slots__ = ("_changed", "_name", "_times", "records")

    def __init__(self, records: dict[str, Any], changed: dict[str, int], name: str) -> None:
        self.records = records
        self._changed = changed
        self._name = name
        self._times = changed.get(name)

    def keep(self, key: str, record: object) -> None:
        """Keep what was read; unless the kind has changed meanwhile, before or after it was read."""
        if self._times is not None and self._changed.get(self._name) == self._times:
            if len(self.records) >= KEPT_MAX:
                self.records.clear()
            self.records[key] = record


class _Question(NamedTuple):
    """Reads that wait for one table; or else something to be done, and whom to tell."""

    table: Table[Any] | None
    do: Callable[[Link], Awaitable[Any]] | None
    future: "asyncio.Future[Any] | None"


async def _read(link: Link, table: Table[Any], waiting: "dict[str, list[asyncio.Future[Any]]]") -> None:
    keys = list(waiting)
    sentence, value = (table.read, keys[0]) if len(keys) == 1 else (table.exact, keys)
    try:
        rows = await _patiently(link, lambda link: link.ask(sentence, value))
    except Exception as problem:  # noqa: BLE001 (as in `_write`)
        for futures in waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(fault(problem))
        return
    found = {row[0]: row for row in rows}
    for key, futures in waiting.items():
        for future in futures:
            if not future.done():
                future.set_result(found.get(key))


async def _patiently(link: Link, do: Callable[[Link], Awaitable[T]]) -> T:
    """Ask, and once more if the connection was found to be lost: to ask twice changes nothing."""
    try:
        return await do(link)
    except Lost:
        return await do(link)


def _wake(idle: "list[asyncio.Future[None]]") -> None:
    if idle:
        waiter = idle.pop()
        if not waiter.done():
            waiter.set_result(None)
