"""Forgetting in small slices with pauses between them, so that those who commit meanwhile hardly notice."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

ROWS_MIN: Final = 100  # fewer cost as much: what a slice costs at least is the way to the database
ROWS_MAX: Final = 1000
SLICE_SECONDS: Final = 0.002  # what a slice is to take: whoever commits in that moment waits for so long
GENTLE_SHARE: Final = 0.1  # of the time, so much is spent on slices
HURRIED_SHARE: Final = 0.5  # and so much, in the largest slices, once a sweep has taken two minutes:
GENTLE_SECONDS: Final = 120.0  # then more expires than is forgotten


async def in_slices(forget: Callable[[int], Awaitable[int]], *, gentle_seconds: float = GENTLE_SECONDS) -> int:
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
        if before - begun < gentle_seconds:
            share, rows = GENTLE_SHARE, max(ROWS_MIN, min(ROWS_MAX, int(rows * min(2.0, SLICE_SECONDS / took))))
        else:
            share, rows = HURRIED_SHARE, ROWS_MAX
        await asyncio.sleep(took * (1 / share - 1))
