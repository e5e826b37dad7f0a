"""One generator a grant: how a client comes by a token, and gives it up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from deputize.core.rules import Fault
from deputize.core.values import Instant, Seconds, Secret
from deputize.core.wire import Reply
from deputize.oauth.approval import ACCESS_TOKEN, MANDATE
from deputize.oauth.details import Detail
from deputize.oauth.metadata import CIBA, ServerMetadata
from deputize.sdk.answers import (
    INTERVAL_MAX,
    Fields,
    Pending,
    Refused,
    TokenSet,
    details_field,
    members,
    pending_told,
    refuse,
    scope_field,
    some,
    token_told,
)
from deputize.sdk.flow import Flow, Wait
from deputize.sdk.login import ClientLogin

EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
OPENID: Final = "openid"

SLOWER: Final = Seconds(5)  # RFC 8628, 3.5
CALLED_OFF: Final = "expired_token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """What a server says of a token (RFC 7662)."""

    active: bool
    claims: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """An SD-JWT VC. It is no secret: who has it and not the key that it is bound to can show it to nobody."""

    text: str
    expires_at: Instant


# --- the grants -----------------------------------------------------------------------------------------------------


def client_credentials(
    server: ServerMetadata, login: ClientLogin, *, scope: frozenset[str] = frozenset(), resource: str | None = None
) -> Flow[TokenSet]:
    """A token for the client itself (RFC 6749, 4.4)."""
    fields = (("grant_type", "client_credentials"), *scope_field(scope), *some("resource", resource))
    reply = yield from login.sent(server, server.token_endpoint, fields)
    return token_told(reply, login, scope)


def exchange(
    server: ServerMetadata,
    login: ClientLogin,
    subject_token: Secret,
    *,
    scope: frozenset[str] = frozenset(),
    resource: str | None = None,
    details: tuple[Detail, ...] = (),
    actor_token: Secret | None = None,
) -> Flow[TokenSet]:
    """A token that may do less, or do it elsewhere, in place of one in hand (RFC 8693). No scope: the same scope."""
    fields = (
        ("grant_type", EXCHANGE),
        ("subject_token", subject_token.reveal()),
        ("subject_token_type", ACCESS_TOKEN),
        ("requested_token_type", ACCESS_TOKEN),
        *scope_field(scope),
        *some("resource", resource),
        *details_field(details),
    )
    if actor_token is not None:
        fields = (*fields, ("actor_token", actor_token.reveal()), ("actor_token_type", ACCESS_TOKEN))
    reply = yield from login.sent(server, server.token_endpoint, fields)
    told = token_told(reply, login, scope)
    if told.issued_token_type != ACCESS_TOKEN:
        raise Fault("the server exchanged the token for something that is no access token")
    return told


def mandate(
    server: ServerMetadata, login: ClientLogin, subject_token: Secret, *, scope: frozenset[str] = frozenset()
) -> Flow[Mandate]:
    """A credential that says what a person lets this agent do, bound to its DPoP key. No scope: the token's scope."""
    if login.dpop_key is None:
        raise Fault("a mandate is bound to the agent's key: it is asked for with a DPoP key")
    fields = (
        ("grant_type", EXCHANGE),
        ("subject_token", subject_token.reveal()),
        ("subject_token_type", ACCESS_TOKEN),
        ("requested_token_type", MANDATE),
        *scope_field(scope),
    )
    reply = yield from login.sent(server, server.token_endpoint, fields)
    told = members(reply)
    text, life = told.get("access_token"), told.get("expires_in")
    if told.get("issued_token_type") != MANDATE or not isinstance(text, str) or type(life) is not int:
        raise Fault("the server exchanged the token for something that is no mandate")
    return Mandate(text=text, expires_at=Instant(login.clock() + life))


def ciba_begin(
    server: ServerMetadata,
    login: ClientLogin,
    *,
    login_hint: str,
    scope: frozenset[str] = frozenset(),
    resource: str | None = None,
    binding_message: str = "",
    details: tuple[Detail, ...] = (),
    requested_expiry: Seconds | None = None,
) -> Flow[Pending]:
    """Have a person asked (OpenID CIBA Core 1.0)."""
    fields = (
        ("login_hint", login_hint),
        *scope_field(scope | {OPENID}),
        *some("resource", resource),
        *some("binding_message", binding_message or None),
        *details_field(details),
        *some("requested_expiry", None if requested_expiry is None else str(requested_expiry)),
    )
    reply = yield from login.sent(server, server.backchannel_authentication_endpoint, fields)
    return pending_told(members(reply), "auth_req_id", login.clock())


