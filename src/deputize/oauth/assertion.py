"""Signed assertions of clients (RFC 7523 as rfc7523bis updates it), both ends: one audience rule, one replay rule."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final, NamedTuple

from deputize.core.ports import Add, Record
from deputize.core.rules import Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import JsonObject, b64u
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
from deputize.jose.jws import Jws
from deputize.jose.jwt import Sole
from deputize.jose.keys import KeySet, PrivateKey

TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TYP: Final = "client-authentication+jwt"
# rfc7523bis: servers should not refuse an untyped one; `oauth-client-auth+jwt` is what the CIMD draft writes.
TYPS: Final = frozenset({TYP, "oauth-client-auth+jwt", "jwt", None})
# Of a client that nobody registered one is wanted, as that draft has it: no client of that sort is from before.
TYPS_SAID: Final[frozenset[str | None]] = frozenset({TYP, "oauth-client-auth+jwt"})
LIFE_MAX: Final = Seconds(300)
JTI_MAX: Final = 256

OF_ITSELF = Rule("RFC 7523", "3", "The iss and the sub of a client assertion are the client's own id.")
ASSERTED_ONCE = Rule("RFC 7523", "3", "A client assertion is used once.")
JTI = Rule("RFC 7523", "3", "The jti of a client assertion has at most 256 characters.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssertionSeen(Record):
    """A client assertion that was used: kept until no clock would accept it any more."""

    kind: ClassVar[str] = "assertion_seen"


class Peeked(NamedTuple):
    """An assertion that was taken apart and not yet verified."""

    jws: Jws
    claims: JsonObject

    @property
    def client_id(self) -> str:
        """Whom it says it is from: to find the keys, and for nothing else. Empty where it says nothing."""
        subject = self.claims.get("sub")
        return subject if isinstance(subject, str) else ""

    def has_audience(self, name: str) -> bool:
        """Whether it says that this is its sole audience."""
        return Sole(name).is_met_by(self.claims.get("aud"))


def peek(compact: str) -> Peeked:
    """Take an assertion apart, to find out whose it claims to be."""
    return Peeked(*jwt.peek(compact, "invalid_client"))


@lru_cache(maxsize=1024)  # a pure function of what it is given
def _expected(client_id: str, audience: str, typs: frozenset[str | None]) -> jwt.Expectation:
    return jwt.Expectation(
        typ=typs,
        algs=ALL,
        issuer=client_id,
        audience=Sole(audience),
        lifetime_max=LIFE_MAX,
        age_max=Seconds(LIFE_MAX + jwt.SKEW),
        needs=frozenset({"iss", "sub", "aud", "exp", "jti"}),
        error="invalid_client",
    )


def check(
    told: Peeked,
    client_id: str,
    keys: KeySet,
    audience: str,
    now: Instant,
    *,
    typs: frozenset[str | None] = TYPS,
) -> Add:
    """Verify a client's assertion. What comes back is to be committed: it makes the assertion single use.

    `audience` is the sole audience that it is to have: our issuer, unless something else was agreed with the client.
    `typs` are the types that it may have.
    """
    verified = jwt.verify_peeked(told.jws, told.claims, keys, _expected(client_id, audience, typs), now)
    if verified.claims["sub"] != client_id:
        OF_ITSELF.refuse("invalid_client")
    jti = verified.text("jti")
    if len(jti) > JTI_MAX:
        JTI.refuse("invalid_client", length=len(jti))
    # The scope of uniqueness is client and jti; a hash keeps what is stored small whatever was sent.
    seen = b64u(hashlib.sha256(f"{len(client_id)}:{client_id}:{jti}".encode()).digest())
    return Add(AssertionSeen(key=seen, expires_at=Instant(verified.instant("exp") + 2 * jwt.SKEW)))


def make(client_id: str, key: PrivateKey, *, audience: str, jti: str, now: Instant) -> str:
    """Sign an assertion for the authorization server whose validated issuer is `audience`."""
    claims = {"iss": client_id, "sub": client_id, "aud": audience, "iat": now, "exp": now + 60, "jti": jti}
    return jwt.sign(claims, key, typ=TYP)
