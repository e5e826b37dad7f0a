"""The JWT BCP's attacks on signatures and claims, by the number that the digest gives them.

Mallory holds a good token of Alice's, the public keys of the issuer, key pairs of her own, and any text that she
likes. She holds no private key of the issuer, and wants a verifier to believe something that the issuer never said.
"""

import hmac
import json
import math
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from deputize.core.wire import Malformed, b64u, b64u_bytes, json_bytes
from deputize.jose import jws
from deputize.jose.algorithms import ALL, ecdsa_der
from deputize.jose.jwt import (
    ALGORITHM,
    BEGUN,
    CLAIMS,
    COMPACT,
    FOR_US,
    ISSUED_BY,
    SIGNED,
    SKEW,
    TYPED,
    UNEXPIRED,
)
from deputize.jose.keys import KeySet, PrivateKey, PublicKey
from tests.jose.making import AUDIENCE, ISSUER, NOW, a_key, an_expectation, claims, signed, verify, why_not

GOOD = signed()
HEAD, BODY, SIGNATURE = GOOD.split(".")


def unsigned(alg: object, signature: str = "") -> str:
    return f"{b64u(json_bytes({'typ': 'at+jwt', 'alg': alg}))}.{BODY}.{signature}"


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", " none", "none ", "none\x00", "", None, ["none"], 0])
@pytest.mark.parametrize("signature", ["", SIGNATURE, "AA"])
def test_bcp_01_none_in_any_spelling_is_no_signature(alg: object, signature: str) -> None:
    assert why_not(unsigned(alg, signature)) in {COMPACT, ALGORITHM}


def test_bcp_01_a_header_without_alg_is_malformed() -> None:
    assert why_not(signed({"alg": ...})) is COMPACT


def _spellings_of(key: PrivateKey) -> dict[str, bytes]:
    """The public key as texts and bytes that a careless verifier might take for a MAC's key."""
    public: Any = key.public()._object
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {
        "pem": pem,
        "crlf": pem.replace(b"\n", b"\r\n"),
        "blank": b" " + pem,
        "cut": pem.strip(),
        "pkcs1": public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1),
        "der": public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(key.public_jwk()).encode(),
        "n": key.public_jwk()["n"].encode(),
        "n bytes": b64u_bytes(key.public_jwk()["n"]),
        "empty": b"",
    }


@pytest.mark.parametrize("spelling", _spellings_of(a_key("RS256")))
def test_bcp_02_a_public_key_is_no_macs_key(spelling: str) -> None:
    key = a_key("RS256")
    data = f"{b64u(json_bytes({'typ': 'at+jwt', 'alg': 'HS256', 'kid': key.kid}))}.{BODY}".encode()
    token = f"{data.decode()}.{b64u(hmac.digest(_spellings_of(key)[spelling], data, 'sha256'))}"
    assert why_not(token, key) is ALGORITHM


def test_bcp_02_nobody_can_allow_both_families_by_mistake() -> None:
    with pytest.raises(ValueError, match="no algorithm but ours"):
        an_expectation(algs=frozenset({"RS256", "HS256"}))


def test_bcp_03_an_alg_outside_what_is_signed_is_not_read() -> None:
    flat = {"protected": b64u(b"{}"), "header": {"alg": "ES256"}, "payload": BODY, "signature": SIGNATURE}
    assert why_not(json.dumps(flat)) is COMPACT
    assert why_not(f"{b64u(b'{}')}.{BODY}.{SIGNATURE}") is COMPACT


@pytest.mark.parametrize(
    "alg", ["es256", "Es256", "ES256 ", " ES256", "ES256\n", "ES256\x00", "ＥＳ256", "ES-256", "E\u017f256"]
)
def test_bcp_04_an_algorithm_is_named_letter_for_letter(alg: str) -> None:
    assert why_not(signed({"alg": alg})) is ALGORITHM


@pytest.mark.parametrize("k", [b"", b"secret", bytes(8), bytes(31), bytes(64)])
def test_bcp_05_there_is_no_mac_and_so_no_weak_key_of_one(k: bytes) -> None:
    for read in (PublicKey.from_jwk, PrivateKey.from_jwk):
        for alg in ({}, {"alg": "HS256"}, {"alg": "ES256"}):
            with pytest.raises(Malformed):
                read({"kty": "oct", "k": b64u(k), **alg})


