"""A wallet proves that it holds a key (OpenID4VCI 1.0, App. F): the proof, its nonce, and what it is held to."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from deputize.core.ports import Record
from deputize.core.rules import Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import JsonObject, Malformed, b64u, b64u_bytes
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
from deputize.jose.keys import PrivateKey, PublicKey
from deputize.vc.presented import HEADER_MAX
from deputize.vc.sdjwt import BYTES_MAX

TYP: Final = "openid4vci-proof+jwt"
NONCE_LIFE: Final = Seconds(300)
AGE_MAX: Final = Seconds(300)

_SPEC: Final = "OpenID4VCI 1.0"
ONE_KEY = Rule(_SPEC, "F.1", "A proof has its public key in its header, as a jwk, and no other key beside it.")
NO_ATTESTATION = Rule(_SPEC, "D", "A key attestation is not looked at here, so none is sent.")
FRESH_NONCE = Rule(_SPEC, "F.4", "The nonce of a proof is one that the nonce endpoint gave out lately.")
NONCE_ONCE = Rule(_SPEC, "7", "A c_nonce is good for one request, with all proofs in it.")
ONE_NONCE = Rule(_SPEC, "8.2", "All proofs of a request have the same nonce.")
ITS_ISS = Rule(
    _SPEC, "F.1", "The iss of a proof, where there is one, is the client's id; an anonymous client has none."
)
KEYS_DIFFER = Rule(_SPEC, "8.3", "Each key is proven once: a credential is bound to a key of its own.")


# --- nonces -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofNonceUsed(Record):
    """A c_nonce that was used. `key` is a hash of it; kept until it would be too old."""

    kind: ClassVar[str] = "proof_nonce"


@dataclass(frozen=True, slots=True)
class ProofNonces:
    """Nonces that nobody has to keep: the time, chance, and a seal over both. Whoever has the secret knows them."""

    secret: str = field(repr=False)

    def fresh(self, now: Instant, chance: str) -> str:
        """A nonce that is given out now; `chance` has 128 bits or more, in base64url."""
        body = now.to_bytes(6, "big") + hashlib.sha256(chance.encode()).digest()[:16]
        return b64u(body + self._seal(body))

    def hold(self, nonce: str, now: Instant) -> ProofNonceUsed:
        """Refuse a nonce that is not of ours and of now; the mark that makes it good for this once."""
        try:
            told = b64u_bytes(nonce) if len(nonce) == 51 else b""
        except Malformed:
            told = b""
        body, seal = told[:22], told[22:]
        at = int.from_bytes(body[:6], "big")
        if not hmac.compare_digest(seal, self._seal(body)) or not at <= now + jwt.SKEW or now >= at + NONCE_LIFE:
            FRESH_NONCE.refuse("invalid_nonce")
        key = b64u(hashlib.sha256(nonce.encode()).digest())
        return ProofNonceUsed(key=key, expires_at=Instant(at + NONCE_LIFE + jwt.SKEW))

    def _seal(self, body: bytes) -> bytes:
        return hmac.new(self.secret.encode(), b"c_nonce" + body, hashlib.sha256).digest()[:16]


# --- proofs -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProvenKeys:
    """A proof: only `hold` makes one. Keys that a wallet has shown to hold, and the nonce that it signed."""

    jwks: tuple[JsonObject, ...]
    nonce: str


def hold(
    proofs: Sequence[str], *, issuer: str, client_id: str | None, now: Instant, algs: frozenset[str] = ALL
) -> ProvenKeys:
    """Hold each proof of a request (OpenID4VCI 1.0, F.4). `client_id` is None for a wallet that said nothing of itself.

    That the nonce is ours, and is good for once, is to be held by `ProofNonces`.
    """
    jwks, nonces, known = [], set[str](), set[str]()
    for proof in proofs:
        jwk, key, nonce = _held(proof, issuer, client_id, now, algs)
        if key.thumbprint in known:
            KEYS_DIFFER.refuse("invalid_proof")
        known.add(key.thumbprint)
        nonces.add(nonce)
        jwks.append(jwk)
    if len(nonces) != 1:
        ONE_NONCE.refuse("invalid_proof")
    return ProvenKeys(tuple(jwks), nonces.pop())


def _held(
    proof: str, issuer: str, client_id: str | None, now: Instant, algs: frozenset[str]
) -> tuple[JsonObject, PublicKey, str]:
    error = "invalid_proof"
    token, claims = jwt.peek(proof, error, bytes_max=BYTES_MAX, header_max=HEADER_MAX)
    if "key_attestation" in token.header:
        NO_ATTESTATION.refuse(error)
    jwk = token.header.get("jwk")
    if not isinstance(jwk, dict) or not {"kid", "x5c", "trust_chain"}.isdisjoint(token.header):
        ONE_KEY.refuse(error)
    try:
        key = PublicKey.from_jwk(jwk, alg=token.alg)  # which takes no private one
    except Malformed as problem:
        ONE_KEY.refuse(error, problem=str(problem))
    expected = jwt.Expectation(
        typ=frozenset({TYP}),
        algs=algs,
        issuer=None,
        audience=jwt.Sole(issuer),
        lifetime_max=None,
        age_max=AGE_MAX,
        needs=frozenset({"aud", "iat", "nonce"}),
        error=error,
    )
    verified = jwt.verify_with(token, claims, key, expected, now)
    iss, nonce = verified.claims.get("iss"), verified.claims["nonce"]
    if iss is not None and iss != client_id:
        ITS_ISS.refuse(error)
    if not isinstance(nonce, str):
        FRESH_NONCE.refuse("invalid_nonce")
    members = {name: jwk[name] for name in ("kty", "crv", "x", "y", "n", "e", "alg", "pub") if name in jwk}
    return members, key, nonce


def prove(key: PrivateKey, *, issuer: str, nonce: str | None, now: Instant, client_id: str | None = None) -> str:
    """A wallet's proof that it holds this key."""
    claims: JsonObject = {"aud": issuer, "iat": now}
    claims |= ({} if nonce is None else {"nonce": nonce}) | ({} if client_id is None else {"iss": client_id})
    jwk = {
        name: value
        for name, value in key.public_jwk().items()
        if name in {"kty", "crv", "x", "y", "n", "e", "alg", "pub"}
    }
    return jwt.sign(claims, key, typ=TYP, header={"jwk": jwk})
