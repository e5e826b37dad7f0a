"""How many commits and reads a second the stores do, durable: SQLite in a file, PostgreSQL over a socket.

`python -m benchmarks.store [--core N] [--rows 10000 1000000] [--seconds 2] [--rounds 3]` measures both in turns, in one
run, and says medians and their ratio. `--core` holds this process to one core; the database's own processes are free.
`--rows` measures again after so many records of each kind lie there. The disk's flushes are measured beside them: one
commit at a time cannot be faster than they are.
"""

import argparse
import asyncio
import itertools
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import uvloop

from deputize.adapters.stores import DurableStore, open_store
from deputize.core.ports import Add, Append, Event, Record, Replace
from deputize.core.values import Instant
from tests.support.postgres import CARRIED, running

FILLED_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark(Record):
    """A jti that was seen: what every request with a signature adds."""

    kind: ClassVar[str] = "mark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(Record):
    """Something like a family of refresh tokens: replaced with each use."""

    kind: ClassVar[str] = "family"
    indexed: ClassVar[tuple[str, ...]] = ("client", "person")

    client: str
    person: str
    current: str
    scope: frozenset[str] = frozenset({"read", "reorder"})


@dataclass(frozen=True, slots=True)
class Told:
    """What one measurement says."""

    per_s: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


def keys() -> Iterator[str]:
    """Keys like those that come: unguessable, so they land anywhere in the index."""
    start = secrets.token_urlsafe(8)
    return (f"{secrets.token_urlsafe(24)}{start}{n}" for n in itertools.count())


def a_mark(key: str) -> Add:
    return Add(Mark(key=key, expires_at=Instant(2_000_000_000)))


def a_family(key: str) -> Family:
    return Family(
        key=key, expires_at=Instant(2_000_000_000), client=key[:2], person=key[:4], current=secrets.token_urlsafe(32)
    )


def an_event() -> Append:
    return Append(Event(key="", at=Instant(1_800_000_000), what="token_issued", client="bot", person="alice"))


async def measured(do: Callable[[], Awaitable[None]], *, tasks: int, seconds: float) -> Told:
    waits: list[float] = []
    begun = time.perf_counter()
    until = begun + seconds

    async def client() -> None:
        while (now := time.perf_counter()) < until:
            await do()
            waits.append(time.perf_counter() - now)

    cpu = time.process_time()
    await asyncio.gather(*(client() for _ in range(tasks)))
    cpu = (time.process_time() - cpu) / len(waits) * 1e6
    per_s = len(waits) / (time.perf_counter() - begun)
    waits.sort()
    return Told(per_s, cpu, waits[len(waits) // 2] * 1e3, waits[len(waits) * 99 // 100] * 1e3)


class Bench:
    """One store, and what is done with it."""

    def __init__(self, place: str) -> None:
        self.store: DurableStore = open_store(place)
        self.fresh = keys()
        self.known: list[str] = []

    async def prepare(self) -> None:
        await self.store.migrate((Mark, Family, Event))
        await self.fill(2000)

    async def fill(self, count: int) -> None:
        """So many more records of each kind."""
        for _ in range(0, count, FILLED_AT_ONCE):
            names = list(itertools.islice(self.fresh, min(FILLED_AT_ONCE, count)))
            assert await self.store.commit(
                *(change for key in names for change in (a_mark(key), Add(a_family(key)), an_event()))
            )
            if len(self.known) < 100_000:
                self.known += names

    async def one_mark(self) -> None:
        assert await self.store.commit(a_mark(next(self.fresh)))

    async def two_marks_and_an_event(self) -> None:
        key = next(self.fresh)
        assert await self.store.commit(a_mark(key), a_mark(key + "d"), an_event())

    async def a_replacement(self) -> None:
        """What a refresh does: read the family, mark the assertion, replace the family, say so."""
        old = await self.store.read(Family, secrets.choice(self.known))
        assert old is not None
        await self.store.commit(
            Replace(old, replace(old, current=secrets.token_urlsafe(32))), a_mark(next(self.fresh)), an_event()
        )

    async def a_read(self) -> None:
        assert await self.store.read(Mark, secrets.choice(self.known)) is not None


ROWS = (
    *(("one mark", Bench.one_mark, tasks) for tasks in (1, 32, 64)),
    *(("two marks and an event", Bench.two_marks_and_an_event, tasks) for tasks in (1, 32, 64)),
    *(("read, replace, mark, event", Bench.a_replacement, tasks) for tasks in (1, 32, 64)),
    *(("read by key", Bench.a_read, tasks) for tasks in (1, 32, 64)),
)


def flushes(folder: Path) -> float:
    with (folder / "flushed").open("wb", buffering=0) as file:
        count = 0
        until = time.perf_counter() + 1.0
        while time.perf_counter() < until:
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            count += 1
    return count


async def compare(benches: dict[str, Bench], seconds: float, rounds: int) -> None:
    print(
        f"{'':36}" + "".join(f"{name:>12}{'µs CPU':>8}{'p50 ms':>9}{'p99 ms':>9}" for name in benches) + f"{'ratio':>8}"
    )
    for what, do, tasks in ROWS:
        told: dict[str, list[Told]] = {name: [] for name in benches}
        for _ in range(rounds):
            for name, bench in benches.items():
                told[name].append(await measured(lambda: do(bench), tasks=tasks, seconds=seconds))  # noqa: B023 (awaited at once)
        line = f"{what + f', {tasks} at a time':36}"
        medians: list[float] = []
        for rows in told.values():
            middle = sorted(rows, key=lambda row: row.per_s)[len(rows) // 2]
            medians.append(middle.per_s)
            line += f"{middle.per_s:10,.0f}/s{middle.cpu_us:8.0f}{middle.p50_ms:9.2f}{middle.p99_ms:9.2f}"
        print(f"{line}{medians[-1] / medians[0]:8.2f}", flush=True)


async def main(folder: Path, dsn: str, told: argparse.Namespace) -> None:
    print(f"the disk: write 4 KiB and flush: {statistics.median(flushes(folder) for _ in range(3)):,.0f}/s")
    benches = {"SQLite": Bench(str(folder / "store.db")), "PostgreSQL": Bench(dsn)}
    for bench in benches.values():
        await bench.prepare()
    await compare(benches, told.seconds, told.rounds)
    there = 2000
    for rows in told.rows:
        for name, bench in benches.items():
            begun = time.perf_counter()
            await bench.fill(rows - there)
            print(f"{name}: filled up to {rows:,} of each kind in {time.perf_counter() - begun:,.0f} s", flush=True)
        there = rows
        await compare(benches, told.seconds, told.rounds)
    for bench in benches.values():
        await bench.store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--core", type=int)
    parser.add_argument("--rows", type=int, nargs="*", default=[])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--postgres", default=CARRIED)
    asked = parser.parse_args()
    with (
        running(asked.postgres) as server,
        tempfile.TemporaryDirectory(dir=Path.cwd()) as made,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        if asked.core is not None:
            os.sched_setaffinity(0, {asked.core})
        runner.run(main(Path(made), server.fresh(), asked))
