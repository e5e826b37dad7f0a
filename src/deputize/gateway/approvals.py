"""Calls that wait for a person, and what became of them: kept in memory, for the agent that made them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from deputize.core.ports import Env
from deputize.core.rules import Refusal, Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import Outbound
from deputize.gateway.routes import Agent, Route
from deputize.gateway.settings import Settings
from deputize.gateway.upstream import Outgoing
from deputize.gateway.waiting import ALLOWED, Flight
from deputize.sdk.answers import TokenSet

YOURS = Rule("Deputize gateway", "approvals", "The approval is one of this agent's own, at this API.")
ROOM = Rule("Deputize gateway", "bounds", "An agent waits for so many approvals at a time, and no more.")

UNSAID: Final = Seconds(300)


@dataclass(slots=True, eq=False)
class Errand:
    """One call of an agent's, from when it came until it is answered.

    `stream` is its body where that is not kept. `asked` is the approval of just this call, once there is one under
    way, and `until` when it ends; `txn` is the API's own name for it. `likeness` is the same for the same call.
    """

    route: Route
    scope: frozenset[str]
    call: Outgoing
    stream: AsyncIterator[bytes] | None = None
    asked: Flight[TokenSet] | None = None
    until: Instant | None = None
    txn: str = ""
    approval: "Approval | None" = None
    likeness: bytes = field(init=False)

    def __post_init__(self) -> None:
        call = self.call
        told = repr((self.route.agent, self.route.prefix, call.method, call.whole_url, call.headers))
        self.likeness = hashlib.sha256(told.encode() + hashlib.sha256(call.body or b"").digest()).digest()

    def was_told(self) -> None:
        """The agent gets its answer where it asked."""
        if self.approval is not None:
            self.approval.told = True


@dataclass(slots=True, eq=False)
class Approval:
    """A call about which a person is asked. `answer` is what the gateway makes of it, where it goes on by itself.

    `told` says that the agent was answered where it asked.
    """

    id: str
    errand: Errand
    until: Instant
    forget_at: Instant
    answer: asyncio.Task[Outbound] | None = None
    told: bool = False

    def token(self) -> TokenSet | None:
        """What the person allowed; None where they have not answered yet. Raises where they did not allow it."""
        asked = self.errand.asked
        return asked.result() if asked is not None and asked.task.done() else None

    @property
    def is_waiting(self) -> bool:
        if self.answer is not None:
            return not self.answer.done()
        return not self.told


@dataclass(slots=True)
class Approvals:
    """All of them, by id."""

    settings: Settings
    env: Env
    _all: dict[str, Approval] = field(default_factory=dict)
    _quiet: dict[bytes, Instant] = field(default_factory=dict)

    def find(self, name: str, agent: Agent) -> Approval:
        """The agent's approval of this name. Another's is as if it were not there."""
        self._prune()
        found = self._all.get(name)
        if found is None or found.errand.route.agent != agent.name:
            YOURS.refuse("not_found")
        return found

    def find_for(self, name: str, agent: Agent, route: Route) -> Approval:
        """The agent's approval of this name, at the API of this route: no other API gets to see its token."""
        found = self.find(name, agent)
        there = found.errand.route
        if found.errand.asked is None or (there.resource, there.upstream) != (route.resource, route.upstream):
            YOURS.refuse("not_found")
        return found

    def like(self, errand: Errand) -> Approval | None:
        """The approval that the very same call waits for: who asks twice is not asked about twice."""
        self._prune()
        for other in self._all.values():
            if other.is_waiting and other.errand.likeness == errand.likeness:
                return other
        return None

    def hold_back(self, errand: Errand) -> None:
        """Refuse to ask a person who has just said no to this, or for an agent that waits for enough already."""
        now = self.env.clock()
        if now < self._quiet.get(errand.likeness, 0):
            ALLOWED.refuse("access_denied", earlier=True)
        self._check_room(errand.route.agent)

    def open(self, errand: Errand, until: Instant | None) -> Approval:
        """Begin to keep a call that waits for a person."""
        if errand.approval is not None:
            return errand.approval
        self._prune()
        self._check_room(errand.route.agent)
        ends = until or Instant(self.env.clock() + UNSAID)
        forget_at = Instant(ends + self.settings.keep_seconds)
        made = Approval(id=self.env.random(128), errand=errand, until=ends, forget_at=forget_at)
        errand.approval = self._all[made.id] = made
        if errand.asked is not None:
            errand.asked.task.add_done_callback(lambda task: self._note_no(errand, task))
        return made

    def _note_no(self, errand: Errand, task: "asyncio.Task[TokenSet]") -> None:
        if task.cancelled():
            return
        no = task.exception()
        if isinstance(no, Refusal) and no.error == "access_denied":
            self._quiet[errand.likeness] = Instant(self.env.clock() + self.settings.quiet_seconds)

    def _check_room(self, agent: str) -> None:
        waiting = sum(one.is_waiting for one in self._all.values() if one.errand.route.agent == agent)
        if waiting >= self.settings.approvals_max:
            ROOM.refuse("too_many_requests", waiting=waiting)

    def _prune(self) -> None:
        now = self.env.clock()
        for name in [name for name, one in self._all.items() if one.forget_at <= now and not one.is_waiting]:
            del self._all[name]
        for key in [key for key, end in self._quiet.items() if end <= now]:
            del self._quiet[key]
        done = [name for name, one in self._all.items() if not one.is_waiting]
        for name in done[: max(0, len(done) - self.settings.approvals_max * 8)]:
            del self._all[name]

    async def stop(self) -> None:
        """End what is under way."""
        tasks: list[asyncio.Task[Any]] = [one.answer for one in self._all.values() if one.answer is not None]
        tasks += [one.errand.asked.task for one in self._all.values() if one.errand.asked is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
