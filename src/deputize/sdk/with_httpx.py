"""`httpx`, where it is installed, with tokens: hand this to a client as its `auth`."""

from collections.abc import AsyncGenerator, Generator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from deputize.sdk.calling import Answering

# It is no dependency of ours: where it is not installed, there is no client to hand this to either.
_Auth: Any = import_module("httpx").Auth if find_spec("httpx") else object


class OAuth(Answering, _Auth):  # type: ignore[misc]  # its types are there only where it is
    """Tokens for the resources that an httpx client calls: `httpx.Client(auth=OAuth(access, visit=…))`."""

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:  # noqa: ANN401 (a request of httpx)
        yield from self.calls(request)

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:  # noqa: ANN401 (a request of httpx)
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
