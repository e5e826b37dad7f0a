"""uvicorn's HTTP/1.1 with what it leaves open closed: bounds, deadlines, framing that two readers agree on.

To be given to `uvicorn.Config(http=GuardedProtocol)`. httptools already refuses most of what smuggles (two lengths, a
length beside chunks, folded lines, bare line feeds). Beyond that, this refuses what RFC 9112 tells it to, never lets a
trailer pass for a header, and ends what takes too long. HTTP/2 is not spoken, and an `Upgrade` is ignored.
"""

import asyncio
import sys
from asyncio.events import TimerHandle
from typing import Any, Final, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from deputize.oauth.certificate import CERTIFICATE_SCOPE
from deputize.server.http import HEADER_BYTES_MAX, HEADERS_MAX
from deputize.server.whole import Whole

HEAD_SECONDS: Final = 10.0
BODY_SECONDS: Final = 20.0
TARGET_BYTES_MAX: Final = 16 * 1024
PIPELINED_MAX: Final = 16
WHOLE_BYTES_MAX: Final = 64 * 1024
UNKNOWN: Final = sys.maxsize
_PLAIN: Final = frozenset({b"GET", b"POST"})


class _Bad(Exception):
    """Makes the parser stop."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS
    whole_bytes_max = WHOLE_BYTES_MAX  # a request with a longer body is begun before that has come

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._status = 400
        self._due: float | None = None  # when what we wait for is to be here
        self._alarm: TimerHandle | None = None  # rings at `_due`, or before: there is one a connection, not a request
        self._idle = False  # between two requests
        self._in_body = False
        self._header_bytes = 0
        self._fields = 0
        self._length = 0  # of the body, as it was announced
        self._silent = 0  # bytes that the parser swallowed without a word: a name, a value, an extension without end
        self._spoke = False
        self._running: RequestResponseCycle | Whole | None = None
        self._whole: bytearray | None = None  # the body of a request that is begun when it has come whole
        self._certificate: bytes | None = None

    # --- the connection ---

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        return self.server_state.default_headers

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._until(self.head_seconds)
        tls = transport.get_extra_info("ssl_object")
        self._certificate = tls.getpeercert(binary_form=True) if tls is not None else None

    def connection_lost(self, exc: Exception | None) -> None:
        self._until(None)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._idle or self._due is None:  # the first bytes after a pause, be they only line feeds before a request
            self._idle = False
            self._until(self.head_seconds)
        self._spoke = False
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as ignored:  # RFC 9110, 7.8: a server may ignore it, and go on
                data = data[ignored.args[0] :]
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return
            else:
                break
        self._silent = 0 if self._spoke else self._silent + len(data)
        if self._silent > HEADER_BYTES_MAX:
            self._status = 431
            self.send_400_response("Too much without an end.")

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, with the status that was found; then nothing more is read."""
        self._until(None)
        running, broken = self._running, self.cycle if self._in_body and self._whole is None else None
        if running is not None and running is not broken and not running.response_complete:
            # A good request went before: its answer is its own, and the last.
            self.pipeline.clear()
            running.keep_alive = False
            self.flow.pause_reading()
            return
        head = (
            STATUS_LINE[self._status],
            b"content-type: text/plain; charset=utf-8\r\n",
            b"content-length: %d\r\n" % len(msg),
            b"cache-control: no-store\r\nconnection: close\r\n\r\n",
        )
        if broken is None or not broken.response_started:
            self.transport.write(b"".join(head) + msg.encode("ascii"))
        self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle | Whole, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cast("RequestResponseCycle", cycle), app)

    # --- deadlines ---

    def _until(self, seconds: float | None) -> None:
        self._due = due = None if seconds is None else self.loop.time() + seconds
        if due is None or (self._alarm is not None and self._alarm.when() <= due):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self.loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._due is None:
            return
        left = self._due - self.loop.time()
        if left > 0:  # it was set for something that has come since
            self._until(left)
        elif self.flow.read_paused:  # it is we who do not listen at the moment
            self._until(self.head_seconds)
        elif not self.transport.is_closing():
            self.transport.close()

    def on_response_complete(self) -> None:
        """As uvicorn's, with the one alarm for the pause before the next request, too."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._due is None:  # nothing of another request is on its way
            self._idle = True
            self._until(self.timeout_keep_alive)

    # --- what the parser tells ---

    def _refuse(self, status: int) -> None:
        self._status = status
        raise _Bad

    def on_message_begin(self) -> None:
        self._spoke = True
        self._in_body = False
        self._whole = None
        self._header_bytes = self._fields = 0
        self._until(self.head_seconds)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._spoke = True
        super().on_url(url)
        if len(self.url) > TARGET_BYTES_MAX:
            self._refuse(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._spoke = True
        self._fields += 1
        self._header_bytes += len(name) + len(value)
        if self._fields > HEADERS_MAX or self._header_bytes > HEADER_BYTES_MAX:
            self._refuse(431)
        if not self._in_body:  # a trailer comes after everything was decided: no field of ours may come so late
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._spoke = True
        self._check_framing()
        self._in_body = True
        self._until(self.body_seconds)
        if self._certificate is not None:
            cast("dict[str, Any]", self.scope)[CERTIFICATE_SCOPE] = self._certificate
        if self._may_wait():
            self._whole = bytearray()
        else:
            super().on_headers_complete()

    def _may_wait(self) -> bool:
        """Whether to wait for all of the request before it is begun: it is short, and the only one under way."""
        before = cast("RequestResponseCycle | Whole | None", self.cycle)
        return (
            self._length <= self.whole_bytes_max
            and not self.expect_100_continue
            and (before is None or before.response_complete)
            and self.limit_concurrency is None
            and b"#" not in self.url
            and b"%" not in self.url.partition(b"?")[0]
            and self.parser.get_http_version() == "1.1"
            and self.parser.get_method() in _PLAIN
            and not self.parser.should_upgrade()
        )

    def _check_framing(self) -> None:
        version = self.parser.get_http_version()
        if version not in {"1.0", "1.1"}:
            self._refuse(505)
        if not self.url.startswith(b"/") and self.url != b"*":
            self._refuse(400)  # absolute-form: nobody is to wonder which host was meant
        hosts, codings, length = 0, [], 0
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
            elif name == b"transfer-encoding":
                codings.append(value.lower())
            elif name == b"content-length":
                length = int(value)  # a number: the parser has seen to that
        if hosts > 1 or (hosts == 0 and version == "1.1"):  # RFC 9112, 3.2
            self._refuse(400)
        if codings and (version == "1.0" or codings != [b"chunked"]):
            self._refuse(400)  # RFC 9112, 6.1: faulty framing, or a coding that nobody here undoes
        self._length = UNKNOWN if codings else length
        if self.parser.should_upgrade() and self._length:
            self._refuse(400)  # the parser would take the body for the next request
        if len(self.pipeline) >= PIPELINED_MAX:
            self._refuse(400)

    def on_chunk_header(self) -> None:
        self._spoke = True

    def on_chunk_complete(self) -> None:
        self._spoke = True

    def on_body(self, body: bytes) -> None:
        self._spoke = True
        if self._whole is None:
            super().on_body(body)
        else:
            self._whole += body

    def on_message_complete(self) -> None:
        self._spoke = True
        self._in_body = False
        self._until(None)
        if self._whole is None:
            super().on_message_complete()
            return
        body, self._whole = bytes(self._whole), None
        path, _, query = self.url.partition(b"?")
        scope = cast("dict[str, Any]", self.scope)
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"] = self.root_path + path.decode("ascii")
        scope["raw_path"] = self.root_path.encode("ascii") + path
        scope["query_string"] = query
        one = Whole(self, scope, body, keep_alive=self.parser.should_keep_alive())
        self.cycle = cast("RequestResponseCycle", one)
        self._start_asgi_task(one, self.app)
