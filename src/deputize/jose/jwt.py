"""Verifying means stating everything that is expected: an `Expectation` goes in, a `VerifiedJwt` comes out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from deputize.core.rules import Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import JsonObject, Malformed, json_object
from deputize.jose import jws
from deputize.jose.keys import KeySet, PrivateKey, PublicKey

SKEW: Final = Seconds(10)  # what two honest clocks may differ by (FAPI 2.0, 5.3.2.1)
_LATEST: Final = 253402300799  # the last second of the year 9999

COMPACT = Rule("draft-ietf-oauth-rfc8725bis", "Use Only One JWT Format", "The token is one compact JWS in its one encoding.")
ALGORITHM = Rule("draft-ietf-oauth-rfc8725bis", "Perform Algorithm Verification", "The algorithm is one that is allowed here, letter for letter.")
SIGNED = Rule("draft-ietf-oauth-rfc8725bis", "Validate All Cryptographic Operations", "The signature is by a key of the expected party.")
TYPED = Rule("draft-ietf-oauth-rfc8725bis", "Use Explicit Typing", "The typ is that of the expected kind of token.")
CLAIMS = Rule("RFC 7519", "4.1", "Registered claims have their types, and each required claim is present.")
ISSUED_BY = Rule("RFC 7519", "4.1.1", "The iss is the expected issuer.")
FOR_US = Rule("RFC 7519", "4.1.3", "The aud names this recipient.")
SOLE_AUDIENCE = Rule("draft-ietf-oauth-rfc7523bis", "Updates to RFC 7523", "The authorization server's issuer identifier is the sole audience.")
UNEXPIRED = Rule("RFC 7519", "4.1.4", "The token has not expired.")
BEGUN = Rule("RFC 7519", "4.1.5", "The token's time has begun, and it was not issued in the future.")
BRIEF = Rule("RFC 7523", "3", "The token's lifetime is not unreasonably long, and it is not old.")


@dataclass(frozen=True, slots=True)
class Among:
    """The audience is a string or an array that holds this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Sole:
    """The audience is this name and no other: a string, or an array of one (`string_only`: no array either)."""

    name: str
    string_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """All that is expected of a JWT. No field has a default, so that nothing is left out by silence.

    `typ` holds media types without `application/`; None among them lets an untyped JWT in. `issuer` and `audience`
    None mean: this kind has none. `lifetime_max` bounds how far `exp` lies ahead of now, `age_max` how long `iat`
    is past (None: no bound). `needs` names claims that must be there. `error` is the code of a refusal.
    """

    typ: frozenset[str | None]
    algs: frozenset[str]
    issuer: str | None
    audience: Among | Sole | None
    lifetime_max: Seconds | None
    age_max: Seconds | None
    needs: frozenset[str]
    error: str


@dataclass(frozen=True, slots=True)
class VerifiedJwt:
    """A proof: only `verify` makes one. Its claims were signed by `key` and met the expectation."""

    header: Mapping[str, object]
    claims: Mapping[str, object]
    key: PublicKey

    def text(self, name: str) -> str:
        """A claim that is a text and was in `needs`."""
        value = self.claims[name]
        if not isinstance(value, str):  # pragma: no cover - held by _check_types
            raise TypeError(name)
        return value

    def instant(self, name: str) -> Instant:
        """A time claim that was in `needs`."""
        return Instant(int(self.claims[name]))  # type: ignore[call-overload, no-any-return]  # held by _check_types


def media_type(typ: object) -> str | None:
    """`typ` for comparison: in lower case, without `application/` (RFC 7515, 4.1.9)."""
    if typ is None:
        return None
    name = str(typ).lower()
    return name.removeprefix("application/")


def peek(compact: str, error: str, *, bytes_max: int = jws.COMPACT_MAX) -> tuple[jws.Jws, JsonObject]:
    """Take a JWT apart to find out whose keys to fetch. Nothing in it is believed before `verify`."""
    try:
        parsed = jws.parse(compact, bytes_max=bytes_max)
        return parsed, json_object(parsed.payload)
    except Malformed as problem:
        COMPACT.refuse(error, problem=str(problem))


def verify(compact: str, keys: KeySet, expected: Expectation, now: Instant) -> VerifiedJwt:
    """Hold a JWT against everything that is expected of it; refuse it, or give the proof."""
    parsed, claims = peek(compact, expected.error)
    return verify_peeked(parsed, claims, keys, expected, now)


def verify_peeked(
    parsed: jws.Jws, claims: JsonObject, keys: KeySet, expected: Expectation, now: Instant
) -> VerifiedJwt:
    """`verify`, for one who has looked already."""
    error = expected.error
    if media_type(parsed.header.get("typ")) not in expected.typ:
        TYPED.refuse(error, typ=parsed.header.get("typ"))
    alg = parsed.alg
    if alg not in expected.algs:
        ALGORITHM.refuse(error, alg=alg[:20])
    for key in keys.candidates(parsed.kid, alg):
        if key.verifies(parsed.signature, parsed.signing_input):
            break
    else:
        SIGNED.refuse(error, kid=parsed.kid)
    _check_types(claims, expected)
    if expected.issuer is not None and claims.get("iss") != expected.issuer:
        ISSUED_BY.refuse(error, iss=claims.get("iss"))
    _check_audience(claims, expected)
    _check_times(claims, expected, now)
    return VerifiedJwt(parsed.header, claims, key)


def _check_types(claims: JsonObject, expected: Expectation) -> None:
    for name in ("iss", "sub", "jti", "client_id", "scope"):
        value = claims.get(name)
        if value is not None and (not isinstance(value, str) or not value or "\x00" in value):
            CLAIMS.refuse(expected.error, claim=name)
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name)
        if value is None and name not in claims:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _LATEST:
            CLAIMS.refuse(expected.error, claim=name)
    for name in expected.needs:
        if claims.get(name) is None:
            CLAIMS.refuse(expected.error, claim=name)


def _check_audience(claims: JsonObject, expected: Expectation) -> None:
    told = claims.get("aud")
    listed = [told] if isinstance(told, str) else told
    if told is not None and (
        not isinstance(listed, list) or not listed or not all(isinstance(name, str) for name in listed)
    ):
        CLAIMS.refuse(expected.error, claim="aud")
    match expected.audience:
        case Among(name) if listed is None or name not in listed:
            FOR_US.refuse(expected.error, aud=told)
        case Sole(name, string_only) if listed != [name] or (string_only and told != name):
            SOLE_AUDIENCE.refuse(expected.error, aud=told)


def _check_times(claims: JsonObject, expected: Expectation, now: Instant) -> None:
    exp, nbf, iat = claims.get("exp"), claims.get("nbf"), claims.get("iat")
    if exp is not None and exp <= now - SKEW:
        UNEXPIRED.refuse(expected.error, exp=exp)
    if max(nbf or 0, iat or 0) > now + SKEW:
        BEGUN.refuse(expected.error, nbf=nbf, iat=iat)
    if expected.lifetime_max is not None and exp is not None and exp > now + expected.lifetime_max + SKEW:
        BRIEF.refuse(expected.error, exp=exp)
    if expected.age_max is not None and iat is not None and iat < now - expected.age_max:
        BRIEF.refuse(expected.error, iat=iat)


def sign(claims: JsonObject, key: PrivateKey, *, typ: str, header: JsonObject | None = None) -> str:
    """A compact JWT, by a key in hand. (The server signs through its Signer port: see `oauth.tokens`.)"""
    kid = None if header else key.kid
    data = jws.signing_input(claims, alg=key.alg.name, typ=typ, kid=kid, header=header)
    return jws.compact(data, key.sign(data))
