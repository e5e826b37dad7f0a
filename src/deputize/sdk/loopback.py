"""A person's browser comes back to this program: a listener on loopback (RFC 8252, 7.3)."""

import http.server
import queue
import threading
import webbrowser
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qsl, urlsplit

import anyio.to_thread

from deputize.core.rules import Fault, Rule
from deputize.core.values import Seconds
from deputize.sdk.flow import Visit

PATIENCE: Final = Seconds(300)
IDLE: Final = 10  # seconds for a request; browsers open connections which they then do not use
HOST: Final = "127.0.0.1"  # RFC 8252, 8.3: the address, since a name may resolve elsewhere

WEB_PAGE = Rule("RFC 8252", "6", "What is opened in a browser is a web page.")

_HEADERS: Final = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("Connection", "close"),
)
_DONE: Final = b"<!doctype html><title>Done</title><p>You can close this window, and go back to the program.</p>"
_WRONG: Final = b"<!doctype html><title>Not for us</title><p>This is not what the program waits for.</p>"


class LoopbackReceiver:
    """Listens on a port of its own for as long as it is open. Its `visit` fits `run`, its `avisit` fits `arun`."""

    def __init__(
        self, *, open_page: Callable[[str], object] = webbrowser.open, patience: Seconds = PATIENCE, port: int = 0
    ) -> None:
        self._open_page = open_page
        self._patience = patience
        self._waits: Visit | None = None
        self._came: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._turn, self._one = threading.Lock(), threading.Lock()
        self._server = http.server.ThreadingHTTPServer((HOST, port), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def base(self) -> str:
        """The program's `redirect_base`."""
        return f"http://{self._host}/callback"

    def visit(self, visit: Visit) -> str:
        """Open the page, and wait until the browser comes back. Raises Fault where it does not."""
        if urlsplit(visit.url).scheme not in {"https", "http"} or not visit.redirect_uri.startswith(
            f"http://{self._host}/"
        ):
            WEB_PAGE.refuse("invalid_request", scheme=urlsplit(visit.url).scheme[:20])
        with self._one:
            with self._turn:
                self._waits = visit
            try:
                self._open_page(visit.url)
                return self._came.get(timeout=self._patience)
            except queue.Empty:
                raise Fault("nobody came back from the browser in time") from None
            finally:
                with self._turn:
                    self._waits = None
                while not self._came.empty():
                    self._came.get()

    async def avisit(self, visit: Visit) -> str:
        """The same, where the rest goes on meanwhile."""
        return await anyio.to_thread.run_sync(self.visit, visit, abandon_on_cancel=True)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    @property
    def _host(self) -> str:
        return f"{HOST}:{self._server.server_address[1]}"

    def _takes(self, target: str, headers: "list[tuple[str, str]]") -> bool:
        """Whether this is what is waited for; if so, it is handed over, and nothing more is waited for."""
        told = {name.lower(): value for name, value in headers}
        if len(told) != len(headers) or told.get("host") != self._host or "origin" in told:
            return False  # a page elsewhere that reaches for us, or a name that was made to lead here
        if told.get("sec-fetch-mode", "navigate") != "navigate":
            return False
        url = f"http://{self._host}{target}"
        states = [value for name, value in parse_qsl(url.partition("?")[2]) if name == "state"]
        with self._turn:
            waits = self._waits
            if waits is None or url.partition("?")[0] != waits.redirect_uri or len(states) != 1:
                return False
            if not waits.state.matches(states[0]):
                return False
            self._waits = None
            self._came.put(url)
        return True

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = IDLE
            server_version, sys_version = "loopback", ""

            def do_GET(self) -> None:
                good = receiver._takes(self.path, self.headers.items())
                self.send_response(200 if good else 400)
                for name, value in _HEADERS:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(_DONE if good else _WRONG)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
                """Say nothing: the request line holds a code."""

        return Handler
