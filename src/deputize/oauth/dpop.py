"""DPoP proofs (RFC 9449), both ends."""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final
from urllib.parse import urlsplit

from deputize.core.ports import Add, Record
from deputize.core.rules import Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import Headers, JsonObject, Malformed, b64u
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
from deputize.jose.keys import PrivateKey, PublicKey
from deputize.oauth.binding import BoundKey
from deputize.oauth.nonces import Nonces

TYP: Final = "dpop+jwt"
AGE_MAX: Final = Seconds(60)
SEEN_FOR: Final = Seconds(AGE_MAX + 2 * jwt.SKEW + 10)
JTI_MAX: Final = 256
_URL: Final = re.compile(r"[\x21-\x7E]{1,4096}")

ONE_PROOF = Rule("RFC 9449", "4.3", "There is not more than one DPoP header field.")
PROOF_KEY = Rule("RFC 9449", "4.3", "The proof carries one public key that we can use, and no private one.")
PROOF_ID = Rule("RFC 9449", "4.2", "The jti of a proof has at most 256 characters.")
METHOD = Rule(
    "RFC 9449", "4.3", "The htm is the method of this request, and the htu its URL without query and fragment."
)
PROOF_OF_TOKEN = Rule("RFC 9449", "4.3", "The ath is the hash of the access token that comes with the proof.")
PROOF_ONCE = Rule("RFC 9449", "11.1", "A proof is used once.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofSeen(Record):
    """A proof that was used: kept until no clock would accept it any more."""

    kind: ClassVar[str] = "dpop_seen"


@dataclass(frozen=True, slots=True)
class CheckedProof:
    """A good proof: the key that was shown, and the mark whose commit makes it single use."""

    key: BoundKey
    once: Add


def target(url: str) -> str:
    """A URL as `htu` has it: without query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def token_hash(access_token: str) -> str:
    """The `ath` of a token."""
    return b64u(hashlib.sha256(access_token.encode()).digest())


def check(
    headers: Headers,
    *,
    method: str,
    url: str,
    now: Instant,
    access_token: str | None = None,
    nonces: Nonces | None = None,
    error: str = "invalid_dpop_proof",
) -> CheckedProof | None:
    """Hold the request's proof against everything but its single use; None where there is no proof.

    `access_token` is given at a resource server: then `ath` is held too; `nonces` where a proof must have one in it.
    The caller commits `once`.
    """
    proofs = headers.all("dpop")
    if not proofs:
        return None
    if len(proofs) > 1:
        ONE_PROOF.refuse(error, proofs=len(proofs))
    parsed, claims = jwt.peek(proofs[0], error)
    shown = parsed.header.get("jwk")
    jwk = shown if isinstance(shown, dict) else {}
    try:
        key = PublicKey.from_jwk(jwk, alg=parsed.alg)
    except Malformed as problem:
        PROOF_KEY.refuse(error, problem=str(problem))
    proof = jwt.verify_with(parsed, claims, key, _expected(error), now)
    wanted = target(url)
    htu = wanted if proof.claims["htu"] == wanted else _plain(proof.claims["htu"])
    if proof.claims["htm"] != method or htu != wanted:
        METHOD.refuse(error, htm=proof.claims["htm"], htu=htu)  # its query, where secrets may be, is not logged
    if access_token is not None and proof.claims.get("ath") != token_hash(access_token):
        PROOF_OF_TOKEN.refuse(error)
    jti = proof.text("jti")
    if len(jti) > JTI_MAX:
        PROOF_ID.refuse(error, jti_length=len(jti))
    if nonces is not None:  # last: who is told to come again need only bring the nonce along
        nonces.hold(proof.claims.get("nonce"), now)
    seen = b64u(hashlib.sha256(f"{key.thumbprint} {wanted} {jti}".encode()).digest())
    return CheckedProof(
        BoundKey(jkt=key.thumbprint, jwk=jwk), Add(ProofSeen(key=seen, expires_at=Instant(now + SEEN_FOR)))
    )


@lru_cache(maxsize=8)  # a pure function of a code
def _expected(error: str) -> jwt.Expectation:
    return jwt.Expectation(
        typ=frozenset({TYP}),
        algs=ALL,
        issuer=None,  # a proof has none: the key is all that it shows
        audience=None,  # htm and htu say where it is for
        lifetime_max=None,
        age_max=Seconds(AGE_MAX + jwt.SKEW),
        needs=frozenset({"jti", "htm", "htu", "iat"}),
        error=error,
    )


def _plain(htu: object) -> str:
    # Held against the characters first: urlsplit drops tabs and newlines, and raises on a bracket.
    try:
        return target(htu) if isinstance(htu, str) and _URL.fullmatch(htu) else ""
    except ValueError:
        return ""


def prove(
    key: PrivateKey,
    *,
    method: str,
    url: str,
    jti: str,
    now: Instant,
    access_token: str | None = None,
    nonce: str | None = None,
) -> str:
    """Make a proof for one request."""
    claims: JsonObject = {"jti": jti, "htm": method, "htu": target(url), "iat": now}
    if access_token is not None:
        claims["ath"] = token_hash(access_token)
    if nonce is not None:
        claims["nonce"] = nonce
    public = {name: value for name, value in key.public_jwk().items() if name not in {"kid", "use", "alg"}}
    return jwt.sign(claims, key, typ=TYP, header={"jwk": public})
