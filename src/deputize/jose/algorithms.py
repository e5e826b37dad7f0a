"""The allow-list: one row an algorithm. What has no row here has no code to attack."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

PublicKeyObject = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
PrivateKeyObject = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

RSA_BITS_MIN: Final = 2048
RSA_BITS_MAX: Final = 8192


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A JWS algorithm (RFC 7518, RFC 9864): its name, the keys it fits, and what it does with them.

    `verifies(key, signature, data)` says yes or no and raises nothing for any signature.
    """

    name: str
    kty: str
    crv: str | None
    new: Callable[[], PrivateKeyObject]
    signs: Callable[[PrivateKeyObject, bytes], bytes]
    verifies: Callable[[PublicKeyObject, bytes, bytes], bool]


def _ecdsa(name: str, crv: str, curve: ec.EllipticCurve, digest: hashes.HashAlgorithm, order: int) -> Algorithm:
    half = (curve.key_size + 7) // 8
    scheme = ec.ECDSA(digest)

    def signs(key: PrivateKeyObject, data: bytes) -> bytes:
        assert_kind(key, ec.EllipticCurvePrivateKey)
        r, s = decode_dss_signature(key.sign(data, scheme))  # type: ignore[call-arg, arg-type, union-attr]  # kind just held
        return r.to_bytes(half, "big") + s.to_bytes(half, "big")

    def verifies(key: PublicKeyObject, signature: bytes, data: bytes) -> bool:
        if len(signature) != 2 * half:
            return False
        r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
        if not (0 < r < order and 0 < s < order):  # "psychic" signatures (CVE-2022-21449)
            return False
        try:
            key.verify(encode_dss_signature(r, s), data, scheme)  # type: ignore[call-arg, arg-type]  # kind held at load
        except InvalidSignature:
            return False
        return True

    return Algorithm(name, "EC", crv, lambda: ec.generate_private_key(curve), signs, verifies)


def _eddsa() -> Algorithm:
    def signs(key: PrivateKeyObject, data: bytes) -> bytes:
        assert_kind(key, ed25519.Ed25519PrivateKey)
        return key.sign(data)  # type: ignore[call-arg]  # kind just held

    def verifies(key: PublicKeyObject, signature: bytes, data: bytes) -> bool:
        try:
            key.verify(signature, data)  # type: ignore[call-arg]  # kind held at load
        except InvalidSignature:
            return False
        return True

    return Algorithm("Ed25519", "OKP", "Ed25519", ed25519.Ed25519PrivateKey.generate, signs, verifies)


def _rsa(name: str, scheme: padding.AsymmetricPadding) -> Algorithm:
    digest = hashes.SHA256()

    def signs(key: PrivateKeyObject, data: bytes) -> bytes:
        assert_kind(key, rsa.RSAPrivateKey)
        return key.sign(data, scheme, digest)  # type: ignore[call-arg, arg-type]  # kind just held

    def verifies(key: PublicKeyObject, signature: bytes, data: bytes) -> bool:
        try:
            key.verify(signature, data, scheme, digest)  # type: ignore[call-arg, arg-type]  # kind held at load
        except InvalidSignature:
            return False
        return True

    def new() -> PrivateKeyObject:
        return rsa.generate_private_key(65537, RSA_BITS_MIN)

    return Algorithm(name, "RSA", None, new, signs, verifies)


def assert_kind(key: object, kind: type) -> None:
    """A key of another kind here is a bug of ours, not of a peer."""
    if not isinstance(key, kind):
        raise TypeError(f"{kind.__name__} wanted")


_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_P384_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973

ALGORITHMS: Final[tuple[Algorithm, ...]] = (
    _ecdsa("ES256", "P-256", ec.SECP256R1(), hashes.SHA256(), _P256_ORDER),
    _ecdsa("ES384", "P-384", ec.SECP384R1(), hashes.SHA384(), _P384_ORDER),
    _eddsa(),
    _rsa("PS256", padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)),
    _rsa("RS256", padding.PKCS1v15()),
)

BY_NAME: Final[dict[str, Algorithm]] = {row.name: row for row in ALGORITHMS}
ALL: Final[frozenset[str]] = frozenset(BY_NAME)
