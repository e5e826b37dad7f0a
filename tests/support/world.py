"""A world to test in: a real authorization server over a real store, two people, a pharmacy, its agents.

`world.post` sends what it is told to, authenticated or not, and holds every refusal against the corpus's global rules
(see `tests.support.judge`). The clock stands still until it is put forward, and the dice count.
"""

import base64
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote_plus, urlencode

import structlog
from structlog.typing import Processor

from deputize.adapters.memory import MemoryStore
from deputize.adapters.sqlite import SqliteStore
from deputize.core.ports import Add, Env, Fetch, Record, Replace, Store
from deputize.core.values import ClientId, Instant, Issuer, Subject
from deputize.core.wire import JsonObject, b64u, json_bytes
from deputize.jose import jws
from deputize.jose.keys import PrivateKey
from deputize.oauth import asking, assertion, challenge, dpop, statuses
from deputize.oauth import standing as standings
from deputize.oauth.asking import Ask
from deputize.oauth.client import Client, Person, Resource, SecretHash, Way, own_resource, secret_hash
from deputize.oauth.client_auth import METHODS
from deputize.oauth.device import Settings as DeviceSettings
from deputize.oauth.grant import Grant
from deputize.oauth.grants import GRANTS, NO_DEVICES, ciba
from deputize.oauth.mandates import Mandates
from deputize.oauth.mandates import Settings as MandateSettings
from deputize.oauth.registering import Settings as RegistrationSettings
from deputize.oauth.requested import Settings as AuthorizeSettings
from deputize.oauth.server import AuthorizationServer
from deputize.oauth.tokens import Settings as TokenSettings
from deputize.server.app import protocol_app
from deputize.server.http import Asgi
from deputize.server.mandates import mint
from tests.support import logs
from tests.support.asgi import Answer, request
from tests.support.cast import (
    BASIC,
    BOT,
    CLAIM,
    DPOP_BOT,
    INSURER,
    NOW,
    ORDER,
    OTHER,
    PHARMACY,
    POST,
    READ,
    ROAMING,
    ClosedFetch,
    KeySigner,
    OpenPolicy,
    QuietNotify,
    a_call,
    a_client,
    a_purchase,
    jwks,
)
from tests.support.judge import Asked, Trial, kept
from tests.support.ports import CountingRandom, FixedClock

CLIENT_CREDENTIALS = {"grant_type": "client_credentials"}

Form = Mapping[str, str] | Iterable[tuple[str, str]]
HeaderItems = tuple[tuple[str, str], ...]


