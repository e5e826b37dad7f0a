"""The authorization code, from the client's side (RFC 6749, 4.1): asking, holding the answer, and what comes of it."""

import hashlib
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant, Seconds, Secret
from deputize.core.wire import Call, Form, b64u
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
from deputize.jose.keys import KeySet
from deputize.oauth.details import Detail
from deputize.oauth.metadata import ServerMetadata
from deputize.sdk.answers import Fields, Refused, TokenSet, details_field, members, scope_field, shown, some, token_told
from deputize.sdk.connection import hold_arrival
from deputize.sdk.flow import Flow, Visit
from deputize.sdk.login import ClientLogin

OPENID: Final = "openid"
BITS: Final = 256
S256: Final = "S256"
CODE_MAX: Final = 4096
ID_TOKEN_LIFE_MAX: Final = Seconds(24 * 3600)

PKCE = Rule("RFC 9700", "2.1.1", "The server says that it knows S256, so that a stolen code is worth nothing.")
STATE = Rule("RFC 6749", "10.12", "The answer has the state of the request, and so is one to it.")
ANSWERED_BY = Rule("RFC 9207", "2.4", "The iss of an answer is the issuer that was asked; who promises one sends it.")
SAME_LOGIN = Rule("OpenID Connect Core 1.0", "3.1.3.7", "The ID token has the nonce of the request, and is for us.")
FRESH_LOGIN = Rule("OpenID Connect Core 1.0", "3.1.3.7", "Where max_age was asked for, auth_time is no longer ago.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A request on its way, with what its answer is held against. It stays with who asked: `repr` shows no secret."""

    url: str
    redirect_uri: str
    issuer: str
    client_id: str
    scope: frozenset[str]
    resource: str | None
    state: Secret
    verifier: Secret
    nonce: Secret | None = None
    max_age: Seconds | None = None
    details: tuple[Detail, ...] = field(default=())


def begin(  # noqa: PLR0913 (each is a parameter of the request's own)
    server: ServerMetadata,
    login: ClientLogin,
    *,
    redirect_uri: str,
    scope: frozenset[str] = frozenset(),
    resource: str | None = None,
    details: tuple[Detail, ...] = (),
    acr_values: tuple[str, ...] = (),
    max_age: Seconds | None = None,
    login_hint: str | None = None,
) -> Flow[Begun]:
    """Make a request for a person to open. It is pushed (RFC 9126) where the server takes that."""
    if server.issuer != login.issuer.text:
        raise Fault(f"this client is one of {login.issuer}, not of {server.issuer}")
    if server.authorization_endpoint is None:
        raise Fault(f"{server.issuer} has no authorization endpoint")
    if S256 not in server.code_challenge_methods_supported:
        PKCE.refuse("invalid_issuer", issuer=server.issuer)
    state, verifier = login.random(BITS), login.random(BITS)
    nonce = login.random(BITS) if OPENID in scope else None
    fields: Fields = (
        ("response_type", "code"),
        ("redirect_uri", redirect_uri),
        ("state", state),
        ("code_challenge", b64u(hashlib.sha256(verifier.encode()).digest())),
        ("code_challenge_method", S256),
        *scope_field(scope),
        *some("resource", resource),
        *details_field(details),
        *some("nonce", nonce),
        *some("acr_values", " ".join(acr_values) or None),
        *some("max_age", None if max_age is None else str(max_age)),
        *some("login_hint", login_hint),
        *some("dpop_jkt", login.dpop_key.public().thumbprint if login.dpop_key is not None else None),
    )
    if server.pushed_authorization_request_endpoint is not None:
        reply = yield from login.sent(server, server.pushed_authorization_request_endpoint, fields)
        told = members(reply, good=201).get("request_uri")
        if not isinstance(told, str) or not told:
            raise Fault("the answer has no usable request_uri")
        fields = (("request_uri", told),)
    query = urlencode((("client_id", login.client_id), *fields))
    at = server.authorization_endpoint
    return Begun(
        url=f"{at}{'&' if '?' in at else '?'}{query}",
        redirect_uri=redirect_uri,
        issuer=server.issuer,
        client_id=login.client_id,
        scope=scope,
        resource=resource,
        state=Secret(state),
        verifier=Secret(verifier),
        nonce=Secret(nonce) if nonce is not None else None,
        max_age=max_age,
        details=details,
    )


def collect(server: ServerMetadata, login: ClientLogin, begun: Begun, arrived: str) -> Flow[TokenSet]:
    """Hold the address at which a browser came back, then redeem the code. Nothing is sent for an answer in doubt."""
    code = code_in(arrived, begun, promised=server.authorization_response_iss_parameter_supported)
    if (server.issuer, login.client_id) != (begun.issuer, begun.client_id):
        raise Fault(f"{begun.issuer} was asked, not {server.issuer}")
    fields = (
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", begun.redirect_uri),
        ("code_verifier", begun.verifier.reveal()),
        *some("resource", begun.resource),
    )
    reply = yield from login.sent(server, server.token_endpoint, fields)
    token = token_told(reply, login, begun.scope, narrower=True)
    if begun.nonce is not None:
        yield from _held(token, server, begun, begun.nonce, login.clock())
    return token


def code_in(arrived: str, begun: Begun, *, promised: bool) -> str:
    """The code of an answer to this request. Raises Refusal where it is another's, Refused where the server said no."""
    told = Form.parse(hold_arrival(arrived, begun.redirect_uri).encode())
    # Before anything else in it counts: an error of somebody else is not even shown.
    issuer = told.get("iss")
    if issuer != begun.issuer and (promised or issuer is not None):
        ANSWERED_BY.refuse("invalid_response", asked=begun.issuer)
    state = told.get("state")
    if state is None or not begun.state.matches(state):
        STATE.refuse("invalid_response")
    error = told.get("error")
    if error is not None:
        raise Refused(shown(error, 64), shown(told.get("error_description"), 300))
    code = told.one("code")
    if len(code) > CODE_MAX:
        raise Fault("the answer has no usable code")
    return code


def authorize(
    server: ServerMetadata,
    login: ClientLogin,
    *,
    redirect_uri: str,
    scope: frozenset[str] = frozenset(),
    resource: str | None = None,
    details: tuple[Detail, ...] = (),
    acr_values: tuple[str, ...] = (),
    max_age: Seconds | None = None,
) -> Flow[TokenSet]:
    """A token that a person allows in a browser: the whole way."""
    begun = yield from begin(
        server,
        login,
        redirect_uri=redirect_uri,
        scope=scope,
        resource=resource,
        details=details,
        acr_values=acr_values,
        max_age=max_age,
    )
    reply = yield Visit(begun.url, redirect_uri, begun.state)
    return (yield from collect(server, login, begun, reply.body.decode()))


def refresh(
    server: ServerMetadata,
    login: ClientLogin,
    refresh_token: Secret,
    *,
    scope: frozenset[str] = frozenset(),
    resource: str | None = None,
) -> Flow[TokenSet]:
    """A new token in place of an old one (RFC 6749, 6). The refresh token stays where the server gives no new one."""
    fields = (
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token.reveal()),
        *scope_field(scope),
        *some("resource", resource),
    )
    reply = yield from login.sent(server, server.token_endpoint, fields)
    return token_told(reply, login, scope, narrower=True)


