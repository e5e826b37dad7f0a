"""What an API reaches of a server that runs in the same process: and a list of what it asked there."""

from urllib.parse import urlsplit

import httpx2

from deputize.core.rules import Fault
from deputize.core.wire import Call, Headers, Reply
from tests.support.world import World


class Reach:
    """The way to a world's server; `asked` names each request by its method, and the path above its last segment."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: list[str] = []
        self.is_down = False

    async def __call__(self, call: Call) -> Reply:
        if self.is_down:
            raise Fault("out of reach", retry=True)
        self.asked.append(f"{call.method} {urlsplit(call.url).path.rpartition('/')[0] or urlsplit(call.url).path}")
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.world.app)) as client:
            told = await client.request(call.method, call.url, headers=list(call.headers), content=call.body)
        headers = Headers(tuple((name.lower(), value) for name, value in told.headers.multi_items()))
        return Reply(status=told.status_code, headers=headers, body=told.content)