@dataclass
class World:
    """One server with all that is around it. `keys` and `secrets` are the clients' own, by client_id."""

    here: AuthorizationServer
    env: Env
    clock: FixedClock
    signer: KeySigner
    notify: QuietNotify
    policy: OpenPolicy
    app: Asgi
    keys: dict[str, PrivateKey] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    public: set[str] = field(default_factory=set)
    logged: list[Mapping[str, object]] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.env.store

    @property
    def now(self) -> Instant:
        return self.clock.now

    # --- records ---

    async def add(self, *records: Record) -> None:
        assert await self.store.commit(*map(Add, records)), "it is there already"

    async def change(self, kind: type[Record], key: str, **fields: Any) -> None:
        """An administrator changes a record: `await world.change(Client, BOT, disabled_at=world.now)`."""
        old = await self.store.read(kind, key)
        assert old is not None
        assert await self.store.commit(Replace(old, dataclasses.replace(old, **fields)))

    async def client(self, key: str, **fields: Any) -> Client:
        """A new client, with a key of its own if it authenticates with one, or a secret."""
        made = a_client(key, **fields)
        if made.auth_method == "private_key_jwt":
            self.keys.setdefault(key, PrivateKey.generate())
            made = dataclasses.replace(made, jwks=fields.get("jwks", jwks(self.keys[key])))
        elif made.auth_method == "none":
            self.public.add(key)
        else:
            self.secrets.setdefault(key, f"canary:+%/ü {self.env.random(256)}")
            known = SecretHash(secret_hash(self.secrets[key]))
            made = dataclasses.replace(made, secrets=fields.get("secrets", (known,)))
        await self.add(made)
        return made

    # --- what clients make ---

    def assertion(
        self, client: str = BOT, *, key: PrivateKey | None = None, header: JsonObject | None = None, **claims: Any
    ) -> str:
        """A good client assertion; `header` and `claims` replace parts of it, and None leaves one out."""
        good = {
            "iss": client,
            "sub": client,
            "aud": self.here.issuer.text,
            "iat": self.now,
            "exp": self.now + 60,
            "jti": self.env.random(128),
        }
        return self.signed({**good, **claims}, key or self.keys[client], assertion.TYP, header)

    def proof(
        self,
        key: PrivateKey,
        path: str = "/token",
        *,
        header: JsonObject | None = None,
        by: PrivateKey | None = None,
        **claims: Any,
    ) -> str:
        """A good DPoP proof for a POST to this path; `by` signs it in place of `key`."""
        good = {"jti": self.env.random(128), "htm": "POST", "htu": self.here.issuer.at(path), "iat": self.now}
        public = {name: value for name, value in key.public_jwk().items() if name not in {"kid", "use", "alg"}}
        return self.signed({**good, **claims}, by or key, dpop.TYP, {"jwk": public, "kid": None, **(header or {})})

    def challenge(self, *, key: PrivateKey | None = None, header: JsonObject | None = None, **claims: Any) -> str:
        """A good transaction challenge of the pharmacy: the bot wants to order for Alice."""
        good = {
            "iss": PHARMACY,
            "sub": "alice",
            "aud": self.here.issuer.text,
            "iat": self.now,
            "exp": self.now + 300,
            "jti": self.env.random(128),
            "txn": self.env.random(128),
            "authorization_details": [a_purchase(), a_call()],
            "reason": "Orders are approved by the person they are for",
            "act": {"sub": BOT},
        }
        return self.signed({**good, **claims}, key or self.keys[PHARMACY], challenge.TYP, header)

    def minted(self, *, key: PrivateKey | None = None, header: JsonObject | None = None, **claims: Any) -> str:
        """An access token as the server would have made it for the bot on behalf of Alice, were it not altered."""
        good = {
            "iss": self.here.issuer.text,
            "sub": "alice",
            "aud": PHARMACY,
            "client_id": BOT,
            "act": {"sub": BOT},
            "scope": f"{ORDER} {READ}",
            "iat": self.now,
            "exp": self.now + 300,
            "jti": self.env.random(128),
        }
        return self.signed({**good, **claims}, key or self.signer.all[0], "at+jwt", header)

    def signed(self, claims: JsonObject, key: PrivateKey, typ: str, header: JsonObject | None = None) -> str:
        """A JWT whose header can be altered too: None takes a member out."""
        head = {"typ": typ, "alg": key.alg.name, "kid": key.kid, **(header or {})}
        data = ".".join(b64u(json_bytes(_told(part))) for part in (head, claims)).encode()
        return jws.compact(data, key.sign(data))

    def logs_in(self, client: str) -> tuple[HeaderItems, tuple[tuple[str, str], ...]]:
        """What this client adds to a request to authenticate: header fields, and form fields."""
        if client in self.public:
            return (), (("client_id", client),)
        if client not in self.secrets:
            return (), (("client_assertion_type", assertion.TYPE), ("client_assertion", self.assertion(client)))
        if client == POST:
            return (), (("client_id", client), ("client_secret", self.secrets[client]))
        return (("authorization", basic(client, self.secrets[client])),), ()

    # --- requests ---

    async def post(
        self,
        path: str,
        form: Form = (),
        headers: HeaderItems = (),
        *,
        by: str | None = None,
        key: PrivateKey | None = None,
        spends: Iterable[str] = (),
    ) -> Answer:
        """Post a form, as this client (`by`) and with a proof by this key where they are given; judge a refusal.

        `spends` names kinds of records that the refusal changes by design.
        """
        asked, body = self._asked(path, form, headers, by, key)
        before, lines = await kept(self.store), len(self.logged)
        answer = await self.send("POST", path, asked.headers, body)
        if answer.status >= 400:
            trial = Trial(asked, answer, before, await kept(self.store), self.logged[lines:])
            trial.judge(spends=frozenset(spends))
        return answer

    async def post_quickly(
        self, path: str, form: Form, *, by: str | None = None, key: PrivateKey | None = None
    ) -> Answer:
        """Post a form without judging the answer: where many go at once, nobody can say who changed what."""
        asked, body = self._asked(path, form, (), by, key)
        return await self.send("POST", path, asked.headers, body)

    def _asked(
        self, path: str, form: Form, headers: HeaderItems, by: str | None, key: PrivateKey | None
    ) -> tuple[Asked, bytes]:
        fields = tuple(form.items() if isinstance(form, Mapping) else form)
        more_headers, more_fields = self.logs_in(by) if by is not None else ((), ())
        headers = (*headers, *more_headers)
        if key is not None:
            headers = (*headers, ("dpop", self.proof(key, path)))
        if not any(name == "content-type" for name, _ in headers):
            headers = (*headers, ("content-type", "application/x-www-form-urlencoded"))
        fields = (*fields, *more_fields)
        return Asked(headers, fields), urlencode(fields).encode()

    async def get(self, path: str, headers: HeaderItems = (), *, method: str = "GET") -> Answer:
        return await self.send(method, path, headers, b"")

    async def app_get(self, path: str) -> Answer:
        """GET a path of the host, wherever on it the issuer lies."""
        return await request(self.app, "GET", self.here.issuer.origin + path, ())

    async def send(self, method: str, path: str, headers: HeaderItems, *chunks: bytes) -> Answer:
        """One request through the application, its body in these chunks."""
        return await request(self.app, method, self.here.issuer.at(path), headers, chunks)

    # --- common ways ---

    async def token(self, form: Form = (), *, by: str = BOT, key: PrivateKey | None = None) -> Answer:
        """POST /token for client_credentials, unless the form says otherwise."""
        return await self.post("/token", {**CLIENT_CREDENTIALS, **dict(form)}, by=by, key=key)

    async def ask(
        self, *, by: str = BOT, key: PrivateKey | None = None, drop: Iterable[str] = (), **form: str
    ) -> Answer:
        """POST /backchannel: may this client read Alice's prescriptions, unless the form says otherwise?"""
        good = {"scope": f"openid {READ}", "login_hint": "alice"}
        fields = {name: value for name, value in {**good, **form}.items() if name not in set(drop)}
        return await self.post("/backchannel", fields, by=by, key=key)

    async def asked(self, *, by: str = BOT, key: PrivateKey | None = None, **form: str) -> Ask:
        """The record of a new ask."""
        answer = await self.ask(by=by, key=key, **form)
        assert answer.status == 200, answer.body
        return await self.ask_of(answer["auth_req_id"])

    async def ask_of(self, key: str) -> Ask:
        found = await self.store.read(Ask, key)
        assert found is not None
        return found

    async def poll(
        self, ask: Ask | str, *, by: str = BOT, key: PrivateKey | None = None, spends: Iterable[str] = ("ask",)
    ) -> Answer:
        """POST /token for CIBA. A poll is remembered, whatever comes of it."""
        handle = ask if isinstance(ask, str) else ask.key
        form = {"grant_type": ciba.TYPE, "auth_req_id": handle}
        return await self.post("/token", form, by=by, key=key, spends=spends)

    async def answer(self, ask: Ask, *, allow: bool, by: str | None = None) -> Ask:
        """The person at the page says yes or no to the ask as it is now."""
        latest = await self.ask_of(ask.key)
        return await asking.answer(latest, by=Subject(by or ask.person), allow=allow, env=self.env, via="a test")

    async def allow(self, ask: Ask, *, by: str | None = None) -> Ask:
        return await self.answer(ask, allow=True, by=by)

    async def deny(self, ask: Ask, *, by: str | None = None) -> Ask:
        return await self.answer(ask, allow=False, by=by)

    async def allowed(self, *, by: str = BOT, key: PrivateKey | None = None, **form: str) -> str:
        """The access token that comes of a new ask which the person allows."""
        ask = await self.asked(by=by, key=key, **form)
        if isinstance(ask.state, asking.Waiting):
            await self.allow(ask)
        answer = await self.poll(ask, by=by, key=key)
        assert answer.status == 200, answer.body
        return answer["access_token"]

    async def present(
        self, compact: str, *, by: str = BOT, key: PrivateKey | None = None, spends: Iterable[str] = ()
    ) -> Answer:
        """POST /transaction with a challenge."""
        return await self.post("/transaction", {"transaction_challenge": compact}, by=by, key=key, spends=spends)

    async def take_back(self, person: str = "alice", client: str = BOT) -> None:
        standing = await standings.find(Subject(person), ClientId(client), self.env)
        assert standing is not None
        assert await statuses.commit(standings.take_back(standing, self.now), self.env, ends=standing.key)

    async def welcome(self, person: str = "alice", client: str = BOT) -> None:
        standing = await standings.find(Subject(person), ClientId(client), self.env)
        assert standing is not None
        assert await self.store.commit(*standings.welcome(standing, self.now))

    async def is_active(self, token: str, *, by: str = PHARMACY) -> bool:
        answer = await self.post("/introspect", {"token": token}, by=by)
        assert answer.status == 200
        return bool(answer.json["active"])


