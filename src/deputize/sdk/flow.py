"""A client flow is a generator: it says what it wants done, and is told the answer. Two drivers run it."""

import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import anyio

from deputize.core.ports import Env, Fetch
from deputize.core.rules import Fault
from deputize.core.values import Seconds, Secret
from deputize.core.wire import Call, Reply

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do for so long. What is sent in answer says nothing."""

    seconds: Seconds


@dataclass(frozen=True, slots=True)
class Visit:
    """A person is to open `url` in a browser; the answer arrives at `redirect_uri`, with this `state`.

    What is sent in answer has the address at which the browser arrived, query included, as its body.
    """

    url: str
    redirect_uri: str
    state: Secret


Flow: TypeAlias = Generator[Call | Wait | Visit, Reply, T]
WAITED: Final = Reply(status=0)


def arrived(url: str) -> Reply:
    """The answer to a Visit: the browser has come back to this address."""
    return Reply(status=200, body=url.encode())


def nobody(visit: Visit) -> str:
    """The browser of a program that has none. Raises Fault."""
    raise Fault(f"a person has to open {visit.url.partition('?')[0]}, and nobody is there")


async def anobody(visit: Visit) -> str:
    """The same, for `arun`."""
    return nobody(visit)


async def arun(
    flow: Flow[T],
    env: Env | Fetch,
    *,
    waiting: Callable[[], None] = lambda: None,
    visit: Callable[[Visit], Awaitable[str]] = anobody,
) -> T:
    """Run a flow over a Fetch. A call that fails is thrown into the flow as the Fault that it is.

    `waiting` is called before each wait: there it is known that the answer is not in yet. `visit` takes a person to a
    page, and gives the address at which the browser came back.
    """
    fetch = env.fetch if isinstance(env, Env) else env
    try:
        step = next(flow)
        while True:
            if isinstance(step, Wait):
                waiting()
                await anyio.sleep(step.seconds)
                step = flow.send(WAITED)
                continue
            try:
                reply = arrived(await visit(step)) if isinstance(step, Visit) else await fetch(step)
            except Fault as fault:
                step = flow.throw(fault)
            else:
                step = flow.send(reply)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()


def run(
    flow: Flow[T],
    send: Callable[[Call], Reply],
    wait: Callable[[float], None] = time.sleep,
    visit: Callable[[Visit], str] = nobody,
) -> T:
    """Run a flow where nothing is async. `send` makes a call, and raises Fault where it cannot."""
    try:
        step = next(flow)
        while True:
            if isinstance(step, Wait):
                wait(step.seconds)
                step = flow.send(WAITED)
                continue
            try:
                reply = arrived(visit(step)) if isinstance(step, Visit) else send(step)
            except Fault as fault:
                step = flow.throw(fault)
            else:
                step = flow.send(reply)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()
