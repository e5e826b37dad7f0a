"""Who is calling: token, proof and request in, `Caller` out. For protected resources."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from deputize.core.ports import Add, Record
from deputize.core.rules import Rule
from deputize.core.values import ClientId, Instant, Seconds, Subject, scope_text
from deputize.core.wire import Headers, JsonObject, b64u
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
from deputize.jose.jws import Jws
from deputize.jose.keys import KeySet
from deputize.oauth import certificate, dpop
from deputize.oauth.authority import Authority
from deputize.oauth.binding import OF_CERTIFICATE, BoundKey, of_certificate, thumbprint_in
from deputize.oauth.delegation import Actor, from_claim
from deputize.oauth.details import HTTP_CALL, Detail, details, http_call
from deputize.oauth.nonces import Nonces

TYP: Final = "at+jwt"
TOKEN_MAX: Final = 16 * 1024

ONE_METHOD = Rule("RFC 6750", "2", "The token comes by one method: one Authorization header, one scheme.")
TOKEN_NEEDED = Rule("RFC 6750", "3", "The request carries an access token.")
SCHEME = Rule("RFC 9449", "7.1", "A token that is bound to a key comes under the scheme DPoP, any other under Bearer.")
KEY_SHOWN = Rule("RFC 9449", "7.1", "A bound token comes with a proof by the key that it is bound to.")
CERTIFICATE_SHOWN = Rule(
    "RFC 8705", "3", "A token that is bound to a certificate comes over the TLS of the one who holds it."
)
BOUND_ONLY = Rule("RFC 9728", "2", "Where the resource requires tokens that are bound to a key, the token is.")
SEEN_WELL = Rule("RFC 9470", "3", "The person was authenticated as strongly and as recently as this call needs.")
SCOPE_ENOUGH = Rule("RFC 6750", "3.1", "The token's scope is enough for this call.")
THIS_CALL = Rule(
    "Deputize http_call", "matching", "A token for one call is used for exactly that call: method, URL and body."
)
CALL_ONCE = Rule("Deputize http_call", "single use", "A token for one call is used once.")
THESE_DETAILS = Rule("RFC 9396", "9.1", "The token's authorization details are those that this call needs.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSpent(Record):
    """An approval that was used, by the guard's own store. `key` is a hash of issuer and transaction."""

    kind: ClassVar[str] = "call_spent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A proof: who calls, for whom, and what they may. Only `check` makes one.

    `actor` is who acts where a person stands behind (`subject` is the person then); `key` the key they showed.
    """

    subject: Subject
    client: ClientId
    actor: Actor | None
    authority: Authority
    key: BoundKey | None
    jti: str
    txn: str | None
    claims: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What came in the Authorization header, taken apart and not yet believed."""

    scheme: str
    token: str = field(repr=False)
    jws: Jws = field(repr=False)
    claims: JsonObject = field(repr=False)


def credentials(headers: Headers) -> Credentials | None:
    """The token of a request; None where there is none. Tokens in a query or a body are not looked at."""
    values = headers.all("authorization")
    if not values:
        return None
    if len(values) > 1:
        ONE_METHOD.refuse("invalid_request", headers=len(values))
    scheme, _, token = values[0].partition(" ")
    scheme, token = scheme.lower(), token.strip(" ")
    if scheme not in {"bearer", "dpop"} or not token:
        TOKEN_NEEDED.refuse("missing_token", scheme=scheme[:20])
    if "," in token or " " in token:
        ONE_METHOD.refuse("invalid_request")
    jws, claims = jwt.peek(token, "invalid_token", bytes_max=TOKEN_MAX)
    return Credentials(scheme=scheme, token=token, jws=jws, claims=claims)


def access_token(*, issuer: str, audience: str) -> jwt.Expectation:
    """What a resource expects of an access token (RFC 9068, 4)."""
    return jwt.Expectation(
        typ=frozenset({TYP}),
        algs=ALL,
        issuer=issuer,
        audience=jwt.Among(audience),
        lifetime_max=None,  # the issuer's own affair
        age_max=None,
        needs=frozenset({"iss", "exp", "aud", "sub", "client_id", "iat", "jti"}),
        error="invalid_token",
    )


