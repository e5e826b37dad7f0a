"""What lies in a database, and what brings it up to date: the verbs of `deputize db`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from deputize.adapters.migrations import VERSION
from deputize.adapters.stores import DurableStore, is_postgres, open_store
from deputize.adapters.system import SystemClock
from deputize.compose.kinds import KINDS
from deputize.core.rules import Fault

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a database stands to this program; `trouble` says why the program does not run on it, if it does not."""

    step: int | None
    program: int
    kinds: tuple[str, ...]
    missing: tuple[str, ...]
    trouble: str | None


def status(place: str, *, dev: bool = False) -> Status:
    """Look, and change nothing. `place` is the path of an SQLite file or the DSN of a PostgreSQL database."""
    if not is_postgres(place) and not Path(place).exists():
        raise Fault(f"there are no records at {place}: `deputize db migrate` makes a place for them")
    found = _with_store(place, lambda store: store.schema(KINDS), dev=dev)
    return Status(step=found.version, program=VERSION, kinds=found.kinds, missing=found.missing, trouble=found.trouble)


def migrate(place: str, *, dev: bool = False) -> list[str]:
    """Bring in whatever this program needs; what was done, a line each. Others may go on using the database."""
    if not is_postgres(place):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
    return _with_store(place, lambda store: store.migrate(KINDS), dev=dev)


def sweep(place: str, *, dev: bool = False) -> int:
    """Forget what has expired; how many records that were. The server does so by itself, every minute."""
    if not is_postgres(place) and not Path(place).exists():
        raise Fault(f"there are no records at {place}")
    return _with_store(place, lambda store: store.sweep(SystemClock()()), dev=dev)


def _with_store(place: str, do: Callable[[DurableStore], Awaitable[T]], *, dev: bool) -> T:
    async def main() -> T:
        store = open_store(place, dev=dev)
        try:
            return await do(store)
        finally:
            await store.close()

    return asyncio.run(main())
