"""Keys as JWKs (RFC 7517): checked when loaded, one key for one algorithm, named by their thumbprint."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa

from deputize.core.wire import JsonObject, Malformed, b64u, b64u_bytes, json_bytes
from deputize.jose.algorithms import (
    BY_NAME,
    RSA_BITS_MAX,
    RSA_BITS_MIN,
    Algorithm,
    PrivateKeyObject,
    PublicKeyObject,
)

KEYS_MAX: Final = 100
KID_MAX: Final = 256
CANDIDATES_MAX: Final = 4
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
_THUMBPRINT: Final[Mapping[str, tuple[str, ...]]] = {  # RFC 7638, 3.2; RFC 8037, 2; RFC 9964, 3
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "RSA": ("e", "kty", "n"),
    "AKP": ("alg", "kty", "pub"),
}
_CURVES: Final[Mapping[str, tuple[ec.EllipticCurve, int]]] = {
    "P-256": (ec.SECP256R1(), 32),
    "P-384": (ec.SECP384R1(), 48),
}
_ED25519_BYTES: Final = 32
_ED25519_PRIME: Final = 2**255 - 19
_ED25519_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
# The y of every point whose order is 8 or less. With such a "key", a signature holds for texts that nobody signed.
_ED25519_WEAK: Final = frozenset({0, 1, _ED25519_PRIME - 1, _ED25519_ORDER_8, _ED25519_PRIME - _ED25519_ORDER_8})
_EXPONENT_MAX: Final = 2**32
# The moduli of one maker's chips are powers of 65537 modulo each of these primes, and can be factored (CVE-2017-15361).
# One in 2^27 honest moduli looks so too.
_ROCA: Final = tuple(
    (prime, frozenset(pow(65537, power, prime) for power in range(prime)))
    for prime in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
)
_AKP_PUBLIC: Final[Mapping[str, Callable[[bytes], PublicKeyObject]]] = {
    "ML-DSA-44": mldsa.MLDSA44PublicKey.from_public_bytes,
    "ML-DSA-65": mldsa.MLDSA65PublicKey.from_public_bytes,
    "ML-DSA-87": mldsa.MLDSA87PublicKey.from_public_bytes,
}
_AKP_PRIVATE: Final[Mapping[str, Callable[[bytes], PrivateKeyObject]]] = {
    "ML-DSA-44": mldsa.MLDSA44PrivateKey.from_seed_bytes,
    "ML-DSA-65": mldsa.MLDSA65PrivateKey.from_seed_bytes,
    "ML-DSA-87": mldsa.MLDSA87PrivateKey.from_seed_bytes,
}


# --- the members of a JWK -----------------------------------------------------------------------------------------


def _text(jwk: Mapping[str, object], name: str) -> str:
    value = jwk.get(name)
    if not isinstance(value, str) or not value:
        raise Malformed(f"a JWK's {name} is a text")
    return value


def _bytes(jwk: Mapping[str, object], name: str, length: int | None = None) -> bytes:
    data = b64u_bytes(_text(jwk, name))
    if length is not None and len(data) != length:
        raise Malformed(f"a JWK's {name} has {length} bytes here")
    return data


def _number(jwk: Mapping[str, object], name: str) -> int:
    data = _bytes(jwk, name)
    if not data or data[0] == 0:
        raise Malformed(f"a JWK's {name} is a number without leading zeros")
    return int.from_bytes(data, "big")


def _named(jwk: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """The members that make a public key what it is, in the order of its thumbprint."""
    names = _THUMBPRINT.get(_text(jwk, "kty"))
    if names is None:
        raise Malformed("a kind of key that we do not use")
    return tuple((name, _text(jwk, name)) for name in names)


def thumbprint(jwk: Mapping[str, object]) -> str:
    """The SHA-256 thumbprint of a JWK (RFC 7638), base64url."""
    return b64u(hashlib.sha256(json_bytes(dict(_named(jwk)))).digest())


def _algorithm(jwk: Mapping[str, object], *, alg: str | None = None) -> Algorithm:
    """The one algorithm of a key: its own `alg`, or the caller's, or the only or first one that fits its kind."""
    kty, crv, told = jwk.get("kty"), jwk.get("crv") if jwk.get("kty") != "RSA" else None, jwk.get("alg")
    if told is not None and not isinstance(told, str):
        raise Malformed("a JWK's alg is a text")
    # "EdDSA" is the name that RFC 9864 replaced, still on most Ed25519 keys
    own, wanted = ("Ed25519" if name == "EdDSA" and kty == "OKP" else name for name in (told, alg))
    if own is not None and wanted is not None and own != wanted:
        raise Malformed("the key is for another algorithm")
    name = wanted if own is None else own
    for row in BY_NAME.values():
        if row.kty == kty and row.crv == crv and name in {None, row.name}:
            return row
    raise Malformed("an algorithm that does not fit this key")


def _is_for(jwk: Mapping[str, object], operation: str) -> None:
    if jwk.get("use", "sig") != "sig":
        raise Malformed("the key is not for signatures")
    operations = jwk.get("key_ops", [operation])
    if not isinstance(operations, list) or operation not in operations:
        raise Malformed("the key is not for this operation")


