"""One generator a grant: how a client comes by a token, and gives it up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from deputize.core.rules import Fault
from deputize.core.values import Instant, Seconds, Secret, scope_text
from deputize.core.values import scope as read_scope
from deputize.core.wire import JsonObject, Malformed, Reply, json_bytes
from deputize.oauth.approval import ACCESS_TOKEN
from deputize.oauth.details import Detail
from deputize.oauth.metadata import CIBA, ServerMetadata
from deputize.sdk.flow import Flow, Wait
from deputize.sdk.login import ClientLogin

EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
OPENID: Final = "openid"

INTERVAL: Final = Seconds(5)  # CIBA, 7.3: where the server names none
SLOWER: Final = Seconds(5)  # RFC 8628, 3.5
INTERVAL_MAX: Final = Seconds(300)
UNSAID_LIFE: Final = Seconds(60)  # RFC 6749, 5.1 lets a server leave expires_in out; nobody relies on more then
LIFE_MAX: Final = Seconds(400 * 24 * 3600)
TOKEN_MAX: Final = 16 * 1024
HANDLE_MAX: Final = 1024
CALLED_OFF: Final = "expired_token"


class Refused(Exception):
    """The authorization server said no: its code, and its sentence cut to what is fit to be shown."""

    def __init__(self, error: str, description: str = "") -> None:
        super().__init__(error, description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSet:
    """What a server issued. `scope` and `details` are what it said of the token: informative, never authority."""

    access_token: Secret
    token_type: str
    expires_at: Instant
    scope: frozenset[str] = frozenset()
    details: tuple[Detail, ...] = ()
    issued_token_type: str | None = None
    refresh_token: Secret | None = None
    id_token: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A person is being asked. `page` is where that person may answer, where the server told it: for no agent."""

    handle: Secret
    until: Instant
    interval: Seconds
    page: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """What a server says of a token (RFC 7662)."""

    active: bool
    claims: Mapping[str, object]


# --- the grants -----------------------------------------------------------------------------------------------------


def client_credentials(
    server: ServerMetadata, login: ClientLogin, *, scope: frozenset[str] = frozenset(), resource: str | None = None
) -> Flow[TokenSet]:
    """A token for the client itself (RFC 6749, 4.4)."""
    fields = (("grant_type", "client_credentials"), *_scope(scope), *_some("resource", resource))
    reply = yield from login.sent(server, server.token_endpoint, fields)
    return _token(reply, login, scope)


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
        *_scope(scope),
        *_some("resource", resource),
        *_details(details),
    )
    if actor_token is not None:
        fields = (*fields, ("actor_token", actor_token.reveal()), ("actor_token_type", ACCESS_TOKEN))
    reply = yield from login.sent(server, server.token_endpoint, fields)
    told = _token(reply, login, scope)
    if told.issued_token_type != ACCESS_TOKEN:
        raise Fault("the server exchanged the token for something that is no access token")
    return told


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
        *_scope(scope | {OPENID}),
        *_some("resource", resource),
        *_some("binding_message", binding_message or None),
        *_details(details),
        *_some("requested_expiry", None if requested_expiry is None else str(requested_expiry)),
    )
    reply = yield from login.sent(server, server.backchannel_authentication_endpoint, fields)
    return _pending(_members(reply), "auth_req_id", login.clock())


def ciba_collect(
    server: ServerMetadata, login: ClientLogin, pending: Pending, *, scope: frozenset[str] = frozenset()
) -> Flow[TokenSet]:
    """Look until the person has answered, or no longer may. Refused where they said no."""
    fields = (("grant_type", CIBA), ("auth_req_id", pending.handle.reveal()))
    reply = yield from _polled(server, login, server.token_endpoint, fields, pending)
    return _token(reply, login, scope)


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
    told = _members(reply)
    if "access_token" in told:
        return _token(reply, login, frozenset())
    return _pending(told, "transaction_authorization_id", login.clock(), page="authorization_uri")


def transaction_collect(server: ServerMetadata, login: ClientLogin, pending: Pending) -> Flow[TokenSet]:
    """Look until the person has answered, or no longer may. Refused where they said no."""
    fields = (("transaction_authorization_id", pending.handle.reveal()),)
    reply = yield from _polled(server, login, server.transaction_authorization_endpoint, fields, pending)
    return _token(reply, login, frozenset())


def transaction(server: ServerMetadata, login: ClientLogin, challenge: str) -> Flow[TokenSet]:
    """Present a resource's challenge, and wait for the answer."""
    told = yield from transaction_begin(server, login, challenge)
    return told if isinstance(told, TokenSet) else (yield from transaction_collect(server, login, told))


def revoke(server: ServerMetadata, login: ClientLogin, token: Secret) -> Flow[None]:
    """Give a token up (RFC 7009)."""
    reply = yield from login.sent(server, server.revocation_endpoint, (("token", token.reveal()),))
    if reply.status != 200:
        _refuse(reply)


def introspect(server: ServerMetadata, login: ClientLogin, token: Secret) -> Flow[Introspection]:
    """Ask what a token is worth (RFC 7662)."""
    reply = yield from login.sent(server, server.introspection_endpoint, (("token", token.reveal()),))
    told = _members(reply)
    active = told.pop("active", None)
    if not isinstance(active, bool):
        raise Fault("an introspection answer says whether the token is active")
    return Introspection(active=active, claims=told)


