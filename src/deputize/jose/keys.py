"""Keys as JWKs (RFC 7517): checked when loaded, one key for one algorithm, named by their thumbprint."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from deputize.core.wire import JsonObject, Malformed, b64u, b64u_bytes, json_bytes
from deputize.jose.algorithms import (
    ALGORITHMS,
    BY_NAME,
    RSA_BITS_MAX,
    RSA_BITS_MIN,
    Algorithm,
    PrivateKeyObject,
    PublicKeyObject,
)

KEYS_MAX: Final = 100
KID_MAX: Final = 256
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_THUMBPRINT: Final[Mapping[str, tuple[str, ...]]] = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
_CURVES: Final[Mapping[str, tuple[ec.EllipticCurve, int]]] = {
    "P-256": (ec.SECP256R1(), 32),
    "P-384": (ec.SECP384R1(), 48),
}
_ED25519_BYTES: Final = 32
_EXPONENT_MAX: Final = 2**32


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


def _public_object(jwk: Mapping[str, object]) -> PublicKeyObject:
    kty = _text(jwk, "kty")
    try:
        if kty == "EC":
            curve, length = _CURVES.get(_text(jwk, "crv"), (None, 0))
            if curve is None:
                raise Malformed("a curve that we do not use")
            x, y = (int.from_bytes(_bytes(jwk, name, length), "big") for name in ("x", "y"))
            return ec.EllipticCurvePublicNumbers(x, y, curve).public_key()  # holds the point against the curve
        if kty == "OKP":
            if _text(jwk, "crv") != "Ed25519":
                raise Malformed("a curve that we do not use")
            return ed25519.Ed25519PublicKey.from_public_bytes(_bytes(jwk, "x", _ED25519_BYTES))
        if kty == "RSA":
            n, e = _number(jwk, "n"), _number(jwk, "e")
            if not RSA_BITS_MIN <= n.bit_length() <= RSA_BITS_MAX or n % 2 == 0:
                raise Malformed("an RSA modulus has 2048 to 8192 bits")
            if not 2 < e < _EXPONENT_MAX or e % 2 == 0:
                raise Malformed("an RSA exponent is odd, above 2 and below 2^32")
            return rsa.RSAPublicNumbers(e, n).public_key()
    except Malformed:
        raise
    except ValueError:
        raise Malformed("not a key of its kind") from None
    raise Malformed("a kind of key that we do not use")


def _algorithm(jwk: Mapping[str, object], *, alg: str | None = None) -> Algorithm:
    """The one algorithm of a key: its own `alg`, or the caller's, or the only or first one that fits its kind."""
    named = jwk.get("alg")
    kty, crv = jwk.get("kty"), jwk.get("crv") if jwk.get("kty") != "RSA" else None
    if named is not None and alg is not None and named != alg:
        raise Malformed("the key is for another algorithm")
    wanted = named if named is not None else alg
    if wanted == "EdDSA" and kty == "OKP":  # the name that RFC 9864 replaced, still on most Ed25519 keys
        wanted = "Ed25519"
    for row in ALGORITHMS:
        if row.kty == kty and row.crv == crv and wanted in {None, row.name}:
            return row
    raise Malformed("an algorithm that does not fit this key")


