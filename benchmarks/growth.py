"""What many stored grants cost: `python -m benchmarks.growth [--rows 10000 1000000 5000000] [--store sqlite|postgres]`.

A server on a store with the first number of grants runs beside one on a store that grows through the others; both are
asked in turns, and each ratio is of the same rounds. The last is written into var/bench.json as `growth_5m` (cc_pkj)
and `growth_5m_refresh`, if it is of five million grants on SQLite. A refresh uses a token that was never used, anywhere
in the store. Five million take 8 GB of disk and ten minutes to put in.
"""

import argparse
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks import own, servers, stored
from benchmarks.own import Beside, Held
from benchmarks.servers import Cores
from deputize.core.wire import JsonObject

RECORD: Final = servers.ROOT / "var" / "bench.json"
ROWS: Final = (10_000, 1_000_000, 5_000_000)
RECORDED: Final = ("growth_5m", "growth_5m_refresh")


@contextmanager
def two_places(store: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Where the small store lies, and the one that grows."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if store == "sqlite":
        yield str(folder / "small.db"), str(folder / "grown.db")
        return
    with own.database() as base:
        yield base.fresh(), base.fresh()


def grown(rows: list[int], store: str, *, rounds: int, seconds: float) -> Iterator[Beside]:
    """The two rows of each size."""
    cores, folder = Cores.of_machine(), servers.FOLDER / "growth"
    small, *larger = rows
    if cores.generator is not None:
        os.sched_setaffinity(0, cores.generator)
    with two_places(store, folder) as (small_at, grown_at):
        stored.grow(small_at, 0, small, secret=own.SECRET)
        there = 0
        for size in larger:
            begun = time.monotonic()
            stored.grow(grown_at, there, size, secret=own.SECRET)
            said = f"{size:,} grants on {store}, filled in {time.monotonic() - begun:,.0f} s"
            print(f"{said}; the file has {_size(grown_at):.1f} GB" if store == "sqlite" else said, flush=True)
            there = size
            with (
                own.served(f"{small:,} grants", cores, small_at, grants=small) as few,
                own.served(f"{size:,} grants", cores, grown_at, grants=size) as many,
            ):
                for name, ask in (("cc_pkj", Held.assertions), ("refresh", Held.refreshes)):
                    yield own.beside(f"{name} {size:,}", many, few, ask, rounds=rounds, seconds=seconds)
    shutil.rmtree(folder, ignore_errors=True)


def _size(path: str) -> float:
    return Path(path).stat().st_size / 1e9


def record(rows: list[Beside]) -> None:
    """Put the rows of five million into the record, in the place of older ones."""
    told: JsonObject = json.loads(RECORD.read_text()) if RECORD.exists() else {"machine": "", "rows": []}
    fresh = [
        {
            "id": name,
            "ours_per_s": float(f"{row.ours_per_s:.4g}"),
            "peer": row.peer,
            "peer_per_s": float(f"{row.peer_per_s:.4g}"),
            "limit_per_s": None,
            "ratio_to_peer": float(f"{row.ratio:.4g}"),
            "ratio_to_limit": None,
            "p50_ms": float(f"{row.p50_ms:.4g}"),
            "p99_ms": float(f"{row.p99_ms:.4g}"),
            "rounds": row.rounds,
        }
        for name, row in zip(RECORDED, rows, strict=True)
    ]
    told["rows"] = [row for row in told["rows"] if row["id"] not in RECORDED] + fresh
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(told, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS))
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0)
    told = parser.parse_args()
    rows = []
    for row in grown(told.rows, told.store, rounds=told.rounds, seconds=told.seconds):
        print(row.line(), flush=True)
        rows.append(row)
    if told.store == "sqlite" and told.rows[-1] == ROWS[-1]:
        record(rows[-2:])


if __name__ == "__main__":
    main()
