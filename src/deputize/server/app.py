"""The route table: path → function of oauth; all else goes to the pages."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from deputize.core.ports import Env
from deputize.core.rules import Fault, Refusal
from deputize.core.wire import Inbound, JsonObject, Outbound, b64u, json_bytes
from deputize.oauth import begun, metadata, nonces, registration, token_endpoint, token_status, userinfo
from deputize.oauth.certificate import Edge
from deputize.oauth.client import Client
from deputize.oauth.server import AuthorizationServer
from deputize.oauth.statuses import PATH as STATUS
from deputize.server import cors, http, mandates
from deputize.server.credentials import Credentials
from deputize.server.http import Asgi, Receive, Scope, Send
from deputize.server.issuing import CredentialSite
from deputize.server.status import StatusSite

Endpoint = Callable[[Inbound, AuthorizationServer, Env], Awaitable[JsonObject | token_status.Signed | None]]

ENDPOINTS: Final[dict[str, Endpoint]] = {
    metadata.TOKEN: token_endpoint.token,
    metadata.INTROSPECTION: token_status.introspect,
    metadata.REVOCATION: token_status.revoke,
    metadata.PAR: begun.push,
    metadata.USERINFO: userinfo.userinfo,
    metadata.REGISTRATION: registration.register,
    metadata.BACKCHANNEL: token_endpoint.backchannel,
    metadata.DEVICE_AUTHORIZATION: token_endpoint.device_authorization,
    metadata.TRANSACTION: token_endpoint.transaction_authorization,
}
_WITH_TOKEN: Final = frozenset({metadata.USERINFO})  # a token opens these, and no client's own authentication
_REGISTERED: Final = f"{metadata.REGISTRATION}/"
_CREATES: Final = frozenset({metadata.PAR, metadata.REGISTRATION})
_METHODS: Final = {metadata.USERINFO: ("GET", "POST"), _REGISTERED: ("GET", "PUT", "DELETE")}
_CLIENT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REFUSED_OUTRIGHT: Final = {"access_denied": 403}
STATUSES: Final[dict[str, dict[str, int]]] = {metadata.BACKCHANNEL: _REFUSED_OUTRIGHT}


@dataclass(frozen=True, slots=True)
class _Place:
    """What is at a path: the function, its own URL, and the statuses that its specification gives."""

    endpoint: Endpoint
    url: str
    statuses: dict[str, int]
    name: str

    @property
    def methods(self) -> tuple[str, ...]:
        return _METHODS.get(self.name, ("POST",))


def protocol_app(
    here: AuthorizationServer,
    env: Env,
    pages: Asgi | None = None,
    edge: Edge | None = None,
    credentials: Credentials | None = None,
    origins: frozenset[str] = frozenset(),
) -> Asgi:
    """The server as one ASGI application: the protocol by itself, everything else handed to `pages`.

    `edge` says where clients' certificates come from; without one, nothing is believed to be one. `credentials` are
    those that are issued here, `origins` those of clients that run in a browser.
    """
    path = urlsplit(here.issuer.text).path
    off = _off(here)
    endpoints = {
        path + name: _Place(endpoint, here.issuer.at(name), STATUSES.get(name, {}), name)
        for name, endpoint in ENDPOINTS.items()
        if name not in off
    }
    itself = _Document(_described(here, env))
    documents = {
        metadata.OAUTH_WELL_KNOWN + path: itself,
        metadata.OPENID_WELL_KNOWN + path: itself,
        path + metadata.OPENID_WELL_KNOWN: itself,
        path + metadata.JWKS: _Document(lambda: {"keys": list(env.signer.keys())}),
    }
    documents |= {at: _Document(says) for at, says in mandates.published(here, env).items()}

    lists = None if here.statuses is None else StatusSite(here.statuses, env, path + STATUS)

    if credentials is not None and credentials.settings.issued:
        pages = _issuing(CredentialSite(credentials, here, env, edge), pages)

    def registered(asked: str) -> _Place | None:
        """What a client has registered: each lies at a path of its own."""
        name = asked.removeprefix(path + _REGISTERED)
        if metadata.REGISTRATION in off or name == asked or not _CLIENT.fullmatch(name):
            return None
        return _Place(registration.manage, here.issuer.at(_REGISTERED + name), {}, _REGISTERED)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _not_http(scope, receive, send, pages)
            return
        asked = scope["path"]
        if edge is not None and (source := edge.source(scope, http.headers_of(scope))) is not None:
            scope[http.SOURCE_SCOPE] = source
        found = endpoints.get(asked) or registered(asked)
        if found is not None:
            page = cors.origin_of(scope, found.name, origins) if origins else None
            if page is not None and cors.asks_before(scope):
                await http.send_out(cors.may(found.methods, page), send)
                return
            try:
                answer = await _protocol(scope, receive, found, here, env, edge)
                if here.dpop.nonces:
                    answer = await _with_nonce(answer, here, env)
            except http.Gone:
                return
            await http.send_out(answer if page is None else cors.readable(answer, page), send)
        elif asked in documents:
            await documents[asked].answer(scope, send)
        elif lists is not None and lists.serves(asked):
            await lists.answer(scope, send)
        elif pages is not None:
            await pages(scope, receive, send)
        else:
            await http.send_out(http.refused(Refusal("invalid_request", http.FOUND)), send)

    return app


def _off(here: AuthorizationServer) -> frozenset[str]:
    """The endpoints that this server does not have: nothing that its tables hold leads to them."""
    types = {grant.type for grant in here.grants}
    there = {
        metadata.TRANSACTION: "txn-challenge" in here.drafts,
        metadata.BACKCHANNEL: metadata.CIBA in types,
        metadata.DEVICE_AUTHORIZATION: metadata.DEVICE_CODE in types,
        metadata.PAR: metadata.CODE in types,
        metadata.USERINFO: metadata.CODE in types,
        metadata.REGISTRATION: here.registration.mode != "off",
    }
    return frozenset(name for name, is_there in there.items() if not is_there)


def _issuing(site: CredentialSite, pages: Asgi | None) -> Asgi:
    """The endpoints of a credential issuer before the pages."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _not_http(scope, receive, send, pages)
        elif site.serves(scope["path"]):
            with suppress(http.Gone):
                answer = await site.answered(scope, receive)
                if site.here.dpop.nonces:
                    answer = await _with_nonce(answer, site.here, site.env)
                await http.send_out(answer, send, head=scope["method"] == "HEAD")
        elif pages is not None:
            await pages(scope, receive, send)
        else:
            await http.send_out(http.refused(Refusal("invalid_request", http.FOUND)), send)

    return app


