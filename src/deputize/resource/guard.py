"""What stands between an API and those who call it: named calls only, by callers whom its server vouches for."""

import logging
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from deputize.core import values
from deputize.core.ports import Add, Append, Change, Env, Event
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.values import Instant, Issuer, Seconds, Subject, WebUrl, scope_text
from deputize.core.wire import PLAIN
from deputize.jose.algorithms import ALL
from deputize.jose.keys import PrivateKey
from deputize.oauth import caller, challenge, dpop, metadata, nonces
from deputize.oauth.caller import Caller, CallSpent, Credentials, Seen
from deputize.oauth.certificate import Edge
from deputize.oauth.delegation import Actor
from deputize.oauth.details import http_call
from deputize.resource import asgi
from deputize.resource.calls import Calls, Describe, Need, Operation, ScopeOf
from deputize.resource.trusted import TrustedServer

BODY_MAX: Final = 1024 * 1024
JWKS_WELL_KNOWN: Final = "/.well-known/deputize-jwks"
SWEEP_EVERY: Final = Seconds(300)
NO_NONCES: Final = nonces.Settings()

NAMED_CALL = Rule("Deputize", "guard", "The call is one that this API has named, by method and path.")
NO_QUERY = Rule(
    "Deputize http_call", "description", "A call that a person approves has no query: all of it is described."
)
FITS_A_HEADER = Rule("Deputize http_call", "description", "The description of the call fits into a header field.")

_log = logging.getLogger("deputize.resource")