@pytest.mark.parametrize("alg", ["ES256", "ES384"])
def test_bcp_09_a_signature_of_zeros_is_none(alg: str) -> None:
    """Psychic signatures (CVE-2022-21449): zero, the order, and all bits set, in either half."""
    token = signed(key=a_key(alg))
    data, _, signature = token.rpartition(".")
    half = len(b64u_bytes(signature)) // 2
    good = b64u_bytes(signature)
    for odd in (bytes(half), b"\xff" * half):
        for forged in (odd + odd, odd + good[half:], good[:half] + odd):
            assert why_not(f"{data}.{b64u(forged)}", a_key(alg)) is SIGNED


def test_bcp_10_an_ecdsa_signature_has_one_length_and_no_der() -> None:
    data, good = GOOD.rpartition(".")[0], b64u_bytes(SIGNATURE)
    for forged in (
        good + b"\0",
        b"\0" + good,
        good[:32] + b"\0" + good[32:],
        good[:-1],
        good[:32],
        ecdsa_der(good[:32], good[32:]),
        good + good,
    ):
        assert why_not(f"{data}.{b64u(forged)}") is SIGNED


def test_bcp_11_a_key_in_the_header_is_not_believed() -> None:
    evil = a_key("ES256", 1)
    jwk = evil.public_jwk()
    for header in (
        {"jwk": jwk},
        {"jwk": jwk, "kid": ...},
        {"jwk": jwk, "kid": a_key().kid},
        {"jwk": {**jwk, "kid": a_key().kid}, "kid": a_key().kid},
        {"jwk": a_key().public_jwk(), "kid": a_key().kid},
    ):
        assert why_not(signed(header, key=evil)) is SIGNED
    assert why_not(signed({"jwk": jwk})) is None  # under the issuer's own signature it says nothing


@pytest.mark.parametrize("crit", [["exp"], [], ["b64"], ["alg"], ["nothing"], "exp", None, True, {}, [7], ["crit"]])
def test_bcp_14_nothing_is_critical_that_we_do_not_process(crit: object) -> None:
    assert why_not(signed({"crit": crit, "exp": NOW})) is COMPACT


def test_bcp_15_what_is_json_as_well_as_compact_is_neither() -> None:
    evil = b64u(json_bytes(claims(sub="mallory")))
    for polyglot in (
        f'{{"{HEAD}.{evil}.":1,"payload":"{BODY}","protected":"{HEAD}","signature":"{SIGNATURE}"}}',
        f'{{"  {HEAD}":".{evil}.{SIGNATURE}","payload":"{BODY}","protected":"{HEAD}"}}',
        f'["{HEAD}.{BODY}.{SIGNATURE}"]',
        f'"{GOOD}"',
    ):
        assert why_not(polyglot) is COMPACT


@pytest.mark.parametrize("signatures", [[], [{}], [{"protected": HEAD, "signature": SIGNATURE}]])
def test_bcp_16_a_json_form_is_refused_with_and_without_signatures(signatures: list[object]) -> None:
    assert why_not(json.dumps({"payload": BODY, "signatures": signatures})) is COMPACT


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_bcp_21_json_is_utf_8_without_a_bom(coding: str) -> None:
    header = json_bytes({"typ": "at+jwt", "alg": "ES256", "kid": a_key().kid}).decode().encode(coding)
    assert why_not(signed(header)) is COMPACT
    assert why_not(signed({}, json_bytes(claims()).decode().encode(coding))) is COMPACT


@pytest.mark.parametrize("name", ["alg", "typ", "kid", "\\u0061lg"])
def test_bcp_22_a_header_says_nothing_twice(name: str) -> None:
    header = json_bytes({"typ": "at+jwt", "alg": "ES256", "kid": a_key().kid})
    for told in (f'{{"{name}":"none",'.encode() + header[1:], header[:-1] + f',"{name}":"ES256"}}'.encode()):
        assert why_not(signed(told)) is COMPACT


@pytest.mark.parametrize("name", ["sub", "aud", "exp", "s\\u0075b"])
def test_bcp_22_claims_say_nothing_twice(name: str) -> None:
    body = json_bytes(claims())
    for told in (f'{{"{name}":"bob",'.encode() + body[1:], body[:-1] + f',"{name}":"bob"}}'.encode()):
        assert why_not(signed({}, told)) is COMPACT


