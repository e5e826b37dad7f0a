"""Signed assertions of clients (RFC 7523 as rfc7523bis updates it), both ends: one audience rule, one replay rule."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar, Final

from deputize.core.ports import Add, Record
from deputize.core.rules import Rule
from deputize.core.values import Instant, Issuer, Seconds
from deputize.core.wire import b64u
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
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


def claimed_client(compact: str) -> str | None:
    """Whom an assertion says it is from: to find the keys, and for nothing else."""
    _, claims = jwt.peek(compact, "invalid_client")
    subject = claims.get("sub")
    return subject if isinstance(subject, str) else None


def has_audience(compact: str, name: str) -> bool:
    """Whether an assertion says that this is its sole audience. Nothing of it is believed yet."""
    return Sole(name).is_met_by(jwt.peek(compact, "invalid_client")[1].get("aud"))


def check(
    compact: str,
    client_id: str,
    keys: KeySet,
    issuer: Issuer,
    now: Instant,
    *,
    audience: str | None = None,
    typs: frozenset[str | None] = TYPS,
) -> Add:
    """Verify a client's assertion. What comes back is to be committed: it makes the assertion single use.

    `audience` is another sole audience than the issuer, where one is allowed; `typs` are the types that it may have.
    """
    expected = jwt.Expectation(
        typ=typs,
        algs=ALL,
        issuer=client_id,
        audience=Sole(issuer.text if audience is None else audience),
        lifetime_max=LIFE_MAX,
        age_max=Seconds(LIFE_MAX + jwt.SKEW),
        needs=frozenset({"iss", "sub", "aud", "exp", "jti"}),
        error="invalid_client",
    )
    verified = jwt.verify(compact, keys, expected, now)
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
