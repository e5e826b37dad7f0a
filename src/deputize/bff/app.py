"""The ASGI face: signing in and out, who is signed in, and calls to the APIs; all else is the application's own."""

import logging
from dataclasses import replace
from typing import Final

from deputize.bff import door, sessions
from deputize.bff.proxy import ALWAYS, Api, Proxy, route, said_so
from deputize.bff.renewing import SIGNED_IN, Renewing
from deputize.bff.sessions import BffBegun, Cookie, Held
from deputize.core.ports import Add, Env, Replace
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.values import Instant, Issuer, Seconds, Secret
from deputize.core.wire import Headers, JsonObject, Outbound, json_bytes
from deputize.jose import jwt
from deputize.resource.asgi import BODY_SMALL, App, Gone, Receive, Request, Scope, Send, body
from deputize.resource.asgi import answer as send_out
from deputize.sdk.answers import Refused, TokenSet
from deputize.sdk.authorize import OPENID, Begun, begin, code_in, collect
from deputize.sdk.discover import Discovery
from deputize.sdk.flow import arun
from deputize.sdk.login import ClientLogin, Public

BODY_MAX: Final = 1024 * 1024
BEGUN_LIFE: Final = Seconds(600)
LIFE: Final = Seconds(12 * 3600)
SWEEP_EVERY: Final = Seconds(60)

CONFIDENTIAL = Rule("RFC 10017", "6.1.3.1", "The backend is a client that authenticates.")
BEGUN_HERE = Rule("RFC 6749", "10.12", "An answer arrives in the browser in which its request began, and once.")
THERE = Rule("RFC 9110", "15.5.5", "There is something at this address of the backend's.")
BY_METHOD = Rule("RFC 9110", "15.5.6", "The backend's own addresses are used with the method that they are for.")

_STATUS: Final = {"csrf": 403, "signed_out": 401, "not_found": 404, "method_not_allowed": 405, "bad_gateway": 502}
_PERSON: Final = ("sub", "name", "preferred_username", "email", "auth_time", "acr")
_METHODS: Final = {"login": "GET", "callback": "GET", "logout": "POST", "user": "GET"}

_log = logging.getLogger("deputize.bff")


