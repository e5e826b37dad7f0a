"""Tokens come out of the pocket that they were put into, are obtained once, and end when they are taken back."""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest

from deputize.adapters.memory import MemoryStore
from deputize.core.ports import Add, Env, Replace
from deputize.core.rules import Fault, Refusal
from deputize.core.values import ClientId, Instant, Issuer, Seconds, Subject, WebUrl
from deputize.core.wire import Call, Form, Reply
from deputize.gateway.routes import Agent, Route, Table
from deputize.gateway.settings import GatewayIdentity, Settings
from deputize.gateway.waiting import ALLOWED, IN_TIME, Patience, StillAsking
from deputize.gateway.wallet import Wallet
from deputize.jose import jwt
from deputize.jose.keys import PrivateKey
from deputize.oauth import asking
from deputize.oauth import standing as standings
from deputize.oauth.asking import Ask
from deputize.oauth.authority import Authority
from deputize.oauth.client import Client, Person, Resource
from deputize.oauth.client_auth import METHODS
from deputize.oauth.grants import GRANTS
from deputize.oauth.server import AuthorizationServer
from deputize.server.app import protocol_app
from tests.support.cast import ALL_GRANTS, KeySigner, OpenPolicy, QuietNotify, jwks
from tests.support.issuer import AppFetch
from tests.support.ports import CountingRandom, FixedClock
from tests.support.proofs import lets_through, stops

AS, API, ELSE = "https://as.example", "https://api.example", "https://else.example"
READ, WRITE = frozenset({"read"}), frozenset({"write"})