# --- public keys --------------------------------------------------------------------------------------------------


def ec_public(jwk: Mapping[str, object]) -> ec.EllipticCurvePublicKey:
    """The point of a JWK. Raises ValueError where it is not on its curve."""
    curve, length = _CURVES.get(_text(jwk, "crv"), (None, 0))
    if curve is None:
        raise Malformed("a curve that we do not use")
    x, y = (int.from_bytes(_bytes(jwk, name, length), "big") for name in ("x", "y"))
    return ec.EllipticCurvePublicNumbers(x, y, curve).public_key()  # which holds the point against the curve


def _ed25519_public(jwk: Mapping[str, object]) -> PublicKeyObject:
    point = _bytes(jwk, "x", _ED25519_BYTES)
    y = int.from_bytes(point, "little") & ~(1 << 255)
    if y >= _ED25519_PRIME or y in _ED25519_WEAK:
        raise Malformed("a point in no canonical form, or of small order")
    return ed25519.Ed25519PublicKey.from_public_bytes(point)


def _rsa_public(jwk: Mapping[str, object]) -> PublicKeyObject:
    n, e = _number(jwk, "n"), _number(jwk, "e")
    if not RSA_BITS_MIN <= n.bit_length() <= RSA_BITS_MAX or n % 2 == 0:
        raise Malformed("an RSA modulus has 2048 to 8192 bits")
    if not 2 < e < _EXPONENT_MAX or e % 2 == 0:
        raise Malformed("an RSA exponent is odd, above 2 and below 2^32")
    if all(n % prime in powers for prime, powers in _ROCA):
        raise Malformed("an RSA modulus that can be factored")
    return rsa.RSAPublicNumbers(e, n).public_key()


def _akp_public(jwk: Mapping[str, object]) -> PublicKeyObject:
    return _AKP_PUBLIC[_text(jwk, "alg")](_bytes(jwk, "pub"))  # that there is a row for it was held before


_PUBLIC: Final[Mapping[str, Callable[[Mapping[str, object]], PublicKeyObject]]] = {
    "EC": ec_public,
    "OKP": _ed25519_public,
    "RSA": _rsa_public,
    "AKP": _akp_public,
}


@lru_cache(maxsize=1024)  # a pure function of its texts: each proof of a client carries the same key
def _loaded(named: tuple[tuple[str, str], ...]) -> tuple[str, PublicKeyObject]:
    """The thumbprint and the object of a public key for which there is an algorithm."""
    jwk = dict(named)
    try:
        return thumbprint(jwk), _PUBLIC[jwk["kty"]](jwk)
    except Malformed:
        raise
    except (ValueError, UnsupportedAlgorithm):
        raise Malformed("not a key of its kind") from None


