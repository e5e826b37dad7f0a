"""Records to try stores with, and a process that uses them: `python -m tests.adapters.records PLACE PART`."""

import asyncio
import itertools
import json
import os
import resource
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from deputize.adapters.stores import open_store
from deputize.core.ports import Add, Append, Record, Replace
from deputize.core.rules import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket(Record):
    """A record with two indexed fields."""

    kind: ClassVar[str] = "ticket"
    indexed: ClassVar[tuple[str, ...]] = ("client", "person")

    client: str = ""
    person: str = ""
    text: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark(Record):
    """Nothing but its key: replay protection."""

    kind: ClassVar[str] = "mark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Record):
    """Something appended."""

    kind: ClassVar[str] = "line"
    indexed: ClassVar[tuple[str, ...]] = ("by",)

    text: str
    by: str = ""


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def heard() -> str:
    line: str = await asyncio.to_thread(sys.stdin.readline)
    return line.strip()


async def race(place: str) -> None:
    """Add the same keys as everybody else, at the same time; say which were ours."""
    store = open_store(place, dev=True)
    await store.read(Mark, "")
    say("ready")
    await heard()
    keys = [str(n) for n in range(100)]
    won = await asyncio.gather(*(store.commit(Add(Mark(key=key))) for key in keys))
    say(json.dumps([key for key, ours in zip(keys, won, strict=True) if ours]))
    await store.close()


async def crash(place: str) -> None:
    """Commit until killed. Each commit is three records; what was acknowledged is said."""
    store = open_store(place, dev=True)
    first = int(await heard())
    numbers = itertools.count(first)

    async def add() -> None:
        for n in numbers:
            ok = await store.commit(
                Add(Ticket(key=f"t{n:09}", text="x" * 500)),
                Add(Mark(key=f"m{n:09}")),
                Append(Line(key="", text=str(n))),
            )
            say(n if ok else "refused")

    async def count_up() -> None:
        await store.commit(Add(Ticket(key="counter")))
        while True:
            counter = await store.read(Ticket, "counter")
            assert counter is not None
            after = replace(counter, number=counter.number + 1)
            await store.commit(Replace(counter, after), Append(Line(key="", text="counted", by="counter")))
            say("counted", after.number)

    await asyncio.gather(count_up(), *(add() for _ in range(8)))


async def answer(place: str) -> None:
    """Do as told, line by line."""
    store = open_store(place, dev=True)
    say("ready")
    while line := await heard():
        verb, key = line.split()
        if verb == "add":
            say(await store.commit(Add(Mark(key=key))))
        else:
            say(await store.read(Mark, key) is not None)
    await store.close()


async def full(path: str) -> None:
    """Run into the largest size that a file may have, and out of it again."""
    store = open_store(path)
    say(await store.commit(Add(Mark(key="before"))))
    resource.setrlimit(resource.RLIMIT_FSIZE, (Path(path + "-wal").stat().st_size + 8192, resource.RLIM_INFINITY))
    large = [store.commit(Add(Ticket(key=f"large{n}", text="x" * 100_000)), Add(Mark(key=f"m{n}"))) for n in range(3)]
    for told in await asyncio.gather(*large, return_exceptions=True):
        say(type(told).__name__, isinstance(told, Fault) and told.retry)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    say(await store.commit(Add(Mark(key="after"))))
    await store.close()


if __name__ == "__main__":
    asyncio.run({"race": race, "crash": crash, "answer": answer, "full": full}[sys.argv[2]](sys.argv[1]))
