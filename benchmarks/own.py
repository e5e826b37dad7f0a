"""Rows that compare us with ourselves: PostgreSQL with SQLite, two workers with one, many stored grants with few.

Both servers of a row run at once and are asked in turns, as with a peer. Beside requests a second, each says how much
of a processor the server took for a request: where others use the machine too, that is the steadier figure.
"""

import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Final
from urllib.parse import urlencode

from benchmarks import asked, load, servers, stored
from benchmarks.servers import Clients, Cores, Server
from tests.support.postgres import CARRIED, running
from tests.support.postgres import Server as Database

SECRET: Final = "a secret for the bench, which nobody else is told"
GRANTS: Final = 10_000
COUNT_MAX: Final = 200_000
_TICKS: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One row; as in var/bench.json, the peer is our own other figure. The last three are for the reader."""

    id: str
    ours_per_s: float
    peer: str
    peer_per_s: float
    p50_ms: float
    p99_ms: float
    rounds: int
    cpu_us: float
    peer_cpu_us: float
    says: str = ""

    @property
    def ratio(self) -> float:
        return self.ours_per_s / self.peer_per_s

    @property
    def ratio_of_cpu(self) -> float:
        """How much less of a processor the peer takes for a request: 1 is the same, less than 1 is dearer."""
        return self.peer_cpu_us / self.cpu_us

    def line(self) -> str:
        return (
            f"{self.id}: {self.ours_per_s:,.0f}/s against {self.peer_per_s:,.0f}/s ({self.peer}): {self.ratio:.2f};"
            f" {self.cpu_us:,.0f} against {self.peer_cpu_us:,.0f} µs of CPU: {self.ratio_of_cpu:.2f};"
            f" p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms, {self.rounds} rounds"
        )


@dataclass(slots=True)
class Held:
    """A server of ours on a store with grants, and the refresh tokens that are live in it."""

    server: Server
    clients: Clients
    numbers: Iterator[int] = field(default_factory=lambda: iter(()))
    fresh: "deque[bytes]" = field(default_factory=deque)

    def assertions(self, count: int) -> load.Round:
        return load.run(self.server.port, asked.assertions(self.server, self.clients, count))

    def refreshes(self, count: int) -> load.Round:
        """Tokens that were never used, for as long as there are any; then those that came of them, in turn."""
        return load.run(self.server.port, islice(self._next(), count), learn=self._learn)

    def _next(self) -> Iterator[bytes]:
        while True:
            number = next(self.numbers, None)
            yield self._request(stored.first_token(number)) if number is not None else self.fresh.popleft()

    def _learn(self, answer: bytes) -> None:
        start = answer.index(b'"refresh_token":"') + 17
        self.fresh.append(self._request(answer[start : answer.index(b'"', start)].decode()))

    def begin_with(self, tokens: Iterable[str]) -> None:
        """These are live, and no others are known."""
        self.fresh.extend(map(self._request, tokens))

    def _request(self, token: str) -> bytes:
        known = replace(self.clients, secret_id=stored.CLIENT, secret=SECRET)
        body = urlencode({"grant_type": "refresh_token", "refresh_token": token}).encode()
        return asked.posted(self.server, "/token", {"Authorization": known.basic}, body)

    def use(self, grants: int) -> None:
        """All tokens of so many grants, each once, in an order that jumps about."""
        step = 7_654_321  # has no divisor in common with a number of grants that is round
        self.numbers = (at * step % grants for at in range(grants))
        self.fresh.clear()

    def cpu_seconds(self) -> float:
        process = self.server.process
        return 0.0 if process is None else sum(map(_cpu_seconds, (process.pid, *_children(process.pid))))


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def served(name: str, cores: Cores, place: str = "", *, grants: int = 0, workers: int = 1) -> Iterator[Held]:
    """A server of ours at this place, which has so many grants already; until the end of this."""
    server = servers.ours(cores, [*servers.OURS, *(["--workers", str(workers)] if workers > 1 else [])])
    server.name = name
    server.folder = servers.FOLDER / name.replace(" ", "-")
    if place:
        server.environment["DEPUTIZE_STORE__PATH"] = place
    nobody = Clients(key_id="", key=asked.PROOF_KEY, secret_id="", secret="")
    try:
        server.start(next(iter(asked.key_sets(server, nobody, 1))))
        held = Held(server, _clients_of(server))
        if grants:
            held.use(grants)
        yield held
    finally:
        server.stop()


def _clients_of(server: Server) -> Clients:
    """Its clients, as soon as they are there: where there are several workers, one of them makes these."""
    end = time.monotonic() + servers.START_SECONDS_MAX
    while time.monotonic() < end:
        with suppress(FileNotFoundError, ValueError, RuntimeError):
            clients = servers.clients_of(server)
            asked.introspections(server, clients, 1)
            return clients
        time.sleep(0.05)
    raise servers.CannotStart(f"{server.name} made no clients")


def beside(
    name: str, ours: Held, peer: Held, ask: Callable[[Held, int], load.Round], *, rounds: int, seconds: float
) -> Beside:
    """One row: in each round ours, then the peer."""
    counts = {}
    for held in (ours, peer):
        rate = ask(held, 320).per_second
        counts[held.server.port] = min(COUNT_MAX, int(ask(held, int(rate * seconds / 2)).per_second * seconds))
    rates: dict[int, list[float]] = {held.server.port: [] for held in (ours, peer)}
    cpu: dict[int, list[float]] = {held.server.port: [] for held in (ours, peer)}
    p50, p99 = [], []
    for _ in range(rounds):
        for held in (ours, peer):
            port = held.server.port
            before = held.cpu_seconds()
            told = ask(held, counts[port])
            cpu[port].append((held.cpu_seconds() - before) / told.answers * 1e6)
            rates[port].append(told.per_second)
            if held is ours:
                p50.append(told.wait_ms(0.5))
                p99.append(told.wait_ms(0.99))
    us, them = ours.server.port, peer.server.port
    return Beside(
        id=name,
        ours_per_s=median(rates[us]),
        peer=peer.server.name,
        peer_per_s=median(rates[them]),
        p50_ms=median(p50),
        p99_ms=median(p99),
        rounds=rounds,
        cpu_us=median(cpu[us]),
        peer_cpu_us=median(cpu[them]),
    )


@contextmanager
def database(version: str = CARRIED) -> Iterator[Database]:
    """A PostgreSQL that keeps its word, with memory as its manual says, on all cores: the system says where it runs."""
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if mine is not None:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        with running(version, shared_buffers="1GB", max_wal_size="4GB") as server:
            if mine is not None:
                os.sched_setaffinity(0, mine)
            yield server
    finally:
        if mine is not None:
            os.sched_setaffinity(0, mine)


def on_postgres(cores: Cores, *, rounds: int, seconds: float, grants: int = GRANTS) -> list[Beside]:
    """cc_pkj_pg and refresh_pg: the same server on PostgreSQL, beside it on SQLite."""
    file = _emptied("ours-on-sqlite") / "bench.db"
    _emptied("ours-on-postgresql")
    with database() as base:
        dsn = base.fresh()
        for place in (str(file), dsn):
            stored.grow(place, 0, grants, secret=SECRET)
        with ExitStack() as both:
            ours = both.enter_context(served("ours on postgresql", cores, dsn, grants=grants))
            peer = both.enter_context(served("ours on sqlite", cores, str(file), grants=grants))
            return [
                beside("cc_pkj_pg", ours, peer, Held.assertions, rounds=rounds, seconds=seconds),
                beside("refresh_pg", ours, peer, Held.refreshes, rounds=rounds, seconds=seconds),
            ]


def two_workers(cores: Cores, *, rounds: int, seconds: float) -> list[Beside]:
    """scale_2w: two workers on two cores beside one on one, each with its SQLite file.

    With two cores in all, the load generator has none for itself: then the figure is too low, and what a request takes
    of a processor says how much of it is the generator's fault.
    """
    every = frozenset(range(os.cpu_count() or 1))
    two = Cores(every, cores.generator) if cores.server is not None else cores
    for name in ("ours-two-workers", "ours-one-worker"):
        _emptied(name)
    with (
        served("ours two workers", two, workers=2) as ours,
        served("ours one worker", cores) as peer,
    ):
        return [beside("scale_2w", ours, peer, Held.assertions, rounds=rounds, seconds=seconds)]


def _emptied(name: str) -> Path:
    folder = servers.FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