class Bff:
    """A backend for the pages at `url`, which stands before the application that serves them.

    `login` is this backend at its authorization server: a client that authenticates. It asks for `scope` at `resource`,
    of which the `apis` are parts. What it does itself lies below `prefix`. A session ends after `life`. The store of
    `env` keeps sessions, and its fetch is the way to the server and to the APIs. Raises ValueError.
    """

    def __init__(
        self,
        url: str,
        *,
        login: ClientLogin,
        resource: str,
        scope: frozenset[str],
        apis: tuple[Api, ...],
        env: Env,
        prefix: str = "/bff",
        life: Seconds = LIFE,
    ) -> None:
        self._url = Issuer(url)  # a URL of its own, and never that of a request's
        if self._url.text != self._url.origin:
            raise ValueError("the pages have an origin of their own: a scheme, a host and a port")
        if isinstance(login.method, Public):
            raise ValueError(CONFIDENTIAL.says)  # noqa: TRY004 (of a value that does not fit, and not of a wrong type)
        if not apis or any(api.serves(prefix) or api.prefix.startswith(f"{prefix}/") for api in apis):
            raise ValueError("name the APIs, each below a path of its own")
        self._login, self._resource, self._scope = login, resource, scope | {OPENID}
        self._apis, self._env, self._prefix, self._life = apis, env, prefix, life
        self._discovery = Discovery()
        self._renewing = Renewing(login, resource, env, self._discovery)
        self._proxy = Proxy(self._renewing)
        self._session = Cookie.of(self._url.text, "bff", "Strict")
        # The answer of the server arrives from another site: a stricter cookie would not come along.
        self._begun = Cookie.of(self._url.text, "bff-begun", "Lax")
        self._swept_at = Instant(0)

    @property
    def redirect_uri(self) -> str:
        """What the client is registered with."""
        return self._url.at(f"{self._prefix}/callback")

    def wrap(self, pages: App) -> App:
        """The application with this before it."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path", "")
            ours = path == self._prefix or path.startswith(f"{self._prefix}/")
            if scope["type"] == "websocket" and (ours or any(api.serves(path) for api in self._apis)):
                await send({"type": "websocket.close", "code": 1008})
            elif scope["type"] == "http" and (ours or any(api.serves(path) for api in self._apis)):
                await self._answer(scope, receive, send, ours=ours)
            else:
                await pages(scope, receive, send)

        return app

    async def _answer(self, scope: Scope, receive: Receive, send: Send, *, ours: bool) -> None:
        try:
            headers = door.headers_of(scope)
            out = await (self._own(scope, headers) if ours else self._called(scope, headers, receive))
        except Gone:
            return
        except Refusal as no:
            _log.info("refused: %s: %s", no.error, no.rule.says)
            out = said_so(_STATUS.get(no.error, 413 if no.rule is BODY_SMALL else 400), no.error, no.rule.says)
            out = replace(out, headers=(*out.headers, *(pair for pair in no.params if pair[0] == "allow")))
        except Fault as fault:
            _log.warning("a call failed: %s", fault)
            out = said_so(502, "bad_gateway")
        await send_out(out, scope["method"], send)
        await self._sweep()

    async def _called(self, scope: Scope, headers: Headers, receive: Receive) -> Outbound:
        """A call of a page's to an API."""
        door.hold_own_page(headers, self._url.text)
        path, query = door.target(scope)
        api = route(self._apis, scope["method"], path)
        name = self._name(headers)
        asked = Request(method=scope["method"], path=path, raw_path=path, query=query, headers=headers)
        whole = await body(asked, receive, bytes_max=BODY_MAX)
        url = api.at(path) + (f"?{query}" if query else "")
        return await self._proxy.call(name, scope["method"], url, headers, whole)

    def _name(self, headers: Headers) -> str:
        name = self._session.name_in(headers)
        if name is None:
            SIGNED_IN.refuse("signed_out")
        return name

    # --- signing in and out -----------------------------------------------------------------------------------------

    async def _own(self, scope: Scope, headers: Headers) -> Outbound:
        what = scope["path"].removeprefix(self._prefix).removeprefix("/")
        if what not in _METHODS:
            THERE.refuse("not_found")
        if scope["method"] != _METHODS[what]:
            BY_METHOD.refuse("method_not_allowed", params=(("allow", _METHODS[what]),))
        match what:
            case "login":
                door.hold_gone_to(headers)
                return await self._goes(door.return_path(scope, self._prefix), headers)
            case "callback":
                door.hold_gone_to(headers)
                return await self._comes_back(scope, headers)
        door.hold_own_page(headers, self._url.text)
        return await (self._leaves(headers) if what == "logout" else self._tells(headers))

    async def _goes(self, back: str, headers: Headers) -> Outbound:
        """Send the browser to the authorization server, with a name that ties the answer to it."""
        env = self._env
        server = await self._discovery.server(self._login.issuer, env)
        try:
            flow = begin(
                server, self._login, redirect_uri=self.redirect_uri, scope=self._scope, resource=self._resource
            )
            asked = await arun(flow, env)
        except Refused as refused:
            raise Fault(f"the server takes no request: {refused.error}") from None
        name, before = env.random(sessions.NAME_BITS), self._session.name_in(headers)
        told: JsonObject = {
            "state": asked.state.reveal(),
            "verifier": asked.verifier.reveal(),
            "nonce": asked.nonce.reveal() if asked.nonce else "",
            "return": back,
            "replaces": before or "",
        }
        record = BffBegun(
            key=sessions.key_of(name),
            expires_at=Instant(env.clock() + BEGUN_LIFE),
            sealed=sessions.sealed(name, BffBegun, told, env),
        )
        if not await env.store.commit(Add(record)):
            raise Fault("a fresh name was there already", retry=True)
        return _goes_to(asked.url, self._begun.carrying(name, BEGUN_LIFE))

    async def _comes_back(self, scope: Scope, headers: Headers) -> Outbound:
        """Hold the answer against the request of this very browser; then its code is worth a session, once."""
        env, name = self._env, self._begun.name_in(headers)
        record = await env.store.read(BffBegun, sessions.key_of(name)) if name else None
        if name is None or record is None or record.used or (record.expires_at or 0) <= env.clock():
            BEGUN_HERE.refuse("invalid_request")
        told = sessions.opened(name, BffBegun, record.sealed)
        asked = self._asked(told)
        server = await self._discovery.server(self._login.issuer, env)
        arrived = f"{self.redirect_uri}?{scope.get('query_string', b'').decode('latin-1')}"
        refused = None
        try:
            code_in(arrived, asked, promised=server.authorization_response_iss_parameter_supported)
        except Refused as no:
            refused = no
        await self._use(record)  # not before: what somebody else sent this browser here with ends nothing
        try:
            if refused is not None:
                raise refused
            held = _held(await arun(collect(server, self._login, asked, arrived), env))
        except Refused as no:
            out = said_so(403, no.error, "The authorization server said no.")
            return replace(out, headers=(*out.headers, ("set-cookie", self._begun.removed)))
        session = await sessions.begin(held, self._life, env)
        await self._end(sessions.text_of(told, "replaces"))  # what the browser had before is worth nothing (fixation)
        return _goes_to(
            sessions.text_of(told, "return"), self._begun.removed, self._session.carrying(session, self._life)
        )

    def _asked(self, told: JsonObject) -> Begun:
        nonce = sessions.text_of(told, "nonce")
        return Begun(
            url="",
            redirect_uri=self.redirect_uri,
            issuer=self._login.issuer.text,
            client_id=self._login.client_id,
            scope=self._scope,
            resource=self._resource,
            state=Secret(told["state"]),
            verifier=Secret(told["verifier"]),
            nonce=Secret(nonce) if nonce else None,
        )

    async def _use(self, record: BffBegun) -> None:
        if not await self._env.store.commit(Replace(record, replace(record, used=True, sealed=""))):
            BEGUN_HERE.refuse("invalid_request")

    async def _leaves(self, headers: Headers) -> Outbound:
        """End the session here at once, then have the server end its tokens."""
        await self._end(self._session.name_in(headers) or "")
        headers_out = (("content-type", "application/json"), *ALWAYS, ("set-cookie", self._session.removed))
        return Outbound(status=200, headers=headers_out, body=json_bytes({"signed_out": True}))

    async def _end(self, name: str) -> None:
        there = await sessions.found(name, self._env) if name else None
        if there is None:
            return
        await sessions.end(there[0], self._env)
        try:
            await self._renewing.give_up(there[1])
        except Fault as fault:  # they are kept nowhere any more
            _log.warning("tokens of a session that ended were not revoked: %s", fault)

    async def _tells(self, headers: Headers) -> Outbound:
        """Who is signed in, for the page."""
        held = await self._renewing.token(self._name(headers))
        return Outbound(
            status=200, headers=(("content-type", "application/json"), *ALWAYS), body=json_bytes(held.person)
        )

    async def _sweep(self) -> None:
        """Forget, now and then and after an answer, what is over."""
        now = self._env.clock()
        if not 0 <= now - self._swept_at < SWEEP_EVERY:
            self._swept_at = now
            try:
                await self._env.store.sweep(now)
            except Fault as fault:
                _log.warning("old sessions could not be swept: %s", fault)


def _held(told: TokenSet) -> Held:
    """What a session holds; of the ID token, which was verified, what a page may know of its person."""
    claims = jwt.peek(told.id_token.reveal(), "invalid_id_token")[1] if told.id_token else {}
    return Held.of(told, {name: claims[name] for name in _PERSON if name in claims})


def _goes_to(place: str, *cookies: str) -> Outbound:
    """Send the browser on. Where it goes, nobody is told where it came from."""
    headers = (
        ("location", place),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        *(("set-cookie", cookie) for cookie in cookies),
    )
    return Outbound(status=303, headers=headers)
