"""The world as published documents see it: a clock that a test turns, and a dictionary for a network."""

from dataclasses import dataclass, field, replace
from typing import Any, cast

import anyio

from deputize.core.ports import Env
from deputize.core.rules import Fault
from deputize.core.values import Instant
from deputize.core.wire import Call, Headers, Reply, json_bytes

JSON = Headers((("content-type", "application/json"),))
NOW = Instant(1_764_000_000)


@dataclass(slots=True)
class Outside:
    """`answers` holds a reply, an object to be sent as JSON, or a Fault a URL; `calls` what was asked for."""

    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    now: Instant = NOW

    def clock(self) -> Instant:
        return self.now

    async def fetch(self, call: Call) -> Reply:
        self.calls.append(call)
        await anyio.lowlevel.checkpoint()  # others may come in between
        told = self.answers.get(call.url, Fault("nobody there", retry=True))
        if isinstance(told, Fault):
            raise told
        reply = told if isinstance(told, Reply) else Reply(status=200, headers=JSON, body=json_bytes(told))
        if len(reply.body) > call.bytes_max:
            raise Fault("the answer is too large")
        return replace(reply)

    def later(self, seconds: int) -> None:
        self.now = Instant(self.now + seconds)

    @property
    def env(self) -> Env:
        """The ports that are needed here, and no others."""
        none = cast("Any", None)
        return Env(clock=self.clock, random=none, store=none, fetch=self.fetch, signer=none, notify=none, policy=none)
