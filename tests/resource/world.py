"""A pharmacy's API behind its guard, the server that it trusts, and an agent with a key of its own."""

import json
from collections.abc import Iterable
from typing import Any

import httpx2

from deputize.adapters.memory import MemoryStore
from deputize.adapters.policy import SettingsPolicy
from deputize.core.ports import Env, Notice, Store
from deputize.core.wire import JsonObject, json_object
from deputize.jose.keys import KeySet, PrivateKey
from deputize.oauth import challenge, dpop
from deputize.oauth.details import http_call
from deputize.resource import Caller, Guard, Operation
from deputize.resource.asgi import App, Message, Receive, Scope, Send
from tests.support.issuer import ISSUER, AppFetch, SmallIssuer
from tests.support.ports import CountingRandom, FixedClock

RESOURCE = "https://api.example"
READ, ORDER = "prescriptions:read", "prescriptions:order"
THIRTY = b'{"medicine": "Ibuprofen 400 mg", "quantity": 30}'
THREE_HUNDRED = b'{"medicine": "Ibuprofen 400 mg", "quantity": 300}'
ACCEPTS = (("accept-txn-challenge", "?1"),)


class NoSigner:
    """A guard signs with its own key."""

    def active(self) -> tuple[str, str]:
        raise LookupError

    async def sign(self, kid: str, data: bytes) -> bytes:
        raise LookupError(kid, data)

    def keys(self) -> tuple[JsonObject, ...]:
        return ()


class NoNotify:
    """A guard tells nobody."""

    async def tell(self, notice: Notice) -> None:
        raise LookupError(notice)


def purchase(quantity: int) -> JsonObject:
    """The detail that the pharmacy makes of an order."""
    return {
        "type": "purchase",
        "item": "Ibuprofen 400 mg",
        "quantity": quantity,
        "amount": {"value": f"{quantity}.00", "currency": "EUR"},
        "payee": "Madrid Pharmacy",
    }


def describe_order(body: bytes) -> Operation:
    """What the order would do, read from its body; a ValueError where it is none."""
    order = json_object(body)
    if set(order) != {"medicine", "quantity"} or order["medicine"] != "Ibuprofen 400 mg":
        raise ValueError("an order has a medicine that we sell, and a quantity")
    return Operation.of("Orders of medicine are approved one by one", purchase(order["quantity"]))


class Api:
    """The application behind the guard: it notes what it sees, and says who called."""

    def __init__(self) -> None:
        self.seen: list[tuple[Scope, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.startup.complete"})
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        self.seen.append((scope, body))
        caller: Caller = scope["deputize.caller"]
        told = json.dumps({"subject": caller.subject, "client": caller.client, "body": body.decode("latin-1")}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(told)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": told})


class World:
    """Everything that a test plays with."""

    def __init__(self, *, resource: str = RESOURCE, store: Store | None = None, **told: Any) -> None:
        self.clock = FixedClock()
        self.key = PrivateKey.generate()  # the pharmacy's
        self.agent = PrivateKey.generate()
        self.resource = resource
        self.issuer = SmallIssuer(self.clock, {resource: KeySet.of(self.key.public())})
        self.fetch = AppFetch()
        self.fetch.apps[ISSUER] = self.issuer
        self.env = Env(
            clock=self.clock,
            random=CountingRandom(),
            store=store or MemoryStore(),
            fetch=self.fetch,
            signer=NoSigner(),
            notify=NoNotify(),
            policy=SettingsPolicy(),
        )
        told = {"key": self.key, "name": "Madrid Pharmacy", **told}
        self.guard = Guard(resource=resource, issuer=ISSUER, env=self.env, **told)
        self.guard.needs("GET", "/prescriptions", scope=READ)
        self.guard.needs("GET", "/prescriptions/{number}", scope=READ)
        self.guard.needs("PUT", "/prescriptions", scope=f"{READ} {ORDER}")
        if told["key"] is not None:
            self.guard.needs("POST", "/orders", scope=ORDER, approve=describe_order)
            self.guard.needs("PUT", "/orders", scope=ORDER, approve=describe_order)
        self.api = Api()
        self.app: App = self.guard.wrap(self.api)
        self._proofs = 0

    # --- what the agent has ---------------------------------------------------------------------------------------

    def token(self, *, key: PrivateKey | None = None, bearer: bool = False, **claims: Any) -> str:
        """An access token of Alice's for the agent, bound to its key unless it is a bearer token."""
        claims = {"aud": self.resource, "scope": f"{READ} {ORDER}", "act": {"sub": "pharmacy-bot"}, **claims}
        return self.issuer.mint(bound_to=None if bearer else key or self.agent, **claims)

    def approved(self, body: bytes = THIRTY, *, method: str = "POST", path: str = "/orders", **claims: Any) -> str:
        """A token for one call, as the server makes it when Alice has allowed what the pharmacy described."""
        call = http_call(method, self.resource + path, body).members
        told = {"scope": None, "txn": "txn-1", "authorization_details": [call, purchase(json.loads(body)["quantity"])]}
        return self.token(**{**told, **claims})

    def proof(self, token: str, method: str, path: str, *, key: PrivateKey | None = None, **told: Any) -> str:
        self._proofs += 1
        told = {"jti": f"proof-{self._proofs}", "now": self.clock(), "url": self.resource + path, **told}
        return dpop.prove(key or self.agent, method=method, access_token=token, **told)

    def shown(
        self, token: str, method: str, path: str, *, key: PrivateKey | None = None, bearer: bool = False
    ) -> list[tuple[str, str]]:
        """The headers that this token is shown by."""
        if bearer:
            return [("authorization", f"Bearer {token}")]
        return [("authorization", f"DPoP {token}"), ("dpop", self.proof(token, method, path, key=key))]

    # --- calls ----------------------------------------------------------------------------------------------------

    async def call(
        self,
        method: str = "GET",
        path: str = "/prescriptions",
        *,
        token: str | None = None,
        body: bytes = b"",
        headers: Iterable[tuple[str, str]] = (),
        **shown: Any,
    ) -> httpx2.Response:
        """A call with a token, and a fresh proof where it is a bound one."""
        if token is not None:
            headers = [*self.shown(token, method, path, **shown), *headers]
        return await self.send(method, path, headers=headers, body=body)

    async def send(
        self, method: str, path: str, *, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> httpx2.Response:
        """A request just so, over ASGI."""
        transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url=self.resource) as client:
            return await client.request(method, path, headers=list(headers), content=body)

    async def order(self, token: str, body: bytes = THIRTY, **told: Any) -> httpx2.Response:
        return await self.call("POST", "/orders", token=token, body=body, headers=ACCEPTS, **told)

    async def raw(self, path: str, raw_path: bytes | None, *, token: str, **told: Any) -> int:
        """The status of a request that no client would send: `path` as routed, `raw_path` as it came."""
        scope: Scope = {
            "type": "http",
            "method": told.get("method", "GET"),
            "path": path,
            "raw_path": raw_path,
            "query_string": told.get("query", b""),
            "headers": [(b"authorization", f"Bearer {token}".encode()), *told.get("headers", ())],
        }
        if raw_path is None:
            del scope["raw_path"]
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        status: int = sent[0]["status"]
        return status


def error_of(told: httpx2.Response) -> tuple[int, str | None]:
    """Status and code of a refusal; the code of its header is that of its body."""
    code = told.json().get("error")
    named = [challenge.challenge_params(line)[1].get("error") for line in told.headers.get_list("www-authenticate")]
    if code is not None and named and code not in named:
        raise AssertionError(f"{code} in the body, {named} in the headers")
    return told.status_code, code
