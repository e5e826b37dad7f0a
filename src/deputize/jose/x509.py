"""Certificates: a chain to given roots at a given time, the URIs that it names, thumbprints. No revocation here."""

import binascii
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification

from deputize.core.rules import Rule
from deputize.core.values import Instant
from deputize.core.wire import Malformed, b64u
from deputize.jose.algorithms import RSA_BITS_MIN
from deputize.jose.keys import PublicKey, public_members

CHAIN_MAX: Final = 4
CERTIFICATE_MAX: Final = 8 * 1024

# What the library raises over a certificate that it cannot read.
_UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

TRUSTED = Rule(
    "RFC 5280", "6.1", "The certificate chains to a root that is trusted here, and each of the chain is in its time."
)


def thumbprint(der: bytes) -> str:
    """The SHA-256 thumbprint of a certificate: `x5t#S256` (RFC 7515, 4.1.8; RFC 8705, 3.1)."""
    return b64u(hashlib.sha256(der).digest())


def certificate(der: bytes) -> x509.Certificate:
    """Read one certificate. Raises Malformed."""
    if len(der) > CERTIFICATE_MAX:
        raise Malformed("too large for a certificate")
    try:
        return x509.load_der_x509_certificate(der)
    except _UNREADABLE:
        raise Malformed("not a certificate") from None


def x5c(value: object) -> tuple[bytes, ...]:
    """The certificates of an `x5c` header (RFC 7515, 4.1.6), leaf first; in base64, not base64url. Raises Malformed."""
    if not isinstance(value, list) or not 1 <= len(value) <= CHAIN_MAX:
        raise Malformed("x5c is an array of one to four certificates")
    chain = []
    for text in value:
        if not isinstance(text, str) or len(text) > CERTIFICATE_MAX * 4 // 3 + 4:
            raise Malformed("a certificate is a text of bounded size")
        try:
            der = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
        except ValueError:
            raise Malformed("not base64") from None
        if binascii.b2a_base64(der, newline=False) != text.encode("ascii"):
            raise Malformed("base64 with stray bits")
        chain.append(der)
    return tuple(chain)


def uris(one: x509.Certificate) -> tuple[str, ...]:
    """The URIs of its subject alternative names, as they stand there. Raises Malformed."""
    try:
        names = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    except _UNREADABLE:
        raise Malformed("extensions that cannot be read") from None
    return tuple(names.get_values_for_type(x509.UniformResourceIdentifier))


@dataclass(frozen=True, slots=True)
class VerifiedChain:
    """A proof: only `Roots.verify` makes one. The leaf, whose chain was good at that time."""

    leaf: x509.Certificate
    thumbprint: str
    uris: tuple[str, ...]
    until: Instant

    def key(self, *, alg: str | None = None) -> PublicKey:
        """The leaf's key, for the one algorithm. Raises Malformed where it is for none of ours."""
        public = self.leaf.public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey):
            raise Malformed("a kind of key that we do not use")
        return PublicKey.from_jwk(public_members(public), alg=alg)


def _no_authority(_: object, __: x509.Certificate, constraints: x509.BasicConstraints | None) -> None:
    if constraints is not None and constraints.ca:
        raise ValueError("an authority's certificate is no leaf")


def _signs(_: object, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.digital_signature:
        raise ValueError("the key is not for signatures")


# Who may sign for whom is held to the rules of the web's PKI. A leaf need not name a host or a use for TLS: what it
# must name (a SPIFFE id, a client) is for the caller to hold.
_AUTHORITIES: Final = verification.ExtensionPolicy.webpki_defaults_ca()
_LEAF: Final = (
    verification.ExtensionPolicy.permit_all()
    .may_be_present(x509.BasicConstraints, verification.Criticality.AGNOSTIC, _no_authority)
    .may_be_present(x509.KeyUsage, verification.Criticality.AGNOSTIC, _signs)
)
_UNDERSTOOD: Final = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
    x509.AuthorityKeyIdentifier,
    x509.SubjectKeyIdentifier,
)


class Roots:
    """The roots that are trusted for one purpose."""

    def __init__(self, ders: Iterable[bytes]) -> None:
        self._store = verification.Store([certificate(der) for der in ders])

    def verify(self, chain: Sequence[bytes], now: Instant, *, error: str) -> VerifiedChain:
        """Hold a chain, leaf first, against the roots; refuse it, or give the proof."""
        try:
            if not 1 <= len(chain) <= CHAIN_MAX:
                raise Malformed("a chain has one to four certificates")
            leaf, *between = (certificate(der) for der in chain)
            if any(each.critical and not isinstance(each.value, _UNDERSTOOD) for each in leaf.extensions):
                raise Malformed("a critical extension that we do not process")
            public = leaf.public_key()
            if isinstance(public, rsa.RSAPublicKey) and public.key_size < RSA_BITS_MIN:
                raise Malformed("an RSA modulus has 2048 bits or more")
            policy = verification.PolicyBuilder().store(self._store).time(datetime.fromtimestamp(now, UTC))
            policy = policy.max_chain_depth(CHAIN_MAX - 1).extension_policies(ca_policy=_AUTHORITIES, ee_policy=_LEAF)
            policy.build_client_verifier().verify(leaf, between)
            until = Instant(int(leaf.not_valid_after_utc.timestamp()))
            return VerifiedChain(leaf, thumbprint(chain[0]), uris(leaf), until)
        except (*_UNREADABLE, verification.VerificationError) as problem:
            TRUSTED.refuse(error, problem=str(problem)[:200])


def pem_ders(text: str) -> tuple[bytes, ...]:
    """The certificates of a PEM file. Raises Malformed."""
    try:
        return tuple(one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(text.encode()))
    except ValueError:
        raise Malformed("not a PEM file of certificates") from None
