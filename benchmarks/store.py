"""How many commits and reads a second the SQLite store does, durable, in a file of its own.

`python benchmarks/store.py [CORE]` holds itself to one core where one is named. The disk's flushes are measured in the
same run: one commit at a time cannot be faster than they are.
"""

import asyncio
import itertools
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import uvloop

from deputize.adapters.sqlite import SqliteStore
from deputize.core.ports import Add, Append, Change, Event, Record
from deputize.core.values import Instant

SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark(Record):
    """A jti that was seen: what every request with a signature adds."""

    kind: ClassVar[str] = "mark"


def one_mark(key: str) -> tuple[Change, ...]:
    return (Add(Mark(key=key, expires_at=Instant(2_000_000_000))),)


def two_marks_and_an_event(key: str) -> tuple[Change, ...]:
    event = Event(key="", at=Instant(1_800_000_000), what="token_issued", client="bot", person="alice")
    return (*one_mark(key), *one_mark(key + "d"), Append(event))


def keys() -> Iterator[str]:
    """Keys like those that come: unguessable, so they land anywhere in the index."""
    start = secrets.token_urlsafe(8)
    return (f"{secrets.token_urlsafe(24)}{start}{n}" for n in itertools.count())


async def commits(store: SqliteStore, tasks: int, what: Callable[[str], tuple[Change, ...]]) -> str:
    waits: list[float] = []
    fresh = keys()
    until = time.perf_counter() + SECONDS

    async def client() -> None:
        while (now := time.perf_counter()) < until:
            assert await store.commit(*what(next(fresh)))
            waits.append(time.perf_counter() - now)

    cpu = time.process_time()
    await asyncio.gather(*(client() for _ in range(tasks)))
    cpu = (time.process_time() - cpu) / len(waits) * 1e6
    waits.sort()
    p50, p99 = waits[len(waits) // 2] * 1e3, waits[len(waits) * 99 // 100] * 1e3
    return f"{len(waits) / SECONDS:9,.0f}/s  {cpu:6.1f} µs of CPU  p50 {p50:6.2f} ms  p99 {p99:6.2f} ms"


async def reads(store: SqliteStore) -> str:
    known = list(itertools.islice(keys(), 5000))
    await store.commit(*(change for key in known for change in one_mark(key)))
    count = 0
    until = time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        for key in known[:100]:
            assert await store.read(Mark, key) is not None
        count += 100
        known = known[100:] + known[:100]
    return f"{count / SECONDS:9,.0f}/s"


def flushes(folder: Path) -> str:
    with (folder / "flushed").open("wb", buffering=0) as file:
        count = 0
        until = time.perf_counter() + 1.0
        while time.perf_counter() < until:
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            count += 1
    return f"{count:9,.0f}/s"


async def main(folder: Path) -> None:
    print(f"{'the disk: write 4 KiB and flush':44}", flushes(folder))
    store = SqliteStore(folder / "store.db")
    for what in (one_mark, two_marks_and_an_event):
        for tasks in (1, 32, 64):
            named = f"{what.__name__.replace('_', ' ')}, {tasks} at a time"
            print(f"commit {named:37}", await commits(store, tasks, what), flush=True)
    print(f"{'read by key':44}", await reads(store))
    await store.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.sched_setaffinity(0, {int(sys.argv[1])})
    with (
        tempfile.TemporaryDirectory(dir=Path.cwd()) as made,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(main(Path(made)))
