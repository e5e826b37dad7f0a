"""`make bench`: ours, a peer and the raw limit in the same run; a table, var/bench.json, docs/pictures/bench.svg."""

import argparse
import datetime
import json
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import asked, further, jose, limits, load, picture, sdjwt, servers, status
from benchmarks.quiet import LOUD, Others
from benchmarks.rows import Plan, Row, Sized
from benchmarks.servers import Clients, Cores, Server
from tools import node

RECORD: Final = servers.ROOT / "var" / "bench.json"
PICTURE: Final = servers.ROOT / "docs" / "pictures" / "bench.svg"
CALIBRATION: Final = 320  # requests that tell how many fill a round
COUNT_MAX: Final = 200_000
COLUMNS: Final = (12, 12, 8, 10, 10, 8, 8, 8)

Asked = Callable[[Server, Clients, int], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A row that is measured over HTTP: what is asked, and how many raw signs and verifies it cannot avoid."""

    id: str
    says: str
    asked: Asked
    signs: int
    verifies: int


KINDS: Final = (
    Kind("cc_secret", "client_credentials, secret, ES256 JWT", asked.secrets, 1, 0),
    Kind("cc_pkj", "client_credentials, private_key_jwt", asked.assertions, 1, 1),
    Kind("cc_pkj_dpop", "the same with DPoP", asked.with_proofs, 1, 2),
    Kind("introspect", "introspection of an active token", asked.introspections, 0, 1),
    Kind("jwks", "the JWK set", asked.key_sets, 0, 0),
)

JOSE: Final = ("jose_sign", "jose_verify")
SDJWT_ROUNDS: Final = 4  # longer ones
JOSE_ROUNDS: Final = 40  # short ones, for each second that a server is asked
STATUS: Final = ("status_build", "status_lookup")
STATUS_ROUNDS: Final = 3  # for each second that a server is asked
STATUS_ENTRIES: Final = 10_000_000


@dataclass(slots=True)
class Told:
    """The rounds of one server at one kind."""

    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)

    def add(self, one: load.Round) -> None:
        self.rates.append(one.per_second)
        self.p50.append(one.wait_ms(0.5))
        self.p99.append(one.wait_ms(0.99))


def measured(kind: Kind, ours: Server, peer: Server | None, stack: Server, clients: Clients, plan: Plan) -> Row:
    """One row: in each round the raw limit, then ours, then the peer."""
    each = [server for server in (ours, peer, stack if kind.id == "jwks" else None) if server is not None]
    counts = {}
    for server in each:
        rate = load.run(server.port, kind.asked(server, clients, CALIBRATION)).per_second
        # Until a just-in-time compiler has seen enough: not measured.
        rate = load.run(server.port, kind.asked(server, clients, int(rate * plan.seconds))).per_second
        counts[server.port] = min(COUNT_MAX, int(rate * plan.seconds))
    told = {server.port: Told() for server in each}
    raw: list[float] = []
    others = Others(server.process.pid for server in (*each, stack) if server.process is not None)
    for _ in range(plan.rounds):
        others.wait(plan.patience)
        if kind.signs or kind.verifies:
            with plan.cores.on_server_core():
                raw.append(1 / (kind.signs * limits.sign_seconds() + kind.verifies * limits.verify_seconds()))
        for server in each:
            one = load.run(server.port, kind.asked(server, clients, counts[server.port]))
            told[server.port].add(one)
            counts[server.port] = min(COUNT_MAX, int(one.per_second * plan.seconds))
        plan.loud.append(others.look())
    us = told[ours.port]
    return Row(
        id=kind.id,
        ours_per_s=median(us.rates),
        peer=peer.name if peer else None,
        peer_per_s=median(told[peer.port].rates) if peer else None,
        limit_per_s=median(raw or told[stack.port].rates),
        p50_ms=median(us.p50),
        p99_ms=median(us.p99),
        rounds=plan.rounds,
    ).with_ratios()


def jose_rows(plan: Plan, names: Collection[str]) -> list[Row]:
    """Our JOSE layer against the bare signature, and the faster of two libraries, each beside the bare one."""
    rows = []
    rounds = int(JOSE_ROUNDS * plan.seconds * plan.rounds)
    for name, acts in zip(JOSE, jose.acts("ES256"), strict=True):
        if name in names:
            with plan.cores.on_server_core():
                raw, ours, ratio = jose.beside(acts["raw"], acts["ours"], rounds)
                theirs = {peer: jose.beside(acts["raw"], acts[peer], rounds)[2] for peer in ("joserfc", "PyJWT")}
            peer = max(theirs, key=lambda peer: theirs[peer])
            rows.append(
                Row(
                    id=name,
                    ours_per_s=1e6 / ours,
                    peer=f"{peer} {version(peer.lower())}",
                    peer_per_s=theirs[peer] * 1e6 / raw,
                    limit_per_s=1e6 / raw,
                    ratio_to_peer=ratio / theirs[peer],
                    ratio_to_limit=ratio,
                    rounds=rounds,
                )
            )
    return rows


def status_rows(plan: Plan, names: Collection[str]) -> list[Row]:
    """A status list of 10 million entries against zlib alone, and look-ups in it."""
    rows = []
    rounds = max(3, int(STATUS_ROUNDS * plan.seconds))
    with plan.cores.on_server_core():
        if "status_build" in names:
            one = status.built(STATUS_ENTRIES, rounds)
            rows.append(
                Row(
                    id="status_build",
                    ours_per_s=1000 / one.ours_ms,
                    limit_per_s=1000 / one.limit_ms,
                    ratio_to_limit=one.ratio,
                    rounds=rounds,
                )
            )
        if "status_lookup" in names:
            rows.append(Row(id="status_lookup", ours_per_s=status.look_ups(STATUS_ENTRIES, rounds), rounds=rounds))
    return rows


def started(ours: Server, peer: Server | None, clients: Clients, plan: Plan) -> Sized:
    """From the start of the process to its first token, with data and keys that are there already."""
    took: dict[int, list[float]] = {}
    for _ in range(plan.rounds):
        for server in (ours, peer):
            if server is not None:
                server.stop()
                took.setdefault(server.port, []).append(server.start(asked.with_secret(server, clients)))
    return _sized(
        "start",
        "ms",
        median(took[ours.port]) * 1000,
        peer,
        median(took[peer.port]) * 1000 if peer else None,
        plan.rounds,
    )


def resident(ours: Server, peer: Server | None) -> Sized | None:
    """What is in memory after all that."""
    mine = ours.resident_mib()
    return None if mine is None else _sized("memory", "MiB", mine, peer, peer.resident_mib() if peer else None, 1)


def _sized(name: str, unit: str, ours: float, peer: Server | None, theirs: float | None, rounds: int) -> Sized:
    ratio = theirs / ours if theirs is not None else None
    return Sized(
        id=name,
        unit=unit,
        ours=ours,
        theirs=theirs,
        peer=peer.name if peer else None,
        ratio_to_peer=ratio,
        rounds=rounds,
    )


def ceiling(loop: Server, plan: Plan) -> float:
    """What the load generator itself can ask, of a server that does nothing."""
    request = next(iter(asked.key_sets(loop, _NOBODY, 1)))
    count = int(load.run(loop.port, repeat(request, 10_000)).per_second * min(plan.seconds, 1))
    return median(load.run(loop.port, repeat(request, count)).per_second for _ in range(3))


_NOBODY: Final = Clients(key_id="", key=asked.PROOF_KEY, secret_id="", secret="")


def bench(plan: Plan, command: Sequence[str], only: frozenset[str]) -> tuple[list[Row], float]:
    """All rows, and the ceiling of the load generator."""
    shutil.rmtree(servers.FOLDER, ignore_errors=True)
    running: list[Server] = []
    try:
        ours = servers.ours(plan.cores, command)
        running.append(ours)
        ours.start(next(iter(asked.key_sets(ours, _NOBODY, 1))))  # makes its clients
        clients = servers.clients_of(ours)
        peer = _peer(plan.cores, clients)
        if peer is not None:
            running.append(peer)
            peer.start(asked.with_secret(peer, clients))
        loop, stack = servers.bare(plan.cores)
        running.append(loop)
        loop.start(next(iter(asked.key_sets(loop, _NOBODY, 1))))
        stack.process = loop.process
        able = ceiling(loop, plan)
        rows: list[Row] = []
        if not only or "start" in only:
            rows.append(started(ours, peer, clients, plan))
        for kind in KINDS:
            if not only or kind.id in only:
                print(f"  {kind.id}: {kind.says} …", file=sys.stderr)
                rows.append(measured(kind, ours, peer, stack, clients, plan))
        rows += jose_rows(plan, only or JOSE)
        rows += status_rows(plan, only or STATUS)
        if not only or "tail" in only:
            rows += further.tail(ours, clients, rows, plan)
        if (not only or "memory" in only) and (row := resident(ours, peer)) is not None:
            rows.append(row)
    finally:
        for server in running:
            server.stop()
    if not only or not only.isdisjoint(sdjwt.ROWS):
        print(f"  {', '.join(sdjwt.ROWS)} …", file=sys.stderr)
        rows += sdjwt.rows(plan, int(SDJWT_ROUNDS * plan.seconds * plan.rounds))
    for names, measure in further.ROWS:
        if not only or not only.isdisjoint(names):
            print(f"  {', '.join(names)} …", file=sys.stderr)
            rows += measure(plan, clients)
    return rows, able


def _peer(cores: Cores, clients: Clients) -> Server | None:
    try:
        return servers.oidc_provider(cores, clients)
    except node.NotHere as why:
        print(f"SKIPPED: oidc-provider, so only our own figures and the limit: {why}", file=sys.stderr)
        return None


def table(rows: list[Row], able: float) -> str:
    """The record for a reader."""
    peers = sorted({row.peer for row in rows if row.peer})
    lines = [_line("", "ours", "peer", "× peer", "limit/s", "of limit", "p50 ms", "p99 ms", "rounds")]
    for row in rows:
        ours, theirs = row.ours_per_s, row.peer_per_s
        unit = "/s"
        if isinstance(row, Sized):
            ours, theirs, unit = row.ours, row.theirs, f" {row.unit}"
        lines.append(
            _line(
                row.id,
                _said(ours, "{:,.0f}" + unit),
                _said(theirs, "{:,.0f}" + unit),
                _said(row.ratio_to_peer, "{:.2f}"),
                _said(row.limit_per_s, "{:,.0f}"),
                _said(row.ratio_to_limit, "{:.2f}"),
                _said(row.p50_ms, "{:.2f}"),
                _said(row.p99_ms, "{:.2f}"),
                str(row.rounds),
            )
        )
    lines.append(f"peer: {', '.join(peers) or 'none'}; the load generator alone: {able:,.0f} requests/s")
    return "\n".join(lines)


def _line(name: str, *cells: str) -> str:
    return f"{name:<18}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, COLUMNS, strict=True))


def _said(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def machine() -> str:
    """What it ran on, in a line."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else ""
    today = datetime.datetime.now(tz=datetime.UTC).date()
    return (
        f"{model or platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, {today}"
    )


def record(rows: list[Row]) -> dict[str, object]:
    """As var/bench.json has it, to four digits."""
    return {
        "machine": machine(),
        "rows": [{name: _rounded(value) for name, value in asdict(row).items()} for row in rows],
    }


def _rounded(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short rounds; the picture is left as it is")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="how long each server is asked in each round")
    parser.add_argument("--patience", type=float, default=0, help="seconds that a round waits for others to be quiet")
    parser.add_argument("--only", nargs="*", default=[], help="these rows alone; nothing is recorded")
    parser.add_argument(
        "--ours", type=shlex.split, default=servers.OURS, help="another command to start our server with"
    )
    told = parser.parse_args()
    cores = Cores.of_machine()
    if cores.generator is None:
        print("NOT PINNED: one core, or a system that cannot pin; ratios still say something", file=sys.stderr)
    else:
        os.sched_setaffinity(0, cores.generator)
    plan = Plan(
        rounds=told.rounds or (2 if told.quick else 5),
        seconds=told.seconds or (1.0 if told.quick else 3.0),
        cores=cores,
        patience=told.patience,
    )
    rows, able = bench(plan, told.ours, frozenset(told.only))
    print(f"{machine()}; durable SQLite against memory\n{table(rows, able)}")
    if plan.loud and max(plan.loud) > LOUD:
        print(
            f"NOT QUIET: others used {median(plan.loud):.2f} cores in the median round, {max(plan.loud):.2f} at most;"
            " the ratios are rough"
        )
    if told.only:
        return
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(record(rows), indent=1) + "\n")
    if not told.quick:
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        PICTURE.write_text(picture.drawn(record(rows)))


if __name__ == "__main__":
    main()
