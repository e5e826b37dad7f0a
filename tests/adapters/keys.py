"""Signers for tests, and a process of its own that changes a key file: `python -m tests.adapters.keys PATH VERB`."""

import asyncio
import itertools
import os
import sys
from pathlib import Path

import structlog

from deputize.adapters.key_file import FileSigner
from deputize.adapters.keys_master import MasterKey
from deputize.adapters.keys_ring import Ring, State
from deputize.adapters.keys_signer import RingSigner, Step
from deputize.core.values import Instant
from deputize.jose.keys import PublicKey
from tests.support.ports import FixedClock

DAY = 24 * 3600
MASTER = MasterKey("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA")
OTHER_MASTER = MasterKey("7xI0VniQq83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq8M=")


def states(signer: RingSigner) -> list[tuple[str, State]]:
    return [(key.kid, key.state) for key in signer.told()]


def kids(signer: RingSigner) -> set[str]:
    return {jwk["kid"] for jwk in signer.keys()}  # noqa: SIM118 (a signer is no dictionary)


async def signs(signer: RingSigner) -> str:
    """The key that signs now; what it signs is verified by what is published of it."""
    kid, alg = signer.active()
    (jwk,) = [jwk for jwk in signer.keys() if jwk["kid"] == kid]  # noqa: SIM118 (the same)
    key = PublicKey.from_jwk(jwk)
    assert key.alg.name == alg
    assert key.verifies(await signer.sign(kid, b"data"), b"data")
    return kid


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def opened(path: str, now: int) -> FileSigner:
    return FileSigner.open(Path(path), clock=FixedClock(now))


def make(path: str, now: int) -> None:
    """Open it, at the same time as others do; say who signs."""
    say("ready")
    sys.stdin.readline()
    say(opened(path, now).active()[0])


class Held(FileSigner):
    """Has looked, and decided what to change; and waits to be told."""

    async def _change(self, step: Step, what: str) -> Ring:
        say("ready")
        sys.stdin.readline()
        return await super()._change(step, what)


def rotate(path: str, now: int) -> None:
    """Rotate at once, at the same time as others do; say who signs."""
    signer = Held.open(Path(path), clock=FixedClock(now))
    asyncio.run(signer.rotate(at_once=True))
    say(signer.active()[0])


def churn(path: str, now: int) -> None:
    """Rotate until killed, each time an hour later; say each key once it is acknowledged."""
    clock = FixedClock(now)
    signer = FileSigner.open(Path(path), clock=clock)

    async def main() -> None:
        for hours in itertools.count(1):
            clock.now = Instant(now + hours * 3600)
            await signer.tend()
            await signer.rotate(at_once=True)
            say(signer.active()[0], clock.now)

    asyncio.run(main())


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    {"make": make, "rotate": rotate, "churn": churn}[sys.argv[2]](sys.argv[1], int(sys.argv[3]))
