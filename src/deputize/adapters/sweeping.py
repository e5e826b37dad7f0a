"""Forgetting in small slices with pauses between them, so that those who commit meanwhile hardly notice."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

ROWS_MIN: Final = 20
ROWS_MAX: Final = 1000
SLICE_SECONDS: Final = 0.002  # what a slice is to take: whoever commits in that moment waits for so long
GENTLE_SHARE: Final = 0.1  # of the time, so much is spent on slices
HURRIED_SHARE: Final = 0.5  # and so much once a sweep has taken ten minutes: then more expires than is forgotten
GENTLE_SECONDS: Final = 600.0


async def in_slices(forget: Callable[[int], Awaitable[int]]) -> int:
    """Forget until nothing is left; how many. `forget` forgets at most so many, and says how many it were."""
    begun = time.monotonic()
    rows = ROWS_MIN
    total = 0
    while True:
        before = time.monotonic()
        count = await forget(rows)
        total += count
        if count < rows:
            return total
        took = time.monotonic() - before
        share = GENTLE_SHARE if before - begun < GENTLE_SECONDS else HURRIED_SHARE
        rows = max(ROWS_MIN, min(ROWS_MAX, int(rows * min(2.0, SLICE_SECONDS / took))))
        await asyncio.sleep(took * (1 / share - 1))
