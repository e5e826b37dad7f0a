"""A world for the pages: Alice and Bob, a pharmacy, its telephone bot, and a browser for whoever wants one."""

import re
from dataclasses import replace
from html import unescape
from typing import Any

import httpx2

from deputize.adapters.memory import MemoryStore
from deputize.adapters.policy import SettingsPolicy
from deputize.core.ports import Add, Clock, Env, Random, Store
from deputize.core.values import Instant, Issuer, Seconds
from deputize.oauth import asking, details, families
from deputize.oauth.asking import Ask, Waiting
from deputize.oauth.authority import Authority
from deputize.oauth.client import Client, Person, Resource
from deputize.oauth.client_auth import METHODS
from deputize.oauth.device import DeviceClient
from deputize.oauth.device import Settings as DeviceSettings
from deputize.oauth.grants import NO_DEVICES, device_code, table
from deputize.oauth.server import AuthorizationServer
from deputize.server import people
from deputize.server.app import protocol_app
from deputize.server.http import Asgi
from deputize.server.pages import PageSettings, pages
from tests.support.cast import ClosedFetch, KeySigner, QuietNotify
from tests.support.ports import CountingRandom, FixedClock

ISSUER = "https://as.example"
PHARMACY = "https://pharmacy.example"
BOT = "pharmacy-bot"
PASSWORDS = {"alice": "eight green bottles", "bob": "nine blue bottles"}
QUICK = people.Settings(time_cost=1, memory_kib=64)
SAME_ORIGIN = {"sec-fetch-site": "same-origin", "origin": "null"}  # what a browser says of a form of ours
DETAIL = details.detail(
    {
        "type": "purchase",
        "item": "Ibuprofen 400 mg",
        "quantity": 30,
        "amount": {"value": "12.40", "currency": "EUR"},
        "payee": "Madrid Pharmacy",
    }
)
CALL = details.http_call("POST", f"{PHARMACY}/orders", b'{"item":"ibuprofen-400","quantity":30}')
SENTENCE = "pharmacy-bot wants to order 30 × Ibuprofen 400 mg for €12.40 from Madrid Pharmacy, once, within 5 minutes."