def _told(members: JsonObject) -> JsonObject:
    return {name: value for name, value in members.items() if value is not None}


def basic(client: str, secret: str) -> str:
    """HTTP Basic as RFC 6749 wants it: each part form-encoded first."""
    return "Basic " + base64.b64encode(f"{quote_plus(client)}:{quote_plus(secret)}".encode()).decode()


# --- making one ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def a_world(
    path: Path | None = None,
    *,
    issuer: str = "https://as.example",
    asks: asking.Settings = asking.Settings(),
    tokens: TokenSettings = TokenSettings(),
    authorize: AuthorizeSettings = AuthorizeSettings(),
    registration: RegistrationSettings = RegistrationSettings(),
    fapi2: bool = False,
    grants: tuple[Grant, ...] = GRANTS,
    drafts: frozenset[str] = frozenset({"txn-challenge"}),
    ways: tuple[Way, ...] = (),
    fetch: Fetch | None = None,
    status: statuses.Settings | None = None,
    device: DeviceSettings = NO_DEVICES,
    mandates: MandateSettings | None = None,
    pages: Callable[[AuthorizationServer, Env], Asgi] | None = None,
) -> AsyncIterator[World]:
    """A world over a store in memory, or in the SQLite file at `path`."""
    here = AuthorizationServer(
        issuer=Issuer(issuer),
        grants=grants,
        methods=METHODS,
        ways=ways,
        tokens=tokens,
        asks=asks,
        authorize=authorize,
        registration=registration,
        device=device,
        fapi2=fapi2,
        drafts=drafts,
        statuses=None if status is None else statuses.Statuses(Issuer(issuer), status),
        mandates=None if mandates is None else Mandates(mint, mandates),
    )
    clock, signer, notify, policy = FixedClock(NOW), KeySigner(), QuietNotify(), OpenPolicy()
    env = Env(
        clock=clock,
        random=CountingRandom(),
        store=SqliteStore(path) if path is not None else MemoryStore(),
        fetch=fetch or ClosedFetch(),
        signer=signer,
        notify=notify,
        policy=policy,
    )
    app = protocol_app(here, env, pages(here, env) if pages is not None else None)
    world = World(here=here, env=env, clock=clock, signer=signer, notify=notify, policy=policy, app=app)
    structlog.configure(processors=[_into(world.logged)])
    try:
        await peopled(world)
        yield world
    finally:
        logs.plainly()
        await env.store.close()


