"""The ways out for a client's flows: the guarded door, for programs that are async and for those that are not."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from anyio.from_thread import start_blocking_portal

from deputize.adapters.guarded_fetch import GuardedFetch, Settings
from deputize.core.ports import Fetch
from deputize.core.wire import Call, Reply

STRANGERS = Settings()  # servers that resources name, at public addresses


@asynccontextmanager
async def guarded_fetch(*origins: str, settings: Settings = STRANGERS) -> AsyncIterator[Fetch]:
    """A Fetch, for as long as this lasts: to public addresses, and to these origins wherever they are."""
    fetch = GuardedFetch(frozenset(origins), settings)
    try:
        yield fetch
    finally:
        await fetch.aclose()


def guarded_send(*origins: str, settings: Settings = STRANGERS) -> Callable[[Call], Reply]:
    """The same for a program that is not async; each call has a connection of its own."""

    async def once(call: Call) -> Reply:
        async with guarded_fetch(*origins, settings=settings) as fetch:
            return await fetch(call)

    def send(call: Call) -> Reply:
        with start_blocking_portal() as portal:
            return portal.call(once, call)

    return send
