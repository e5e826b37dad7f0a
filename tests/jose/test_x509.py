"""A certificate is good if it chains to a root of ours, at that time; a broken one is refused and breaks nothing."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from typing import Any

import pytest
from cryptography import x509 as certificates
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deputize.core.rules import Refusal, Rule
from deputize.core.values import Instant
from deputize.core.wire import Malformed
from deputize.jose import x509
from deputize.jose.algorithms import ecdsa_raw
from deputize.jose.x509 import TRUSTED, Roots
from tests.jose.making import NOW
from tests.support.proofs import lets_through, stops

SPIFFE = "spiffe://example.org/bot"
TODAY = datetime.fromtimestamp(NOW, UTC)
Extension = tuple[certificates.ExtensionType, bool]


@dataclass(frozen=True)
class Made:
    """A certificate and the key that it is about."""

    certificate: certificates.Certificate
    key: Any

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def _usage(**on: bool) -> certificates.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign "
        "crl_sign encipher_only decipher_only"
    )
    return certificates.KeyUsage(**{name: on.get(name, False) for name in names.split()})


def issue(
    name: str,
    by: Made | None = None,
    *,
    key: Any = None,
    authority: bool = False,
    path: int | None = None,
    since: datetime = TODAY - timedelta(days=1),
    until: datetime = TODAY + timedelta(days=30),
    extra: tuple[Extension, ...] = (),
    usage: certificates.KeyUsage | None = None,
) -> Made:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = certificates.Name([certificates.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = by.key if by else key
    builder = (
        certificates.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(certificates.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(certificates.BasicConstraints(ca=authority, path_length=path), critical=True)
        .add_extension(certificates.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(certificates.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if authority:
        usage = usage or _usage(key_cert_sign=True, crl_sign=True)
    if usage:
        builder = builder.add_extension(usage, critical=True)
    for value, critical in extra:
        builder = builder.add_extension(value, critical=critical)
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Made(builder.sign(signer, digest), key)


def names(*uris: str) -> Extension:
    return certificates.SubjectAlternativeName([certificates.UniformResourceIdentifier(uri) for uri in uris]), False


@cache
def root() -> Made:
    return issue("root", authority=True)


@cache
def between() -> Made:
    return issue("between", root(), authority=True, path=0)


@cache
def leaf() -> Made:
    return issue("bot", between(), extra=(names(SPIFFE),))


def why_not(*chain: Made, roots: tuple[Made, ...] = (), now: Instant = NOW) -> Rule | None:
    try:
        Roots([one.der for one in roots or (root(),)]).verify([one.der for one in chain], now, error="invalid_client")
    except Refusal as refusal:
        return refusal.rule
    return None


@lets_through(TRUSTED)
def test_a_leaf_that_chains_to_a_root_is_trusted() -> None:
    held = Roots([root().der]).verify([leaf().der, between().der], NOW, error="invalid_client")
    assert held.uris == (SPIFFE,)
    assert held.thumbprint == x509.thumbprint(leaf().der)
    assert held.until == NOW + 30 * 86400
    assert held.key().alg.name == "ES256"
    assert held.key().verifies(_raw(leaf().key, b"data"), b"data")


def _raw(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return ecdsa_raw(key.sign(data, ec.ECDSA(hashes.SHA256())), 32)


@pytest.mark.parametrize(
    "extra",
    [
        (),
        (names(SPIFFE),),
        ((certificates.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),),
        ((certificates.ExtendedKeyUsage([certificates.ObjectIdentifier("1.3.130.2.0.0.1.2")]), True),),
        ((certificates.SubjectAlternativeName([certificates.DNSName("bot.example")]), True),),
        ((certificates.UnrecognizedExtension(certificates.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), False),),
    ],
)
def test_a_leaf_need_not_be_for_tls(extra: tuple[Extension, ...]) -> None:
    assert why_not(issue("bot", root(), extra=extra, usage=_usage(digital_signature=True))) is None


BAD: dict[str, Any] = {
    "no certificate": lambda: ((), {}),
    "too long a chain": lambda: ((leaf(), between(), between(), between(), between()), {}),
    "nobody's root": lambda: ((leaf(), between()), {"roots": (issue("root", authority=True),)}),
    "the certificate between is missing": lambda: ((leaf(),), {}),
    "expired": lambda: ((leaf(), between()), {"now": Instant(NOW + 31 * 86400)}),
    "not yet": lambda: ((leaf(), between()), {"now": Instant(NOW - 2 * 86400)}),
    "an expired authority": lambda: (
        (issue("bot", old := issue("old", root(), authority=True, until=TODAY - timedelta(hours=1))), old),
        {},
    ),
    "signed by a leaf": lambda: ((issue("evil", leaf()), leaf(), between()), {}),
    "longer than the authority allows": lambda: (
        (issue("bot", deep := issue("deep", between(), authority=True)), deep, between()),
        {},
    ),
    "an authority without the use": lambda: (
        (issue("bot", mute := issue("mute", root(), authority=True, usage=_usage(digital_signature=True))), mute),
        {},
    ),
    "an authority as a leaf": lambda: ((between(),), {}),
    "a root as a leaf": lambda: ((root(),), {}),
    "self-signed": lambda: ((issue("bot", extra=(names(SPIFFE),)),), {}),
    "a leaf that does not sign": lambda: ((issue("bot", root(), usage=_usage(key_encipherment=True)),), {}),
    "a critical extension of nobody": lambda: (
        (
            issue(
                "bot",
                root(),
                extra=(
                    (certificates.UnrecognizedExtension(certificates.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True),
                ),
            ),
        ),
        {},
    ),
    "an RSA key of 1024 bits": lambda: ((issue("bot", root(), key=rsa.generate_private_key(65537, 1024)),), {}),
    "the same name and another key": lambda: ((issue("bot", Made(root().certificate, leaf().key)),), {}),
}


@stops(TRUSTED)
@pytest.mark.parametrize("what", BAD)
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_a_chain_that_is_not_good_is_refused(what: str) -> None:
    chain, how = BAD[what]()
    assert why_not(*chain, **how) is TRUSTED


@pytest.mark.parametrize("der", [b"", b"0", b"\x30\x03\x02\x01\x01", bytes(100), b"\x30" + bytes(9000)])
def test_what_is_no_certificate_is_refused(der: bytes) -> None:
    with pytest.raises(Refusal):
        Roots([root().der]).verify([der], NOW, error="invalid_client")
    with pytest.raises(Malformed):
        Roots([der])


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # the library's, before it refuses
def test_every_broken_byte_is_refused_and_breaks_nothing() -> None:
    """Of what was signed: an ECDSA signature itself has more than one spelling, and a thumbprint tells them apart."""
    roots, whole, signed = Roots([root().der]), leaf().der, leaf().certificate.tbs_certificate_bytes
    start = whole.index(signed)
    for at, bits in product(range(start, start + len(signed)), (0x01, 0x40, 0xFF)):
        broken = whole[:at] + bytes((whole[at] ^ bits,)) + whole[at + 1 :]
        with pytest.raises(Refusal):
            roots.verify([broken, between().der], NOW, error="invalid_client")


def test_a_key_of_a_leaf_is_for_one_algorithm_of_ours() -> None:
    made = issue("bot", root(), key=rsa.generate_private_key(65537, 2048))
    held = Roots([root().der]).verify([made.der], NOW, error="invalid_client")
    assert held.key().alg.name == "PS256"
    assert held.key(alg="RS256").alg.name == "RS256"
    with pytest.raises(Malformed):
        held.key(alg="ES256")
    for other in (ec.generate_private_key(ec.SECP521R1()), ed448.Ed448PrivateKey.generate()):
        odd = issue("bot", root(), key=other)
        with pytest.raises(Malformed):
            Roots([root().der]).verify([odd.der], NOW, error="invalid_client").key()


def test_the_uris_are_those_that_stand_there() -> None:
    assert x509.uris(issue("bot", extra=(names(SPIFFE, "https://bot.example/"),)).certificate) == (
        SPIFFE,
        "https://bot.example/",
    )
    assert x509.uris(issue("bot").certificate) == ()


def test_names_that_cannot_be_read_are_malformed() -> None:
    names_oid = certificates.SubjectAlternativeName.oid
    made = issue("bot", extra=((certificates.UnrecognizedExtension(names_oid, b"\x30\x05\x86\x01"), False),))
    with pytest.raises(Malformed):
        x509.uris(made.certificate)


def _x5c(*ders: bytes) -> list[str]:
    return [base64.b64encode(der).decode() for der in ders]


def test_an_x5c_header_is_read_in_its_one_encoding() -> None:
    assert x509.x5c(_x5c(leaf().der, between().der)) == (leaf().der, between().der)


@pytest.mark.parametrize(
    "value",
    [None, "text", [], [7], ["é"], ["QQ"], ["QR=="], ["Q Q="], ["-_8="], ["QQ==\n"], ["QQ=="] * 5, ["A" * 20_000]],
)
def test_an_x5c_header_in_another_is_malformed(value: object) -> None:
    with pytest.raises(Malformed):
        x509.x5c(value)


def test_a_pem_file_holds_certificates() -> None:
    text = "".join(one.certificate.public_bytes(Encoding.PEM).decode() for one in (root(), between()))
    assert x509.pem_ders(text) == (root().der, between().der)
    for bad in ("", "text", text.replace("MII", "MIX")):
        with pytest.raises(Malformed):
            x509.pem_ders(bad)
