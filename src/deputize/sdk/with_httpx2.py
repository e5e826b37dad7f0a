"""`httpx2` with tokens: hand this to a client as its `auth`."""

from collections.abc import AsyncGenerator, Generator

import httpx2

from deputize.sdk.calling import Answering


class OAuth(Answering, httpx2.Auth):
    """Tokens for the resources that an httpx2 client calls: `httpx2.Client(auth=OAuth(access, visit=…))`."""

    def sync_auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        yield from self.calls(request)

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        flow = self.acalls(request)
        try:
            response = None
            while True:
                try:
                    asked = await flow.asend(response)
                except StopAsyncIteration:
                    return
                response = yield asked
        finally:
            await flow.aclose()
