"""Ports for tests: a clock that stands still and dice that count."""

import hashlib

from deputize.core.values import Instant
from deputize.core.wire import b64u


class FixedClock:
    """Shows `now` until it is put forward."""

    def __init__(self, now: int = 1_800_000_000) -> None:
        self.now = Instant(now)

    def __call__(self) -> Instant:
        return self.now

    def forward(self, seconds: int) -> Instant:
        self.now = Instant(self.now + seconds)
        return self.now


class CountingRandom:
    """Never the same text twice, and the same texts in every run."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, bits: int) -> str:
        if bits < 1:
            raise ValueError("no bits, no secret")
        self.count += 1
        return b64u(hashlib.shake_256(b"%d" % self.count).digest((bits + 7) // 8))