def _into(lines: list[Mapping[str, object]]) -> Processor:
    def note(_: object, method: str, line: MutableMapping[str, Any]) -> NoReturn:
        lines.append({"level": method, **line})
        raise structlog.DropEvent

    return note


async def peopled(world: World) -> None:
    """Alice and Bob, the pharmacy and the insurer with their keys, and a client of every sort."""
    await world.add(own_resource(world.here.issuer.text))
    for login in ("alice", "bob"):
        await world.add(Person(key=login, login=login, name=login.title()))
    for api, name, scopes in (
        (PHARMACY, "Madrid Pharmacy", {READ: "read your prescriptions", ORDER: "prepare orders of your medicine"}),
        (INSURER, "Madrid Insurance", {CLAIM: "read your claims"}),
    ):
        await world.client(
            api, name=name, grant_types=frozenset(), audiences=frozenset(), scope=frozenset(), serves=api
        )
        await world.add(Resource(key=api, name=name, scopes=scopes, jwks=jwks(world.keys[api])))
    for agent in (BOT, OTHER):
        await world.client(agent)
    await world.client(DPOP_BOT, dpop_bound=True)
    await world.client(ROAMING, audiences=frozenset({PHARMACY, INSURER}), scope=frozenset({READ, ORDER, CLAIM}))
    for agent, method in ((BASIC, "client_secret_basic"), (POST, "client_secret_post")):
        await world.client(agent, auth_method=method, grant_types=frozenset({"client_credentials"}))
