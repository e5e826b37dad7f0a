"""Approval to token and back. One issuance path for every grant, with the checks that every token must pass."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final

from deputize.core.ports import Env, Question, Record
from deputize.core.rules import Rule
from deputize.core.values import ClientId, Instant, Issuer, Seconds, Subject, scope_text
from deputize.core.wire import JsonObject
from deputize.jose import jws, jwt
from deputize.jose.algorithms import ALL
from deputize.jose.keys import KeySet, PublicKey
from deputize.oauth import standing as standings
from deputize.oauth.approval import GONE, Approval
from deputize.oauth.authority import Authority
from deputize.oauth.binding import BoundKey, of_certificate, thumbprint_in
from deputize.oauth.client import Client, Person, Resource
from deputize.oauth.delegation import Actor, from_claim
from deputize.oauth.details import details

TYP: Final = "at+jwt"
KNOWN_MAX: Final = 4096
READERS_MAX: Final = 8
LIFE_MAX: Final = Seconds(900)

CLIENT_ENABLED = Rule("Deputize", "issuance", "The client is enabled.")
PERSON_ENABLED = Rule("Deputize", "issuance", "The person exists and is enabled.")
STANDING_LIVE = Rule("Deputize", "issuance", "What the person allowed has not been taken back.")
TARGET_KNOWN = Rule("RFC 8707", "2", "The resource is one that this server knows and serves.")
NOT_REVOKED = Rule("RFC 7009", "2", "Neither the token nor one that it was derived from has been revoked.")
BOUND = Rule("RFC 9449", "5.2", "A client that is registered for bound tokens shows its key.")
CERTIFIED = Rule(
    "RFC 8705",
    "3.4",
    "A client that is registered for certificate-bound tokens shows its certificate, and no other key.",
)
CLIENT_ALLOWED = Rule("RFC 8693", "2.2.2", "The client may use the resource and the scope that it asks for.")
ITS_OWN_NAME = Rule("RFC 9068", "5", "A client that acts for itself does not bear a person's name.")
MAY_ISSUE = Rule("Deputize", "policy", "The operator's policy lets this client have this token.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How tokens are minted. A life is a maximum: what an approval says is never exceeded.

    It is a quarter of an hour at most: so long, an API that does not ask us takes a token that was revoked.
    """

    life: Seconds = Seconds(300)

    def __post_init__(self) -> None:
        if not 0 < self.life <= LIFE_MAX:
            raise ValueError(f"an access token lives for at most {LIFE_MAX} seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked(Record):
    """A token that was revoked before its end. `key` is its jti; kept until no clock would accept the token."""

    kind: ClassVar[str] = "revoked"
    kept: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token of ours, read back. `roots` are the tokens that it was derived from: if one dies, it dies."""

    jti: str
    client: ClientId
    subject: Subject
    approval: Approval
    jkt: str | None
    issued_at: Instant
    roots: tuple[str, ...]
    claims: Mapping[str, object]

    @property
    def is_dpop(self) -> bool:
        """Whether it is to be shown with a DPoP proof; one that is bound to a certificate is a Bearer token."""
        return self.jkt is not None and not of_certificate(self.jkt)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenResponse:
    """What the token endpoint answers (RFC 6749, 5.1; RFC 8693, 2.2.1)."""

    members: JsonObject


async def issue(
    approval: Approval,
    client: Client,
    key: BoundKey | None,
    issuer: Issuer,
    settings: Settings,
    env: Env,
    *,
    status: JsonObject | None = None,
    gone: str = GONE,
) -> TokenResponse:
    """Check what every token must pass, mint it, answer. Nothing is written: a token that nobody got is no state.

    `status` says where the token's status stands, if it is told anywhere; `gone` is the error where a person, or what
    they allowed, is no more.
    """
    now = env.clock()
    until = min(approval.authority.until, Instant(now + settings.life))
    await check(approval, client, key, env, gone=gone)
    claims: JsonObject = {
        "iss": issuer.text,
        "sub": approval.subject or client.key,
        "aud": _one_or_many(approval.authority.audience),
        "client_id": client.key,
        "iat": now,
        "exp": until,
        "jti": env.random(128),
    }
    if approval.authority.scope:
        claims["scope"] = scope_text(approval.authority.scope)
    if approval.authority.details:
        claims["authorization_details"] = [detail.members for detail in approval.authority.details]
    claims |= _rests_on(approval)
    if key is not None:
        claims["cnf"] = key.claim()
    if status is not None:
        claims["status"] = status
    members: JsonObject = {
        "access_token": await mint(claims, TYP, env),
        "token_type": "DPoP" if key is not None and key.jkt is not None else "Bearer",
        "expires_in": until - now,
    }
    for name in ("scope", "authorization_details"):
        if name in claims:
            members[name] = claims[name]
    if approval.openid:
        members["id_token"] = await _id_token(approval, claims, env)
    if approval.refresh_token is not None:
        members["refresh_token"] = approval.refresh_token.reveal()
    if approval.issued_token_type is not None:
        members["issued_token_type"] = approval.issued_token_type
    return TokenResponse(members=members)


def _rests_on(approval: Approval) -> JsonObject:
    """What else is told of an approval: each claim that has something to say."""
    told: JsonObject = {
        "act": approval.actor.claim() if approval.actor else None,
        "grant_id": approval.standing,
        "txn": approval.txn,
        "auth_time": approval.auth_time,
        "acr": approval.acr,
        "amr": list(approval.amr) or None,
        "roots": list(approval.roots) or None,
    }
    return {name: value for name, value in told.items() if value is not None}


async def check(approval: Approval, client: Client, key: BoundKey | None, env: Env, *, gone: str = GONE) -> None:
    """What everything must pass that is issued for an approval; `gone` as in `issue`."""
    check_bound(client, key)
    await _check_alive(approval, client, env, gone=gone)
    await _check_allowed(approval, client, env)


def check_bound(client: Client, key: BoundKey | None) -> None:
    """Hold that the client shows its key, where it is to. Asked early too: before a yes is spent for nothing."""
    if client.dpop_bound and (key is None or key.jkt is None):
        BOUND.refuse("invalid_dpop_proof")
    if client.certificate_bound and (key is None or key.x5t is None):
        CERTIFIED.refuse("invalid_request")


async def _id_token(approval: Approval, claims: JsonObject, env: Env) -> str:
    names = ("iss", "sub", "iat", "exp", "auth_time", "acr", "amr")
    told: JsonObject = {name: claims[name] for name in names if name in claims}
    if approval.nonce is not None:
        told["nonce"] = approval.nonce
    if approval.sid is not None:
        told["sid"] = approval.sid
    return await mint({**told, "aud": approval.client}, "JWT", env)


def hinted(compact: str, issuer: Issuer, client: Client, env: Env, *, error: str) -> Subject:
    """Whom an ID token of ours for this client names."""
    return Subject(own_id_token(compact, issuer, client, env, error=error).text("sub"))


def own_id_token(compact: str, issuer: Issuer, client: Client, env: Env, *, error: str) -> jwt.VerifiedJwt:
    """An ID token of ours for this client, also one that has expired (OpenID Connect Core, 3.1.2.1)."""
    parsed, claims = jwt.peek(compact, error)
    issued_at = claims.get("iat")
    # Held as of the time at which it says that it was issued: that is ours, if its signature is.
    now = Instant(int(issued_at)) if type(issued_at) is int else env.clock()
    expected = jwt.Expectation(
        typ=frozenset({"jwt"}),
        algs=ALL,
        issuer=issuer.text,
        audience=jwt.Among(client.key),
        lifetime_max=None,
        age_max=None,
        needs=frozenset({"iss", "sub", "aud", "exp", "iat"}),
        error=error,
    )
    return jwt.verify_peeked(parsed, claims, own_keys(env), expected, now)


async def mint(claims: JsonObject, typ: str, env: Env) -> str:
    """Sign claims with the server's active key."""
    kid, alg = env.signer.active()
    data = jws.signing_input(claims, alg=alg, typ=typ, kid=kid)
    return jws.compact(data, await env.signer.sign(kid, data))


def _one_or_many(audience: frozenset[str]) -> str | list[str]:
    names = sorted(audience)
    return names[0] if len(names) == 1 else names


async def _check_alive(approval: Approval, client: Client, env: Env, *, gone: str) -> None:
    """Hold that everybody and everything that a token would rest on is there, enabled and standing."""
    if client.disabled_at is not None:
        CLIENT_ENABLED.refuse("invalid_client")
    for name in approval.authority.audience:
        resource = await env.store.read(Resource, name)
        if resource is None or resource.disabled_at is not None:
            TARGET_KNOWN.refuse("invalid_target", audience=name)
    person = await env.store.read(Person, approval.subject or client.key)
    if approval.subject is None:
        if person is not None:
            ITS_OWN_NAME.refuse("unauthorized_client")
        return
    if person is None or person.disabled_at is not None:
        PERSON_ENABLED.refuse(gone)
    if approval.standing is not None:
        standing = await env.store.read(standings.Standing, approval.standing)
        if standing is None or not standing.lets_live(approval.allowed_at or env.clock()):
            STANDING_LIVE.refuse(gone)


async def _check_allowed(approval: Approval, client: Client, env: Env) -> None:
    # What a person allowed, and what a token said, may be older than what the client is registered for now.
    wanted = approval.authority
    if not wanted.audience <= client.audiences:
        CLIENT_ALLOWED.refuse("invalid_target")
    if not wanted.scope <= client.scope:
        CLIENT_ALLOWED.refuse("invalid_scope")
    verdict = await env.policy.may(
        Question(
            does="issue",
            client=client.key,
            person=approval.subject or "",
            audience=wanted.audience,
            scope=wanted.scope,
        )
    )
    if not verdict.allowed:
        MAY_ISSUE.refuse("access_denied", because=verdict.because)


# --- reading back ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reader:
    """What reads our tokens while the signer shows these keys. A signature that held once holds again: `known`."""

    told: tuple[JsonObject, ...]
    keys: KeySet
    known: dict[tuple[bytes, str], Token]


_readers: Final[dict[int, _Reader]] = {}


def _reader(env: Env) -> _Reader:
    told = env.signer.keys()
    found = _readers.get(id(told))
    if found is None or found.told is not told:
        if len(_readers) >= READERS_MAX:
            _readers.clear()
        found = _readers[id(told)] = _Reader(told, KeySet.of(*map(PublicKey.from_jwk, told)), {})
    return found


def own_keys(env: Env) -> KeySet:
    """The keys that this server's own tokens may be signed with."""
    return _reader(env).keys


def opened(compact: str, issuer: Issuer, env: Env, *, error: str) -> Token:
    """An access token that we issued and that has not expired, whatever has become of what it rests on."""
    reader, now = _reader(env), env.clock()
    name = hashlib.sha256(compact.encode("utf-8", "surrogatepass")).digest(), issuer.text  # no token lies about here
    token = reader.known.get(name)
    if token is None:
        token = _token(jwt.verify(compact, reader.keys, _expected(issuer.text, error), now), error)
        if len(reader.known) >= KNOWN_MAX:
            reader.known.clear()
        reader.known[name] = token
    if token.approval.authority.until <= now:  # our own clock: no skew is granted to ourselves
        jwt.UNEXPIRED.refuse(error)
    return token


@lru_cache(maxsize=64)  # a pure function of two names
def _expected(issuer: str, error: str) -> jwt.Expectation:
    return jwt.Expectation(
        typ=frozenset({TYP}),
        algs=ALL,
        issuer=issuer,
        audience=None,  # it is read by its issuer, not by a resource: each caller holds the audience itself
        lifetime_max=None,
        age_max=None,
        needs=frozenset({"sub", "aud", "client_id", "iat", "exp", "jti"}),
        error=error,
    )


async def read(compact: str, issuer: Issuer, env: Env, *, error: str) -> Token:
    """An access token of ours, if it is good and everything that it rests on still lives."""
    token = opened(compact, issuer, env, error=error)
    for jti in (token.jti, *token.roots):
        if await env.store.read(Revoked, jti) is not None:
            NOT_REVOKED.refuse(error)
    client = await env.store.read(Client, token.client)
    if client is None or client.disabled_at is not None:
        CLIENT_ENABLED.refuse(error)
    if token.approval.subject is not None:
        person = await env.store.read(Person, token.subject)
        if person is None or person.disabled_at is not None:
            PERSON_ENABLED.refuse(error)
    if token.approval.standing is not None:
        standing = await env.store.read(standings.Standing, token.approval.standing)
        if standing is None or not standing.lets_live(token.issued_at):
            STANDING_LIVE.refuse(error)
    return token


def _token(verified: jwt.VerifiedJwt, error: str) -> Token:
    claims = verified.claims
    aud, scope, roots, txn = claims["aud"], claims.get("scope", ""), claims.get("roots", ()), claims.get("txn")
    standing, acr, amr = claims.get("grant_id"), claims.get("acr"), claims.get("amr")
    subject, client = Subject(verified.text("sub")), ClientId(verified.text("client_id"))
    actor: Actor | None = from_claim(claims.get("act"), error=error)
    issued_at = verified.instant("iat")
    approval = Approval(
        client=client,
        subject=None if actor is None and str(subject) == client else subject,
        actor=actor,
        authority=Authority(
            audience=frozenset([aud] if isinstance(aud, str) else aud),  # type: ignore[call-overload]  # verify held it
            scope=frozenset(str(scope).split()),
            details=details(claims.get("authorization_details", []), error=error),
            until=verified.instant("exp"),
        ),
        standing=standing if isinstance(standing, str) else None,
        txn=txn if isinstance(txn, str) else None,
        auth_time=verified.instant("auth_time") if "auth_time" in claims else None,
        acr=acr if isinstance(acr, str) else None,
        amr=tuple(str(method) for method in amr) if isinstance(amr, list | tuple) else (),
    )
    return Token(
        jti=verified.text("jti"),
        client=client,
        subject=subject,
        approval=approval,
        jkt=thumbprint_in(claims),
        issued_at=issued_at,
        roots=tuple(str(jti) for jti in roots) if isinstance(roots, list | tuple) else (),
        claims=claims,
    )