def thumbprint(jwk: Mapping[str, object]) -> str:
    """The SHA-256 thumbprint of a JWK (RFC 7638), base64url."""
    members = _THUMBPRINT.get(_text(jwk, "kty"))
    if members is None:
        raise Malformed("a kind of key that we do not use")
    return b64u(hashlib.sha256(json_bytes({name: _text(jwk, name) for name in members})).digest())


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
        if jwk.get("use", "sig") != "sig":
            raise Malformed("the key is not for signatures")
        operations = jwk.get("key_ops", ["verify"])
        if not isinstance(operations, list) or "verify" not in operations:
            raise Malformed("the key is not for verifying")
        kid = jwk.get("kid", "")
        if not isinstance(kid, str) or len(kid) > KID_MAX:
            raise Malformed("a key id is a text of at most 256 characters")
        row = _algorithm(jwk, alg=alg)
        return cls(kid, row, thumbprint(jwk), _public_object(jwk))

    def verifies(self, signature: bytes, data: bytes) -> bool:
        return self.alg.verifies(self._object, signature, data)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The public keys of one party. A bad key among good ones is skipped; too many are refused."""

    keys: tuple[PublicKey, ...] = ()
    _by_kid: Mapping[str, tuple[PublicKey, ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, *keys: PublicKey) -> "KeySet":
        by_kid: dict[str, tuple[PublicKey, ...]] = {}
        for key in keys:
            by_kid[key.kid] = (*by_kid.get(key.kid, ()), key)
        return cls(keys, by_kid)

    @classmethod
    def from_jwks(cls, jwks: Mapping[str, object]) -> "KeySet":
        """Read a JWK set (RFC 7517, 5). Raises Malformed when it is none, or has more than 100 keys."""
        entries = jwks.get("keys")
        if not isinstance(entries, list) or len(entries) > KEYS_MAX:
            raise Malformed("a JWK set has an array of at most 100 keys")
        keys = []
        for entry in entries:
            try:
                keys.append(PublicKey.from_jwk(entry if isinstance(entry, dict) else {}))
            except Malformed:
                continue  # RFC 7517, 5: a key that is not understood is ignored
        return cls.of(*keys)

    def candidates(self, kid: str | None, alg: str) -> tuple[PublicKey, ...]:
        """The keys that a signature with this `kid` and `alg` may be held against: at most four."""
        found = self.keys if kid is None else self._by_kid.get(kid, ())
        return tuple(key for key in found if key.alg.name == alg)[:4]


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
        row = _algorithm(jwk)
        _public_object(jwk)
        try:
            made: PrivateKeyObject
            if row.kty == "EC":
                curve, length = _CURVES[str(row.crv)]
                made = ec.derive_private_key(int.from_bytes(_bytes(jwk, "d", length), "big"), curve)
            elif row.kty == "OKP":
                made = ed25519.Ed25519PrivateKey.from_private_bytes(_bytes(jwk, "d", _ED25519_BYTES))
            else:
                p, q, d, dp, dq, qi = (_number(jwk, name) for name in ("p", "q", "d", "dp", "dq", "qi"))
                public = rsa.RSAPublicNumbers(_number(jwk, "e"), _number(jwk, "n"))
                made = rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public).private_key()
        except Malformed:
            raise
        except ValueError:
            raise Malformed("not a private key of its kind") from None
        key = cls._made(row, made, kid=jwk.get("kid"))
        if thumbprint(key.to_jwk()) != thumbprint(jwk):
            raise Malformed("the private and the public part are of different keys")
        return key

    @classmethod
    def _made(cls, row: Algorithm, made: PrivateKeyObject, *, kid: object = None) -> "PrivateKey":
        jwk = _private_jwk(made)
        name = kid if isinstance(kid, str) and kid else thumbprint(jwk)
        return cls(name, row, made, {**jwk, "alg": row.name, "use": "sig", "kid": name})

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


def _private_jwk(key: PrivateKeyObject) -> JsonObject:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        crv, length = next((name, size) for name, (curve, size) in _CURVES.items() if curve.name == key.curve.name)
        private = key.private_numbers()
        point = private.public_numbers
        return {
            "kty": "EC",
            "crv": crv,
            "x": _b64u_number(point.x, length),
            "y": _b64u_number(point.y, length),
            "d": _b64u_number(private.private_value, length),
        }
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = (serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
        public = key.public_key().public_bytes_raw()
        return {"kty": "OKP", "crv": "Ed25519", "x": b64u(public), "d": b64u(key.private_bytes(*raw))}
    numbers = key.private_numbers()
    members = {"n": numbers.public_numbers.n, "e": numbers.public_numbers.e, "d": numbers.d, "p": numbers.p}
    members |= {"q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
    return {"kty": "RSA", **{name: _b64u_number(value) for name, value in members.items()}}
