"""The real clock and the real dice."""

import secrets
import time
from collections.abc import Callable
from typing import Final

from deputize.core.ports import Clock
from deputize.core.values import Instant

LEAP_SECONDS: Final = 60  # what a clock that is put right may gain at once
BELIEVED_SECONDS: Final = 3600  # after so long, a leap was no mistake


class SystemClock:
    """The machine's clock, in whole seconds."""

    def __call__(self) -> Instant:
        return Instant(int(time.time()))


class ForgettingClock:
    """What time it is for whoever forgets what has expired: the machine's clock, unless it has just leaped ahead.

    What was used once is forgotten when its time is over. A clock that leaps ahead and is set back would make us forget
    too early. So a leap does not count before it has stood for an hour; a clock that goes back counts at once.
    """

    def __init__(self, clock: Clock, steady: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._steady = steady
        self._at, self._since = clock(), steady()

    def __call__(self) -> Instant:
        now, passed = self._clock(), self._steady() - self._since
        if now > self._at + passed + LEAP_SECONDS and passed < BELIEVED_SECONDS:
            return Instant(self._at + int(passed))
        self._at, self._since = now, self._since + passed
        return now


class SystemRandom:
    """The operating system's dice."""

    def __call__(self, bits: int) -> str:
        if bits < 1:
            raise ValueError("no bits, no secret")
        return secrets.token_urlsafe((bits + 7) // 8)
