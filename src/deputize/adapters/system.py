"""The real clock and the real dice."""

import secrets
import time

from deputize.core.values import Instant


class SystemClock:
    """The machine's clock, in whole seconds."""

    def __call__(self) -> Instant:
        return Instant(int(time.time()))


class SystemRandom:
    """The operating system's dice."""

    def __call__(self, bits: int) -> str:
        if bits < 1:
            raise ValueError("no bits, no secret")
        return secrets.token_urlsafe((bits + 7) // 8)
