"""Who else uses the machine: figures that were taken beside other work are rough, and are to say so."""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
LOUD: Final = 0.1  # of a core
LOOK_SECONDS: Final = 0.4


def _busy_seconds() -> float:
    """What all cores have worked, for whomever."""
    line = Path("/proc/stat").read_text().partition("\n")[0]
    user, nice, system, _, _, irq, softirq, steal = map(int, line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS


def _seconds_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


class Others:
    """How many cores others use, from one look to the next."""

    def __init__(self, mine: Iterable[int]) -> None:
        self._mine = (os.getpid(), *mine)
        self._can = Path("/proc/stat").exists()
        self.look()

    def look(self) -> float:
        """Cores that others used since the last look; 0 where nobody can tell."""
        if not self._can:
            return 0.0
        at, busy, mine = time.monotonic(), _busy_seconds(), sum(map(_seconds_of, self._mine))
        before = getattr(self, "_before", (at, busy, mine))
        self._before = at, busy, mine
        seconds = at - before[0]
        return max(0.0, (busy - before[1] - mine + before[2]) / seconds) if seconds > 0 else 0.0

    def wait(self, seconds_max: float) -> None:
        """Until they are quiet, or so long."""
        until = time.monotonic() + seconds_max
        while time.monotonic() < until:
            self.look()
            time.sleep(LOOK_SECONDS)
            if self.look() < LOUD:
                return