@pytest.mark.parametrize(
    "typ", ["JWT", "dpop+jwt", "logout+jwt", "kb+jwt", "at+jwt+x", "at jwt", "text/at+jwt", "", ...]
)
def test_bcp_23_a_token_of_another_kind_is_refused_under_the_right_key(typ: object) -> None:
    """Every pair of kinds: tests/jose/test_kinds.py."""
    assert why_not(signed({"typ": typ})) is TYPED


@pytest.mark.parametrize(
    "aud", ["https://other.example", AUDIENCE + "/", AUDIENCE[:-1], AUDIENCE.upper(), [], [ISSUER], ...]
)
def test_bcp_24_a_token_for_another_is_refused(aud: object) -> None:
    assert why_not(signed({}, claims(aud=aud))) in {FOR_US, CLAIMS}


def test_bcp_24_an_issuers_key_is_for_that_issuer() -> None:
    assert why_not(signed({}, claims(iss="https://other.example"))) is ISSUED_BY


WRONG_TYPES: list[tuple[str, bytes]] = [
    *[("iss", value) for value in (b'["https://as.example"]', b"{}", b"7", b"true", b"null", b'""')],
    *[("aud", value) for value in (b"7", b"{}", b"null", b"[7]", b"[null]", b"[]", b'[["https://api.example"]]')],
    *[("sub", value) for value in (b"7", b"[]", b"{}", b"null", b"true", b'""', b'"a\\u0000"')],
    *[("exp", value) for value in (b'"1764000300"', b"true", b"null", b"[]", b"{}", b"-1", b"1e18", b"99999999999999")],
    *[("exp", value) for value in (b"NaN", b"Infinity", b"1e400", b"1" * 400, b"17640003000000000000000", b"0x1")],
    *[("nbf", value) for value in (b'"1"', b"true", b"[1]", b"NaN", b"1e999")],
    *[("iat", value) for value in (b'"1"', b"false", b"{}", b"-Infinity", b"1" * 5000)],
]


@pytest.mark.parametrize(("name", "value"), WRONG_TYPES, ids=lambda value: str(value)[:20])
def test_bcp_25_a_claim_of_the_wrong_type_is_refused_and_breaks_nothing(name: str, value: bytes) -> None:
    body = json_bytes(claims(**{name: ...}))[:-1] + b',"' + name.encode() + b'":' + value + b"}"
    assert why_not(signed({}, body)) in {CLAIMS, COMPACT}


def test_bcp_26_a_key_is_for_one_use_and_one_algorithm() -> None:
    jwk = a_key("RS256").public_jwk()
    for changes in ({"use": "enc"}, {"key_ops": ["encrypt"]}, {"key_ops": ["sign"]}, {"alg": "RSA-OAEP"}):
        with pytest.raises(Malformed):
            PublicKey.from_jwk(jwk | changes)
    as_pss = PrivateKey.from_jwk(a_key("RS256").to_jwk() | {"alg": "PS256"})
    assert why_not(signed(key=as_pss), a_key("RS256")) is SIGNED
    assert why_not(signed({"alg": "RS256"}, key=as_pss), a_key("RS256")) is SIGNED


@pytest.mark.parametrize(
    "changes",
    [
        {"n": b64u(b"\xff" * 128)},
        {"n": b64u(b"\x7f" + b"\xff" * 255)},
        {"n": b64u(b"\xff" * 1025)},
        {"n": b64u(b"\xff" * 255 + b"\xfe")},
        {"e": b64u(b"\1")},
        {"e": b64u(b"\2")},
        {"e": b64u(b"\1\0\0")},
        {"e": b64u(b"\xff" * 5)},
    ],
)
def test_bcp_27_a_weak_rsa_key_is_not_loaded(changes: dict[str, str]) -> None:
    with pytest.raises(Malformed):
        PublicKey.from_jwk(a_key("RS256").public_jwk() | changes)


