"""A status list against bare zlib, and look-ups in one: `python -m benchmarks.status`.

A list of 1 and of 10 million entries of 2 bits, one in a hundred told of: ours is all of it, from a byte for each entry
to the signed token; the limit is zlib at the same level over the packed bytes. Both in each round, in the same weather.
"""

import random
import statistics
import sys
import time
from dataclasses import dataclass

from deputize.core.values import Instant, Seconds
from deputize.jose.keys import PrivateKey
from deputize.vc.status_list import LEVEL_LIVE, StatusList
from deputize.vc.status_token import Content, Form, signed

NOW = Instant(int(time.time()))
KEY = PrivateKey.generate()
BITS = 2
LOOK_UPS = 200_000


@dataclass(frozen=True, slots=True)
class Built:
    """Medians of the rounds."""

    entries: int
    limit_ms: float
    ours_ms: float
    ratio: float


def _statuses(entries: int) -> bytes:
    dice, told = random.Random(entries), bytearray(entries)
    for idx in dice.sample(range(entries), entries // 100):
        told[idx] = dice.randrange(1, 4)
    return bytes(told)


def built(entries: int, rounds: int) -> Built:
    """How long a list takes that is packed, deflated and signed, beside the deflating alone."""
    statuses = _statuses(entries)
    packed = StatusList.of_all(BITS, statuses)
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        packed.deflated(LEVEL_LIVE)
        between = time.perf_counter()
        content = Content.of(
            StatusList.of_all(BITS, statuses),
            uri="https://as.example/status/1",
            issued_at=NOW,
            until=Instant(NOW + 3600),
            ttl=Seconds(60),
        )
        signed(content, Form.JWT, KEY)
        taken.append((between - begun, time.perf_counter() - between))
    bare, ours = (statistics.median(times) * 1000 for times in zip(*taken, strict=True))
    return Built(entries, bare, ours, statistics.median(one / other for one, other in taken))


def look_ups(entries: int, rounds: int) -> float:
    """Look-ups in a second, each of another token."""
    statuses = StatusList.of_all(BITS, _statuses(entries))
    dice = random.Random(1)
    wanted = [dice.randrange(entries) for _ in range(LOOK_UPS)]
    rates = []
    for _ in range(rounds):
        at = statuses.at
        begun = time.perf_counter()
        for idx in wanted:
            at(idx)
        rates.append(LOOK_UPS / (time.perf_counter() - begun))
    return statistics.median(rates)


def main(rounds: int = 9) -> None:
    for entries in (1_000_000, 10_000_000):
        one = built(entries, rounds)
        print(f"status_build {entries:>12,}: {one.ours_ms:7.1f} ms, zlib alone {one.limit_ms:7.1f} ms: {one.ratio:.2f}")
        print(f"status_lookup{entries:>12,}: {look_ups(entries, rounds) / 1e6:.2f} M/s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
