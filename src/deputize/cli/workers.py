"""Several processes for one server: each serves by itself, on the same ports; one that falls is started again."""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

import structlog

from deputize.core.rules import Fault

log = structlog.get_logger("deputize.cli")

QUICK_SECONDS: Final = 5
QUICK_FALLS_MAX: Final = 5
_SAID_BYTES_MAX: Final = 4096  # what a pipe takes at once


@dataclass(frozen=True, slots=True, kw_only=True)
class _Worker:
    """One process: which one it is, since when, whether it is the first in its place, and where it says why it fell."""

    index: int
    since: float
    is_first: bool
    heard: int

    def said(self) -> str:
        try:
            return os.read(self.heard, _SAID_BYTES_MAX).decode(errors="replace")
        finally:
            os.close(self.heard)


class Workers:
    """The parent of the workers. It opens nothing that they share: no store, no thread, no loop."""

    def __init__(self, count: int, work: Callable[[int], None]) -> None:
        if not hasattr(os, "fork"):
            raise Fault("several workers need a system that can fork")
        self._work = work
        self._count = count
        self._running: dict[int, _Worker] = {}
        self._stopping = False
        self._trouble = ""
        self._quick_falls = 0

    def run(self) -> None:
        """Start them, keep them running, and end when a signal says so. What is under way is finished first.

        Raises Fault where one cannot even begin.
        """
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, self._stop)
        for index in range(self._count):
            self._start(index, is_first=True)
        while self._running:
            pid, status = os.wait()
            worker = self._running.pop(pid, None)
            if worker is None:
                continue
            said = worker.said()
            if self._stopping:
                continue
            if said and worker.is_first:  # what keeps one from beginning keeps all, now and later
                self._trouble = said
                self._stop(signal.SIGTERM, None)
                continue
            log.error("worker fell", worker=worker.index, exit_status=os.waitstatus_to_exitcode(status), what=said)
            # A worker that falls again and again at its start has a cause that starting it again does not mend.
            self._quick_falls = self._quick_falls + 1 if time.monotonic() - worker.since < QUICK_SECONDS else 0
            if self._quick_falls >= QUICK_FALLS_MAX:
                self._trouble = "the workers fall as soon as they are started; what they said stands above"
                self._stop(signal.SIGTERM, None)
                continue
            self._start(worker.index, is_first=False)
        if self._trouble:
            raise Fault(self._trouble)

    def _start(self, index: int, *, is_first: bool) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        heard, says = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(heard)
            self._be(index, says)
        os.close(says)
        self._running[pid] = _Worker(index=index, since=time.monotonic(), is_first=is_first, heard=heard)
        if self._stopping:  # the signal came in between
            os.kill(pid, signal.SIGTERM)

    def _be(self, index: int, says: int) -> NoReturn:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, signal.SIG_DFL)
        code = 1
        try:
            self._work(index)
            code = 0
        except Fault as fault:
            os.write(says, str(fault).encode()[:_SAID_BYTES_MAX])
        except Exception:
            log.exception("worker fell", worker=index)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # the parent's own clean-up is not the child's to do

    def _stop(self, _: int, __: object) -> None:
        self._stopping = True
        for pid in self._running:
            os.kill(pid, signal.SIGTERM)