def _held(token: TokenSet, server: ServerMetadata, begun: Begun, nonce: Secret, now: Instant) -> Flow[None]:
    """Hold the ID token against the request (OpenID Connect Core 1.0, 3.1.3.7)."""
    if token.id_token is None or server.jwks_uri is None:
        SAME_LOGIN.refuse("invalid_id_token", issuer=server.issuer)
    reply = yield Call(method="GET", url=server.jwks_uri, headers=(("accept", "application/json"),))
    keys = KeySet.published(members(reply))
    expected = jwt.Expectation(
        typ=frozenset({None, "jwt"}),
        algs=ALL,
        issuer=begun.issuer,
        audience=jwt.Sole(begun.client_id),
        lifetime_max=ID_TOKEN_LIFE_MAX,
        age_max=None,  # exp bounds it, and the nonce says that it is an answer to this request
        needs=frozenset({"sub", "iat", "exp", "nonce"}),
        error="invalid_id_token",
    )
    claims = jwt.verify(token.id_token.reveal(), keys, expected, now).claims
    told, at = claims.get("nonce"), claims.get("auth_time")
    if not isinstance(told, str) or not nonce.matches(told) or claims.get("azp", begun.client_id) != begun.client_id:
        SAME_LOGIN.refuse("invalid_id_token", issuer=server.issuer)
    if begun.max_age is not None and (not isinstance(at, int) or at + begun.max_age + jwt.SKEW < now):
        FRESH_LOGIN.refuse("invalid_id_token", auth_time=at)
