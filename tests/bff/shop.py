"""A shop's pages and their backend, before a real authorization server; the API is played from a list."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2

from deputize.adapters.memory import MemoryStore
from deputize.bff import Api, Bff, ClientLogin, PrivateKeyJwt
from deputize.bff.sessions import BffSession, key_of
from deputize.core.ports import Env
from deputize.core.rules import Fault
from deputize.core.values import ClientId, Issuer
from deputize.core.wire import Call, Headers, Reply, json_bytes
from deputize.jose.keys import PrivateKey
from deputize.oauth.client import OWN_SCOPES
from deputize.resource.asgi import Receive, Scope, Send
from tests.support.cast import ORDER, PHARMACY, READ
from tests.support.flow import CODE_GRANTS, ISSUER, Flow, a_flow, ticks_on
from tests.support.reach import Reach

SHOP = "https://shop.example"
BFF = "shop-web"
PAGE = {"x-bff": "1", "sec-fetch-site": "same-origin"}
GONE = {"sec-fetch-dest": "document"}


def said(status: int = 200, body: Any = None, *headers: tuple[str, str]) -> Reply:
    whole = json_bytes({"good": True} if body is None else body)
    return Reply(status=status, headers=Headers((("content-type", "application/json"), *headers)), body=whole)


@dataclass
class Ways:
    """The way out: to the server, and to the API, which answers from `answers` (else: all is well)."""

    reach: Reach
    called: list[Call] = field(default_factory=list)
    answers: list[Reply] = field(default_factory=list)

    async def __call__(self, call: Call) -> Reply:
        if not call.url.startswith(PHARMACY):
            return await self.reach(call)
        self.called.append(call)
        return self.answers.pop(0) if self.answers else said()

    @property
    def token(self) -> str:
        """The token of the last call."""
        return dict(self.called[-1].headers)["authorization"].partition(" ")[2]


@dataclass
class Shop:
    """The backend, with one browser before it. `seen` is all that this browser was told."""

    flow: Flow
    bff: Bff
    env: Env
    ways: Ways
    browser: httpx2.AsyncClient
    seen: list[httpx2.Response] = field(default_factory=list)

    async def goes(self, url: str, **headers: str) -> httpx2.Response:
        """The person goes there."""
        answer = await self.browser.get(url, headers={**GONE, **headers})
        self.seen.append(answer)
        return answer

    async def call(self, method: str, path: str, *, headers: dict[str, str] = PAGE, **more: Any) -> httpx2.Response:
        """A script of the page's calls."""
        answer = await self.browser.request(method, path, headers=headers, **more)
        self.seen.append(answer)
        return answer

    async def allowed(self, answer: httpx2.Response, *, says: str = "allow") -> str:
        """Alice is sent over and says so; where she is sent back."""
        assert answer.status_code == 303, answer.text
        browser = await self.flow.browser("alice")
        there = await browser.get(answer.headers["location"].removeprefix(ISSUER))
        page = await self.flow.follow(browser, there)
        if page.status_code == 303:
            return str(page.headers["location"])
        return str((await self.flow.sends(browser, page, says, *ticks_on(page))).headers["location"])

    async def signs_in(self, back: str = "") -> httpx2.Response:
        """The whole way; the answer of the callback."""
        query = f"?return={back}" if back else ""
        return await self.goes(await self.allowed(await self.goes(f"/bff/login{query}")))

    def name(self) -> str:
        """What the browser holds."""
        value = self.browser.cookies.get("__Host-Http-bff")
        assert value is not None
        return value

    async def session(self) -> BffSession | None:
        return await self.env.store.read(BffSession, key_of(self.name()))

    def told(self) -> str:
        """All that the browser was told, headers included."""
        return "\n".join(f"{one.headers.multi_items()} {one.text}" for one in self.seen)


async def pages(scope: Scope, receive: Receive, send: Send) -> None:
    """The shop's own application."""
    del receive
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": f"the page {scope['path']}".encode()})


@asynccontextmanager
async def a_shop(*, dpop_key: PrivateKey | None = None, **more: Any) -> AsyncIterator[Shop]:
    async with a_flow() as flow:
        world = flow.world
        await world.client(
            BFF,
            audiences=frozenset({PHARMACY, ISSUER}),
            redirect_uris=(f"{SHOP}/bff/callback",),
            grant_types=CODE_GRANTS,
            scope=frozenset({READ, ORDER, *OWN_SCOPES}),
        )
        ways = Ways(Reach(world))
        env = replace(world.env, store=MemoryStore(), fetch=ways)
        login = ClientLogin(
            client_id=ClientId(BFF),
            issuer=Issuer(ISSUER),
            method=PrivateKeyJwt(world.keys[BFF]),
            clock=env.clock,
            random=env.random,
            dpop_key=dpop_key,
        )
        made = {"resource": PHARMACY, "scope": frozenset({READ}), "apis": (Api(prefix="/api", url=f"{PHARMACY}/v1"),)}
        bff = Bff(SHOP, login=login, env=env, **{**made, **more})
        transport = httpx2.ASGITransport(app=bff.wrap(pages))
        async with httpx2.AsyncClient(transport=transport, base_url=SHOP) as browser:
            yield Shop(flow, bff, env, ways, browser)


class Unreachable(Ways):
    """No way out at all."""

    async def __call__(self, call: Call) -> Reply:
        raise Fault(f"{call.method}: out of reach", retry=True)
