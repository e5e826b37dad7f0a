"""Is this token good (RFC 7662), and: it is to be so no more (RFC 7009)."""

from deputize.core.ports import Add, Append, Env, Event
from deputize.core.rules import Refusal
from deputize.core.values import Instant
from deputize.core.wire import Inbound, JsonObject
from deputize.jose import jwt
from deputize.oauth import families, tokens
from deputize.oauth.client_auth import authenticate
from deputize.oauth.server import AuthorizationServer

_TOLD = ("scope", "client_id", "exp", "iat", "sub", "aud", "iss", "jti", "cnf", "act", "authorization_details", "txn")


async def introspect(request: Inbound, here: AuthorizationServer, env: Env) -> JsonObject:
    """POST /introspect. Whatever is wrong with the token, or if it is not the caller's affair: inactive, no more."""
    form = request.form()
    caller = await authenticate(request, form, here, env)
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
    await env.store.commit(Add(tokens.Revoked(key=token.jti, expires_at=until)), Append(event))