class Guard:
    """Admits to an API only calls that it has named, by callers that its authorization server vouches for.

    `resource` is the API's identifier, the audience of its tokens; `issuer` the one server whose tokens it accepts.
    With a `key` (the one that the server knows for the client and the resource of this name) the guard asks that
    server at each call whether the token still stands, and may ask for approval of single calls. Without one, or with
    `live=False`, what is taken back ends with the token, or as soon as the server's status list tells of it, where the
    token refers to one: lists are kept for seconds, and a token whose list cannot be had is not let through.
    `dpop_required` refuses bearer tokens.
    `proxies` are the addresses of those in front of it that end TLS: their word on a client's certificate is taken.
    `proofs` says whether a DPoP proof must have a nonce of this guard in it.
    Raises ValueError where one of these leaves a gap.
    """

    def __init__(  # noqa: PLR0913 (each is one choice of the API's, given by name)
        self,
        *,
        resource: str,
        issuer: str,
        env: Env,
        key: PrivateKey | None = None,
        name: str = "",
        live: bool | None = None,
        dpop_required: bool = False,
        body_max: int = BODY_MAX,
        proxies: Iterable[str] = (),
        proofs: nonces.Settings = NO_NONCES,
    ) -> None:
        here = WebUrl(resource)  # without an audience, a token made for anybody would do
        path = urlsplit(resource).path
        if "?" in resource or not (path in {"", "/"} or asgi.one_reading(path, path)):
            raise ValueError("a resource has no query and a plain path here")
        if live and key is None:
            raise ValueError("to ask whether a token still stands, the guard needs a key to authenticate with")
        self._resource = here.text
        self._origin = here.origin
        self._issuer = Issuer(issuer).text
        self._env = env
        self._key = key
        self._live = key is not None if live is None else live
        self._name = name or urlsplit(resource).netloc
        self._dpop_required = dpop_required
        self._body_max = body_max
        self._edge = Edge.of(proxies)
        self._proofs = proofs
        self._server = TrustedServer(issuer=self._issuer, env=env)
        self._expected = caller.access_token(issuer=self._issuer, audience=self._resource)
        self._calls = Calls(path.rstrip("/"))
        self._first = ""
        self._swept_at = Instant(0)
        metadata_url = metadata.well_known(resource, metadata.RESOURCE_WELL_KNOWN)
        self._offered = _schemes(metadata_url, dpop_required=dpop_required)
        self._metadata_path = urlsplit(metadata_url).path
        self._documents: dict[str, asgi.Document] = {}
        self._publish()

    def needs(
        self,
        method: str,
        path: str,
        *,
        scope: str,
        approve: Describe | None = None,
        seen: Seen | None = None,
        scope_of: ScopeOf | None = None,
    ) -> None:
        """Name a call, and what it needs. What is not named is refused. `path` lies below the resource's own.

        `{name}` stands for one segment of the path. `approve` describes the call from its body (and from the named
        segments, by their names): then a person is asked for exactly this call, and the token that results fits no
        other and is used once. A ValueError of `approve` refuses the request. `seen` says how and how recently the
        person must have been authenticated (RFC 9470). `scope_of` says from its body what more scope a call needs; it
        raises ValueError where that cannot be read.
        """
        if approve is not None and scope_of is not None:
            raise ValueError("the approval of a call covers all that is in its body: it needs no scope of it")
        if approve is not None and self._key is None:
            raise ValueError("to ask for the approval of a call, the guard needs a key to sign with")
        self._calls.add(method, path, scope=scope, approve=approve, seen=seen, scope_of=scope_of)
        self._publish()

    def tells(self, scope: str) -> None:
        """Tell those who come without a good token which scope to ask for first; the same at every path."""
        self._first = scope_text(values.scope(scope))

    def wrap(self, app: asgi.App) -> asgi.App:
        """The API behind this guard. It finds its `Caller` in `scope["deputize.caller"]`."""

        async def guarded(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
            match scope["type"]:
                case "http":
                    await self._serve(app, scope, receive, send)
                case "lifespan":
                    await app(scope, receive, send)
                case "websocket":  # a proof is for one request, and an approval for one call: neither fits a stream
                    await send({"type": "websocket.close", "code": 1008})
                case kind:
                    raise ValueError(f"no guard for {kind}")

        return guarded

    def _publish(self) -> None:
        """Make the resource's own documents, as ready bytes."""
        jwks_url = metadata.well_known(self._resource, JWKS_WELL_KNOWN)
        told = metadata.of_resource(
            self._resource,
            issuer=self._issuer,
            name=self._name,
            scopes=frozenset().union(*(row.scope for row in self._calls)),
            jwks_uri=jwks_url if self._key else None,
            dpop_required=self._dpop_required,
        )
        self._documents[self._metadata_path] = asgi.Document.of(told)
        if self._key:
            self._documents[urlsplit(jwks_url).path] = asgi.Document.of({"keys": [self._key.public_jwk()]})

    # --- one request ------------------------------------------------------------------------------------------------

    async def _serve(self, app: asgi.App, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        method: str = scope["method"]
        held = self._documents.get(scope["path"])
        if held is not None:
            await asgi.answer(asgi.document(held, scope), method, send)
            return
        shown: Credentials | None = None
        try:
            wanted = await nonces.at(self._resource, self._proofs, self._env)
            if wanted is not None:
                send = asgi.telling(send, nonces.HEADER, wanted.fresh(self._env.clock()))
            asked = asgi.request(scope, self._edge)
            shown = caller.credentials(asked.headers)
            if shown is None:
                caller.TOKEN_NEEDED.refuse("missing_token")
            who, body = await self._admit(shown, asked, receive, wanted)
        except Refusal as no:
            used = shown.scheme if shown else None
            out = asgi.refused(no, used=used, offered=self._offered, first=self._first)
            await asgi.answer(out, method, send)
            return
        except Fault as fault:
            _log.warning("a call could not be judged: %s", fault)
            await asgi.answer(asgi.unable(503, "temporarily_unavailable"), method, send)
            return
        except asgi.Gone:
            return
        except Exception:
            await asgi.answer(asgi.unable(500, "server_error"), method, send)
            raise  # to the log of the server that runs us
        await app(asgi.admitted(scope, who), receive if body is None else asgi.replayed(body, receive), send)
        await self._sweep()

    async def _admit(
        self, shown: Credentials, asked: asgi.Request, receive: asgi.Receive, wanted: nonces.Nonces | None
    ) -> tuple[Caller, bytes | None]:
        """Who calls; and the body, where it was read. Nothing is spent before all that can be checked has been."""
        now = self._env.clock()
        who, marks = caller.check(
            shown,
            asked.headers,
            await self._server.keys(shown.jws, now),
            self._expected,
            method=asked.method,
            url=self._origin + asked.raw_path,
            now=now,
            bound_only=self._dpop_required,
            shown_certificate=asked.certificate,
            nonces=wanted,
        )
        row, named = self._calls.find(asked.method, asked.path)
        if caller.call_bound(who) and (row is None or row.approve is None):
            caller.THIS_CALL.refuse("invalid_token", method=asked.method)
        if row is None:
            NAMED_CALL.refuse("insufficient_scope", method=asked.method)
        if self._live and self._key:
            await self._server.confirm(shown, now, client_id=self._resource, key=self._key)
        elif "status" in who.claims:
            await self._server.hold_status(who.claims)
        if row.seen is not None:
            caller.check_seen(who, row.seen, now)
        body: bytes | None = None
        changes: tuple[Change, ...] = ()
        if row.approve is not None:
            body, changes = await self._approved(row, named, who, asked, receive)
        elif row.scope_of is not None:
            body = await self._plain_body(asked, receive)
            caller.check_scope(who, row.scope_with(body))
        else:
            caller.check_scope(who, row.scope)
        await self._commit(*marks, *changes)
        return who, body

    async def _approved(
        self, row: Need, named: dict[str, str], who: Caller, asked: asgi.Request, receive: asgi.Receive
    ) -> tuple[bytes, tuple[Change, ...]]:
        """The body, and what marks the approval of exactly this call as used; or a challenge, or no."""
        bound = caller.call_bound(who)  # then these details are its authority: it needs no scope beside them
        if not bound:
            caller.check_scope(who, row.scope)
            if not challenge.accepts_challenge(asked.headers):
                challenge.APPROVAL_WANTED.refuse("insufficient_scope")
        if asked.query:
            NO_QUERY.refuse("invalid_request")
        body = await self._plain_body(asked, receive)
        operation = await row.described(body, named)
        url = self._origin + asked.raw_path
        if not bound:
            compact = self._challenge(who, operation, asked.method, url, body)
            challenge.APPROVAL_WANTED.refuse(challenge.ERROR, params=(("transaction_challenge", compact),))
        spent = caller.check_call(who, method=asked.method, url=url, body=body, wanted=operation.details)
        event = Event(
            key="",
            at=self._env.clock(),
            what="approved_call",
            client=who.client,
            person=who.subject,
            told={"method": asked.method, "url": url, "jti": who.jti, "txn": who.txn or ""},
        )
        return body, (spent, Append(event))

    async def _plain_body(self, asked: asgi.Request, receive: asgi.Receive) -> bytes:
        """The body, as the API will read it."""
        if asked.headers.one("content-encoding") not in {None, "identity"}:
            PLAIN.refuse("invalid_request")
        return await asgi.body(asked, receive, bytes_max=self._body_max)

    def _challenge(self, who: Caller, operation: Operation, method: str, url: str, body: bytes) -> str:
        """A signed description of this one call, for the server to ask a person about."""
        if self._key is None:
            raise Fault("no key to sign with")
        now = self._env.clock()
        told = challenge.Challenge(
            resource=self._resource,
            subject=who.subject,
            jti=self._env.random(128),
            txn=self._env.random(128),
            details=(http_call(method, url, body), *operation.details),
            reason=operation.reason,
            # Where nobody is said to act for the subject, it is the client that acts, and not the person.
            actor=who.actor or Actor(subject=Subject(who.client)),
            until=Instant(now + challenge.LIFE),
        )
        compact = challenge.make(told, authorization_server=self._issuer, key=self._key, now=now)
        if len(compact) > challenge.CHALLENGE_MAX:
            FITS_A_HEADER.refuse("invalid_request", length=len(compact))
        return compact

    async def _commit(self, *changes: Change) -> None:
        """Spend the proof and the approval in one write: both or neither."""
        if not changes or await self._env.store.commit(*changes):
            return
        added = [change.record for change in changes if isinstance(change, Add)]
        for record in added:
            if isinstance(record, CallSpent) and await self._env.store.read(CallSpent, record.key):
                caller.CALL_ONCE.refuse("invalid_token")
        dpop.PROOF_ONCE.refuse("invalid_dpop_proof")

    async def _sweep(self) -> None:
        """Forget, now and then and after an answer, what no clock would accept any more."""
        now = self._env.clock()
        if not 0 <= now - self._swept_at < SWEEP_EVERY:
            self._swept_at = now
            try:
                await self._env.store.sweep(now)
            except Fault as fault:
                _log.warning("old marks could not be swept: %s", fault)


def _schemes(metadata_url: str, *, dpop_required: bool) -> tuple[tuple[str, asgi.Params], ...]:
    """The schemes that a client may come with, each with what RFC 9728 and RFC 9449 tell beside it."""
    where = ("resource_metadata", metadata_url)
    proven = ("DPoP", (("algs", " ".join(sorted(ALL))), where))
    return (proven,) if dpop_required else (("Bearer", (where,)), proven)
