"""The ASGI face: an agent and its call come in, an answer goes out, and a line of the audit trail stays."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from deputize.core.ports import Env
from deputize.core.rules import Refusal, Rule
from deputize.core.wire import JsonObject, Outbound
from deputize.gateway import answers, headers, who
from deputize.gateway.approvals import Approvals
from deputize.gateway.body import drained, send_out
from deputize.gateway.calls import Calls, Request
from deputize.gateway.proxy import Proxy
from deputize.gateway.routes import Agent, Route, Table
from deputize.gateway.settings import GatewayIdentity, Settings
from deputize.gateway.upstream import Upstream
from deputize.gateway.wallet import Wallet
from deputize.oauth.metadata import RESOURCE_WELL_KNOWN, well_known
from deputize.resource.asgi import PLAIN_PATH, QUERY, Gone, Receive, Scope, Send, one_reading

OUR_NAME = Rule("RFC 9110", "7.4", "The Host is a name of this gateway.")
NO_PAGE = Rule("Deputize gateway", "browsers", "No web page of another origin calls through this gateway.")
TARGET = Rule("RFC 9112", "3.2.1", "The target of a call is a path, with or without a query.")
BUSY = Rule("Deputize gateway", "bounds", "An agent makes so many calls at a time, and no more.")

PLACE_SECONDS: Final = 0.25  # a call that is about to end still holds its place: the next one waits a moment

_log = logging.getLogger("deputize.gateway")
_QUERY: Final = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%\[\]]*")
_QUERY_MAX: Final = 8 * 1024
# Written in two ways, an unreserved character would be one thing to the routes and another to the API.
_ESCAPED_FOR_NOTHING: Final = re.compile(r"%(?:2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])")
_APPROVALS: Final = "/approvals/"


class Gateway:
    """An ASGI application. `close` ends what it still does for its agents."""

    def __init__(self, table: Table, identity: GatewayIdentity, env: Env, settings: Settings) -> None:
        if missing := {route.agent for route in table.routes} - set(identity.client_keys):
            raise ValueError(f"no client key for {', '.join(sorted(missing))}")
        if any(agent.dev_open for agent in table.agents) and not settings.dev:
            raise ValueError("an agent without a key is for development only")
        for name in sorted({name for route in table.routes for name in route.headers}):
            if not headers.may_pass(name):
                raise ValueError(f"{name} could be taken for a credential: it never passes")
        self._table = table
        self._settings = settings
        self._env = env
        self._metadata_url = well_known(settings.url.text, RESOURCE_WELL_KNOWN)
        self._metadata = answers.metadata(settings.url.text)
        self._wallet = Wallet(table, identity, settings, env)
        self._approvals = Approvals(settings, env)
        self._upstream = Upstream(settings)
        self._proxy = Proxy(self._wallet, self._approvals, self._upstream, settings, env)
        self._calls = Calls(table, self._proxy, self._approvals, settings, env)
        self._places: dict[str, asyncio.Semaphore] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": 1008})
            case kind:
                raise ValueError(f"the gateway does not speak {kind}")

    async def close(self) -> None:
        """Stop asking and calling, forget all tokens."""
        await self._approvals.stop()
        await self._wallet.stop()
        await self._upstream.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    # --- one request ------------------------------------------------------------------------------------------------

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noted(message: "dict[str, object]") -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            out = await self._answered(scope, receive, noted)  # type: ignore[arg-type]  # ASGI's messages are wider
        except Gone:
            return
        except Exception as problem:
            out = answers.of(problem, metadata_url=self._metadata_url)
            if isinstance(problem, Refusal):
                _log.info("refused: %s: %s", problem.error, problem.rule.says)
            if out.status >= 500:
                _log.warning("a call failed: %s: %s", type(problem).__name__, problem if out.status != 500 else "a bug")
            if begun:  # the server that runs us ends the connection: the agent knows that the answer is cut off
                if out.status == 500:
                    raise
                return
            if out.status == 413:
                await drained(receive)
            await send_out(out, scope["method"], send)
            if out.status == 500:
                raise  # to the log of the server that runs us
            return
        if out is not None:
            await send_out(out, scope["method"], send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> Outbound | None:
        """The answer, or None where it was streamed."""
        asked = self._read(scope, receive)
        reads = asked.method in {"GET", "HEAD"}
        if reads and asked.path == "/healthz":
            return answers.said({"alive": True})
        if reads and asked.path == RESOURCE_WELL_KNOWN:
            return self._metadata
        agent = await who.agent(
            asked.headers,
            method=asked.method,
            url=self._settings.url.text + asked.path,
            peer=(scope.get("client") or (None,))[0],
            table=self._table,
            settings=self._settings,
            env=self._env,
        )
        if reads and asked.path == "/":
            return answers.said(self._told(agent))
        if reads and asked.path.startswith(_APPROVALS):
            return await self._calls.look(agent, asked.path.removeprefix(_APPROVALS))
        async with self._place(agent):
            return await self._calls.make(agent, asked, send)

    def _read(self, scope: Scope, receive: Receive) -> Request:
        """The request, or a refusal of what two readers could understand differently."""
        told = headers.read(scope["headers"])
        if (told.one("host") or "").lower() not in self._settings.names:
            OUR_NAME.refuse("misdirected_request")
        if told.one("origin") not in {None, self._settings.url.text}:
            NO_PAGE.refuse("access_denied")
        path = scope["raw_path"].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        if not path.startswith("/"):
            TARGET.refuse("invalid_request")
        if not one_reading(path, scope["path"]) or _ESCAPED_FOR_NOTHING.search(path):
            PLAIN_PATH.refuse("invalid_request")
        if len(query) > _QUERY_MAX or not _QUERY.fullmatch(query):
            QUERY.refuse("invalid_request")
        return Request(method=scope["method"], path=path, query=query, headers=told, receive=receive)

    @asynccontextmanager
    async def _place(self, agent: Agent) -> AsyncIterator[None]:
        """A place among the calls that the agent may have under way."""
        places = self._places.setdefault(agent.name, asyncio.Semaphore(self._settings.calls_max))
        try:
            async with asyncio.timeout(PLACE_SECONDS):
                await places.acquire()
        except TimeoutError:
            BUSY.refuse("too_many_requests")
        try:
            yield
        finally:
            places.release()

    def _told(self, agent: Agent) -> JsonObject:
        """What an agent may know of its own routes."""
        routes = [
            {
                "prefix": route.prefix,
                "methods": sorted(route.scopes),
                "may_ask": route.may_ask,
                **({"words": route.words} if route.words else {}),
            }
            for route in self._table.of(agent)
        ]
        return {"agent": agent.name, "routes": routes}


def gateway_app(
    routes: tuple[Route, ...],
    agents: tuple[Agent, ...],
    identity: GatewayIdentity,
    env: Env,
    *,
    settings: Settings | None = None,
) -> Gateway:
    """The gateway as an ASGI application. Raises ValueError where its parts do not fit each other."""
    return Gateway(Table(agents, routes), identity, env, settings or Settings())
