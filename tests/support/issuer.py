"""A small authorization server, for tests of those who trust one: real keys, real documents, real introspection."""

from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2

from deputize.core.ports import Clock
from deputize.core.rules import Fault, Refusal
from deputize.core.values import Issuer
from deputize.core.wire import Call, Form, Headers, JsonObject, Reply, json_bytes
from deputize.jose import jwt
from deputize.jose.keys import KeySet, PrivateKey
from deputize.oauth import assertion, metadata
from deputize.resource.asgi import App, Receive, Scope, Send

ISSUER = "https://as.example"


class SmallIssuer:
    """Mints what it is told to, and knows of each of its tokens whether it was taken back.

    `clients` may introspect: their ids (a resource's identifier) and keys. `fetched` counts requests by path.
    """

    def __init__(self, clock: Clock, clients: Mapping[str, KeySet], *, url: str = ISSUER) -> None:
        self.url = url
        self.clock = clock
        self.clients = dict(clients)
        self.key = PrivateKey.generate()
        self.published = [self.key]
        self.taken_back: set[str] = set()
        self.asserted: set[str] = set()
        self.fetched: Counter[str] = Counter()
        self.answers: dict[str, tuple[int, JsonObject]] = {}  # in place of its own, by path: where it misbehaves
        self._minted = 0

    def claims(self, **told: Any) -> JsonObject:
        """The claims of a good access token; `told` replaces some, and None leaves one out."""
        self._minted += 1
        now = self.clock()
        good = {
            "iss": self.url,
            "sub": "alice",
            "client_id": "pharmacy-bot",
            "iat": now,
            "exp": now + 300,
            "jti": f"token-{self._minted}",
        }
        return {name: value for name, value in {**good, **told}.items() if value is not None}

    def mint(self, *, bound_to: PrivateKey | None = None, typ: str = "at+jwt", **told: Any) -> str:
        """A token with these claims, bound to a key where one is given."""
        if bound_to is not None:
            told = {"cnf": {"jkt": bound_to.public().thumbprint}, **told}
        return jwt.sign(self.claims(**told), self.key, typ=typ)

    def rotate(self) -> None:
        """Sign with a new key; the old one stays published."""
        self.key = PrivateKey.generate()
        self.published.append(self.key)

    def take_back(self, token: str) -> None:
        _, claims = jwt.peek(token, "invalid_token")
        self.taken_back.add(claims["jti"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        self.fetched[path] += 1
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        status, told = self.answers.get(path) or self._answer(path, body)
        whole = json_bytes(told)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(whole)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": whole})

    def _answer(self, path: str, body: bytes) -> tuple[int, JsonObject]:
        at = Issuer(self.url).at
        match path:
            case metadata.OAUTH_WELL_KNOWN:
                return 200, {
                    "issuer": self.url,
                    "token_endpoint": at(metadata.TOKEN),
                    "jwks_uri": at(metadata.JWKS),
                    "introspection_endpoint": at(metadata.INTROSPECTION),
                }
            case metadata.JWKS:
                return 200, {"keys": [key.public_jwk() for key in self.published]}
            case metadata.INTROSPECTION:
                return self._introspect(Form.parse(body))
        return 404, {"error": "not_found"}

    def _introspect(self, form: Form) -> tuple[int, JsonObject]:
        told = assertion.peek(form.one("client_assertion"))
        keys = self.clients.get(told.client_id, KeySet())
        try:
            once = assertion.check(told, told.client_id, keys, self.url, self.clock())
        except Refusal as no:
            return 401, {"error": no.error}
        if once.record.key in self.asserted:
            return 401, {"error": "invalid_client"}
        self.asserted.add(once.record.key)
        parsed, claims = jwt.peek(form.one("token"), "invalid_token")
        signers = KeySet.of(*(key.public() for key in self.published)).candidates(parsed.kid, parsed.alg)
        mine = any(key.verifies(parsed.signature, parsed.signing_input) for key in signers)
        aud = claims.get("aud")
        if (
            not mine
            or claims["jti"] in self.taken_back
            or told.client_id not in (aud if isinstance(aud, list) else [aud])
        ):
            return 200, {"active": False}
        return 200, {"active": True, **claims}


class AppFetch:
    """Fetches from applications in this process, each at its origin; whatever else is out of reach."""

    def __init__(self) -> None:
        self.apps: dict[str, App] = {}
        self.out_of_reach: set[str] = set()

    async def __call__(self, call: Call) -> Reply:
        parts = urlsplit(call.url)
        app = self.apps.get(f"{parts.scheme}://{parts.netloc}")
        if app is None or call.url in self.out_of_reach:
            raise Fault(f"{parts.netloc} is out of reach", retry=True)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app)) as client:
            told = await client.request(call.method, call.url, headers=list(call.headers), content=call.body)
        headers = Headers(tuple((name.lower(), value) for name, value in told.headers.multi_items()))
        return Reply(status=told.status_code, headers=headers, body=told.content)
