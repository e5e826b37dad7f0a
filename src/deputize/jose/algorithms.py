"""The allow-list: one row an algorithm. What has no row here has no code to attack."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

MlDsaPublicKey = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey
MlDsaPrivateKey = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
PublicKeyObject = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey | MlDsaPublicKey
PrivateKeyObject = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | MlDsaPrivateKey

RSA_BITS_MIN: Final = 2048
RSA_BITS_MAX: Final = 8192


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A JWS algorithm (RFC 7518, RFC 9864, RFC 9964): its name, the keys it fits, and what it does with them.

    `signs(key, data)` gives the signature as JWS has it; `checks(key, signature, data)` raises on a bad one. The
    key's kind was held against `kty` and `crv` when it was loaded. `digest` is the hash that goes with it elsewhere
    (an ID token's `at_hash`), if one is agreed on.
    """

    name: str
    kty: str
    crv: str | None
    digest: str | None
    new: Callable[[], PrivateKeyObject]
    signs: Callable[[Any, bytes], bytes]
    checks: Callable[[Any, bytes, bytes], None]


# --- ECDSA: the library speaks DER, JWS has r and s side by side (RFC 7518, 3.4) ----------------------------------


def ecdsa_raw(der: bytes, half: int) -> bytes:
    """Of a DER signature that the library made: r and s, each in `half` bytes."""
    middle = 4 + der[3]  # up to P-384, a length is one byte
    return der[4:middle][-half:].rjust(half, b"\0") + der[middle + 2 :][-half:].rjust(half, b"\0")


def ecdsa_der(r: bytes, s: bytes) -> bytes:
    """The DER form of a signature, of an r and an s that are above 0."""
    r, s = r.lstrip(b"\0"), s.lstrip(b"\0")
    r = b"\0" + r if r[0] > 127 else r  # DER's integers have a sign
    s = b"\0" + s if s[0] > 127 else s
    return b"\x30%c\x02%c%b\x02%c%b" % (len(r) + len(s) + 4, len(r), r, len(s), s)


def _ecdsa(name: str, crv: str, curve: ec.EllipticCurve, digest: hashes.HashAlgorithm, order: int) -> Algorithm:
    half = curve.key_size // 8
    hashed = hashlib.sha256 if digest.name == "sha256" else hashlib.sha384
    scheme = ec.ECDSA(
        Prehashed(digest)
    )  # OpenSSL's nonce hashes key and data with its randomness: bad dice alone leak nothing
    least, beyond = bytes(half), order.to_bytes(half, "big")

    def signs(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
        return ecdsa_raw(key.sign(hashed(data).digest(), scheme), half)

    def checks(key: ec.EllipticCurvePublicKey, signature: bytes, data: bytes) -> None:
        r, s = signature[:half], signature[half:]
        # "psychic" signatures (CVE-2022-21449): both are from 1 to n - 1
        if len(s) != half or not (least < r < beyond and least < s < beyond):
            raise InvalidSignature
        key.verify(ecdsa_der(r, s), hashed(data).digest(), scheme)

    return Algorithm(name, "EC", crv, digest.name, lambda: ec.generate_private_key(curve), signs, checks)


def _ed25519() -> Algorithm:
    def signs(key: ed25519.Ed25519PrivateKey, data: bytes) -> bytes:
        return key.sign(data)

    def checks(key: ed25519.Ed25519PublicKey, signature: bytes, data: bytes) -> None:
        key.verify(signature, data)

    return Algorithm("Ed25519", "OKP", "Ed25519", "sha512", ed25519.Ed25519PrivateKey.generate, signs, checks)


def _rsa(name: str, scheme: padding.AsymmetricPadding) -> Algorithm:
    digest = hashes.SHA256()

    def signs(key: rsa.RSAPrivateKey, data: bytes) -> bytes:
        return key.sign(data, scheme, digest)

    def checks(key: rsa.RSAPublicKey, signature: bytes, data: bytes) -> None:
        key.verify(signature, data, scheme, digest)

    return Algorithm(
        name, "RSA", None, digest.name, lambda: rsa.generate_private_key(65537, RSA_BITS_MIN), signs, checks
    )


def _ml_dsa(name: str, new: Callable[[], MlDsaPrivateKey]) -> Algorithm:
    """RFC 9964: pure ML-DSA with an empty context."""

    def signs(key: MlDsaPrivateKey, data: bytes) -> bytes:
        return key.sign(data)

    def checks(key: MlDsaPublicKey, signature: bytes, data: bytes) -> None:
        key.verify(signature, data)

    return Algorithm(name, "AKP", None, None, new, signs, checks)


_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_P384_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973

ALGORITHMS: Final[tuple[Algorithm, ...]] = (
    _ecdsa("ES256", "P-256", ec.SECP256R1(), hashes.SHA256(), _P256_ORDER),
    _ecdsa("ES384", "P-384", ec.SECP384R1(), hashes.SHA384(), _P384_ORDER),
    _ed25519(),
    _rsa("PS256", padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)),
    _rsa("RS256", padding.PKCS1v15()),
)

# Off unless an expectation names them: their keys can be read, but no signature by one is accepted by default.
OPTIONAL: Final[tuple[Algorithm, ...]] = (
    _ml_dsa("ML-DSA-44", mldsa.MLDSA44PrivateKey.generate),
    _ml_dsa("ML-DSA-65", mldsa.MLDSA65PrivateKey.generate),
    _ml_dsa("ML-DSA-87", mldsa.MLDSA87PrivateKey.generate),
)

BY_NAME: Final[dict[str, Algorithm]] = {row.name: row for row in (*ALGORITHMS, *OPTIONAL)}
ALL: Final[frozenset[str]] = frozenset(row.name for row in ALGORITHMS)
