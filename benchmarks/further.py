"""Rows with servers of their own, or none: refresh, the guard, PostgreSQL, two workers; and the tail of the waits."""

import asyncio
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

from benchmarks import asked, guard, load, own, servers, stored
from benchmarks.own import Beside, Held
from benchmarks.rows import Plan, Row
from benchmarks.servers import Clients, Server
from tools import node

CHAINS: Final = 64  # refresh tokens of the peer that are used in turn; its store in memory forgets beyond a thousand
TAIL_LOAD: Final = 0.7
GUARD_ROUNDS: Final = 8  # for each second that a server is asked


def refresh(plan: Plan, clients: Clients) -> list[Row]:
    """Rotation of refresh tokens: ours from ten thousand stored grants, the peer's from a few in memory."""
    place = servers.FOLDER / "ours-refreshing" / "bench.db"
    shutil.rmtree(place.parent, ignore_errors=True)
    place.parent.mkdir(parents=True)
    stored.grow(str(place), 0, own.GRANTS, secret=own.SECRET)
    with own.served("ours refreshing", plan.cores, str(place), grants=own.GRANTS) as ours:
        try:
            there = servers.oidc_provider(plan.cores, clients, refreshing=(stored.CLIENT, own.SECRET, CHAINS))
        except node.NotHere as why:
            print(f"SKIPPED: oidc-provider: {why}", file=sys.stderr)
            return []
        try:
            there.start(next(iter(asked.key_sets(there, clients, 1))))
            peer = Held(there, clients)
            peer.begin_with(json.loads((there.folder / "refresh.json").read_text()))
            told = own.beside("refresh", ours, peer, Held.refreshes, rounds=plan.rounds, seconds=plan.seconds)
        finally:
            there.stop()
    return [_row(told)]


def guarded(plan: Plan, _: Clients) -> list[Row]:
    """What the guard of an API adds to the one check of a signature."""
    rounds = max(3, int(GUARD_ROUNDS * plan.seconds * plan.rounds / 2))
    with plan.cores.on_server_core():
        told = asyncio.run(guard.measure(rounds))
    return [Row(**row, rounds=rounds) for row in told]


def on_postgres(plan: Plan, _: Clients) -> list[Row]:
    return list(map(_row, own.on_postgres(plan.cores, rounds=plan.rounds, seconds=plan.seconds)))


def two_workers(plan: Plan, _: Clients) -> list[Row]:
    return list(map(_row, own.two_workers(plan.cores, rounds=plan.rounds, seconds=plan.seconds)))


ROWS: Final[Sequence[tuple[tuple[str, ...], Callable[[Plan, Clients], list[Row]]]]] = (
    (("refresh",), refresh),
    (("guard_verify", "guard_verify_dpop"), guarded),
    (("cc_pkj_pg", "refresh_pg"), on_postgres),
    (("scale_2w",), two_workers),
)


def tail(ours: Server, clients: Clients, rows: Sequence[Row], plan: Plan) -> list[Row]:
    """How long the slowest in a hundred wait at seven tenths of what the server can do: cc_pkj."""
    able = next((row.ours_per_s for row in rows if row.id == "cc_pkj"), None)
    if able is None:
        able = load.run(ours.port, asked.assertions(ours, clients, 2000)).per_second
    rate = able * TAIL_LOAD
    rounds = [
        load.run(ours.port, asked.assertions(ours, clients, int(rate * plan.seconds)), per_second=rate)
        for _ in range(plan.rounds)
    ]
    return [
        Row(
            id="tail",
            ours_per_s=median(one.per_second for one in rounds),
            p50_ms=median(one.wait_ms(0.5) for one in rounds),
            p99_ms=median(one.wait_ms(0.99) for one in rounds),
            rounds=plan.rounds,
        )
    ]


def _row(told: Beside) -> Row:
    return Row(
        id=told.id,
        ours_per_s=told.ours_per_s,
        peer=told.peer,
        peer_per_s=told.peer_per_s,
        p50_ms=told.p50_ms,
        p99_ms=told.p99_ms,
        rounds=told.rounds,
    ).with_ratios()
