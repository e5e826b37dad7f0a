"""The way to the APIs: what is sent there and what comes back, byte for byte, without anything of a client's own."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx2

from deputize.core.wire import Headers
from deputize.gateway.settings import Settings

CONNECTIONS_MAX: Final = 1000
POOL_SECONDS: Final = 5.0


class Unreachable(Exception):
    """The API could not be reached, or did not answer as it should. Nothing was tried in a less safe way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A call as it goes to an API: fixed when it came, so that what a person allows is what runs.

    `url` has no query; `query` is the agent's, byte for byte. `body` None: it streams, and can be sent once.
    """

    method: str
    url: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None

    @property
    def whole_url(self) -> str:
        return f"{self.url}?{self.query}" if self.query else self.url


class Answer:
    """What an API answered: its head, and a body that is still under way."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self.status = response.status_code
        raw = response.headers.raw
        self.headers = Headers(tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw))

    async def parts(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Unreachable where it breaks off."""
        try:
            async for part in self._response.aiter_raw():
                yield part
        except (httpx2.HTTPError, httpx2.StreamError, OSError) as problem:
            raise Unreachable(type(problem).__name__) from None

    async def close(self) -> None:
        await self._response.aclose()


class Upstream:
    """Connections to APIs. A transport and no client: a client would follow redirects, keep cookies, read .netrc."""

    def __init__(self, settings: Settings) -> None:
        idle, connect = float(settings.idle_seconds), float(settings.connect_seconds)
        self._timeout = {"connect": connect, "read": idle, "write": idle, "pool": POOL_SECONDS}
        limits = httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=20, keepalive_expiry=5.0)
        # At DEBUG it would write down each answer's headers, in which an API may have put what was injected.
        logging.getLogger("httpcore2").setLevel(logging.INFO)
        self._transport = httpx2.AsyncHTTPTransport(trust_env=False, http1=True, http2=False, limits=limits, retries=0)

    async def send(
        self, call: Outgoing, injected: tuple[tuple[str, str], ...], stream: AsyncIterator[bytes] | None = None
    ) -> Answer:
        """Make the call. Raises Unreachable."""
        parts = urlsplit(call.whole_url)
        target = f"{parts.path or '/'}?{call.query}" if call.query else parts.path or "/"
        request = httpx2.Request(
            call.method,
            f"{parts.scheme}://{parts.netloc}/",
            headers=[*call.headers, *injected, ("accept-encoding", "identity")],
            content=stream if call.body is None else call.body or None,
            # The target as it is: an URL object would write some of its characters in another way.
            extensions={"timeout": self._timeout, "target": target.encode("ascii")},
        )
        try:
            answer = Answer(await self._transport.handle_async_request(request))
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError) as problem:
            raise Unreachable(type(problem).__name__) from None
        coded = any(coding.strip().lower() not in {"", "identity"} for coding in answer.headers.all("content-encoding"))
        if coded or not 200 <= answer.status < 600:  # what is packed cannot be looked through for secrets
            await answer.close()
            raise Unreachable("an answer with a content coding" if coded else f"an answer with status {answer.status}")
        return answer

    async def close(self) -> None:
        await self._transport.aclose()