class CountingFetch(AppFetch):
    """Counts what is asked of the server, by path; can be made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()
        self.forms: list[Form] = []
        self.broken = False

    async def __call__(self, call: Call) -> Reply:
        if call.method == "POST":
            self.asked[call.url.removeprefix(AS)] += 1
            self.forms.append(Form.parse(call.body))
            await asyncio.sleep(0.005)
            if self.broken:
                raise Fault("no way there", retry=True)
        return await super().__call__(call)


@dataclass
class Purse:
    """A wallet, the server that it goes to, and the routes that it is asked for."""

    wallet: Wallet
    env: Env
    clock: FixedClock
    fetch: CountingFetch
    routes: dict[str, Route]

    async def token(self, route: str = "alice", scope: frozenset[str] = READ, seconds: float = 5) -> dict[str, Any]:
        """What a token says that the wallet gives."""
        got = await self.wallet.token(self.routes[route], scope, Patience(seconds))
        return jwt.peek(got.access_token.reveal(), "invalid_token")[1]

    async def answer(self, *, allow: bool) -> None:
        (ask,) = await self.env.store.select(Ask, "open_for", "alice")
        await asking.answer(ask, by=Subject("alice"), allow=allow, env=self.env, via="test")

    async def take_back(self) -> None:
        standing = (await self.env.store.select(standings.Standing, "person", "alice"))[0]
        assert await self.env.store.commit(*standings.take_back(standing, self.clock()))

    async def has_allowed_nothing(self) -> None:
        """Nothing of what Alice allowed stands; she may be asked again."""
        for standing in await self.env.store.select(standings.Standing, "person", "alice"):
            assert await self.env.store.commit(Replace(standing, replace(standing, allowed=())))


def _route(agent: str, person: str | None, resource: str = API) -> Route:
    return Route(
        agent=agent,
        prefix=f"/{person}-{resource[8:]}",
        upstream=WebUrl(resource),
        resource=resource,
        person=person,
        scopes={"GET": READ, "POST": WRITE},
    )


async def purse() -> Purse:
    clock, fetch, key = FixedClock(), CountingFetch(), {name: PrivateKey.generate() for name in ("bot", "other")}
    usual: dict[str, Any] = {"clock": clock, "random": CountingRandom(), "fetch": fetch, "policy": OpenPolicy()}
    env = Env(**usual, store=MemoryStore(), signer=KeySigner(), notify=QuietNotify())
    for name in ("alice", "bob"):
        await env.store.commit(Add(Person(key=name, login=name, name=name)))
    for name in (API, ELSE):
        await env.store.commit(Add(Resource(key=name, name=name, scopes={"read": "read", "write": "write"})))
    for name, own in key.items():
        client = Client(
            key=name,
            name=name,
            auth_method="private_key_jwt",
            grant_types=ALL_GRANTS,
            audiences=frozenset({API, ELSE}),
            scope=READ | WRITE,
            jwks=jwks(own),
            dpop_bound=True,
        )
        await env.store.commit(Add(client))
        for person in ("alice", "bob"):
            until = Instant(clock() + 3600)
            allowed = tuple(Authority(audience=frozenset({at}), scope=READ | WRITE, until=until) for at in (API, ELSE))
            named = standings.key_of(Subject(person), ClientId(name))
            standing = standings.Standing(key=named, person=person, client=name, since=clock(), allowed=allowed)
            await env.store.commit(Add(standing))
    asks = asking.Settings(interval=Seconds(1))
    here = AuthorizationServer(issuer=Issuer(AS), grants=GRANTS, methods=METHODS, asks=asks)
    fetch.apps[AS] = protocol_app(here, env)
    routes = {
        "alice": _route("bot", "alice"),
        "bob": _route("bot", "bob"),
        "else": _route("bot", "alice", ELSE),
        "itself": _route("bot", None),
        "other": _route("other", "alice"),
    }
    agents = tuple(Agent(name=name) for name in key)
    identity = GatewayIdentity(issuer=Issuer(AS), client_keys=key)
    settings = Settings(quiet_seconds=Seconds(60))
    return Purse(Wallet(Table(agents, tuple(routes.values())), identity, settings, env), env, clock, fetch, routes)


async def test_a_call_gets_the_scope_that_it_needs_and_no_more() -> None:
    here = await purse()
    read, write = await here.token(scope=READ), await here.token(scope=WRITE)
    assert (read["scope"], write["scope"]) == ("read", "write")
    assert read["aud"] == API
    assert read["act"] == {"sub": "bot"}
    assert read["cnf"]["jkt"] == here.wallet.key("bot").public().thumbprint
    assert here.fetch.asked == {"/backchannel": 1, "/token": 3}  # one mandate, two exchanges


async def test_gw_17_no_token_comes_out_of_anothers_pocket() -> None:
    here = await purse()
    told = {name: await here.token(name) for name in here.routes}
    assert {name: (one["sub"], one["client_id"], one["aud"]) for name, one in told.items()} == {
        "alice": ("alice", "bot", API),
        "bob": ("bob", "bot", API),
        "else": ("alice", "bot", ELSE),
        "itself": ("bot", "bot", API),
        "other": ("alice", "other", API),
    }
    again = {name: await here.token(name) for name in here.routes}
    assert again == told
    assert len({one["jti"] for one in told.values()}) == len(here.routes)
    assert len({told[name]["cnf"]["jkt"] for name in told}) == 2


async def test_gw_15_fifty_calls_obtain_one_token() -> None:
    here = await purse()
    told = await asyncio.gather(*(here.token() for _ in range(50)))
    assert len({one["jti"] for one in told}) == 1
    assert here.fetch.asked == {"/backchannel": 1, "/token": 2}


async def test_gw_15_where_it_fails_all_are_told_and_nobody_storms() -> None:
    here = await purse()
    await here.token()
    here.clock.forward(300)
    here.fetch.broken = True
    before = here.fetch.asked.total()
    told = await asyncio.gather(*(here.token() for _ in range(50)), return_exceptions=True)
    assert all(isinstance(no, Fault) for no in told)
    assert here.fetch.asked.total() == before + 1


async def test_a_token_that_is_about_to_end_is_not_begun_with() -> None:
    here = await purse()
    first = await here.token()
    here.clock.forward(200)
    assert await here.token() == first
    here.clock.forward(90)
    second = await here.token()
    assert second["jti"] != first["jti"]
    assert second["exp"] > here.clock() + 15


async def test_a_dead_token_is_replaced_once_for_all_who_had_it() -> None:
    here = await purse()
    route = here.routes["alice"]
    token = await here.wallet.token(route, READ, Patience(5))
    here.wallet.dead(route, READ, token)
    fresh = await here.wallet.token(route, READ, Patience(5))
    assert fresh is not token
    here.wallet.dead(route, READ, token)  # another call finds out later
    assert await here.wallet.token(route, READ, Patience(5)) is fresh
    assert here.fetch.asked["/backchannel"] == 2


@lets_through(ALLOWED, IN_TIME)
async def test_a_person_who_was_not_asked_before_is_asked_once_for_everything() -> None:
    here = await purse()
    await here.has_allowed_nothing()
    asked = asyncio.create_task(here.token())
    with pytest.raises(StillAsking):
        await here.token(seconds=0)
    assert here.wallet.asking_until(here.routes["alice"]) == here.clock() + 300
    here.clock.forward(5)
    await here.answer(allow=True)
    assert (await asked)["scope"] == "read"
    assert (await here.token(scope=WRITE))["scope"] == "write"
    assert here.fetch.asked["/backchannel"] == 1


@stops(ALLOWED)
async def test_a_person_who_says_no_is_left_alone_for_a_while() -> None:
    here = await purse()
    await here.has_allowed_nothing()
    asked = asyncio.create_task(here.token())
    with pytest.raises(StillAsking):
        await here.token(seconds=0)
    here.clock.forward(5)
    await here.answer(allow=False)
    for one in (asked, here.token(), here.token(scope=WRITE)):
        with pytest.raises(Refusal) as no:
            await one
        assert (no.value.error, no.value.rule) == ("access_denied", ALLOWED)
    assert here.fetch.asked["/backchannel"] == 1
    here.clock.forward(61)
    with pytest.raises(StillAsking):
        await here.token(seconds=0)
    assert here.fetch.asked["/backchannel"] == 2
    await here.wallet.stop()


@stops(IN_TIME)
async def test_a_person_who_does_not_answer_has_not_allowed_it() -> None:
    here = await purse()
    await here.has_allowed_nothing()
    asked = asyncio.create_task(here.token())
    with pytest.raises(StillAsking):
        await here.token(seconds=0)
    here.clock.forward(400)
    with pytest.raises(Refusal) as no:
        await asked
    assert (no.value.error, no.value.rule) == ("expired_token", IN_TIME)


async def test_what_is_taken_back_ends_with_the_next_token_and_nobody_is_asked() -> None:
    here = await purse()
    await here.token()
    await here.take_back()
    with pytest.raises(Refusal) as no:
        await here.token(scope=WRITE)
    assert (no.value.error, no.value.rule) == ("access_denied", ALLOWED)
    assert await here.env.store.select(Ask, "open_for", "alice") == []


async def test_a_mistake_of_the_operators_is_nobodys_refusal() -> None:
    here = await purse()
    stray = replace(here.routes["alice"], scopes={"GET": frozenset({"never-heard-of"})})
    table = Table((Agent(name="bot"),), (stray,))
    wallet = Wallet(table, here.wallet.identity, Settings(), here.env)
    with pytest.raises(Fault):
        await wallet.token(stray, frozenset({"never-heard-of"}), Patience(5))
    with pytest.raises(Fault):
        await wallet.token(replace(stray, agent="nobody"), READ, Patience(5))


async def test_a_wallet_does_not_show_what_is_in_it() -> None:
    here = await purse()
    token = await here.wallet.token(here.routes["alice"], READ, Patience(5))
    assert token.access_token.reveal() not in f"{here.wallet!r} {here.wallet._kept!r}"
    await here.wallet.stop()
    assert not here.wallet._kept