def _described(here: AuthorizationServer, env: Env) -> Callable[[], JsonObject]:
    """What the server says of itself. Its algorithms are those of the keys that it shows: of the next one, too."""
    keys = env.signer.keys()

    def made() -> JsonObject:
        algs = {env.signer.active()[1], *(str(key["alg"]) for key in keys if "alg" in key)}
        return metadata.of_server(here, signing=frozenset(algs))

    document = made()

    def described() -> JsonObject:
        nonlocal keys, document
        if (shown := env.signer.keys()) is not keys:
            keys = shown
            document = made()
        return document

    return described


async def _protocol(
    scope: Scope,
    receive: Receive,
    found: _Place,
    here: AuthorizationServer,
    env: Env,
    edge: Edge | None,
) -> Outbound:
    try:
        if scope["method"] not in found.methods:
            http.METHOD.refuse("invalid_request", method=scope["method"])
        request = await http.inbound(scope, receive, found.url)
        if edge is not None and (shown := edge.certificates(scope, request.headers)):
            request = replace(request, certificate=shown[0], chain=shown[1:])
        members = await found.endpoint(request, here, env)
    except Refusal as refusal:
        http.note_refusal(refusal, scope["path"])
        return _refused(refusal, found, scope, here)
    except Fault as fault:
        http.log.error("failed", path=scope["path"], what=str(fault))
        return http.failed(fault)
    if members is None:
        return Outbound(
            status=204 if found.name == _REGISTERED else 200,
            headers=(("cache-control", "no-store"), ("x-content-type-options", "nosniff")),
        )
    if isinstance(members, token_status.Signed):
        return http.answered_signed(members.compact, token_status.TYP)
    return http.answered(members, status=201 if found.name in _CREATES else 200)