@dataclass(frozen=True, slots=True, eq=False)
class PublicKey:
    """A public key that was checked when it was loaded, and is for exactly one algorithm."""

    kid: str
    alg: Algorithm
    thumbprint: str
    _object: PublicKeyObject

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object], *, alg: str | None = None) -> "PublicKey":
        """Read a public signature key. Raises Malformed: also for private members, another `use`, a bad point."""
        if not _PRIVATE.isdisjoint(jwk):
            raise Malformed("a public JWK has no private member")
        _is_for(jwk, "verify")
        kid = jwk.get("kid", "")
        if not isinstance(kid, str) or len(kid) > KID_MAX:
            raise Malformed("a key id is a text of at most 256 characters")
        row = _algorithm(jwk, alg=alg)
        name, loaded = _loaded(_named(jwk))
        return cls(kid, row, name, loaded)

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Yes or no; whatever the library raises, it is no."""
        try:
            self.alg.checks(self._object, signature, data)
        except (InvalidSignature, UnsupportedAlgorithm, InternalError, ValueError, OverflowError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class KeySet:
    """The public keys of one party. A bad key among good ones is skipped; too many are refused."""

    keys: tuple[PublicKey, ...] = ()
    _found: Mapping[tuple[str | None, str], tuple[PublicKey, ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, *keys: PublicKey) -> "KeySet":
        found: dict[tuple[str | None, str], tuple[PublicKey, ...]] = {}
        for key in keys:
            for kid in (key.kid, None):
                found[kid, key.alg.name] = (*found.get((kid, key.alg.name), ()), key)[:CANDIDATES_MAX]
        return cls(keys, found)

    @classmethod
    def from_jwks(cls, jwks: Mapping[str, object], *, alg: str | None = None) -> "KeySet":
        """Read a JWK set (RFC 7517, 5). Raises Malformed when it is none, or has more than 100 keys.

        `alg` is what configuration says that all keys of this party are for: needed where RS256 keys do not say so.
        """
        entries = jwks.get("keys")
        if not isinstance(entries, list) or len(entries) > KEYS_MAX:
            raise Malformed("a JWK set has an array of at most 100 keys")
        keys = []
        for entry in entries:
            try:
                keys.append(PublicKey.from_jwk(entry if isinstance(entry, dict) else {}, alg=alg))
            except Malformed:
                continue  # RFC 7517, 5: a key that is not understood is ignored
        return cls.of(*keys)

    @classmethod
    def published(cls, jwks: Mapping[str, object]) -> "KeySet":
        """Read the set that an issuer publishes. Raises Malformed where nothing could be verified with it, too.

        Such an answer is an error of the issuer or of somebody in between: it does not take the place of a good one.
        """
        found = cls.from_jwks(jwks)
        if not found.keys:
            raise Malformed("a JWK set without a key that can be used")
        return found

    def candidates(self, kid: str | None, alg: str) -> tuple[PublicKey, ...]:
        """The keys that a signature with this `kid` and `alg` may be held against: at most four."""
        return self._found.get((kid, alg), ())


# --- private keys -------------------------------------------------------------------------------------------------


def _private_object(jwk: Mapping[str, object]) -> PrivateKeyObject:
    kty = jwk["kty"]
    if kty == "EC":
        curve, length = _CURVES[_text(jwk, "crv")]
        return ec.derive_private_key(int.from_bytes(_bytes(jwk, "d", length), "big"), curve)
    if kty == "OKP":
        return ed25519.Ed25519PrivateKey.from_private_bytes(_bytes(jwk, "d", _ED25519_BYTES))
    if kty == "AKP":
        return _AKP_PRIVATE[_text(jwk, "alg")](_bytes(jwk, "priv"))
    p, q, d, dp, dq, qi = (_number(jwk, name) for name in ("p", "q", "d", "dp", "dq", "qi"))
    public = rsa.RSAPublicNumbers(_number(jwk, "e"), _number(jwk, "n"))
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public).private_key()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PrivateKey:
    """A key that signs, for exactly one algorithm. It does not show itself."""

    kid: str
    alg: Algorithm
    _object: PrivateKeyObject
    _jwk: JsonObject

    @classmethod
    def generate(cls, alg: str = "ES256") -> "PrivateKey":
        row = BY_NAME[alg]
        return cls._made(row, row.new())

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> "PrivateKey":
        """Read a private JWK. Raises Malformed."""
        _is_for(jwk, "sign")
        row = _algorithm(jwk)
        name, _ = _loaded(_named(jwk))
        try:
            key = cls._made(row, _private_object(jwk), kid=jwk.get("kid"))
        except Malformed:
            raise
        except (ValueError, UnsupportedAlgorithm):
            raise Malformed("not a private key of its kind") from None
        if thumbprint(key.to_jwk()) != name:
            raise Malformed("the private and the public part are of different keys")
        return key

    @classmethod
    def _made(cls, row: Algorithm, made: PrivateKeyObject, *, kid: object = None) -> "PrivateKey":
        jwk = {**_private_jwk(made), "alg": row.name, "use": "sig"}
        name = kid if isinstance(kid, str) and kid else thumbprint(jwk)
        return cls(name, row, made, {**jwk, "kid": name})

    def to_jwk(self) -> JsonObject:
        """The whole key, private part included."""
        return dict(self._jwk)

    def public_jwk(self) -> JsonObject:
        return {name: value for name, value in self._jwk.items() if name not in _PRIVATE}

    def public(self) -> PublicKey:
        return PublicKey.from_jwk(self.public_jwk())

    def sign(self, data: bytes) -> bytes:
        """The JWS signature over `data`."""
        return self.alg.signs(self._object, data)

    def __repr__(self) -> str:
        return f"PrivateKey({self.alg.name}, kid={self.kid!r})"


def _b64u_number(value: int, length: int | None = None) -> str:
    return b64u(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


def holds_secret(jwk: Mapping[str, object]) -> bool:
    """Whether a JWK holds what is for its owner alone: a private member, or a symmetric key."""
    return jwk.get("kty") == "oct" or not _PRIVATE.isdisjoint(jwk)


def public_members(key: PublicKeyObject) -> JsonObject:
    """The JWK members of a public key (an AKP key's `alg` aside)."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        crv = next((name for name, (curve, _) in _CURVES.items() if curve.name == key.curve.name), None)
        if crv is None:
            raise Malformed("a curve that we do not use")
        length, point = _CURVES[crv][1], key.public_numbers()
        return {"kty": "EC", "crv": crv, "x": _b64u_number(point.x, length), "y": _b64u_number(point.y, length)}
    if isinstance(key, ed25519.Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": b64u(key.public_bytes_raw())}
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _b64u_number(numbers.n), "e": _b64u_number(numbers.e)}
    return {"kty": "AKP", "pub": b64u(key.public_bytes_raw())}


def _private_jwk(key: PrivateKeyObject) -> JsonObject:
    public = public_members(key.public_key())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {**public, "d": _b64u_number(key.private_numbers().private_value, key.curve.key_size // 8)}
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return {**public, "d": b64u(key.private_bytes_raw())}
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        private = {"d": numbers.d, "p": numbers.p, "q": numbers.q}
        private |= {"dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
        return {**public, **{name: _b64u_number(value) for name, value in private.items()}}
    return {**public, "priv": b64u(key.private_bytes_raw())}