def check(  # noqa: PLR0913 (all that one request shows, given by name)
    shown: Credentials,
    headers: Headers,
    keys: KeySet,
    expected: jwt.Expectation,
    *,
    method: str,
    url: str,
    now: Instant,
    bound_only: bool = False,
    shown_certificate: bytes | None = None,
    nonces: Nonces | None = None,
) -> tuple[Caller, tuple[Add, ...]]:
    """Verify token and proof for this request. The second part is to be committed: it makes the proof single use.

    `shown_certificate` is the client's, where TLS has proven one; `nonces` are those that a proof must have in it.
    """
    verified = jwt.verify_peeked(shown.jws, shown.claims, keys, expected, now)
    bound_to = thumbprint_in(verified.claims)
    to_certificate = of_certificate(bound_to)
    if bound_only and (bound_to is None or to_certificate):
        BOUND_ONLY.refuse("invalid_token")
    # A binding that we cannot hold (to two things, or to one that we do not know) must not pass as none.
    told_whole = "cnf" not in verified.claims if bound_to is None else verified.claims["cnf"] == _binding(bound_to)
    is_dpop = bound_to is not None and not to_certificate
    if (shown.scheme == "dpop") != is_dpop or not told_whole:
        SCHEME.refuse("invalid_token", scheme=shown.scheme)
    if bound_to is None:
        return _caller(verified, None), ()
    if to_certificate:
        key = None if shown_certificate is None else certificate.key_of(shown_certificate)
        if key is None or not hmac.compare_digest(key.name.encode(), bound_to.encode()):
            CERTIFICATE_SHOWN.refuse("invalid_token")
        return _caller(verified, key), ()
    proof = dpop.check(headers, method=method, url=url, now=now, access_token=shown.token, nonces=nonces)
    if proof is None or proof.key.jkt != bound_to:
        KEY_SHOWN.refuse("invalid_token")
    return _caller(verified, proof.key), (proof.once,)


def _binding(name: str) -> JsonObject:
    return {"x5t#S256": name.removeprefix(OF_CERTIFICATE)} if of_certificate(name) else {"jkt": name}


def _caller(verified: jwt.VerifiedJwt, key: BoundKey | None) -> Caller:
    claims: Mapping[str, Any] = verified.claims  # its texts and times have their types: `verify` has held them
    audience, scope, txn = claims["aud"], claims.get("scope"), claims.get("txn")
    told = claims.get("authorization_details")
    return Caller(
        subject=Subject(claims["sub"]),
        client=ClientId(claims["client_id"]),
        actor=from_claim(claims.get("act"), error="invalid_token"),
        authority=Authority(
            audience=frozenset((audience,) if isinstance(audience, str) else audience),
            scope=frozenset(scope.split()) if scope else frozenset(),
            details=() if told is None else details(told, error="invalid_token"),
            until=Instant(int(claims["exp"])),
        ),
        key=key,
        jti=claims["jti"],
        txn=txn if isinstance(txn, str) else None,
        claims=claims,
    )


def call_bound(caller: Caller) -> tuple[Detail, ...]:
    """The details that tie the token to one call."""
    return tuple(detail for detail in caller.authority.details if detail.type == HTTP_CALL)


def check_call(caller: Caller, *, method: str, url: str, body: bytes, wanted: tuple[Detail, ...]) -> Add:
    """Hold a call-bound token against this very call. To be committed by the guard: it makes the token single use.

    `wanted` is what the resource itself says of this call (without the `http_call` detail): the token has these
    details and no others, so that what the person read is what now runs.
    """
    if call_bound(caller) != (http_call(method, url, body),):
        THIS_CALL.refuse("invalid_token", method=method)
    others = tuple(detail for detail in caller.authority.details if detail.type != HTTP_CALL)
    if sorted(others, key=_by_text) != sorted(wanted, key=_by_text):
        THESE_DETAILS.refuse("invalid_token")
    # However many tokens are minted for one transaction, the transaction runs once.
    once = f"txn {caller.txn}" if caller.txn is not None else f"jti {caller.jti}"
    spent = b64u(hashlib.sha256(f"{caller.claims['iss']} {once}".encode("utf-8", "surrogatepass")).digest())
    return Add(CallSpent(key=spent, expires_at=Instant(caller.authority.until + 2 * jwt.SKEW)))


def _by_text(one: Detail) -> str:
    return one.text


def check_scope(caller: Caller, needed: frozenset[str]) -> None:
    """Hold the token's scope against what this call needs."""
    if not needed <= caller.authority.scope:
        SCOPE_ENOUGH.refuse("insufficient_scope", params=(("scope", scope_text(needed)),))


@dataclass(frozen=True, slots=True)
class Seen:
    """How a person must have been seen by their server for a call (RFC 9470).

    `max_age` is how long ago at most, `acr_values` are the ways of authentication of which one is needed.
    """

    max_age: Seconds | None = None
    acr_values: tuple[str, ...] = ()


def check_seen(caller: Caller, needed: Seen, now: Instant) -> None:
    """Hold how and when the person was authenticated against what this call needs."""
    told_at, told_acr = caller.claims.get("auth_time"), caller.claims.get("acr")
    fresh = needed.max_age is None or (isinstance(told_at, int) and now - told_at <= needed.max_age)
    strong = not needed.acr_values or told_acr in needed.acr_values
    if not (fresh and strong):
        params = [("acr_values", " ".join(needed.acr_values))] if needed.acr_values else []
        if needed.max_age is not None:
            params.append(("max_age", str(needed.max_age)))
        SEEN_WELL.refuse("insufficient_user_authentication", params=tuple(params))
