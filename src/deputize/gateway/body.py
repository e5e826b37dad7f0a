"""Bodies on their way: bounded in size, never waited for without an end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from deputize.core.rules import Rule
from deputize.core.wire import Headers, Outbound
from deputize.resource.asgi import Gone, Message, Receive, Send

SMALL = Rule("Deputize gateway", "bounds", "The body of a call is within the size that its route takes.")
STEADY = Rule("Deputize gateway", "bounds", "A body that was announced comes without long pauses.")
DRAIN_MAX: Final = 256 * 1024
DRAIN_SECONDS: Final = 1.0


async def _next(receive: Receive, idle: float) -> Message:
    try:
        async with asyncio.timeout(idle):
            message = await receive()
    except TimeoutError:
        STEADY.refuse("request_timeout")
    if message["type"] != "http.request":
        raise Gone
    return message


def _check_announced(headers: Headers, most: int) -> None:
    length = headers.one("content-length")
    if length is not None and int(length) > most:
        SMALL.refuse("too_large", announced=length)


async def streamed(headers: Headers, receive: Receive, *, most: int, idle: float) -> AsyncIterator[bytes]:
    """A body as it comes."""
    _check_announced(headers, most)
    size, more = 0, True
    while more:
        message = await _next(receive, idle)
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size > most:
            SMALL.refuse("too_large", read=size)
        if part:
            yield part


async def whole(headers: Headers, receive: Receive, *, most: int, idle: float) -> bytes:
    """A body that is kept."""
    body = bytearray()
    async for part in streamed(headers, receive, most=most, idle=idle):
        body += part
    return bytes(body)


async def discarded(receive: Receive, *, idle: float) -> None:
    """The end of a request that has no body."""
    while (await _next(receive, idle)).get("more_body", False):
        pass


async def drained(receive: Receive) -> None:
    """Take a little more of a body that was refused: who closes on one that still sends takes the answer away too."""
    size = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while size < DRAIN_MAX:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


async def until_gone(receive: Receive) -> None:
    """Wait until the agent is no longer there."""
    while (await receive())["type"] != "http.disconnect":
        pass


# --- answers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """An answer that is under way to an agent."""

    status: int
    headers: tuple[tuple[str, str], ...]
    parts: AsyncIterator[bytes]


def _start(status: int, headers: tuple[tuple[str, str], ...]) -> Message:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": raw}


async def send_out(out: Outbound, method: str, send: Send) -> None:
    """Write an answer that is all there."""
    length = () if out.status in {204, 304} else (("content-length", str(len(out.body))),)
    await send(_start(out.status, (*out.headers, *length)))
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else out.body})


async def stream_out(back: Returned, method: str, send: Send, *, idle: float) -> None:
    """Write an answer as it comes. A reader who takes nothing for too long gets no more. Raises TimeoutError."""
    await send(_start(back.status, back.headers))
    async for part in back.parts:
        if method != "HEAD":
            async with asyncio.timeout(idle):
                await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
