"""Work that several calls may wait for, and how long one of them does: machines are waited for, people only so long."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from deputize.core.rules import Fault, Rule

T = TypeVar("T")

ALLOWED = Rule("Deputize gateway", "asking", "The person allows it.")
IN_TIME = Rule("Deputize gateway", "asking", "The person has answered in time.")


class StillAsking(Exception):
    """A person has not answered yet, and this call waits no longer. What it waited for goes on."""


class Flight(Generic[T]):
    """Work under way, whoever waits for it. `asking` is set once it hangs on a person."""

    def __init__(self, work: Callable[[Callable[[], None]], Coroutine[Any, Any, T]]) -> None:
        """Start; `work` is given what it calls when it begins to wait for a person."""
        self.asking = asyncio.Event()
        self.task: asyncio.Task[T] = asyncio.create_task(work(self.asking.set))
        self.task.add_done_callback(_looked_at)

    def result(self) -> T:
        """What became of it, once it is done."""
        if self.task.cancelled():
            raise Fault("the gateway is stopping", retry=True)
        return self.task.result()


def _looked_at(task: asyncio.Task[Any]) -> None:
    """Those who waited have seen how it ended; where nobody waits any more, there is nobody to tell."""
    if not task.cancelled():
        task.exception()


@dataclass(slots=True)
class Patience:
    """How long one call waits for people, all in all: `seconds` (None: as long as it takes).

    It ends where the agent is no longer there, which is when `gone` is done. Machines have deadlines of their own, and
    are always waited for.
    """

    seconds: float | None
    gone: asyncio.Task[None] | None = None
    begun: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    async def over(self, flight: Flight[T]) -> T:
        """The result of the flight, or StillAsking. The flight goes on in any case."""
        if self.seconds is None:
            await asyncio.wait({flight.task})
            return flight.result()
        asked = asyncio.ensure_future(flight.asking.wait())
        try:
            await asyncio.wait({flight.task, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not flight.task.done():
                left = self.begun + self.seconds - asyncio.get_running_loop().time()
                others: set[asyncio.Future[Any]] = {self.gone} if self.gone else set()
                watched = {flight.task, *others}
                await asyncio.wait(watched, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        if not flight.task.done():
            raise StillAsking
        return flight.result()


async def ended(task: "asyncio.Task[Any] | None") -> None:
    """End a task that nobody needs any more, however it went."""
    if task is not None:
        task.cancel()
        await asyncio.wait({task})
        _looked_at(task)


@dataclass(slots=True)
class Flights(Generic[T]):
    """One flight a key: who comes while it is under way joins it."""

    under_way: dict[object, Flight[T]] = field(default_factory=dict)

    def join(self, key: object, work: Callable[[Callable[[], None]], Coroutine[Any, Any, T]]) -> Flight[T]:
        flight = self.under_way.get(key)
        if flight is None:
            flight = self.under_way[key] = Flight(work)
            flight.task.add_done_callback(lambda _: self.under_way.pop(key, None))
        return flight

    async def stop(self) -> None:
        """End what is under way."""
        tasks = [flight.task for flight in self.under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
