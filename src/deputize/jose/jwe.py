"""The one bounded door to encrypted answers: compact JWE, direct ECDH-ES on P-256, AES-GCM; for `vc` alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from deputize.core.rules import Rule
from deputize.core.wire import JsonObject, Malformed, b64u_bytes, json_object
from deputize.jose.jws import HEADER_MAX, UNSUPPORTED
from deputize.jose.keys import KID_MAX, ec_public, thumbprint

ALG: Final = "ECDH-ES"
ENCS: Final = frozenset({"A128GCM", "A256GCM"})
CURVE: Final = "P-256"
BYTES_MAX: Final = 64 * 1024
KEYS_MAX: Final = 4
PARTY_MAX: Final = 256  # bytes of apu and of apv
_IV_BYTES: Final = 12
_TAG_BYTES: Final = 16

_BCP: Final = "draft-ietf-oauth-rfc8725bis"
COMPACT_JWE = Rule("RFC 7516", "7.1", "The message is one compact JWE in its one encoding, of bounded size.")
DIRECT_AGREEMENT = Rule(
    _BCP, "Use Appropriate Algorithms", "The key agreement is ECDH-ES, and the encryption A128GCM or A256GCM."
)
UNCOMPRESSED = Rule(
    _BCP, "Avoid Compression of Encryption Inputs", "The message is not compressed, and has no extension."
)
EPHEMERAL_POINT = Rule(_BCP, "Validate Cryptographic Inputs", "The ephemeral key is a public point on P-256.")
OPENS = Rule("RFC 7516", "5.2", "The message was encrypted to a key of ours, and was not altered.")

_REGISTRY: Final = jwe.JWERegistry(algorithms=(ALG, *ENCS), strict_check_header=False)
_REGISTRY.max_protected_header_length = HEADER_MAX
_REGISTRY.max_ciphertext_length = 2**24  # beyond any bound of ours, and ours is held first


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DecryptionKey:
    """A P-256 key that opens messages, and does nothing else. It does not show itself."""

    kid: str
    _key: ECKey

    @classmethod
    def generate(cls) -> "DecryptionKey":
        key = ECKey.generate_key(CURVE)
        return cls(thumbprint(key.as_dict(private=False)), key)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> "DecryptionKey":
        """Read a private JWK. Raises Malformed, also for a signature key."""
        if jwk.get("kty") != "EC" or jwk.get("crv") != CURVE:
            raise Malformed("a kind of key that we do not use")
        if jwk.get("use", "enc") != "enc" or jwk.get("alg", ALG) != ALG:
            raise Malformed("the key is not for this encryption")
        kid = jwk.get("kid") or thumbprint(jwk)
        if not isinstance(kid, str) or len(kid) > KID_MAX:
            raise Malformed("a key id is a text of at most 256 characters")
        try:
            private = ec.derive_private_key(int.from_bytes(b64u_bytes(str(jwk.get("d"))), "big"), ec.SECP256R1())
            if private.public_key() != ec_public(jwk):
                raise Malformed("the private and the public part are of different keys")
        except Malformed:
            raise
        except ValueError:
            raise Malformed("not a private key of its kind") from None
        return cls(kid, ECKey.import_key(private))

    def to_jwk(self) -> JsonObject:
        """The whole key, private part included."""
        return {**self._key.as_dict(private=True), "kid": self.kid, "use": "enc", "alg": ALG}

    def public_jwk(self) -> JsonObject:
        return {**self._key.as_dict(private=False), "kid": self.kid, "use": "enc", "alg": ALG}

    def opens(self, compact: str) -> bytes | None:
        """What is in a message whose form and header were held before; None where it is not for this key."""
        try:
            return jwe.decrypt_compact(compact, self._key, registry=_REGISTRY).plaintext
        except (JoseError, ValueError, InvalidTag):
            return None

    def __repr__(self) -> str:
        return f"DecryptionKey(kid={self.kid!r})"


@dataclass(frozen=True, slots=True)
class Opened:
    """What was in a message. It says nothing of who sent it: anybody may encrypt to a public key."""

    header: Mapping[str, object]
    plaintext: bytes
    kid: str

    @property
    def text(self) -> str:
        """A nested token, for a verifier that refuses what is not ASCII."""
        return self.plaintext.decode("ascii", "replace")


def _header(compact: str, error: str, bytes_max: int) -> JsonObject:
    """The header of a message in five parts of bounded size."""
    try:
        parts = compact.split(".", 5) if len(compact) <= bytes_max else []
        if len(parts) != 5 or len(parts[0]) > HEADER_MAX:
            raise Malformed("not a compact JWE")
        return json_object(b64u_bytes(parts[0]))
    except Malformed as problem:
        COMPACT_JWE.refuse(error, problem=str(problem))


def _check_header(header: JsonObject, encs: frozenset[str], error: str) -> None:
    if header.get("alg") != ALG or not any(header.get("enc") == enc for enc in encs & ENCS):
        DIRECT_AGREEMENT.refuse(error, alg=str(header.get("alg"))[:20], enc=str(header.get("enc"))[:20])
    if not UNSUPPORTED.isdisjoint(header):
        UNCOMPRESSED.refuse(error)
    try:
        epk = header.get("epk")
        if not isinstance(epk, dict) or epk.get("kty") != "EC" or epk.get("crv") != CURVE or "d" in epk:
            raise Malformed("no public key on P-256")
        ec_public(epk)
    except ValueError as problem:
        EPHEMERAL_POINT.refuse(error, problem=str(problem))


def _check_parts(compact: str, header: JsonObject, error: str) -> None:
    try:
        _, encrypted_key, iv, text, tag = compact.split(".")
        if encrypted_key:
            raise Malformed("direct agreement has no encrypted key")
        b64u_bytes(text)
        if len(b64u_bytes(iv)) != _IV_BYTES or len(b64u_bytes(tag)) != _TAG_BYTES:
            raise Malformed("an initialization vector has 12 bytes, and a tag 16")
        for party in (header.get("apu", ""), header.get("apv", "")):
            if not isinstance(party, str) or len(b64u_bytes(party)) > PARTY_MAX:
                raise Malformed("the information on a party is a short text")
    except Malformed as problem:
        COMPACT_JWE.refuse(error, problem=str(problem))


def decrypt(
    compact: str, keys: Sequence[DecryptionKey], *, encs: frozenset[str], error: str, bytes_max: int = BYTES_MAX
) -> Opened:
    """Open a message with that of our keys which it names, or with any of at most four where it names none.

    Form, algorithms and ephemeral key are held before any key is touched, so that what is refused costs nothing.
    """
    header = _header(compact, error, bytes_max)
    _check_header(header, encs, error)
    _check_parts(compact, header, error)
    kid = header.get("kid")
    for key in [key for key in keys if kid is None or key.kid == kid][:KEYS_MAX]:
        plaintext = key.opens(compact)
        if plaintext is not None:
            return Opened(header, plaintext, key.kid)
    OPENS.refuse(error, kid=str(kid)[:KID_MAX])


def encrypt(
    plaintext: bytes, jwk: Mapping[str, object], *, enc: str = "A128GCM", header: JsonObject | None = None
) -> str:
    """Encrypt to a public JWK; `header` adds members (`cty`, `apu`, `apv`). Raises Malformed on a bad key."""
    if enc not in ENCS or jwk.get("crv") != CURVE:
        raise Malformed("an encryption that we do not use")
    try:
        key = ECKey.import_key(ec_public(jwk))
    except ValueError:
        raise Malformed("not a key of its kind") from None
    kid = {"kid": jwk["kid"]} if jwk.get("kid") else {}
    return jwe.encrypt_compact({**(header or {}), "alg": ALG, "enc": enc, **kid}, plaintext, key, registry=_REGISTRY)
