"""An Access at work in an HTTP client: the two loops that httpx2 and httpx share, under the names they call them by."""

import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, Protocol

import anyio

from deputize.core.ports import Fetch
from deputize.core.rules import Fault
from deputize.core.wire import Call, Headers, Reply
from deputize.sdk.access import Access, Attempt
from deputize.sdk.flow import Visit, anobody, arun, nobody, run


def no_send(call: Call) -> Reply:
    """Raises Fault: nobody gave a way out to the servers that resources name."""
    raise Fault(f"there is no way out to {call.url.partition('?')[0]}: give the client's auth a `send` or a `fetch`")


async def no_fetch(call: Call) -> Reply:
    """The same, async."""
    return no_send(call)


class Request(Protocol):
    """What both libraries' requests have."""

    method: str
    url: Any
    headers: Any

    def read(self) -> bytes: ...

    async def aread(self) -> bytes: ...


class Answering:
    """Sends each request with what `access` shows, and once more where its answer says how.

    One flow at a time runs for an `access`: of many requests that find a token ended, one renews it. `send` and `fetch`
    are the ways to servers that a peer may have named (`deputize.compose.client` has guarded ones); `visit` and
    `avisit` take a person to a page.
    """

    def __init__(
        self,
        access: Access,
        *,
        send: Callable[[Call], Reply] = no_send,
        fetch: Fetch = no_fetch,
        visit: Callable[[Visit], str] = nobody,
        avisit: Callable[[Visit], Awaitable[str]] = anobody,
    ) -> None:
        self._access = access
        self._send, self._fetch = send, fetch
        self._visit, self._avisit = visit, avisit
        self._turn, self._aturn = threading.Lock(), anyio.Lock()

    def sync_auth_flow(self, request: Request) -> Generator[Any, Any, None]:
        """The loop of a sync client."""
        attempt, url = Attempt(), str(request.url)
        request.read()  # it may have to be sent again
        while True:
            with self._turn:
                shown = run(self._access.shown(attempt, request.method, url), self._send, visit=self._visit)
            request.headers.update(dict(shown))
            response = yield request
            with self._turn:
                flow = self._access.told(attempt, url, response.status_code, _headers(response))
                again = run(flow, self._send, visit=self._visit)
            if not again:
                return

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Any, Any]:
        """The loop of an async client."""
        attempt, url = Attempt(), str(request.url)
        await request.aread()
        while True:
            async with self._aturn:
                shown = await arun(self._access.shown(attempt, request.method, url), self._fetch, visit=self._avisit)
            request.headers.update(dict(shown))
            response = yield request
            async with self._aturn:
                flow = self._access.told(attempt, url, response.status_code, _headers(response))
                again = await arun(flow, self._fetch, visit=self._avisit)
            if not again:
                return


def _headers(response: Any) -> Headers:  # noqa: ANN401 (a response of either library)
    return Headers(tuple((name.lower(), value) for name, value in response.headers.multi_items()))
