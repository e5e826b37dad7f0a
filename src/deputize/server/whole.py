"""A request that has come whole, and its answer: what most are, at a third of what a stream of events costs.

It speaks ASGI as uvicorn's own cycle does, and has the face that uvicorn's protocol looks at; but the body is one
piece, and head and body of an answer that is one piece leave in one write.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol

import structlog
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

Message = MutableMapping[str, Any]

_BARE: Final = frozenset({204, 304})  # answers without a body, and without its length
_BROKEN: Final = b"Internal Server Error"

log = structlog.get_logger("deputize.server")


class Connection(Protocol):
    """What an answer needs of the connection that it goes out on."""

    transport: asyncio.Transport
    flow: FlowControl

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]: ...

    def on_response_complete(self) -> None: ...


class Whole:
    """One request with all of its body."""

    __slots__ = (
        *("_answer", "_body", "_chunked", "_connection", "_gone", "disconnected", "keep_alive"),
        *("response_complete", "response_started", "scope"),
    )

    def __init__(
        self, connection: Connection, scope: MutableMapping[str, Any], body: bytes, *, keep_alive: bool
    ) -> None:
        self._connection = connection
        self.scope = scope
        self._body: bytes | None = body
        self._answer: Message | None = None
        self._chunked = False
        self._gone: asyncio.Event | None = None
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_started = False
        self.response_complete = False

    # --- what uvicorn's protocol says to it ---

    @property
    def message_event(self) -> "Whole":
        return self

    def set(self) -> None:
        """The connection is gone."""
        if self._gone is not None:
            self._gone.set()

    # --- ASGI ---

    async def run_asgi(self, app: Callable[..., Awaitable[None]]) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:
            log.exception("failed", path=self.scope["path"])
            await self._fail()
        else:
            if not self.response_complete and not self.disconnected:
                log.error("not answered", path=self.scope["path"])
                await self._fail()

    async def _fail(self) -> None:
        if self._answer is not None or self.disconnected:
            self._connection.transport.close()  # an answer that was begun is seen to be cut off
            return
        self.keep_alive = False
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_BROKEN))]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": _BROKEN})

    async def receive(self) -> Message:
        body, self._body = self._body, None
        if body is not None and not self.disconnected:
            return {"type": "http.request", "body": body, "more_body": False}
        if not self.disconnected and not self.response_complete:
            self._gone = asyncio.Event()
            await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self.disconnected or self.response_complete:
            return
        if message["type"] == "http.response.start":
            if self._answer is not None:
                raise RuntimeError("an answer is begun once")
            self._answer = message
            return
        if self._answer is None:
            raise RuntimeError("an answer is begun before its body is sent")
        connection = self._connection
        body, more = message.get("body", b""), message.get("more_body", False)
        if self.response_started:
            data = b"%x\r\n%b\r\n" % (len(body), body) if self._chunked and body else body
        else:
            data = self._head(self._answer, body, more=more)
            self.response_started = True
        if self._chunked and not more:
            data += b"0\r\n\r\n"
        connection.transport.write(data)
        if connection.flow.write_paused:  # a slow reader waits for nobody's memory but its own
            await connection.flow.drain()
        if not more:
            self.response_complete = True
            self.set()
            if not self.keep_alive:
                connection.transport.close()
            connection.on_response_complete()

    def _head(self, answer: Message, body: bytes, *, more: bool) -> bytes:
        status = answer["status"]
        lines = [STATUS_LINE[status][:-2]]
        length = None
        for name, value in (*self._connection.default_headers, *answer["headers"]):
            if name == b"content-length":
                length = value
            elif name == b"connection" and value.lower() == b"close":
                self.keep_alive = False
                continue
            lines.append(b"%b: %b" % (name, value))
        if length is None and status not in _BARE:
            self._chunked = more
            lines.append(b"transfer-encoding: chunked" if more else b"content-length: %d" % len(body))
        elif length is not None and not more and length != b"%d" % len(body):
            raise RuntimeError("an answer is as long as it says")
        if not self.keep_alive:
            lines.append(b"connection: close")
        head = b"\r\n".join(lines)
        if not head.count(b"\r") == head.count(b"\n") == len(lines) - 1 or b"\0" in head:
            raise RuntimeError("a header is one line")  # so nobody who gets a word into one writes another
        return b"%b\r\n\r\n%b" % (head, b"%x\r\n%b\r\n" % (len(body), body) if self._chunked and body else body)
