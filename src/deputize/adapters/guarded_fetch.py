"""The one door out: to the origins that were configured and to no other, bounded in time and size."""

import asyncio
import weakref
from typing import Final
from urllib.parse import urlsplit

import httpx2

from deputize.core.rules import Fault
from deputize.core.values import WebUrl
from deputize.core.wire import Call, Headers, Reply

HEADER_BYTES_MAX: Final = 16 * 1024
CONNECTIONS_MAX: Final = 16  # a slow peer holds up those who ask it, and nobody else

_PORTS: Final = {"https": 443, "http": 80}
_OURS: Final = frozenset({"accept-encoding", "connection", "content-length", "host", "te", "transfer-encoding"})

Origin = tuple[str, str, int]


def origin_of(text: str) -> Origin:
    """Where this URL leads. Raises ValueError for one that two readers would understand differently."""
    parts = urlsplit(WebUrl(text).text)  # no userinfo, no fragment, no character that one reader drops
    seen = httpx2.URL(text)
    origin = (parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS[parts.scheme])
    if origin != (seen.scheme, seen.host, seen.port or _PORTS[seen.scheme]):
        raise ValueError("a URL that leads to two places")
    return origin


class GuardedFetch:
    """Fetches from `allowed_origins` (scheme, host and port as in `https://api.example`); all else is a Fault.

    Redirects are handed back, not followed. Neither cookies nor proxies nor credentials of the environment are used:
    the transport is driven directly, since a client would bring them along. `timeout` is for the whole exchange.
    """

    def __init__(self, allowed_origins: frozenset[str], *, timeout: float = 5.0) -> None:
        for text in allowed_origins:
            if WebUrl(text).origin != text:
                raise ValueError("an allowed origin is a scheme, a host and a port, and no more")
        self._allowed = frozenset(origin_of(text) for text in allowed_origins)
        self._timeout = timeout
        self._transports: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx2.AsyncHTTPTransport] = (
            weakref.WeakKeyDictionary()
        )

    async def __call__(self, call: Call) -> Reply:
        try:
            origin = origin_of(call.url)
        except (ValueError, KeyError, httpx2.InvalidURL):
            raise Fault("not an allowed origin: not a URL that we follow") from None
        named = f"{origin[0]}://{origin[1]}:{origin[2]}"  # in what we say of it: a path and a query may hold secrets
        if origin not in self._allowed:
            raise Fault(f"{named} is not an allowed origin")
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(call, named)
        except TimeoutError:
            raise Fault(f"{named} did not answer in time", retry=True) from None
        except (httpx2.HTTPError, httpx2.StreamError, OSError, ValueError) as problem:
            raise Fault(f"{named} could not be reached: {type(problem).__name__}", retry=True) from None

    async def _exchange(self, call: Call, named: str) -> Reply:
        headers = [(name, value) for name, value in call.headers if name.lower() not in _OURS]
        request = httpx2.Request(
            call.method,
            call.url,
            headers=[*headers, ("accept-encoding", "identity")],
            content=call.body,
            extensions={"timeout": httpx2.Timeout(self._timeout).as_dict()},
        )
        response = await self._transport().handle_async_request(request)
        try:
            return Reply(
                status=response.status_code,
                headers=_headers(response, named),
                body=await _body(response, call.bytes_max, named),
            )
        finally:
            await response.aclose()

    def _transport(self) -> httpx2.AsyncHTTPTransport:
        loop = asyncio.get_running_loop()
        transport = self._transports.get(loop)
        if transport is None:
            transport = self._transports[loop] = httpx2.AsyncHTTPTransport(
                trust_env=False,
                http1=True,
                http2=False,
                limits=httpx2.Limits(max_connections=CONNECTIONS_MAX, keepalive_expiry=15.0),
            )
        return transport

    async def aclose(self) -> None:
        """Close this loop's connections."""
        transport = self._transports.pop(asyncio.get_running_loop(), None)
        if transport is not None:
            await transport.aclose()


def _headers(response: httpx2.Response, named: str) -> Headers:
    raw = response.headers.raw
    if sum(len(name) + len(value) for name, value in raw) > HEADER_BYTES_MAX:
        raise Fault(f"{named} answered with more than {HEADER_BYTES_MAX} bytes of headers")
    headers = Headers(tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw))
    if any(coding.strip().lower() not in {"", "identity"} for coding in headers.all("content-encoding")):
        raise Fault(f"{named} answered with a content coding that was not asked for")  # unpacked it may be any size
    return headers


async def _body(response: httpx2.Response, bytes_max: int, named: str) -> bytes:
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > bytes_max:
            raise Fault(f"{named} answered with more than {bytes_max} bytes")
    return bytes(body)
