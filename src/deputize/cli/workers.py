"""Several processes for one server: each serves by itself, on the same ports; one that falls is started again."""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Final, NoReturn

import structlog

from deputize.core.rules import Fault

log = structlog.get_logger("deputize.cli")

QUICK_SECONDS: Final = 5
QUICK_FALLS_MAX: Final = 5


class Workers:
    """The parent of the workers. It opens nothing that they share: no store, no thread, no loop."""

    def __init__(self, count: int, work: Callable[[int], None]) -> None:
        if not hasattr(os, "fork"):
            raise Fault("several workers need a system that can fork")
        self._work = work
        self._count = count
        self._running: dict[int, tuple[int, float]] = {}
        self._stopping = False
        self._quick_falls = 0

    def run(self) -> None:
        """Start them, keep them running, and end when a signal says so. What is under way is finished first."""
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, self._stop)
        for index in range(self._count):
            self._start(index)
        while self._running:
            pid, status = os.wait()
            index, since = self._running.pop(pid, (-1, 0.0))
            if index < 0 or self._stopping:
                continue
            code = os.waitstatus_to_exitcode(status)
            log.error("worker fell", worker=index, exit_status=code)
            # A worker that falls again and again at its start has a cause that starting it again does not mend.
            self._quick_falls = self._quick_falls + 1 if time.monotonic() - since < QUICK_SECONDS else 0
            if self._quick_falls >= QUICK_FALLS_MAX:
                self._stop(signal.SIGTERM, None)
                continue
            self._start(index)
        if self._quick_falls >= QUICK_FALLS_MAX:
            raise Fault("the workers fall as soon as they are started; what they said stands above")

    def _start(self, index: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._be(index)
        self._running[pid] = (index, time.monotonic())
        if self._stopping:  # the signal came in between
            os.kill(pid, signal.SIGTERM)

    def _be(self, index: int) -> NoReturn:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, signal.SIG_DFL)
        code = 1
        try:
            self._work(index)
            code = 0
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
