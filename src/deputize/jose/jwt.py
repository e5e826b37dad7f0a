"""Verifying means stating everything that is expected: an `Expectation` goes in, a `VerifiedJwt` comes out."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from deputize.core.rules import Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import JsonObject, Malformed, b64u, json_object
from deputize.jose import jws
from deputize.jose.algorithms import BY_NAME
from deputize.jose.keys import KeySet, PrivateKey, PublicKey

SKEW: Final = Seconds(10)  # what two honest clocks may differ by (FAPI 2.0, 5.3.2.1)
_LATEST: Final = 253402300799  # the last second of the year 9999
_TEXTS: Final = frozenset({"iss", "sub", "jti", "client_id", "scope"})
_TIMES: Final = frozenset({"exp", "nbf", "iat"})
_NUMBERS: Final = frozenset({int, float})  # and not bool, which is an int to Python

_BCP: Final = "draft-ietf-oauth-rfc8725bis"
COMPACT = Rule(_BCP, "Use Only One JWT Format", "The token is one compact JWS in its one encoding.")
ALGORITHM = Rule(
    _BCP, "Perform Algorithm Verification", "The algorithm is one that is allowed here, letter for letter."
)
SIGNED = Rule(_BCP, "Validate All Cryptographic Operations", "The signature is by a key of the expected party.")
TYPED = Rule(_BCP, "Use Explicit Typing", "The typ is that of the expected kind of token.")
CLAIMS = Rule("RFC 7519", "4.1", "Registered claims have their types, and each required claim is present.")
ISSUED_BY = Rule("RFC 7519", "4.1.1", "The iss is the expected issuer.")
FOR_US = Rule("RFC 7519", "4.1.3", "The aud names this recipient.")
SOLE_AUDIENCE = Rule(
    "draft-ietf-oauth-rfc7523bis",
    "Updates to RFC 7523",
    "The authorization server's issuer identifier is the sole audience.",
)
UNEXPIRED = Rule("RFC 7519", "4.1.4", "The token has not expired.")
BEGUN = Rule("RFC 7519", "4.1.5", "The token's time has begun, and it was not issued in the future.")
BRIEF = Rule("RFC 7523", "3", "The token's lifetime is not unreasonably long, and it is not old.")


@dataclass(frozen=True, slots=True)
class Among:
    """The audience is a string or an array that holds this name."""

    name: str

    def is_met_by(self, aud: object) -> bool:
        return aud == self.name or (isinstance(aud, list) and self.name in aud)

    @property
    def rule(self) -> Rule:
        return FOR_US


@dataclass(frozen=True, slots=True)
class Sole:
    """The audience is this name and no other: a string, or an array of one (`string_only`: no array either)."""

    name: str
    string_only: bool = False

    def is_met_by(self, aud: object) -> bool:
        return aud == self.name or (aud == [self.name] and not self.string_only)

    @property
    def rule(self) -> Rule:
        return SOLE_AUDIENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """All that is expected of a JWT. No field has a default, so that nothing is left out by silence.

    `typ` holds media types without `application/`; None among them lets an untyped JWT in. `algs` has at least one
    algorithm, all of them ours. `issuer` and `audience` None mean: this kind has none. `lifetime_max` bounds how far
    `exp` lies ahead of now, `age_max` how long `iat` is past (None: no bound). `needs` names claims that must be
    there. `error` is the code of a refusal.
    """

    typ: frozenset[str | None]
    algs: frozenset[str]
    issuer: str | None
    audience: Among | Sole | None
    lifetime_max: Seconds | None
    age_max: Seconds | None
    needs: frozenset[str]
    error: str

    def __post_init__(self) -> None:
        if not self.typ or not self.algs or not self.algs <= BY_NAME.keys():
            raise ValueError("an expectation names at least one typ and one algorithm, and no algorithm but ours")


@dataclass(frozen=True, slots=True)
class VerifiedJwt:
    """A proof: only `verify` makes one. Its claims were signed by `key` and met the expectation."""

    header: Mapping[str, object]
    claims: Mapping[str, object]
    key: PublicKey

    def text(self, name: str) -> str:
        """A claim that is a text and was in `needs`."""
        value = self.claims[name]
        if not isinstance(value, str):
            raise TypeError(name)  # a bug of ours: only the registered texts are held to be texts
        return value

    def instant(self, name: str) -> Instant:
        """A time claim that was in `needs`."""
        value = self.claims[name]
        if not isinstance(value, int | float):
            raise TypeError(name)  # the same
        return Instant(int(value))


def peek(
    compact: str, error: str, bytes_max: int = jws.COMPACT_MAX, header_max: int = jws.HEADER_MAX
) -> tuple[jws.Jws, JsonObject]:
    """Take a JWT apart to find out whose keys to fetch. Nothing in it is believed before `verify`."""
    try:
        parsed = jws.parse(compact, bytes_max, header_max)
        return parsed, json_object(parsed.payload, bytes_max)
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
    return _verified(parsed, claims, keys.candidates(parsed.kid, parsed.alg), expected, now)


def verify_with(
    parsed: jws.Jws, claims: JsonObject, key: PublicKey, expected: Expectation, now: Instant
) -> VerifiedJwt:
    """The same, with the one key that it can be by, whatever it calls it: the one that it came with, say."""
    return _verified(parsed, claims, (key,), expected, now)


def _verified(
    parsed: jws.Jws, claims: JsonObject, candidates: Iterable[PublicKey], expected: Expectation, now: Instant
) -> VerifiedJwt:
    key = signed(parsed, candidates, expected)
    check(claims, expected, now)
    return VerifiedJwt(parsed.header, claims, key)


def signed(parsed: jws.Jws, candidates: Iterable[PublicKey], expected: Expectation) -> PublicKey:
    """Hold typ, algorithm and signature alone; the key that signed. For a token whose claims are not all in it."""
    if parsed.typ not in expected.typ:
        TYPED.refuse(expected.error, typ=parsed.typ)
    if parsed.alg not in expected.algs:
        ALGORITHM.refuse(expected.error, alg=parsed.alg[:20])
    for key in candidates:
        if key.alg.name == parsed.alg and key.verifies(parsed.signature, parsed.signing_input):
            return key
    SIGNED.refuse(expected.error, kid=parsed.kid)


def check(claims: JsonObject, expected: Expectation, now: Instant) -> None:
    """Hold claims alone against what is expected of them."""
    _check_types(claims, expected)
    if expected.issuer is not None and claims.get("iss") != expected.issuer:
        ISSUED_BY.refuse(expected.error, iss=claims.get("iss"))
    aud = claims.get("aud")
    if expected.audience is not None and not expected.audience.is_met_by(aud):
        expected.audience.rule.refuse(expected.error, aud=aud)
    _check_times(claims, expected, now)


def _check_types(claims: JsonObject, expected: Expectation) -> None:
    get = claims.get
    for name in claims.keys() & _TEXTS:
        value = claims[name]
        if type(value) is not str or not value or "\x00" in value:
            CLAIMS.refuse(expected.error, claim=name)
    for name in claims.keys() & _TIMES:
        value = claims[name]
        if type(value) not in _NUMBERS or not 0 <= value <= _LATEST:
            CLAIMS.refuse(expected.error, claim=name)
    aud = get("aud", "absent")
    if type(aud) is not str and not (isinstance(aud, list) and aud and all(isinstance(name, str) for name in aud)):
        CLAIMS.refuse(expected.error, claim="aud")
    for name in expected.needs:
        if get(name) is None:
            CLAIMS.refuse(expected.error, claim=name)


def _check_times(claims: JsonObject, expected: Expectation, now: Instant) -> None:
    exp, nbf, iat = claims.get("exp"), claims.get("nbf"), claims.get("iat")
    if exp is not None and exp <= now - SKEW:
        UNEXPIRED.refuse(expected.error, exp=exp)
    if (nbf is not None and nbf > now + SKEW) or (iat is not None and iat > now + SKEW):
        BEGUN.refuse(expected.error, nbf=nbf, iat=iat)
    if expected.lifetime_max is not None and exp is not None and exp > now + expected.lifetime_max + SKEW:
        BRIEF.refuse(expected.error, exp=exp)
    if expected.age_max is not None and iat is not None and iat < now - expected.age_max:
        BRIEF.refuse(expected.error, iat=iat)


def half_hash(text: str, alg: str) -> str:
    """The `at_hash`, `c_hash` or `s_hash` of a text beside a token in `alg` (OpenID Connect Core, 3.1.3.6).

    Raises Malformed where no hash is agreed on: what cannot be checked is not good.
    """
    row = BY_NAME.get(alg)
    if row is None or row.digest is None:
        raise Malformed("an algorithm with which no hash goes")
    digest = hashlib.new(row.digest, text.encode()).digest()
    return b64u(digest[: len(digest) // 2])


def sign(claims: JsonObject, key: PrivateKey, *, typ: str, header: JsonObject | None = None) -> str:
    """Make a compact JWT with a key in hand; the server signs through its Signer port."""
    data = jws.signing_input(claims, alg=key.alg.name, typ=typ, kid=None if header else key.kid, header=header)
    return jws.compact(data, key.sign(data))
