"""The code flow for tests: clients that people use in a browser, a browser for each person, and a word for each step.

A person's browser is signed in by a session that is made for it, so that no test waits for a password to be hashed.
"""

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2

from deputize.core.values import Seconds
from deputize.core.wire import b64u
from deputize.jose.keys import PrivateKey
from deputize.oauth.client import OWN_SCOPES, Person
from deputize.oauth.grants import authorization_code, refresh_token
from deputize.oauth.requested import Settings
from deputize.server import session
from deputize.server.pages import pages
from tests.support.asgi import Answer
from tests.support.cast import CLAIM, INSURER, ORDER, PHARMACY, READ
from tests.support.pages import SAME_ORIGIN, token_on
from tests.support.world import World, a_world

APP, WEB, TWO = "desk-app", "web-app", "two-places"
ISSUER = "https://as.example"
LOOPBACK, CALLBACK, OTHER_CALLBACK = "http://127.0.0.1/cb", "https://web.example/cb", "https://two.example/cb?at=1"
CODE_GRANTS = frozenset({authorization_code.TYPE, refresh_token.TYPE})
VERIFIER = "a-verifier-that-is-long-enough-to-be-one-of-them"
AT = {APP: "http://127.0.0.1:5001/cb", WEB: CALLBACK, TWO: CALLBACK}


def challenge_of(verifier: str) -> str:
    return b64u(hashlib.sha256(verifier.encode()).digest())


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a browser was sent with an answer: the address without its query, and what the query says."""

    status: int
    where: str
    told: dict[str, str]

    @classmethod
    def of(cls, answer: httpx2.Response) -> "Landing":
        assert answer.status_code == 303, f"{answer.status_code}: {answer.text}"
        where, _, query = answer.headers["location"].partition("?")
        pairs = parse_qsl(query, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs)
        return cls(answer.status_code, where, dict(pairs))

    @property
    def error(self) -> str:
        assert "code" not in self.told
        return self.told["error"]


@dataclass
class Flow:
    """A world with its browsers."""

    world: World
    browsers: list[httpx2.AsyncClient] = field(default_factory=list)

    # --- browsers ---

    def stranger(self) -> httpx2.AsyncClient:
        """A browser in which nobody is signed in."""
        made = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.world.app), base_url=ISSUER)
        self.browsers.append(made)
        return made

    async def browser(self, person: str = "alice") -> httpx2.AsyncClient:
        """A browser in which this person is signed in."""
        made = self.stranger()
        await self.sign_in(made, person)
        return made

    async def sign_in(self, browser: httpx2.AsyncClient, person: str = "alice") -> None:
        found = await self.world.store.read(Person, person)
        assert found is not None
        before = browser.cookies.get("__Host-deputize")
        value = await session.begin(found, before, session.Settings(), self.world.env)
        browser.cookies.clear()
        browser.cookies.set("__Host-deputize", value, domain="as.example", path="/")

    # --- the request ---

    def asks(self, client: str = APP, **changed: Any) -> dict[str, str]:
        """A good request of this client; None leaves a parameter out."""
        good: dict[str, str | None] = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": AT.get(client, CALLBACK),
            "scope": f"{READ} {ORDER}",
            "state": "a state, as it is",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in {**good, **changed}.items() if value is not None}

    async def begin(
        self, browser: httpx2.AsyncClient, client: str = APP, more: str = "", **changed: Any
    ) -> httpx2.Response:
        """GET /authorize; `more` is added to the query as it is."""
        query = str(httpx2.QueryParams(self.asks(client, **changed)))
        return await browser.get(f"/authorize?{query}{more}")

    async def shown(self, browser: httpx2.AsyncClient, client: str = APP, **changed: Any) -> httpx2.Response:
        """The page on which the request ends up."""
        answer = await self.begin(browser, client, **changed)
        return await self.follow(browser, answer)

    async def follow(self, browser: httpx2.AsyncClient, answer: httpx2.Response) -> httpx2.Response:
        """Go on while the way leads to pages of ours."""
        while answer.status_code == 303 and answer.headers["location"].startswith("/"):
            answer = await browser.get(answer.headers["location"])
        return answer

    # --- the answer ---

    async def says(self, browser: httpx2.AsyncClient, page: httpx2.Response, answer: str, *ticks: str) -> Landing:
        """Send the form of the consent page."""
        return Landing.of(await self.sends(browser, page, answer, *ticks))

    async def sends(
        self, browser: httpx2.AsyncClient, page: httpx2.Response, answer: str, *ticks: str, **more: str
    ) -> httpx2.Response:
        fields = {"token": token_on(page), "answer": answer, **dict.fromkeys(ticks, "1"), **more}
        return await browser.post(str(page.url.raw_path, "ascii"), data=fields, headers=SAME_ORIGIN)

    async def allowed(self, client: str = APP, *, by: str = "alice", **changed: Any) -> Landing:
        """The whole is asked for, and allowed."""
        browser = await self.browser(by)
        page = await self.shown(browser, client, **changed)
        if page.status_code == 303:
            return Landing.of(page)
        return await self.says(browser, page, "allow", *ticks_on(page))

    async def code(self, client: str = APP, **changed: Any) -> str:
        return (await self.allowed(client, **changed)).told["code"]

    # --- the token ---

    async def redeem(
        self,
        code: str,
        client: str = APP,
        *,
        by: str | None = None,
        key: PrivateKey | None = None,
        spends: tuple[str, ...] = (),
        **changed: Any,
    ) -> Answer:
        """POST /token with the code."""
        good: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": AT.get(client, CALLBACK),
            "code_verifier": VERIFIER,
        }
        form = {name: value for name, value in {**good, **changed}.items() if value is not None}
        return await self.world.post("/token", form, by=by or client, key=key, spends=spends)

    async def tokens(self, client: str = APP, **changed: Any) -> dict[str, Any]:
        answer = await self.redeem(await self.code(client, **changed), client)
        assert answer.status == 200, answer.body
        return answer.json

    async def push(
        self, client: str = WEB, *, key: PrivateKey | None = None, by: str | None = None, **changed: Any
    ) -> Answer:
        """POST /par."""
        form = {name: value for name, value in self.asks(client, **changed).items() if name != "client_id"}
        return await self.world.post("/par", form, by=by or client, key=key)


def ticks_on(page: httpx2.Response) -> tuple[str, ...]:
    """The names of all ticks on a consent page."""
    return tuple(re.findall(r'<input type="checkbox" name="([a-z0-9]+)"', page.text))


@asynccontextmanager
async def a_flow(path: Path | None = None, *, authorize: Settings = Settings(), **more: Any) -> AsyncIterator[Flow]:
    """A world with pages, and three clients for people: on their machine, on the web, and at two resources."""
    async with a_world(path, pages=pages, authorize=authorize, **more) as world:
        common: dict[str, Any] = {"grant_types": CODE_GRANTS, "scope": frozenset({READ, ORDER, *OWN_SCOPES})}
        here = frozenset({PHARMACY, ISSUER})
        await world.client(
            APP, auth_method="none", audiences=here, redirect_uris=(LOOPBACK,), application_type="native", **common
        )
        await world.client(WEB, audiences=here, redirect_uris=(CALLBACK,), **common)
        both = {**common, "scope": common["scope"] | {CLAIM}}
        uris = (CALLBACK, OTHER_CALLBACK)
        await world.client(TWO, audiences=here | {INSURER}, redirect_uris=uris, **both)
        flow = Flow(world)
        try:
            yield flow
        finally:
            for browser in flow.browsers:
                await browser.aclose()


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


LIFE: Seconds = Settings().life