def ciba_collect(
    server: ServerMetadata, login: ClientLogin, pending: Pending, *, scope: frozenset[str] = frozenset()
) -> Flow[TokenSet]:
    """Look until the person has answered, or no longer may. Refused where they said no."""
    fields = (("grant_type", CIBA), ("auth_req_id", pending.handle.reveal()))
    reply = yield from polled(server, login, server.token_endpoint, fields, pending)
    return token_told(reply, login, scope)


def ciba(
    server: ServerMetadata,
    login: ClientLogin,
    *,
    login_hint: str,
    scope: frozenset[str] = frozenset(),
    resource: str | None = None,
    binding_message: str = "",
    details: tuple[Detail, ...] = (),
    requested_expiry: Seconds | None = None,
) -> Flow[TokenSet]:
    """Have a person asked, and wait for the answer."""
    pending = yield from ciba_begin(
        server,
        login,
        login_hint=login_hint,
        scope=scope,
        resource=resource,
        binding_message=binding_message,
        details=details,
        requested_expiry=requested_expiry,
    )
    return (yield from ciba_collect(server, login, pending, scope=scope))


def transaction_begin(server: ServerMetadata, login: ClientLogin, challenge: str) -> Flow[TokenSet | Pending]:
    """Present a resource's challenge as it came (draft-rosomakho-oauth-txn-challenge): a token, or someone is asked."""
    fields = (("transaction_challenge", challenge),)
    reply = yield from login.sent(server, server.transaction_authorization_endpoint, fields)
    told = members(reply)
    if "access_token" in told:
        return token_told(reply, login, frozenset())
    return pending_told(told, "transaction_authorization_id", login.clock(), page="authorization_uri")


def transaction_collect(server: ServerMetadata, login: ClientLogin, pending: Pending) -> Flow[TokenSet]:
    """Look until the person has answered, or no longer may. Refused where they said no."""
    fields = (("transaction_authorization_id", pending.handle.reveal()),)
    reply = yield from polled(server, login, server.transaction_authorization_endpoint, fields, pending)
    return token_told(reply, login, frozenset())


def transaction(server: ServerMetadata, login: ClientLogin, challenge: str) -> Flow[TokenSet]:
    """Present a resource's challenge, and wait for the answer."""
    told = yield from transaction_begin(server, login, challenge)
    return told if isinstance(told, TokenSet) else (yield from transaction_collect(server, login, told))


def revoke(server: ServerMetadata, login: ClientLogin, token: Secret) -> Flow[None]:
    """Give a token up (RFC 7009)."""
    reply = yield from login.sent(server, server.revocation_endpoint, (("token", token.reveal()),))
    if reply.status != 200:
        refuse(reply)


def introspect(server: ServerMetadata, login: ClientLogin, token: Secret) -> Flow[Introspection]:
    """Ask what a token is worth (RFC 7662)."""
    reply = yield from login.sent(server, server.introspection_endpoint, (("token", token.reveal()),))
    told = members(reply)
    active = told.pop("active", None)
    if not isinstance(active, bool):
        raise Fault("an introspection answer says whether the token is active")
    return Introspection(active=active, claims=told)


def polled(
    server: ServerMetadata, login: ClientLogin, endpoint: str | None, fields: Fields, pending: Pending
) -> Flow[Reply]:
    """Look at once (an earlier yes may have answered), then at the server's pace, slower where it is in trouble."""
    interval = pending.interval
    while True:
        try:
            reply = yield from login.sent(server, endpoint, fields)
            if reply.status == 200:
                return reply
            refuse(reply)
        except Refused as refused:
            if refused.error == "slow_down":
                interval = Seconds(interval + SLOWER)
            elif refused.error != "authorization_pending":
                raise
        except Fault as fault:
            if not fault.retry:
                raise
            interval = Seconds(min(interval * 2, INTERVAL_MAX))
        if login.clock() + interval >= pending.until:
            raise Refused(CALLED_OFF, "Nobody answered in time.")
        yield Wait(interval)
