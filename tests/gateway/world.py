"""Everything real on loopback: a server with Alice and Bob, a guarded pharmacy, an API that leaks, and a gateway."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
import uvicorn

from deputize.adapters.guarded_fetch import GuardedFetch
from deputize.adapters.memory import MemoryStore
from deputize.adapters.system import SystemClock, SystemRandom
from deputize.cli.gateway import GatewayProtocol
from deputize.core.ports import Add, Env, Event
from deputize.core.values import ClientId, Instant, Issuer, Seconds, Subject, WebUrl
from deputize.core.wire import JsonObject, json_object
from deputize.gateway.app import Gateway, gateway_app
from deputize.gateway.routes import Agent, Route
from deputize.gateway.settings import GatewayIdentity, Settings
from deputize.jose.keys import KeySet, PrivateKey
from deputize.oauth import asking, dpop
from deputize.oauth import standing as standings
from deputize.oauth.asking import Ask
from deputize.oauth.authority import Authority
from deputize.oauth.client import Client, Person, Resource
from deputize.oauth.client_auth import METHODS
from deputize.oauth.grants import GRANTS
from deputize.oauth.server import AuthorizationServer
from deputize.resource import Guard, Operation
from deputize.resource.asgi import App, Receive, Scope, Send
from deputize.sdk.agent import KeyShown
from deputize.server.app import protocol_app
from tests.support.cast import ALL_GRANTS, BOT, ORDER, OTHER, READ, KeySigner, OpenPolicy, QuietNotify, jwks

THIRTY = b'{"medicine": "Ibuprofen 400 mg", "quantity": 30}'
THREE_HUNDRED = b'{"medicine": "Ibuprofen 400 mg", "quantity": 300}'
ECHO = "echo:use"


# --- serving ----------------------------------------------------------------------------------------------------------


def loopback_socket() -> socket.socket:
    made = socket.socket(proto=socket.IPPROTO_TCP)  # asyncio sends without delay only where it knows that it is TCP
    made.bind(("127.0.0.1", 0))
    return made


def origin_of(bound: socket.socket) -> str:
    host, port = bound.getsockname()
    return f"http://{host}:{port}"


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are pytest's


@asynccontextmanager
async def served(*pairs: tuple[App, socket.socket], **told: Any) -> AsyncIterator[None]:
    """Each application answers on its socket until the block ends."""
    usual = {
        "http": GatewayProtocol,
        "ws": "none",  # as where it is served: whatever else is installed here
        "log_config": None,
        "access_log": False,
        "lifespan": "off",
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": 1,
    }
    servers = [_Server(uvicorn.Config(app, **{**usual, **told})) for app, _ in pairs]
    serving = [
        asyncio.create_task(server.serve(sockets=[bound])) for server, (_, bound) in zip(servers, pairs, strict=True)
    ]
    while not all(server.started for server in servers):
        await asyncio.sleep(0.001)
    try:
        yield
    finally:
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*serving)


async def body_of(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body


async def say(
    send: Send, body: bytes, *, status: int = 200, headers: tuple[tuple[str, str], ...] = (), kind: str = "text/plain"
) -> None:
    told = [(b"content-type", kind.encode()), *((name.encode(), value.encode("latin-1")) for name, value in headers)]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})


# --- the APIs ---------------------------------------------------------------------------------------------------------


def describe_order(body: bytes) -> Operation:
    """What the order would do, read from its body; a ValueError where it is none."""
    order = json_object(body)
    quantity = order["quantity"]
    bought = {
        "type": "purchase",
        "item": str(order["medicine"]),
        "quantity": quantity,
        "amount": {"value": f"{quantity}.00", "currency": "EUR"},
        "payee": "Madrid Pharmacy",
    }
    return Operation.of("Orders of medicine are approved one by one", bought)


@dataclass
class Pharmacy:
    """The application behind the guard, and what it has carried out."""

    orders: list[JsonObject] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await body_of(receive)
        if scope["path"] == "/orders":
            self.orders.append(json.loads(body))
            await say(send, json.dumps({"order": len(self.orders)}).encode(), status=201, kind="application/json")
        else:
            told = {"patient": scope["deputize.caller"].subject, "prescriptions": ["Ibuprofen 400 mg"]}
            await say(send, json.dumps(told).encode(), kind="application/json")


@dataclass
class Leaky:
    """An API with no guard: it notes all that it is sent, and answers as `answer` says."""

    seen: list[tuple[Scope, bytes]] = field(default_factory=list)
    answer: Callable[[Scope, bytes, Send], Any] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await body_of(receive)
        self.seen.append((scope, body))
        if self.answer is None:
            await say(send, b"ok")
        else:
            await self.answer(scope, body, send)

    def headers(self, number: int = -1) -> dict[str, str]:
        return {name.decode(): value.decode("latin-1") for name, value in self.seen[number][0]["headers"]}


# --- the world --------------------------------------------------------------------------------------------------------


@dataclass
class World:
    """What a test plays with."""

    env: Env  # the authorization server's
    gateway_env: Env
    gateway: Gateway
    url: str
    pharmacy: Pharmacy
    leaky: Leaky
    keys: dict[str, PrivateKey]
    origins: dict[str, str]
    api_key: PrivateKey  # both APIs'

    def agent(self, name: str = BOT, **told: Any) -> httpx2.AsyncClient:
        """An agent, as a client that shows its key with each call."""
        auth = KeyShown(self.keys[name])
        return httpx2.AsyncClient(base_url=self.url, auth=auth, timeout=30, trust_env=False, **told)

    def proof(self, method: str, path: str, *, name: str = BOT, **told: Any) -> str:
        told = {"jti": self.env.random(128), "now": self.env.clock(), "url": self.url + path, **told}
        return dpop.prove(told.pop("key", self.keys[name]), method=method, **told)

    async def asks(self, person: str = "alice") -> list[Ask]:
        return await self.env.store.select(Ask, "open_for", person)

    async def next_ask(self, person: str = "alice") -> Ask:
        """The ask that waits for this person, as soon as there is one."""
        async with asyncio.timeout(10):
            while not (found := await self.asks(person)):
                await asyncio.sleep(0.01)
        return found[0]

    async def answers(self, *, allow: bool = True, person: str = "alice") -> Ask:
        """The person answers the next ask."""
        ask = await self.next_ask(person)
        return await asking.answer(ask, by=Subject(person), allow=allow, env=self.env, via="test")

    async def gives_mandate(self, person: str = "alice", *, name: str = BOT) -> None:
        """Whatever this agent is registered for, this person has allowed it."""
        client = await self.env.store.read(Client, name)
        assert client is not None
        for resource in sorted(client.audiences):
            known = await self.env.store.read(Resource, resource)
            assert known is not None
            await self._allow(person, name, resource, client.scope & frozenset(known.scopes))

    async def _allow(self, person: str, name: str, resource: str, scope: frozenset[str]) -> None:
        now = self.env.clock()
        wanted = Authority(audience=frozenset({resource}), scope=scope, until=Instant(now + 3600))
        standing = await standings.find(Subject(person), ClientId(name), self.env)
        change = standings.allowing(standing, Subject(person), ClientId(name), wanted, now, rests_on="")
        assert await self.env.store.commit(change)

    async def takes_back(self, person: str = "alice", *, name: str = BOT) -> None:
        standing = await standings.find(Subject(person), ClientId(name), self.env)
        assert standing is not None
        assert await self.env.store.commit(*standings.take_back(standing, self.env.clock()))

    async def trail(self) -> list[Event]:
        """What the gateway has written down."""
        return await self.gateway_env.store.select(Event, "", "", limit=1000)


async def _seeded(
    env: Env, origins: dict[str, str], pharmacy_key: PrivateKey, client_keys: dict[str, PrivateKey]
) -> None:
    for name in ("alice", "bob"):
        assert await env.store.commit(Add(Person(key=name, login=name, name=name.capitalize())))
    scopes = {"pharmacy": {READ: "read your prescriptions", ORDER: "prepare orders"}, "leaky": {ECHO: "use the echo"}}
    for name, words in scopes.items():
        known = Resource(key=origins[name], name=name.capitalize(), scopes=words, jwks=jwks(pharmacy_key))
        assert await env.store.commit(Add(known))
    pharmacy = Client(
        key=origins["pharmacy"],
        name="Pharmacy",
        auth_method="private_key_jwt",
        grant_types=frozenset(),
        jwks=jwks(pharmacy_key),
        serves=origins["pharmacy"],
    )
    assert await env.store.commit(Add(pharmacy))
    for name, key in client_keys.items():
        agent = Client(
            key=name,
            name=name,
            auth_method="private_key_jwt",
            grant_types=ALL_GRANTS,
            audiences=frozenset({origins["pharmacy"], origins["leaky"]}),
            scope=frozenset({READ, ORDER, ECHO}),
            jwks=jwks(key),
            dpop_bound=True,
        )
        assert await env.store.commit(Add(agent))


def _env(**ports: Any) -> Env:
    return Env(
        **{
            "clock": SystemClock(),
            "random": SystemRandom(),
            "store": MemoryStore(),
            "fetch": GuardedFetch(frozenset()),
            "signer": KeySigner(),
            "notify": QuietNotify(),
            "policy": OpenPolicy(),
            **ports,
        }
    )


def usual_routes(origins: dict[str, str]) -> tuple[Route, ...]:
    """Both agents reach the pharmacy for Alice; the first one also the API that leaks."""
    at = {name: WebUrl(origin) for name, origin in origins.items()}
    pharmacy = Route(
        agent=BOT,
        prefix="/pharmacy",
        upstream=at["pharmacy"],
        resource=origins["pharmacy"],
        person="alice",
        scopes={"GET": frozenset({READ}), "POST": frozenset({ORDER})},
        may_ask=True,
        words="Alice's prescriptions at Madrid Pharmacy",
    )
    leaky = Route(
        agent=BOT,
        prefix="/leaky",
        upstream=at["leaky"],
        resource=origins["leaky"],
        person="alice",
        scopes={method: frozenset({ECHO}) for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")},
    )
    return pharmacy, replace(pharmacy, agent=OTHER), leaky


@asynccontextmanager
async def world(
    *,
    settings: Callable[[Settings], Settings] = lambda usual: usual,
    routes: Callable[[dict[str, str]], tuple[Route, ...]] = usual_routes,
    agents: Callable[[tuple[Agent, ...]], tuple[Agent, ...]] = lambda usual: usual,
    mandates: bool = True,
    leaky: App | None = None,
    watch: Callable[[App], App] = lambda app: app,
    **ports: Any,
) -> AsyncIterator[World]:
    """The whole world, on free ports of loopback, for as long as the block lasts."""
    bound = {name: loopback_socket() for name in ("server", "pharmacy", "leaky", "gateway")}
    origins = {name: origin_of(one) for name, one in bound.items()}
    pharmacy_key = PrivateKey.generate()
    keys = {name: PrivateKey.generate() for name in (BOT, OTHER)}
    client_keys = {name: PrivateKey.generate() for name in (BOT, OTHER)}
    issuer = Issuer(origins["server"])
    fetches = [GuardedFetch(frozenset({origins["server"], origins["pharmacy"], origins["leaky"]})) for _ in range(2)]
    env = _env()
    await _seeded(env, origins, pharmacy_key, client_keys)
    here = AuthorizationServer(
        issuer=issuer,
        grants=GRANTS,
        methods=METHODS,
        asks=asking.Settings(interval=Seconds(1)),
        drafts=frozenset({"txn-challenge"}),
    )
    guard = Guard(
        resource=origins["pharmacy"],
        issuer=issuer.text,
        env=_env(fetch=fetches[0]),
        key=pharmacy_key,
        name="Madrid Pharmacy",
        dpop_required=True,
    )
    guard.needs("GET", "/prescriptions", scope=READ)
    guard.needs("POST", "/orders", scope=ORDER, approve=describe_order)
    pharmacy, leak = Pharmacy(), Leaky()
    gateway_env = _env(**{"fetch": fetches[1], **ports})
    usual = settings(Settings(url=Issuer(origins["gateway"]), hold_seconds=Seconds(10), quiet_seconds=Seconds(60)))
    shown = tuple(Agent(name=name, keys=KeySet.of(key.public())) for name, key in keys.items())
    gateway = gateway_app(
        routes(origins),
        agents(shown),
        GatewayIdentity(issuer=issuer, client_keys=client_keys),
        gateway_env,
        settings=usual,
    )
    made = World(env, gateway_env, gateway, origins["gateway"], pharmacy, leak, keys, origins, pharmacy_key)
    apps: tuple[App, ...] = (watch(protocol_app(here, env)), guard.wrap(pharmacy), leaky or leak, gateway)
    try:
        async with served(*zip(apps, bound.values(), strict=True)):
            if mandates:
                for name in keys:
                    await made.gives_mandate(name=name)
            yield made
            await gateway.close()
    finally:
        for fetch in fetches:
            await fetch.aclose()
