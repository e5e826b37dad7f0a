"""Is this token good (RFC 7662, and signed: RFC 9701), and: it is to be so no more (RFC 7009)."""

import re
from dataclasses import dataclass
from typing import Final

from deputize.core.ports import Add, Append, Env, Event
from deputize.core.rules import Refusal
from deputize.core.values import Instant
from deputize.core.wire import Form, Headers, Inbound, JsonObject
from deputize.jose import jwt
from deputize.oauth import families, statuses, tokens
from deputize.oauth.client_auth import authenticate
from deputize.oauth.login import AuthenticatedClient
from deputize.oauth.server import AuthorizationServer

_TOLD = (
    "scope",
    "client_id",
    "exp",
    "iat",
    "sub",
    "aud",
    "iss",
    "jti",
    "cnf",
    "act",
    "authorization_details",
    "txn",
    "auth_time",
    "acr",
)


TYP: Final = "token-introspection+jwt"
_WEIGHT: Final = re.compile(r"[qQ]=(?P<q>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


@dataclass(frozen=True, slots=True)
class Signed:
    """An answer that its receiver can show to others: a JWT of its own kind, for the receiver alone."""

    compact: str


async def introspect(request: Inbound, here: AuthorizationServer, env: Env) -> JsonObject | Signed:
    """POST /introspect. Whatever is wrong with the token, or if it is not the caller's affair: inactive, no more."""
    form = request.form()
    caller = await authenticate(request, form, here, env)
    caller.hold_confidential()
    told = await _told_of(form, caller, here, env)
    if not _wants_signed(request.headers):
        return told
    # No sub and no exp beside the answer: nobody could take this for an access token (RFC 9701, 5).
    claims = {"iss": here.issuer.text, "aud": caller.id, "iat": env.clock(), "token_introspection": told}
    return Signed(await tokens.mint(claims, TYP, env))


def _wants_signed(headers: Headers) -> bool:
    """Whether the Accept header names the signed form, and not the plain one before it."""
    weights = accepted(headers)
    wanted = weights.get(f"application/{TYP}", 0.0)
    return wanted > 0 and wanted >= weights.get("application/json", 0.0)


def accepted(headers: Headers) -> dict[str, float]:
    """How much each media type of the Accept header is wanted (RFC 9110, 12.5.1)."""
    weights: dict[str, float] = {}
    for part in ",".join(headers.all("accept")).split(","):
        kind, *params = (text.strip() for text in part.split(";"))
        told = [_WEIGHT.fullmatch(text) for text in params if text[:2].lower() == "q="]
        weights[kind.lower()] = float(told[0]["q"]) if told and told[0] else 0.0 if told else 1.0
    return weights


async def _told_of(form: Form, caller: AuthenticatedClient, here: AuthorizationServer, env: Env) -> JsonObject:
    try:
        token = await tokens.read(form.one("token"), here.issuer, env, error="invalid_token")
    except Refusal as refusal:
        if refusal.error != "invalid_token":
            raise
        return {"active": False}
    if caller.client.serves not in token.approval.authority.audience and token.client != caller.id:
        return {"active": False}
    told = {name: token.claims[name] for name in _TOLD if name in token.claims}
    return {"active": True, **told, "token_type": "DPoP" if token.is_dpop else "Bearer"}


async def revoke(request: Inbound, here: AuthorizationServer, env: Env) -> None:
    """POST /revoke. A token that is no more, never was, or is another's: the same empty answer."""
    form = request.form()
    caller = await authenticate(request, form, here, env)
    compact = form.one("token")
    if compact.startswith(families.PREFIX):
        found = await families.find(compact, caller.id, env)
        if found is not None and families.is_of(*found):
            await families.end(found[0], "refresh_revoked", env)
        return
    try:  # also one that is dead for now: what it rests on may come alive again
        token = tokens.opened(compact, here.issuer, env, error="invalid_token")
    except Refusal as refusal:
        if refusal.error != "invalid_token":
            raise
        return
    if token.client != caller.id:
        return
    now = env.clock()
    until = Instant(token.approval.authority.until + 2 * jwt.SKEW)
    event = Event(key="", at=now, what="token_revoked", client=caller.id, told={"jti": token.jti})
    # Where the mark is there already, somebody was faster with the same.
    changes = (Add(tokens.Revoked(key=token.jti, expires_at=until)), Append(event))
    await statuses.commit(changes, env, ends=token.jti, claims=token.claims)
