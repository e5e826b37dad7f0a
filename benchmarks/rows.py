"""One line of what is measured, and how long and how often."""

from dataclasses import dataclass, field

from benchmarks.servers import Cores


@dataclass(slots=True, kw_only=True)
class Row:
    """One line of the record; the names are those of var/bench.json."""

    id: str
    ours_per_s: float | None = None
    peer: str | None = None
    peer_per_s: float | None = None
    limit_per_s: float | None = None
    ratio_to_peer: float | None = None
    ratio_to_limit: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    rounds: int = 0

    def with_ratios(self) -> "Row":
        if self.ours_per_s is not None:
            self.ratio_to_peer = self.ours_per_s / self.peer_per_s if self.peer_per_s else None
            self.ratio_to_limit = self.ours_per_s / self.limit_per_s if self.limit_per_s else None
        return self


@dataclass(slots=True, kw_only=True)
class Sized(Row):
    """A row whose figure is no rate, and where less is better: `ratio_to_peer` says how many times less ours is."""

    ours: float
    theirs: float | None
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how often."""

    rounds: int
    seconds: float
    cores: Cores
    patience: float  # how many seconds a round waits for others to be quiet
    loud: list[float] = field(default_factory=list)  # how many cores others used, a round
