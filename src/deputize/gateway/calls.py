"""One call, from the route that it takes to the line that it leaves in the audit trail."""

import asyncio
import logging
from dataclasses import dataclass

from deputize.core.ports import Append, Env, Event, Question
from deputize.core.rules import Refusal, Rule
from deputize.core.wire import Headers, Outbound
from deputize.gateway import answers, headers
from deputize.gateway.approvals import Approval, Approvals, Errand
from deputize.gateway.body import discarded, stream_out, streamed, until_gone, whole
from deputize.gateway.proxy import Proxy
from deputize.gateway.routes import Agent, Route, Table
from deputize.gateway.settings import Settings
from deputize.gateway.upstream import Answer, Outgoing
from deputize.gateway.waiting import Patience, StillAsking, ended
from deputize.resource.asgi import Gone, Receive, Send

_log = logging.getLogger("deputize.gateway")

POLICY = Rule("Deputize gateway", "policy", "The operator's policy lets this agent make this call.")
STILL_THERE = Rule("Deputize gateway", "approvals", "The answer is still to be given: not given before, nor too old.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call as it came: `path` and `query` are its target, byte for byte."""

    method: str
    path: str
    query: str
    headers: Headers
    receive: Receive

    @property
    def has_body(self) -> bool:
        told = self.headers.one("content-length")
        return self.headers.one("transfer-encoding") is not None or told not in {None, "0"}


@dataclass(slots=True)
class Trail:
    """What is known of a call for the audit trail, so far."""

    agent: str
    asked: Request
    route: Route | None = None
    errand: Errand | None = None
    written: bool = False


@dataclass(slots=True)
class Calls:
    """Makes the calls of agents, and knows what became of those that waited for a person."""

    table: Table
    proxy: Proxy
    approvals: Approvals
    settings: Settings
    env: Env

    async def make(self, agent: Agent, asked: Request, send: Send) -> Outbound | None:
        """Make the agent's call. However it ends, the audit trail has it before the agent knows."""
        trail = Trail(agent.name, asked)
        try:
            route, scope = self.table.decide(agent, asked.method, asked.path)
            trail.route = route
            await self._check_policy(route, scope)
            errand = await self._errand(route, scope, asked)
            trail.errand = errand
            named = asked.headers.one("deputize-approval")
            if named is not None:
                return await self._with_approval(named, agent, errand, trail, asked, send)
            return await self._with_patience(errand, trail, asked, send)
        except Gone:
            raise
        except Exception as problem:
            if not trail.written:
                refusal = isinstance(problem, Refusal)
                error = problem.error if isinstance(problem, Refusal) else type(problem).__name__
                await self._note(trail, "refused" if refusal else "failed", answers.of(problem).status, error=error)
            raise

    async def _check_policy(self, route: Route, scope: frozenset[str]) -> None:
        question = Question(
            does="call",
            client=route.agent,
            person=route.person or "",
            audience=frozenset({route.resource}),
            scope=scope,
        )
        verdict = await self.env.policy.may(question)
        if verdict.allowed is not True:
            POLICY.refuse("access_denied", because=verdict.because)

    async def _errand(self, route: Route, scope: frozenset[str], asked: Request) -> Errand:
        """The call as it will be made, fixed from here on."""
        settings, body, stream = self.settings, b"", None
        if asked.has_body and not route.may_ask:
            stream = streamed(asked.headers, asked.receive, most=settings.body_max, idle=settings.idle_seconds)
        elif asked.has_body:
            body = await whole(asked.headers, asked.receive, most=settings.kept_max, idle=settings.idle_seconds)
        else:
            await discarded(asked.receive, idle=settings.idle_seconds)
        passing = headers.forwarded(asked.headers, route.headers)
        length = asked.headers.one("content-length")
        if stream is not None and length is not None:
            passing = (*passing, ("content-length", length))
        call = Outgoing(
            method=asked.method,
            url=route.url(asked.path),
            query=asked.query,
            headers=passing,
            body=None if stream is not None else body,
        )
        return Errand(route=route, scope=scope, call=call, stream=stream)

    async def _with_patience(self, errand: Errand, trail: Trail, asked: Request, send: Send) -> Outbound | None:
        """Make the call; where a person takes longer to answer than it is held, say where to look."""
        earlier = None if errand.call.body is None else self.approvals.like(errand)
        if earlier is not None:
            trail.errand = earlier.errand
            await self._note(trail, "asking", 202)
            return answers.pending(earlier, self.env.clock())
        kept = errand.call.body is not None
        later = headers.wants_async(asked.headers)
        gone = asyncio.create_task(until_gone(asked.receive)) if kept else None
        try:
            patience = Patience(0.0 if later else float(self.settings.hold_seconds), gone)
            answer = await self.proxy.perform(errand, patience)
        except StillAsking:
            if not kept:
                await self._note(trail, "asking", 503)
                return answers.asking_first()
            approval = self.approvals.open(errand, errand.until or self.proxy.wallet.asking_until(errand.route))
            approval.answer = asyncio.create_task(self._finish(approval, trail))
            await self._note(trail, "asking", 202)
            return answers.pending(approval, self.env.clock(), preferred=later)
        except BaseException:
            errand.was_told()
            raise
        finally:
            await ended(gone)
        errand.was_told()
        return await self._stream(errand, answer, trail, asked, send)

    async def _with_approval(
        self, name: str, agent: Agent, errand: Errand, trail: Trail, asked: Request, send: Send
    ) -> Outbound | None:
        """Make the call with the token of an earlier approval, and leave it to the API whether it fits."""
        approval = self.approvals.find_for(name, agent, errand.route)
        errand.approval, errand.txn = approval, approval.errand.txn
        token = approval.token()
        if token is None:
            await self._note(trail, "asking", 202)
            return answers.pending(approval, self.env.clock())
        return await self._stream(errand, await self.proxy.send(errand, token), trail, asked, send)

    async def _finish(self, approval: Approval, trail: Trail) -> Outbound:
        """Go on with a call that its agent no longer waits for, and keep what becomes of it."""
        later = Trail(trail.agent, trail.asked, trail.route, approval.errand)
        try:
            answer = await self.proxy.perform(approval.errand, Patience(None))
            out = await self.proxy.kept(approval.errand, answer)
            await self._note(later, "allowed", out.status)
        except Refusal as no:
            out = answers.of(no, status=410 if no.error == "expired_token" else None)
            await self._note(later, "refused", out.status, error=no.error)
        except Exception as problem:  # noqa: BLE001 (nobody else is there to hear of it: the agent who looks is told)
            _log.warning("a call that waited for a person failed: %s", type(problem).__name__)
            out = answers.of(problem)
            await self._note(later, "failed", out.status, error=type(problem).__name__)
        return out

    async def look(self, agent: Agent, name: str) -> Outbound:
        """What became of a call that waited for a person."""
        approval = self.approvals.find(name, agent)
        if approval.is_waiting:
            return answers.pending(approval, self.env.clock())
        if approval.answer is None:
            STILL_THERE.refuse("gone")
        out = approval.answer.result()
        told = tuple(one for one in out.headers if one[0] != "deputize-approval")
        return Outbound(status=out.status, headers=(*told, ("deputize-approval", approval.id)), body=out.body)

    async def _stream(
        self, errand: Errand, answer: Answer, trail: Trail, asked: Request, send: Send
    ) -> Outbound | None:
        """Pass the answer on as it comes, for as long as the agent takes it."""
        back = self.proxy.returned(errand, answer)
        try:
            await self._note(trail, "allowed", back.status)
            watch = asyncio.create_task(until_gone(asked.receive))
            sending = asyncio.create_task(stream_out(back, asked.method, send, idle=self.settings.idle_seconds))
            try:
                await asyncio.wait({watch, sending}, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    sending.result()
            finally:
                await ended(sending)
                await ended(watch)
        finally:
            await answer.close()
        return None

    async def _note(self, trail: Trail, decision: str, status: int, *, error: str = "") -> None:
        """Write down who did what for whom, and what was decided: no value of any header, query or body."""
        trail.written = True
        errand, route = trail.errand, trail.route
        told = {
            "route": route.prefix if route else "",
            "method": trail.asked.method,
            "path": trail.asked.path,
            "decision": decision,
            "status": str(status),
            "error": error,
            "txn": errand.txn if errand else "",
            "approval": errand.approval.id if errand and errand.approval else "",
        }
        event = Event(
            key="",
            at=self.env.clock(),
            what="gateway_call",
            client=trail.agent,
            person=(route.person or "") if route else "",
            told={name: value for name, value in told.items() if value},
        )
        await self.env.store.commit(Append(event))
