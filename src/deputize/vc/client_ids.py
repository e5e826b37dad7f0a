"""Who a verifier is (OpenID4VP 1.0, 5.9): the prefix of its client_id says how a wallet comes to believe a request."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509

from deputize.core.rules import Rule
from deputize.core.values import Instant
from deputize.core.wire import Malformed, b64u
from deputize.jose.jws import Jws
from deputize.jose.keys import KeySet, PublicKey
from deputize.jose.x509 import Roots, VerifiedChain, x5c

REDIRECT_URI: Final = "redirect_uri"
X509_SAN_DNS: Final = "x509_san_dns"
X509_HASH: Final = "x509_hash"
UNSUPPORTED: Final = frozenset({"decentralized_identifier", "openid_federation", "verifier_attestation", "origin"})
PREFIXES: Final = frozenset({REDIRECT_URI, X509_SAN_DNS, X509_HASH}) | UNSUPPORTED

_SPEC: Final = "OpenID4VP 1.0"
KNOWN_PREFIX = Rule(
    _SPEC,
    "5.9.1",
    "The client_id is that of a verifier who is registered here, or begins with x509_san_dns:, x509_hash: or"
    " redirect_uri: where this wallet takes such verifiers.",
)
SIGNED_WHERE_MEANT = Rule(
    _SPEC, "5.9.3", "A request is signed, unless its client_id begins with redirect_uri:, and then it is not."
)
ITS_REDIRECT_URI = Rule(_SPEC, "5.9.3", "After redirect_uri: stands the response_uri, letter for letter.")
ITS_CERTIFICATE = Rule(
    _SPEC, "5.9.3", "A certificate that this wallet trusts is for the client_id: by its DNS name, or by its hash."
)
ITS_HOST = Rule(_SPEC, "5.9.3", "The answer goes to the host that the certificate names.")
REGISTERED_PLACE = Rule(_SPEC, "8.2", "The answer to a registered verifier goes to a response_uri that is registered.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A verifier that a wallet knows beforehand: its keys, and where answers may go."""

    keys: KeySet
    response_uris: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whose requests a wallet takes: of whom `roots` certify, of who is registered, and of anybody (`unsigned`).

    One that is not signed says no more than where the answer goes. Nobody is trusted unless it is said here.
    """

    roots: Roots | None = None
    registered: Mapping[str, Registered] = field(default_factory=dict)
    unsigned: bool = False


def prefix_of(client_id: str) -> tuple[str, str]:
    """The prefix, and what stands after the first colon; no prefix where it is none that there is."""
    prefix, _, name = client_id.partition(":")
    return (prefix, name) if prefix in PREFIXES and name else ("", client_id)


def certificate_hash(der: bytes) -> str:
    """What stands after `x509_hash:` for this leaf."""
    return b64u(hashlib.sha256(der).digest())


def signer(client_id: str, token: Jws, trust: Trust, now: Instant, error: str) -> tuple[PublicKey, ...]:
    """The keys by one of which a request of this verifier is signed; refused where it may not be."""
    known = trust.registered.get(client_id)
    if known is not None:
        return known.keys.candidates(token.kid, token.alg)
    prefix, name = prefix_of(client_id)
    if prefix == REDIRECT_URI:
        SIGNED_WHERE_MEANT.refuse(error)
    if prefix not in {X509_SAN_DNS, X509_HASH} or trust.roots is None:
        KNOWN_PREFIX.refuse(error, prefix=prefix)
    try:
        ders = x5c(token.header.get("x5c"))
        chain = trust.roots.verify(ders, now, error=error)
        key = chain.key(alg=token.alg)
    except Malformed as problem:
        ITS_CERTIFICATE.refuse(error, problem=str(problem))
    names = dns_names(chain) if prefix == X509_SAN_DNS else {certificate_hash(ders[0])}
    if name not in names:
        ITS_CERTIFICATE.refuse(error, name=name[:200])
    return (key,)


def dns_names(chain: VerifiedChain) -> frozenset[str]:
    """The DNS names of the leaf, as they stand there: a wildcard is compared as a text, and so is nobody's name."""
    try:
        found = chain.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(found.get_values_for_type(x509.DNSName))


def held_place(client_id: str, response_uri: str, trust: Trust, error: str, *, signed: bool) -> None:
    """Hold that this verifier may be answered at this place."""
    known = trust.registered.get(client_id)
    if known is not None:
        if not signed:
            SIGNED_WHERE_MEANT.refuse(error)
        if response_uri not in known.response_uris:
            REGISTERED_PLACE.refuse(error)
        return
    prefix, name = prefix_of(client_id)
    if not signed:
        if prefix != REDIRECT_URI:
            SIGNED_WHERE_MEANT.refuse(error)
        if not trust.unsigned:
            KNOWN_PREFIX.refuse(error, prefix=prefix)
        if name != response_uri:
            ITS_REDIRECT_URI.refuse(error)
    elif prefix == X509_SAN_DNS and urlsplit(response_uri).hostname != name:
        ITS_HOST.refuse(error, name=name[:200])