# --- fields ---------------------------------------------------------------------------------------------------------

Fields = tuple[tuple[str, str], ...]


def _some(name: str, value: str | None) -> Fields:
    return () if value is None else ((name, value),)


def _scope(scope: frozenset[str]) -> Fields:
    return (("scope", scope_text(scope)),) if scope else ()


def _details(details: tuple[Detail, ...]) -> Fields:
    told = json_bytes([detail.members for detail in details]).decode()
    return (("authorization_details", told),) if details else ()


# --- answers --------------------------------------------------------------------------------------------------------


def _polled(
    server: ServerMetadata, login: ClientLogin, endpoint: str | None, fields: Fields, pending: Pending
) -> Flow[Reply]:
    """Look at once (an earlier yes may have answered), then at the server's pace, slower where it is in trouble."""
    interval = pending.interval
    while True:
        try:
            reply = yield from login.sent(server, endpoint, fields)
            if reply.status == 200:
                return reply
            _refuse(reply)
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


def _members(reply: Reply) -> JsonObject:
    """The JSON of a good answer. Redirects are answers like any other that is not good."""
    if reply.status != 200:
        _refuse(reply)
    try:
        kind = (reply.headers.all("content-type") or ("",))[0].partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Malformed("the content type is not application/json")
        return reply.json_object()
    except Malformed as problem:
        raise Fault(f"the authorization server's answer cannot be read: {problem}") from None


def _refuse(reply: Reply) -> NoReturn:
    """Raise what the answer says: Refused where the server says no in its own words, or else Fault."""
    if 400 <= reply.status < 500 and reply.status != 429:
        try:
            told = reply.json_object()
        except Malformed:
            told = {}
        if isinstance(told.get("error"), str):
            raise Refused(_shown(told["error"], 64), _shown(told.get("error_description"), 300))
    raise Fault(f"the authorization server answered {reply.status}", retry=reply.status >= 500 or reply.status == 429)


def _shown(text: object, length_max: int) -> str:
    """RFC 6749, 5.2's characters of an error; what goes beyond them could be a forged line of a log."""
    return "".join(mark for mark in text if " " <= mark <= "~")[:length_max] if isinstance(text, str) else ""


def _pending(told: JsonObject, handle: str, now: Instant, *, page: str | None = None) -> Pending:
    name, life, interval = told.get(handle), told.get("expires_in"), told.get("interval", INTERVAL)
    if not _is_plain(name, HANDLE_MAX):
        raise Fault(f"the answer has no usable {handle}")
    where = told.get(page) if page else None
    return Pending(
        handle=Secret(str(name)),
        until=Instant(now + _seconds(life, "expires_in", LIFE_MAX)),
        interval=_seconds(interval, "interval", INTERVAL_MAX),
        page=where if isinstance(where, str) else None,
    )


def _seconds(value: object, name: str, most: int) -> Seconds:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
        raise Fault(f"{name} is a whole number of seconds, at least 1 and at most {most}")
    return Seconds(value)


def _is_plain(value: object, length_max: int) -> bool:
    """RFC 6749, A: VSCHAR. What is put into a header must not end it."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= length_max
        and value.isascii()
        and all("!" <= mark <= "~" for mark in value)
    )


def _token(reply: Reply, login: ClientLogin, asked: frozenset[str]) -> TokenSet:
    told = _members(reply)
    if not _is_plain(told.get("access_token"), TOKEN_MAX):
        raise Fault("the answer has no usable access_token")
    wanted = "DPoP" if login.dpop_key is not None else "Bearer"
    # A token that anybody may use, where a bound one was asked for, is worse than none.
    if str(told.get("token_type")).lower() != wanted.lower():
        raise Fault(f"the token's type is not {wanted}")
    life = told.get("expires_in", UNSAID_LIFE)
    scope = _granted(told, asked)
    return TokenSet(
        access_token=Secret(told["access_token"]),
        token_type=wanted,
        expires_at=Instant(login.clock() + _seconds(life, "expires_in", LIFE_MAX)),
        scope=scope,
        details=_told_details(told.get("authorization_details", [])),
        issued_token_type=told["issued_token_type"] if isinstance(told.get("issued_token_type"), str) else None,
        refresh_token=_secret(told, "refresh_token"),
        id_token=_secret(told, "id_token"),
    )


def _granted(told: JsonObject, asked: frozenset[str]) -> frozenset[str]:
    if "scope" not in told:
        return asked  # RFC 6749, 5.1: left out where it is what was asked for
    try:
        granted = read_scope(told["scope"])
    except (ValueError, AttributeError, TypeError):
        raise Fault("the token's scope cannot be read") from None
    if not asked <= granted:
        raise Refused("invalid_scope", "Less scope was granted than was asked for.")
    return granted


def _told_details(value: object) -> tuple[Detail, ...]:
    if not isinstance(value, list) or not all(
        isinstance(one, dict) and isinstance(one.get("type"), str) for one in value
    ):
        raise Fault("the token's authorization_details cannot be read")
    return tuple(Detail.of(**one) for one in value)


def _secret(told: JsonObject, name: str) -> Secret | None:
    return Secret(told[name]) if _is_plain(told.get(name), TOKEN_MAX) else None
