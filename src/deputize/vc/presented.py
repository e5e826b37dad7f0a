"""Verifying an SD-JWT (RFC 9901, 7): the issuer's signature, the Disclosures, the claims, and the holder's key."""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from deputize.core.rules import Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import JsonObject, Malformed
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
from deputize.jose.jws import Jws
from deputize.jose.jwt import Expectation
from deputize.jose.keys import PublicKey
from deputize.jose.kinds import BY_NAME
from deputize.vc.sdjwt import BYTES_MAX, SdJwt, digest, hash_of, parse, reveal

HEADER_MAX: Final = 64 * 1024  # a chain of certificates may lie in it
BINDING_AGE_MAX: Final = Seconds(300)
NONCE_MAX: Final = 512

_SPEC: Final = "RFC 9901"
BINDING_REQUIRED = Rule(_SPEC, "7.3", "A presentation has a Key Binding JWT where the verifier wants one.")
NO_BINDING_HERE = Rule(_SPEC, "4", "What is issued, or presented where no key binding is wanted, ends with a tilde.")
HOLDER_KEY = Rule(
    _SPEC, "4.1.2", "The credential names its holder's public key as a jwk in cnf, and the Key Binding JWT fits it."
)
THIS_VERIFIER = Rule(_SPEC, "7.3", "The aud of the Key Binding JWT is the name of this verifier, in one text.")
OUR_NONCE = Rule(_SPEC, "7.3", "The Key Binding JWT has the nonce of this verifier.")
WHAT_WAS_SENT = Rule(_SPEC, "7.3", "The sd_hash is that of exactly what was presented.")

_BINDING: Final = BY_NAME["key binding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a verifier asks a holder to sign: the verifier's own name, and a nonce made for this presentation alone.

    That the nonce is taken once is the caller's to see to (`averify` does). `algs` are those that a holder's key may
    be for, `age_max` how old the signature may be.
    """

    audience: str
    nonce: str
    algs: frozenset[str] = ALL
    age_max: Seconds = BINDING_AGE_MAX

    def __post_init__(self) -> None:
        if not self.audience or not 1 <= len(self.nonce) <= NONCE_MAX:
            raise ValueError("a verifier has a name and makes nonces")


@lru_cache(maxsize=256)
def _expected(algs: frozenset[str], age_max: Seconds, error: str) -> Expectation:
    return Expectation(
        typ=_BINDING.reads,
        algs=algs,
        issuer=None,
        audience=None,  # held by itself: one text, and no array of texts
        lifetime_max=None,
        age_max=age_max,
        needs=_BINDING.needs,
        error=error,
    )


@dataclass(frozen=True, slots=True)
class VerifiedSdJwt:
    """A proof: only `verify_opened` makes one. What an SD-JWT says; `issued` is its payload as it was signed.

    `holder` is the key that signed for this presentation, None where no key binding was wanted.
    """

    header: Mapping[str, object]
    issued: JsonObject
    claims: JsonObject
    parts: SdJwt
    key: PublicKey
    holder: PublicKey | None


@dataclass(frozen=True, slots=True)
class Opened:
    """An SD-JWT that was taken apart to see whose keys to fetch. Nothing in it is believed before `verify_opened`."""

    parts: SdJwt
    token: Jws
    payload: JsonObject


def open_sd_jwt(text: str, asked: Asked | None, error: str) -> Opened:
    """Take an SD-JWT apart; whether key binding is wanted was decided before anybody looked at it."""
    parts = parse(text, error)
    if asked is not None and not parts.binding:
        BINDING_REQUIRED.refuse(error)
    if asked is None and parts.binding:
        NO_BINDING_HERE.refuse(error)
    token, payload = jwt.peek(parts.jwt, error, bytes_max=BYTES_MAX, header_max=HEADER_MAX)
    return Opened(parts, token, payload)


def verify_opened(
    opened: Opened, candidates: Iterable[PublicKey], expected: Expectation, asked: Asked | None, now: Instant
) -> VerifiedSdJwt:
    """Hold an SD-JWT against all that is expected of it, in the order of RFC 9901, 7; refuse it, or give the proof.

    What `expected` says of claims is held against them with all Disclosures put back.
    """
    error = expected.error
    key = jwt.signed(opened.token, candidates, expected)
    claims = reveal(opened.payload, opened.parts.disclosures, error)
    jwt.check(claims, expected, now)
    holder = None if asked is None else _bound(opened, claims, asked, error, now)
    return VerifiedSdJwt(opened.token.header, opened.payload, claims, opened.parts, key, holder)


def verify_sd_jwt(
    text: str, keys: Iterable[PublicKey], expected: Expectation, asked: Asked | None, now: Instant
) -> VerifiedSdJwt:
    """Verify an SD-JWT whose issuer's keys are at hand: of any typ, and no credential in particular."""
    return verify_opened(open_sd_jwt(text, asked, expected.error), keys, expected, asked, now)


def holder_key(claims: Mapping[str, object], alg: str | None, error: str) -> PublicKey:
    """The key that a credential is bound to: the `jwk` of its `cnf`. A key to be fetched is none."""
    cnf = claims.get("cnf")
    jwk = cnf.get("jwk") if isinstance(cnf, dict) else None
    if not isinstance(jwk, dict):
        HOLDER_KEY.refuse(error)
    try:
        return _key_of(tuple(jwk.items()), alg)
    except TypeError:  # a member that is an array, `key_ops`, keeps nothing from being read
        pass
    except Malformed as problem:
        HOLDER_KEY.refuse(error, problem=str(problem))
    try:
        return PublicKey.from_jwk(jwk, alg=alg)
    except Malformed as problem:
        HOLDER_KEY.refuse(error, problem=str(problem))


@lru_cache(maxsize=1024)  # a pure function of its members: a holder comes again
def _key_of(members: tuple[tuple[str, object], ...], alg: str | None) -> PublicKey:
    return PublicKey.from_jwk(dict(members), alg=alg)


def _bound(opened: Opened, claims: JsonObject, asked: Asked, error: str, now: Instant) -> PublicKey:
    """The holder's key, which signed what was presented for this verifier (RFC 9901, 7.3, step 5)."""
    expected = _expected(asked.algs, asked.age_max, error)
    token, said = jwt.peek(opened.parts.binding, error)
    if token.alg not in expected.algs:
        jwt.ALGORITHM.refuse(error, alg=token.alg[:20])
    key = holder_key(claims, token.alg, error)  # whatever key or address the header names
    jwt.signed(token, (key,), expected)
    jwt.check(said, expected, now)
    if said["aud"] != asked.audience:
        THIS_VERIFIER.refuse(error, aud=said["aud"])
    nonce, sd_hash = said["nonce"], said["sd_hash"]
    if type(nonce) is not str or not hmac.compare_digest(nonce.encode("utf-8", "replace"), asked.nonce.encode()):
        OUR_NONCE.refuse(error)
    wanted = digest(opened.parts.bound, hash_of(opened.payload, error))
    if type(sd_hash) is not str or not hmac.compare_digest(sd_hash.encode("utf-8", "replace"), wanted.encode()):
        WHAT_WAS_SENT.refuse(error)
    return key