def _refused(refusal: Refusal, found: _Place, scope: Scope, here: AuthorizationServer) -> Outbound:
    if refusal.rule is http.METHOD:
        return _with(http.refused(refusal), ("allow", ", ".join(found.methods)))
    if found.name in _WITH_TOKEN:
        return http.refused_token(refusal, here.algs)
    if refusal.rule in {registration.INVITED, registration.YOURS}:
        return http.refused_token(refusal, frozenset())
    basic = any(name == b"authorization" for name, _ in scope["headers"])
    return http.refused(refusal, statuses=found.statuses, basic=basic)


async def _with_nonce(answer: Outbound, here: AuthorizationServer, env: Env) -> Outbound:
    """The next nonce goes along with each answer, so that a client need not fail to learn it (RFC 9449, 8.2)."""
    try:
        given = await nonces.at(here.issuer.text, here.dpop, env)
    except Fault:  # the answer stands by itself
        return answer
    return answer if given is None else _with(answer, (nonces.HEADER, given.fresh(env.clock())))


def _with(answer: Outbound, header: tuple[str, str]) -> Outbound:
    return Outbound(status=answer.status, headers=(*answer.headers, header), body=answer.body)


class _Document:
    """A public document: the same for everybody, with a tag so that asking again is cheap.

    What goes out is made when what is said has changed, and not for each who asks.
    """

    __slots__ = ("_ready", "_said", "_says", "_tag", "_unchanged")

    def __init__(self, says: Callable[[], JsonObject]) -> None:
        self._says = says
        self._make(says())

    def _make(self, said: JsonObject) -> None:
        self._said = said
        body = json_bytes(said)
        self._tag = f'"{b64u(hashlib.sha256(body).digest())}"'
        headers = (
            ("cache-control", "public, max-age=60"),
            ("etag", self._tag),
            ("access-control-allow-origin", "*"),  # public, and without credentials
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'"),  # to be read, and never to be run
        )
        self._ready = Outbound(status=200, headers=(("content-type", "application/json"), *headers), body=body)
        self._unchanged = Outbound(status=304, headers=headers)

    async def answer(self, scope: Scope, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            answer = _with(http.refused(Refusal("invalid_request", http.METHOD)), ("allow", "GET, HEAD"))
            await http.send_out(answer, send)
            return
        said = self._says()
        if said is not self._said and said != self._said:
            self._make(said)
        known = [value.decode("latin-1") for name, value in scope["headers"] if name == b"if-none-match"]
        if known and any(self._tag in told or told.strip() == "*" for told in known):
            await http.send_out(self._unchanged, send)
            return
        await http.send_out(self._ready, send, head=scope["method"] == "HEAD")


async def _not_http(scope: Scope, receive: Receive, send: Send, pages: Asgi | None) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    elif pages is not None:
        await pages(scope, receive, send)
    else:
        message = await receive()
        while message["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
            message = await receive()
        await send({"type": "lifespan.shutdown.complete"})


def management_app(env: Env) -> Asgi:
    """What an operator's tools ask on the management port: is it alive, is it ready."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _not_http(scope, receive, send, None)
            return
        if scope["path"] == "/healthz":
            answer = http.answered({"alive": True})
        elif scope["path"] == "/readyz":
            try:
                await env.store.read(Client, "-")
                answer = http.answered({"ready": True})
            except Fault as fault:
                answer = http.failed(fault)
        else:
            answer = http.refused(Refusal("invalid_request", http.FOUND))
        await http.send_out(answer, send, head=scope["method"] == "HEAD")

    return app
