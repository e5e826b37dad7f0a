"""Processes of their own that use a store, and what is said between them and a test."""

import asyncio
import subprocess
import sys
from pathlib import Path

import asyncpg  # type: ignore[import-untyped] # it has no types

from deputize.adapters.stores import is_postgres
from deputize.core.ports import Record, Store

ROOT = Path(__file__).parents[2]


def process(place: str, part: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.adapters.records", place, part],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


def tell(child: "subprocess.Popen[str]", line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()


def told(child: "subprocess.Popen[str]") -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


async def kept(store: Store, kind: type[Record]) -> list[str]:
    return [record.key for record in await store.select(kind, "", "", limit=1_000_000)]


async def settled(place: str) -> None:
    """What a killed process had handed over is done or undone: a database finishes it when the process is gone."""
    if not is_postgres(place):
        return
    watcher = await asyncpg.connect(place)
    busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'deputize'"
    while await watcher.fetchval(busy):
        await asyncio.sleep(0.002)
    await watcher.close()
