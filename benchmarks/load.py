"""The load generator: so many keep-alive connections, each sends its next request when it has its answer."""

import asyncio
import gc
import re
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final, cast

import uvloop

CONNECTIONS: Final = 32
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)\r\n")
_GOOD: Final = b"HTTP/1.1 200"

Learn = Callable[[bytes], None]


class WentWrong(Exception):
    """A server did not answer as it should: a figure of it would mean nothing."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round told: how many answers in how many seconds, and how long each took."""

    answers: int
    seconds: float
    waits: "array[float]"

    @property
    def per_second(self) -> float:
        return self.answers / self.seconds

    def wait_ms(self, share: float) -> float:
        """How long that share of the answers took at most."""
        ordered = sorted(self.waits)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


class _Asker(asyncio.Protocol):
    """One connection. Answers have a length and come one at a time; the next request goes out at once."""

    def __init__(
        self,
        requests: Iterator[bytes],
        waits: "array[float]",
        done: "asyncio.Future[None]",
        learn: Learn | None,
        dues: Iterator[float] | None,
    ) -> None:
        self._requests = requests
        self._dues = dues
        self._learn = learn
        self._wait = waits.append
        self._done = done
        self._buffer = b""
        self._needed = 0  # bytes of the answer, once its head is there
        self._sent_at = 0.0
        self._write: Callable[[bytes], None] = _nowhere
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._write = self._transport.write
        self._next()

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            if not self._done.done():
                self._done.set_result(None)
            if self._transport is not None:
                self._transport.close()
            return
        if self._dues is None:
            self._sent_at = time.perf_counter()
            self._write(request)
            return
        # A wait begins when the request was due: one that had to wait for a free connection has waited, too.
        self._sent_at = due = next(self._dues)
        left = due - time.perf_counter()
        if left > 0:
            asyncio.get_running_loop().call_later(left, self._write, request)
        else:
            self._write(request)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        if not self._needed:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._buffer = data
                return
            if not data.startswith(_GOOD):
                self._fail(data)
                return
            length = _LENGTH.search(data, 0, end + 2)
            if length is None:
                self._fail(data)
                return
            self._needed = end + 4 + int(length[1])
        if len(data) < self._needed:
            self._buffer = data
            return
        self._wait(time.perf_counter() - self._sent_at)
        if self._learn is not None:
            self._learn(data)
        self._buffer = b""
        self._needed = 0
        self._next()

    def _fail(self, data: bytes) -> None:
        if not self._done.done():
            self._done.set_exception(WentWrong(data[:600].decode("latin-1")))
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, problem: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(WentWrong(f"the connection was closed: {problem}"))


def _nowhere(_: bytes) -> None:
    """Before there is a connection."""


def run(
    port: int,
    requests: Iterable[bytes],
    *,
    connections: int = CONNECTIONS,
    learn: Learn | None = None,
    per_second: float | None = None,
) -> Round:
    """Send all requests, over so many connections at once. Raises WentWrong at any answer but 200.

    `learn` is told each answer before the next request is taken, which may so be made from an answer. `per_second` is
    how many are to go out in a second; without it, each goes out as soon as a connection is free.
    """
    return uvloop.run(_run(port, iter(requests), connections, learn, per_second))


async def _run(
    port: int, requests: Iterator[bytes], connections: int, learn: Learn | None, per_second: float | None
) -> Round:
    loop = asyncio.get_running_loop()
    waits = array("d")
    done: list[asyncio.Future[None]] = [loop.create_future() for _ in range(connections)]
    gc.collect()
    gc.disable()
    try:
        begun = time.perf_counter()
        dues = None if per_second is None else (begun + 0.05 + number / per_second for number in count())
        for future in done:
            await loop.create_connection(partial(_Asker, requests, waits, future, learn, dues), "127.0.0.1", port)
        await asyncio.gather(*done)
        ended = time.perf_counter()
    finally:
        gc.enable()
    return Round(len(waits), ended - begun, waits)