def test_bcp_27_a_modulus_with_rocas_fingerprint_is_not_loaded() -> None:
    """Powers of 65537 modulo the small primes (CVE-2017-15361); no chip of that maker is needed to make one up."""
    product = math.prod(n for n in range(2, 168) if all(n % smaller for smaller in range(2, n)))
    n = pow(65537, 7, product)
    n += product * (2**2047 // product + 1)
    while n % 2 == 0 or n.bit_length() != 2048:
        n += product
    with pytest.raises(Malformed, match="factored"):
        PublicKey.from_jwk(a_key("RS256").public_jwk() | {"n": b64u(n.to_bytes(256, "big"))})


@pytest.mark.parametrize("header", [{"b64": False}, {"b64": True}, {"b64": False, "crit": ["b64"]}])
def test_bcp_28_a_payload_is_always_encoded(header: dict[str, object]) -> None:
    assert why_not(signed(header)) is COMPACT
    key = a_key()
    head = b64u(json_bytes({"typ": "at+jwt", "alg": "ES256", **header}))
    for payload in ("a.b", json.dumps(claims())):
        data = f"{head}.{payload}"
        assert why_not(f"{data}.{b64u(key.sign(data.encode()))}") is COMPACT


def test_bcp_29_a_token_has_one_spelling() -> None:
    """Another spelling of a revoked token, or of one in a cache, would be another token."""
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = next(
        letter
        for letter in last
        if letter != SIGNATURE[-1] and last.index(letter) // 16 == last.index(SIGNATURE[-1]) // 16
    )
    for odd in (
        f"{GOOD}=",
        f"{GOOD}==",
        f"{HEAD}=.{BODY}.{SIGNATURE}",
        f"{GOOD[:-1]}{twin}",
        f" {GOOD}",
        f"{GOOD}\n",
        f"{HEAD}.\n{BODY}.{SIGNATURE}",
        f"{HEAD}.{BODY}.{SIGNATURE}\x00",
        f"{HEAD}.{BODY}.{SIGNATURE}".replace("-", "+").replace("_", "/") + "+",
        f"{HEAD}.{BODY}.{SIGNATURE[:4]}!{SIGNATURE[4:]}",
    ):
        assert why_not(odd) is COMPACT
    assert why_not(GOOD) is None


def test_bcp_31_what_is_remembered_of_a_token_is_for_no_other_profile() -> None:
    """Only the reading of a header is remembered, by its whole text; every verdict is made anew."""
    keys = KeySet.of(a_key().public())
    assert why_not(GOOD) is None
    for changes in (
        {"typ": frozenset({"dpop+jwt"})},
        {"audience": None, "issuer": "https://other.example"},
        {"algs": frozenset({"Ed25519"})},
    ):
        assert why_not(GOOD, **changes) is not None
    assert why_not(GOOD, a_key("ES256", 1)) is SIGNED
    forged = f"{HEAD}.{b64u(json_bytes(claims(sub='mallory')))}.{SIGNATURE}"
    assert why_not(forged) is SIGNED
    assert jws.parse(GOOD).header is jws.parse(forged).header
    assert keys.keys[0].verifies(b64u_bytes(SIGNATURE), f"{HEAD}.{BODY}".encode())


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"exp": NOW}, None),
        ({"exp": NOW - SKEW + 1}, None),
        ({"exp": NOW - SKEW}, UNEXPIRED),
        ({"exp": NOW - SKEW + 0.5}, None),
        ({"nbf": NOW + SKEW}, None),
        ({"nbf": NOW + SKEW + 1}, BEGUN),
        ({"iat": NOW + SKEW + 1}, BEGUN),
        ({"iat": 0, "nbf": 0}, None),
    ],
)
def test_bcp_33_time_is_held_to_the_second(changes: dict[str, object], rule: object) -> None:
    assert why_not(signed({}, claims(**changes))) is rule


def test_no_algorithm_verifies_what_another_signed() -> None:
    """Every algorithm's token under every other algorithm's name and key."""
    for alg in sorted(ALL):
        assert verify(signed(key=a_key(alg)), *(a_key(each) for each in sorted(ALL))).key.alg.name == alg
        for other in sorted(ALL - {alg}):
            assert why_not(signed({"alg": other}, key=a_key(alg)), a_key(alg), a_key(other)) is SIGNED
            assert why_not(signed({"alg": other, "kid": a_key(other).kid}, key=a_key(alg)), a_key(other)) is SIGNED
