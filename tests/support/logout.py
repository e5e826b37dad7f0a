"""Signing out for tests: a client on the web that wants to hear of it, and who hears."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx2

from deputize.core.rules import Fault
from deputize.core.wire import Call, JsonObject, Reply
from deputize.jose.jwt import peek
from deputize.oauth import backchannel_logout
from deputize.oauth.client import Client
from deputize.server.session import Session
from tests.support.cast import READ
from tests.support.flow import TWO, WEB, Flow, Landing, a_flow, ticks_on
from tests.support.pages import SAME_ORIGIN, field_on, token_on

AFTER, HEARS = "https://web.example/bye", "https://web.example/logout"
SIGNING_OUT = "/sign-out"


@dataclass
class Hearing:
    """What the clients hear. `answers` are the statuses that they give, one after the other; then 200. 0: no answer."""

    calls: list[Call] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    async def __call__(self, call: Call) -> Reply:
        self.calls.append(call)
        status = self.answers.pop(0) if self.answers else 200
        if not status:
            raise Fault("nobody answers", retry=True)
        return Reply(status=status)

    def tokens(self) -> list[str]:
        return [dict(parse_qsl(call.body.decode()))["logout_token"] for call in self.calls]


@dataclass
class Leaving:
    """A flow in which people sign out."""

    flow: Flow
    hearing: Hearing

    async def signed_in(self, browser: httpx2.AsyncClient, client: str = WEB, **changed: Any) -> JsonObject:
        """The tokens of a client that this browser's person has just signed in at."""
        landing = await self._landing(browser, client, **changed)
        answer = await self.flow.redeem(landing.told["code"], client)
        assert answer.status == 200, answer.body
        return answer.json

    async def _landing(self, browser: httpx2.AsyncClient, client: str, **changed: Any) -> Landing:
        page = await self.flow.shown(browser, client, **{"scope": f"openid {READ}", **changed})
        if page.status_code == 303:
            return Landing.of(page)
        return await self.flow.says(browser, page, "allow", *ticks_on(page))

    async def asks(self, browser: httpx2.AsyncClient, *, post: bool = False, **told: str) -> httpx2.Response:
        """The client sends the browser to us; where it ends up."""
        if post:
            data = urlencode(told)
            headers = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "cross-site"}
            answer = await self.flow.stranger().post("/end-session", content=data, headers=headers)
        else:
            answer = await browser.get("/end-session", params=told)
        while answer.status_code == 303 and answer.headers["location"].startswith("/sign-out"):
            answer = await browser.get(answer.headers["location"])
        return answer

    async def confirms(self, browser: httpx2.AsyncClient, page: httpx2.Response, **more: str) -> httpx2.Response:
        fields = {"token": token_on(page), "ticket": field_on(page, "ticket"), **more}
        return await browser.post(SIGNING_OUT, data=fields, headers=SAME_ORIGIN)

    async def is_in(self, browser: httpx2.AsyncClient) -> bool:
        return (await browser.get("/inbox")).status_code == 200

    async def told(self) -> list[JsonObject]:
        """Everything that is due is sent; what the clients were told so far."""
        world = self.flow.world
        for one in await backchannel_logout.waiting(world.env):
            await backchannel_logout.tell(one, world.here.issuer, world.env)
        return [dict(peek(compact, "x")[1]) for compact in self.hearing.tokens()]

    async def sids(self) -> set[str]:
        return {one.sid for one in await self.flow.world.store.select(Session, "", "")}


@asynccontextmanager
async def leaving_in() -> AsyncIterator[Leaving]:
    hearing = Hearing()
    async with a_flow(fetch=hearing) as flow:
        for name in (WEB, TWO):
            hears = HEARS if name == WEB else ""
            await flow.world.change(Client, name, post_logout_redirect_uris=(AFTER,), backchannel_logout_uri=hears)
        yield Leaving(flow, hearing)