class World:
    """One server with its people. Each `browser()` is somebody's own: it keeps its cookies."""

    def __init__(
        self,
        *,
        issuer: str = ISSUER,
        store: Store | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
        settings: PageSettings = PageSettings(people=QUICK),
        device: DeviceSettings = NO_DEVICES,
    ) -> None:
        self.fixed = FixedClock()
        self.env = Env(
            clock=clock or self.fixed,
            random=random or CountingRandom(),
            store=store or MemoryStore(),
            fetch=ClosedFetch(),
            signer=KeySigner(),
            notify=QuietNotify(),
            policy=SettingsPolicy(),
        )
        grants = table(families.Settings(), device)
        self.here = AuthorizationServer(issuer=Issuer(issuer), grants=grants, methods=METHODS, device=device)
        self.settings = settings
        self.app: Asgi = protocol_app(self.here, self.env, pages(self.here, self.env, settings))

    async def with_people(self) -> "World":
        """Alice, Bob, the pharmacy and its bot are there."""
        for login, password in PASSWORDS.items():
            await people.enrol(
                self.env, login=login, name=login.capitalize(), password=password, settings=self.settings.people
            )
        await self.with_client(BOT, "an agent of Madrid Pharmacy, registered by your administrator")
        scopes = {"prescriptions:read": "read your prescriptions", "prescriptions:order": "prepare orders of medicine"}
        await self.env.store.commit(Add(Resource(key=PHARMACY, name="Madrid Pharmacy", scopes=scopes)))
        return self

    async def with_client(self, name: str, how_known: str, *, key: str = "") -> None:
        made = Client(
            key=key or name,
            name=name,
            auth_method="private_key_jwt",
            grant_types=frozenset(),
            audiences=frozenset({PHARMACY}),
            how_known=how_known,
        )
        await self.env.store.commit(Add(made))

    async def with_device(self, name: str = "Build light") -> None:
        """A device that may read and order, registered and assessed."""
        made = Client(
            key="build-light",
            name=name,
            auth_method="none",
            grant_types=frozenset({device_code.TYPE}),
            audiences=frozenset({PHARMACY}),
            scope=frozenset({"prescriptions:read", "prescriptions:order"}),
        )
        assessed = DeviceClient(key=made.key, risk="it is a test's", assessed_at=self.env.clock())
        assert await self.env.store.commit(Add(made), Add(assessed))

    async def person(self, login: str) -> Person:
        found = await self.env.store.read(Person, login)
        assert found is not None
        return found

    async def asked(self, *, of: str = "alice", by: str = BOT, life: int = 300, **told: Any) -> Ask:
        """An ask is put before somebody: to buy, unless `told` says something else."""
        now = self.env.clock()
        lives_until = Instant(now + life)
        wanted = Authority(audience=frozenset({PHARMACY}), details=(DETAIL, CALL), until=lives_until)
        made = Ask(
            key=self.env.random(256),
            client=by,
            person=of,
            page=self.env.random(128),
            door="test",
            wanted=wanted,
            created_at=now,
            lives_until=lives_until,
            expires_at=Instant(lives_until + asking.KEPT_AFTER),
            state=Waiting(now, Seconds(2)),
        )
        return await asking.ask(replace(made, **told), self.here.asks, self.env)

    async def asked_to_read(self, *, of: str = "alice", by: str = BOT) -> Ask:
        """An ask for something that is to stand for thirty days."""
        until = Instant(self.env.clock() + 30 * 24 * 3600)
        wanted = Authority(audience=frozenset({PHARMACY}), scope=frozenset({"prescriptions:read"}), until=until)
        return await self.asked(of=of, by=by, wanted=wanted, remember=True)

    async def now_of(self, ask: Ask) -> Ask:
        """The ask as it is kept now."""
        found = await self.env.store.read(Ask, ask.key)
        assert found is not None
        return found

    def browser(self, *, address: str = "192.0.2.1") -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=self.app, client=(address, 50000))
        return httpx2.AsyncClient(transport=transport, base_url=self.here.issuer.origin)

    async def signed_in(self, login: str = "alice", *, address: str = "192.0.2.1") -> httpx2.AsyncClient:
        browser = self.browser(address=address)
        answer = await sign_in(browser, login, PASSWORDS[login])
        assert answer.status_code == 303, answer.text
        return browser


async def sign_in(
    browser: httpx2.AsyncClient, login: str, password: str, *, onward: str = "", form: bool = True
) -> httpx2.Response:
    """Open the form, fill it in, send it."""
    shown = await browser.get("/sign-in", params={"next": onward} if onward else None)
    fields = {"token": token_on(shown), "login": login, "password": password}
    if form:
        fields["next"] = field_on(shown, "next")
    return await browser.post("/sign-in", data=fields, headers=SAME_ORIGIN)


async def send(browser: httpx2.AsyncClient, path: str, *, shown_at: str = "", **fields: str) -> httpx2.Response:
    """Open the page that has the form, and send it as a browser does."""
    shown = await browser.get(shown_at or path)
    return await browser.post(path, data={"token": token_on(shown), **fields}, headers=SAME_ORIGIN)


def copied(cookies_of: httpx2.AsyncClient, into: httpx2.AsyncClient) -> None:
    """Somebody has another's cookies."""
    for cookie in cookies_of.cookies.jar:
        into.cookies.jar.set_cookie(cookie)


def field_on(page: httpx2.Response, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text)
    assert found, page.text
    return unescape(found[1])


def token_on(page: httpx2.Response) -> str:
    return field_on(page, "token")


def text_of(page: httpx2.Response) -> str:
    """What is to be read on it: without tags, spaces as one."""
    main = page.text.partition('<main id="main" tabindex="-1">')[2] or page.text
    whole = re.sub(r"</?(?:b|bdi|time)\b[^>]*>", "", main)  # these stand within a sentence
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", whole)).split())
