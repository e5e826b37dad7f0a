"""A client flow is a generator: it says what it wants done, and is told the answer. Two drivers run it."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import anyio

from deputize.core.ports import Env
from deputize.core.rules import Fault
from deputize.core.values import Seconds
from deputize.core.wire import Call, Reply

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do for so long. What is sent in answer says nothing."""

    seconds: Seconds


Flow: TypeAlias = Generator[Call | Wait, Reply, T]
WAITED: Final = Reply(status=0)


async def arun(flow: Flow[T], env: Env, *, waiting: Callable[[], None] = lambda: None) -> T:
    """Run a flow over `env.fetch`. A call that fails is thrown into the flow as the Fault that it is.

    `waiting` is called before each wait: there it is known that the answer is not in yet.
    """
    try:
        step = next(flow)
        while True:
            if isinstance(step, Wait):
                waiting()
                await anyio.sleep(step.seconds)
                step = flow.send(WAITED)
                continue
            try:
                reply = await env.fetch(step)
            except Fault as fault:
                step = flow.throw(fault)
            else:
                step = flow.send(reply)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()


def run(flow: Flow[T], send: Callable[[Call], Reply], wait: Callable[[float], None] = time.sleep) -> T:
    """Run a flow where nothing is async. `send` makes a call, and raises Fault where it cannot."""
    try:
        step = next(flow)
        while True:
            if isinstance(step, Wait):
                wait(step.seconds)
                step = flow.send(WAITED)
                continue
            try:
                reply = send(step)
            except Fault as fault:
                step = flow.throw(fault)
            else:
                step = flow.send(reply)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()
