"""Load that is killed in its midst: what was acknowledged is remembered, and looked for afterwards."""

import asyncio
import random
import signal
import time

from deputize.adapters.stores import open_store
from deputize.core.ports import Add, Append, Record, Store
from deputize.core.rules import Fault
from tests.adapters.processes import kept, process, settled, tell, told
from tests.adapters.records import Line, Mark, Ticket


class Killed:
    """Processes that commit until they are killed, one after the other, in the same place.

    Each of their commits is a ticket, a mark and a line; or it counts a ticket up and is a line.
    """

    def __init__(self, place: str, seed: int) -> None:
        self.acknowledged = 0
        self._place = place
        self._dice = random.Random(seed)
        self._first = 0
        self._counted = 0
        self._lines = 0
        self._last_line = ""

    async def once(self) -> None:
        """Kill one at a random moment. All that it was told is there, and no commit by halves."""
        child = process(self._place, "crash")
        tell(child, str(self._first))
        said = [told(child) for _ in range(self._dice.randrange(1, 120))]
        child.send_signal(signal.SIGKILL)
        said += [line for line in child.communicate()[0].split("\n")[:-1] if line]
        await settled(self._place)
        store = open_store(self._place, dev=True)
        await self._check(store, said)
        await store.close()

    async def _check(self, store: Store, said: list[str]) -> None:
        assert "refused" not in said
        acknowledged = {line for line in said if line.isdigit()}
        counted = [int(line.split()[1]) for line in said if line.startswith("counted")]
        before = f"{self._first - 1:09}" if self._first else ""
        tickets = {t.key[1:] for t in await store.select(Ticket, "", "", after=f"t{before}", limit=100_000)}
        marks = {m.key[1:] for m in await store.select(Mark, "", "", after=f"m{before}", limit=100_000)}
        lines = await store.select(Line, "", "", after=self._last_line, limit=100_000)
        assert acknowledged <= {str(int(ticket)) for ticket in tickets}
        assert tickets == marks == {f"{int(line.text):09}" for line in lines if not line.by}
        self._counted = max([self._counted, *counted])
        self._lines += sum(line.by == "counter" for line in lines)
        counter = await store.read(Ticket, "counter") or Ticket(key="counter")
        assert counter.number >= self._counted
        assert counter.number == counter.version == self._lines
        self.acknowledged += len(acknowledged) + len(counted)
        self._first = max([self._first, *map(int, tickets)]) + 1
        self._last_line = lines[-1].key if lines else self._last_line


class Load:
    """Tasks that commit without end; what was acknowledged is remembered, and how often it could not be done."""

    def __init__(self, store: Store, tasks: int = 16) -> None:
        self.acknowledged: list[int] = []
        self.faults = 0
        self._next = 0
        self._store = store
        self._tasks = [asyncio.create_task(self._run()) for _ in range(tasks)]

    async def _run(self) -> None:
        while True:
            self._next += 1
            n = self._next
            try:
                assert await self._store.commit(
                    Add(Ticket(key=f"t{n}", client="c")), Add(Mark(key=f"m{n}")), Append(Line(key="", text=str(n)))
                )
            except Fault as problem:
                if not problem.retry:
                    raise
                self.faults += 1
                await asyncio.sleep(0.01)
            else:
                self.acknowledged.append(n)

    async def until(self, count: int) -> None:
        """Until so many more were acknowledged."""
        wanted = len(self.acknowledged) + count
        while len(self.acknowledged) < wanted:
            await asyncio.sleep(0.001)
            for task in self._tasks:
                if task.done():
                    task.result()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes), outcomes

    async def _numbers(self, kind: type[Record]) -> set[int]:
        return {int(key[1:]) for key in await kept(self._store, kind)}

    async def check(self) -> None:
        """All that was acknowledged is there, and nothing by halves."""
        tickets, marks = await self._numbers(Ticket), await self._numbers(Mark)
        end = time.monotonic() + 10
        # A commit whose caller was called off may still come in between two readings; half a one stays half for ever.
        while tickets != marks and time.monotonic() < end:
            tickets, marks = await self._numbers(Ticket), await self._numbers(Mark)
        assert set(self.acknowledged) <= tickets
        assert tickets == marks
        lines = await self._store.select(Line, "", "", limit=1_000_000)
        assert sorted(int(line.text) for line in lines) == sorted(tickets)
