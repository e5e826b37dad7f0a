"""A Fetch that calls an application in this process: so that both ends of a flow are there, without a network."""

from collections.abc import Callable
from dataclasses import dataclass, field

from deputize.core.wire import Call, Headers, Reply
from deputize.server.http import Asgi
from tests.support.asgi import request


@dataclass
class Calling:
    """Calls go to the application; `answers` may put another answer in the place of one, and `calls` tells of all."""

    app: Callable[[], Asgi]
    answers: dict[str, Callable[[Reply], Reply]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    async def __call__(self, call: Call) -> Reply:
        self.calls.append(call)
        told = await request(self.app(), call.method, call.url, call.headers, (call.body,) if call.body else ())
        reply = Reply(status=told.status, headers=Headers(told.headers), body=told.body)
        path = call.url.partition("?")[0]
        return next((change(reply) for end, change in self.answers.items() if path.endswith(end)), reply)
