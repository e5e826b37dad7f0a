"""The one door out: to the origins that were configured, and to public addresses where strangers may be asked."""

import asyncio
import ssl
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpcore2
import httpx2

from deputize.adapters.addresses import is_public_name
from deputize.adapters.dialling import CheckedDialler, Dial, Resolve, Resolver
from deputize.core.rules import Fault
from deputize.core.values import WebUrl
from deputize.core.wire import Call, Headers, Reply

HEADER_BYTES_MAX: Final = 16 * 1024
CONNECTIONS_MAX: Final = 16  # a slow peer holds up those who ask it, and nobody else
KEPT_OPEN: Final = 15.0

_PORTS: Final = {"https": 443, "http": 80}
_OURS: Final = frozenset({"accept-encoding", "connection", "content-length", "host", "te", "transfer-encoding"})
_NOBODY_S: Final = frozenset({"accept", "if-none-match", "user-agent"})  # headers that say nothing of who asks
_TROUBLE: Final = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.UnsupportedProtocol,
    httpcore2.ConnectionNotAvailable,
    OSError,
    ValueError,
)

Origin = tuple[str, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What may be fetched from elsewhere, and how long it may take.

    `strangers` says whether documents of those whom nobody configured are fetched: over https, from `ports`, and from
    public addresses only. `allowed_origins` (such as `https://login.lab.example:8443`) are fetched from whatever their
    address is: configured peers inside, and labs. `ca_file` names a file of certificate authorities that are trusted
    beside the system's. `seconds` is for a whole exchange, `connect_seconds` and `idle_seconds` for its steps.
    """

    strangers: bool = True
    ports: tuple[int, ...] = (443,)
    allowed_origins: tuple[str, ...] = ()
    ca_file: str = ""
    seconds: float = 5.0
    connect_seconds: float = 2.0
    idle_seconds: float = 3.0


CONFIGURED_ONLY: Final = Settings(strangers=False)


def origin_of(text: str) -> Origin:
    """Where this URL leads. Raises ValueError for one that two readers would understand differently."""
    parts = urlsplit(WebUrl(text).text)  # no userinfo, no fragment, no character that one reader drops
    seen = httpx2.URL(text)
    origin = (parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS[parts.scheme])
    if origin != (seen.scheme, seen.host, seen.port or _PORTS[seen.scheme]):
        raise ValueError("a URL that leads to two places")
    return origin


@dataclass(slots=True)
class _Side:
    """Connections to one sort of peer: neither sort can hold up the other."""

    pool: httpcore2.AsyncConnectionPool
    resolver: Resolver


@dataclass(slots=True)
class _Line:
    """What one event loop has: connections to those who were configured and to strangers, and what is under way."""

    configured: _Side
    strangers: _Side
    flights: dict[Call, asyncio.Task[Reply]] = field(default_factory=dict)


class GuardedFetch:
    """Fetches from `allowed_origins`, and by its settings from strangers; all else is a Fault, and never contacted.

    An allowed origin is scheme, host and port, as in `https://api.example`. A redirect is handed back. Neither cookies
    nor proxies nor credentials of the environment are used: the pool is driven directly, since a client would bring
    them along. Who asks for the same document while it is under way gets the same answer. `resolve` and `dial` are for
    tests.
    """

    def __init__(
        self,
        allowed_origins: frozenset[str] = frozenset(),
        settings: Settings = CONFIGURED_ONLY,
        *,
        resolve: Resolve | None = None,
        dial: Dial | None = None,
    ) -> None:
        allowed = allowed_origins | frozenset(settings.allowed_origins)
        for text in allowed:
            if WebUrl(text).origin != text:
                raise ValueError("an allowed origin is a scheme, a host and a port, and no more")
        self._allowed = frozenset(origin_of(text) for text in allowed)
        self._settings = settings
        self._timeouts = {
            "connect": settings.connect_seconds,
            "read": settings.idle_seconds,
            "write": settings.idle_seconds,
            "pool": settings.seconds,
        }
        self._authorities = _authorities(settings.ca_file)
        self._resolve = resolve
        self._dial = dial or httpcore2.AnyIOBackend().connect_tcp
        self._lines: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = weakref.WeakKeyDictionary()

    async def __call__(self, call: Call) -> Reply:
        origin, named = self._judged(call.url)
        if not _is_anonymous(call):
            return await self._timed(call, origin, named)
        line = self._line()
        if (flight := line.flights.get(call)) is None:
            flight = line.flights[call] = asyncio.create_task(self._timed(call, origin, named))
            flight.add_done_callback(lambda done: _landed(line, call, done))
        return await asyncio.shield(flight)  # who goes away takes nobody's answer along

    def _judged(self, url: str) -> tuple[Origin, str]:
        """Where it leads, if we go there, and what we call it: a path and a query may hold secrets. Raises Fault."""
        try:
            origin = origin_of(url)
        except (ValueError, KeyError, httpx2.InvalidURL):
            raise Fault("not an allowed origin: not a URL that we follow") from None
        scheme, host, port = origin
        named = f"{scheme}://{host}:{port}"
        if origin in self._allowed:
            return origin, named
        if not self._settings.strangers:
            raise Fault(f"{named} is not an allowed origin")
        if scheme != "https" or port not in self._settings.ports or not is_public_name(host):
            raise Fault(f"{named} is not an allowed origin: strangers have public names and https")
        return origin, named

    async def _timed(self, call: Call, origin: Origin, named: str) -> Reply:
        try:
            async with asyncio.timeout(self._settings.seconds):
                return await self._exchange(call, origin, named)
        except (TimeoutError, httpcore2.TimeoutException):
            raise Fault(f"{named} did not answer in time", retry=True) from None
        except _TROUBLE as problem:
            raise Fault(f"{named} could not be reached: {type(problem).__name__}", retry=True) from None

    async def _exchange(self, call: Call, origin: Origin, named: str) -> Reply:
        line = self._line()
        side = line.configured if origin in self._allowed else line.strangers
        # One request to write the URL and the framing by the book; a pool of ours to send it.
        made = httpx2.Request(
            call.method,
            call.url,
            headers=[
                *((name, value) for name, value in call.headers if name.lower() not in _OURS),
                ("accept-encoding", "identity"),
            ],
            content=call.body,
        )
        request = httpcore2.Request(
            made.method,
            httpcore2.URL(
                scheme=made.url.raw_scheme, host=made.url.raw_host, port=made.url.port, target=made.url.raw_path
            ),
            headers=made.headers.raw,
            content=call.body,
            extensions={"timeout": self._timeouts},
        )
        response = await side.pool.handle_async_request(request)
        try:
            headers = _headers(response, named)
            return Reply(status=response.status, headers=headers, body=await _body(response, call.bytes_max, named))
        finally:
            await response.aclose()

    def _line(self) -> _Line:
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None:
            tls = tls_context(
                self._authorities
            )  # when it is first needed: the system's authorities take their time to read
            line = self._lines[loop] = _Line(self._side(tls, strangers=False), self._side(tls, strangers=True))
        return line

    def _side(self, tls: ssl.SSLContext, *, strangers: bool) -> _Side:
        resolver = Resolver(absolute=strangers)
        pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=CONNECTIONS_MAX,
            keepalive_expiry=KEPT_OPEN,
            network_backend=CheckedDialler(self._resolve or resolver, self._dial, strangers=strangers),
        )
        return _Side(pool, resolver)

    async def aclose(self) -> None:
        """Close this loop's connections."""
        line = self._lines.pop(asyncio.get_running_loop(), None)
        for side in (line.configured, line.strangers) if line else ():
            await side.pool.aclose()
            side.resolver.close()


def tls_context(authorities: str = "") -> ssl.SSLContext:
    """TLS with those whom the system believes, and with these authorities (PEM)."""
    context = httpx2.create_ssl_context(trust_env=False)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authorities:
        context.load_verify_locations(cadata=authorities)
    return context


def _authorities(ca_file: str) -> str:
    """What a file of authorities says. Raises OSError where it cannot be read, or says nothing."""
    if not ca_file:
        return ""
    authorities = Path(ca_file).read_text(encoding="ascii", errors="replace")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=authorities)
    except ValueError:
        raise OSError("no certificates in it") from None
    return authorities


def _is_anonymous(call: Call) -> bool:
    """Whether a call says nothing of who makes it, so that its answer is anybody's."""
    return call.method == "GET" and not call.body and all(name.lower() in _NOBODY_S for name, _ in call.headers)


def _landed(line: _Line, call: Call, done: asyncio.Task[Reply]) -> None:
    del line.flights[call]
    if not done.cancelled():
        done.exception()  # looked at, even where all who waited have gone


def _headers(response: httpcore2.Response, named: str) -> Headers:
    raw = response.headers
    if sum(len(name) + len(value) for name, value in raw) > HEADER_BYTES_MAX:
        raise Fault(f"{named} answered with more than {HEADER_BYTES_MAX} bytes of headers")
    headers = Headers(tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw))
    if any(coding.strip().lower() not in {"", "identity"} for coding in headers.all("content-encoding")):
        raise Fault(f"{named} answered with a content coding that was not asked for")  # unpacked it may be any size
    return headers


async def _body(response: httpcore2.Response, bytes_max: int, named: str) -> bytes:
    body = bytearray()
    async for part in response.aiter_stream():
        body += part
        if len(body) > bytes_max:
            raise Fault(f"{named} answered with more than {bytes_max} bytes")
    return bytes(body)
