"""A real server and a real guarded API on loopback, and Alice's browser, which says yes to what she is asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2

from deputize.adapters.guarded_fetch import GuardedFetch
from deputize.adapters.memory import MemoryStore
from deputize.adapters.policy import SettingsPolicy
from deputize.core.ports import Env
from deputize.core.values import ClientId
from deputize.jose.keys import PrivateKey
from deputize.oauth.client import OWN_SCOPES, Person, Resource
from deputize.resource import Guard
from deputize.resource.asgi import App
from deputize.sdk import Access, Application, Registered, Visit
from deputize.server import session
from deputize.server.pages import pages
from tests.resource.world import Api, NoNotify, NoSigner
from tests.support.flow import CODE_GRANTS, ticks_on
from tests.support.pages import SAME_ORIGIN, token_on
from tests.support.serving import loopback_socket, origin_of, served
from tests.support.world import World, a_world

DESK = "desk-app"
BACK = "http://127.0.0.1/callback"
READ, WRITE = "notes:read", "notes:write"


@dataclass
class Desk:
    """The world with its API, and a browser. `visits` are the pages that a person was taken to."""

    world: World
    issuer: str
    url: str
    api: Api
    fetch: GuardedFetch
    base: str = "http://127.0.0.1:4711/callback"
    key: PrivateKey | None = None
    visits: list[str] = field(default_factory=list)

    def application(self, **more: Any) -> Application:
        told: dict[str, Any] = {
            "name": "Desk",
            "redirect_base": self.base,
            "clock": self.world.clock,
            "random": self.world.env.random,
            "key": self.key,
            "known": {self.issuer: Registered(client_id=ClientId(DESK), redirect_uri=BACK)},
        }
        return Application(**{**told, **more})

    def access(self, **more: Any) -> Access:
        return Access(application=self.application(), **more)

    async def opened(self, url: str) -> str:
        """Alice opens this page, and allows what it asks; where her browser ends up."""
        self.visits.append(url)
        person = await self.world.store.read(Person, "alice")
        assert person is not None
        value = await session.begin(person, None, session.Settings(), self.world.env)
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.world.app), base_url=self.issuer
        ) as browser:
            browser.cookies.set("deputize-dev", value, domain="127.0.0.1", path="/")
            answer = await browser.get(url.removeprefix(self.issuer))
            while answer.status_code == 303 and answer.headers["location"].startswith("/"):
                answer = await browser.get(answer.headers["location"])
            if answer.status_code == 200:
                fields = {"token": token_on(answer), "answer": "allow", **dict.fromkeys(ticks_on(answer), "1")}
                answer = await browser.post(str(answer.url.raw_path, "ascii"), data=fields, headers=SAME_ORIGIN)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    async def visit(self, visit: Visit) -> str:
        return await self.opened(visit.url)


@asynccontextmanager
async def a_desk(*, wrap: Any = None, **guard: Any) -> AsyncIterator[Desk]:
    """The server, its API, and a client for people that is registered there."""
    at, api_at = loopback_socket(), loopback_socket()
    issuer, url = origin_of(at), origin_of(api_at)
    async with a_world(issuer=issuer, pages=pages) as world:
        await world.add(Resource(key=url, name="Notes", scopes={READ: "read your notes", WRITE: "write notes"}))
        await world.client(
            DESK,
            auth_method="none",
            audiences=frozenset({url, issuer}),
            redirect_uris=(BACK,),
            application_type="native",
            grant_types=CODE_GRANTS,
            scope=frozenset({READ, WRITE, *OWN_SCOPES}),
        )
        fetch = GuardedFetch(frozenset({issuer, url}))
        env = Env(
            clock=world.clock,
            random=world.env.random,
            store=MemoryStore(),
            fetch=fetch,
            signer=NoSigner(),
            notify=NoNotify(),
            policy=SettingsPolicy(),
        )
        guarded = Guard(resource=url, issuer=issuer, env=env, name="Notes", **guard)
        guarded.needs("GET", "/notes", scope=READ)
        guarded.needs("POST", "/notes", scope=WRITE)
        api = Api()
        app: App = guarded.wrap(api)
        async with served(world.app, at), served(wrap(app) if wrap else app, api_at):
            try:
                yield Desk(world=world, issuer=issuer, url=url, api=api, fetch=fetch)
            finally:
                await fetch.aclose()


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))
