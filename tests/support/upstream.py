"""A second Deputize as the provider that people come from: both in this process, one asked by the other's fetch."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from html import unescape
from typing import Any

import httpx2

from deputize.core.rules import Fault
from deputize.core.values import Issuer, Secret
from deputize.core.wire import Call, Headers, JsonObject, Reply, json_bytes
from deputize.oauth.client import OWN_SCOPES, Person
from deputize.oauth.upstream import Upstream
from deputize.server import session
from deputize.server.pages import PageSettings, pages
from tests.support.asgi import request
from tests.support.flow import CODE_GRANTS, ISSUER, Flow, ticks_on
from tests.support.pages import SAME_ORIGIN, field_on, token_on
from tests.support.world import World, a_world

IDP, US, BACK = "https://idp.example", "deputize-here", f"{ISSUER}/sign-in/from/corp"
BASIC = "client_secret_basic"


@dataclass
class Wire:
    """The way from here to the provider. `alters` changes the members of what its token endpoint answers."""

    world: World | None = None
    alters: Callable[[JsonObject], JsonObject] | None = None
    calls: list[Call] = field(default_factory=list)

    async def __call__(self, call: Call) -> Reply:
        self.calls.append(call)
        if self.world is None or not call.url.startswith(IDP):
            raise Fault("there is nobody there", retry=True)
        answer = await request(self.world.app, call.method, call.url, call.headers, [call.body])
        body = answer.body
        if self.alters is not None and call.url == f"{IDP}/token":
            body = json_bytes(self.alters(answer.json))
        return Reply(status=answer.status, headers=Headers(answer.headers), body=body)


@dataclass
class Both:
    """This server and the other one, and browsers that go between them."""

    flow: Flow
    idp: World
    wire: Wire

    @property
    def here(self) -> World:
        return self.flow.world

    async def sent(self, browser: httpx2.AsyncClient, *, at: str = "/sign-in", **more: str) -> str:
        """The button is pressed; where the browser goes."""
        page = await browser.get(at)
        path = "/account/at/corp" if at == "/account" else "/sign-in/at/corp"
        fields = {"token": token_on(page), **({} if at == "/account" else {"next": field_on(page, "next")}), **more}
        answer = await browser.post(path, data=fields, headers=SAME_ORIGIN)
        assert answer.status_code == 200, answer.text
        return unescape(answer.text.partition('content="0; url=')[2].partition('"')[0])

    async def allowed(self, url: str, person: str = "bob") -> str:
        """Somebody signs in there, and is sent back; to which address."""
        transport = httpx2.ASGITransport(app=self.idp.app)
        async with httpx2.AsyncClient(transport=transport, base_url=IDP) as there:
            found = await self.idp.store.read(Person, person)
            assert found is not None
            value = await session.begin(found, None, session.Settings(), self.idp.env)
            there.cookies.set("__Host-deputize", value, domain="idp.example", path="/")
            answer = await there.get(url)
            while answer.status_code == 303 and answer.headers["location"].startswith("/"):
                answer = await there.get(answer.headers["location"])
            if answer.status_code == 200:
                fields = {"token": token_on(answer), "answer": "allow", **dict.fromkeys(ticks_on(answer), "1")}
                answer = await there.post(str(answer.url.raw_path, "ascii"), data=fields, headers=SAME_ORIGIN)
        if answer.status_code == 303:
            return str(answer.headers["location"])
        return unescape(answer.text.partition('content="0; url=')[2].partition('"')[0])

    async def back(self, browser: httpx2.AsyncClient, url: str) -> httpx2.Response:
        return await browser.get(url.removeprefix(ISSUER))

    async def comes(self, browser: httpx2.AsyncClient, person: str = "bob", **more: str) -> httpx2.Response:
        """There and back."""
        return await self.back(browser, await self.allowed(await self.sent(browser, **more), person))

    async def who(self, browser: httpx2.AsyncClient) -> str | None:
        """Who is signed in with this browser."""
        value = browser.cookies.get("__Host-deputize")
        found = await session.find(value, session.Settings(), self.here.env)
        return found.person if found else None


@asynccontextmanager
async def both_of(**upstream: Any) -> AsyncIterator[Both]:
    wire = Wire()
    async with a_world(issuer=IDP, pages=pages) as idp:
        await idp.client(
            US,
            auth_method=BASIC,
            audiences=frozenset({IDP}),
            scope=frozenset(OWN_SCOPES),
            grant_types=CODE_GRANTS,
            redirect_uris=(BACK,),
        )
        wire.world = idp
        there = Upstream(key="corp", name="Corp", issuer=Issuer(IDP), client_id=US, secret=Secret(idp.secrets[US]))
        settings = PageSettings(upstreams=(replace(there, **upstream),))
        async with a_world(pages=lambda here, env: pages(here, env, settings), fetch=wire) as world:
            both = Both(Flow(world), idp, wire)
            try:
                yield both
            finally:
                for browser in both.flow.browsers:
                    await browser.aclose()
