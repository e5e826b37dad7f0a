"""Each row signs and verifies; nothing that a peer sends makes one raise."""

import hashlib
from dataclasses import replace

import pytest
from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given
from hypothesis import strategies as some

from deputize.core.wire import Malformed, b64u
from deputize.jose import jwt
from deputize.jose.algorithms import ALGORITHMS, ALL, BY_NAME, OPTIONAL, ecdsa_der, ecdsa_raw
from deputize.jose.keys import KeySet, PrivateKey, PublicKey
from tests.jose.making import a_key, signed, why_not

EVERY = sorted(BY_NAME)
ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
}


@pytest.mark.parametrize("alg", EVERY)
def test_what_a_row_signs_it_verifies_and_nothing_else(alg: str) -> None:
    key = a_key(alg)
    signature = key.sign(b"data")
    assert key.public().verifies(signature, b"data")
    assert not key.public().verifies(signature, b"other")
    assert not a_key(alg, 1).public().verifies(signature, b"data")
    for bad in (
        b"",
        signature[:-1],
        signature + b"\0",
        b"\0" + signature,
        bytes(len(signature)),
        b"\xff" * len(signature),
    ):
        assert not key.public().verifies(bad, b"data")


def test_the_allow_list_is_what_is_meant() -> None:
    assert {"ES256", "ES384", "Ed25519", "PS256", "RS256"} == ALL
    assert {row.name for row in OPTIONAL} == {"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"}
    assert len(ALGORITHMS) + len(OPTIONAL) == len(BY_NAME)


@pytest.mark.parametrize("alg", ORDERS)
def test_an_ecdsa_signature_has_r_and_s_between_0_and_the_order(alg: str) -> None:
    key, order = a_key(alg), ORDERS[alg]
    half = len(key.sign(b"data")) // 2
    r, s = (key.sign(b"data")[at : at + half] for at in (0, half))
    for bad in (0, order, order + 1, 2 ** (8 * half) - 1):
        number = bad.to_bytes(half, "big")
        for forged in (number + s, r + number, number + number):
            assert not key.public().verifies(forged, b"data")


@pytest.mark.parametrize("alg", ORDERS)
def test_an_ecdsa_signature_is_not_in_der(alg: str) -> None:
    key = a_key(alg)
    signature = key.sign(b"data")
    half = len(signature) // 2
    assert not key.public().verifies(ecdsa_der(signature[:half], signature[half:]), b"data")


@pytest.mark.parametrize("half", [32, 48])
@given(some.data())
def test_our_der_is_the_librarys(half: int, data: some.DataObject) -> None:
    """Small numbers too: those have leading zeros in the raw form and few bytes in DER."""
    bits = data.draw(some.integers(1, 8 * half))
    r, s = (data.draw(some.integers(1, 2**size - 1)) for size in (bits, 8 * half))
    der = encode_dss_signature(r, s)
    raw = r.to_bytes(half, "big") + s.to_bytes(half, "big")
    assert ecdsa_der(raw[:half], raw[half:]) == der
    assert ecdsa_raw(der, half) == raw
    assert decode_dss_signature(ecdsa_der(raw[:half], raw[half:])) == (r, s)


@pytest.mark.parametrize(
    "raised",
    [ValueError(), OverflowError(), InvalidSignature(), InternalError("", []), UnsupportedAlgorithm("")],
    ids=lambda raised: type(raised).__name__,
)
def test_whatever_the_library_raises_is_no(raised: Exception) -> None:
    def checks(*_: object) -> None:
        raise raised

    key = a_key().public()
    assert replace(key, alg=replace(key.alg, checks=checks)).verifies(b"signature", b"data") is False


# --- ML-DSA (RFC 9964) --------------------------------------------------------------------------------------------

# The thumbprints of the keys whose seed is 32 zero bytes; the first is the key id of the RFC's own example.
OF_ZEROS = {
    "ML-DSA-44": "T4xl70S7MT6Zeq6r9V9fPJGVn76wfnXJ21-gyo0Gu6o",
    "ML-DSA-65": "Suiu29qbfuaBaR4Ats-c6XQBePB_OpAxAwcTR_0KXVM",
    "ML-DSA-87": "tRn1JNIkgMsABVQBlXeDHxAIcclh-2IX0UdDEzPt5XU",
}


@pytest.mark.parametrize("alg", OF_ZEROS)
def test_an_ml_dsa_key_is_an_algorithm_key_pair(alg: str) -> None:
    private = {"kty": "AKP", "alg": alg, "pub": a_key(alg).to_jwk()["pub"], "priv": b64u(bytes(32))}
    with pytest.raises(Malformed):
        PrivateKey.from_jwk(private)  # another's public part
    read = PrivateKey.from_jwk(a_key(alg).to_jwk())
    assert read.to_jwk() == a_key(alg).to_jwk()
    assert set(read.public_jwk()) == {"kty", "alg", "pub", "use", "kid"}
    with pytest.raises(Malformed):
        PublicKey.from_jwk(read.to_jwk())
    for changes in ({"alg": None}, {"alg": "ML-DSA-1"}, {"alg": "ES256"}, {"pub": b64u(bytes(10))}, {"crv": "P-256"}):
        with pytest.raises(Malformed):
            PublicKey.from_jwk(read.public_jwk() | changes)


@pytest.mark.parametrize("alg", OF_ZEROS)
def test_an_ml_dsa_thumbprint_is_the_rfcs(alg: str) -> None:
    made = getattr(mldsa, f"MLDSA{alg[-2:]}PrivateKey").from_seed_bytes(bytes(32))
    pub = b64u(made.public_key().public_bytes_raw())
    assert PublicKey.from_jwk({"kty": "AKP", "alg": alg, "pub": pub}).thumbprint == OF_ZEROS[alg]
    text = f'{{"alg":"{alg}","kty":"AKP","pub":"{pub}"}}'
    assert b64u(hashlib.sha256(text.encode()).digest()) == OF_ZEROS[alg]
    assert PrivateKey.from_jwk({"kty": "AKP", "alg": alg, "pub": pub, "priv": b64u(bytes(32))}).kid == OF_ZEROS[alg]


@pytest.mark.parametrize("alg", OF_ZEROS)
def test_ml_dsa_is_off_until_an_expectation_names_it(alg: str) -> None:
    token = signed(key=a_key(alg))
    assert why_not(token, a_key(alg)) is jwt.ALGORITHM
    assert why_not(token, a_key(alg), algs=frozenset({alg})) is None
    assert why_not(token, a_key(alg, 1), algs=frozenset({alg})) is jwt.SIGNED
    assert KeySet.from_jwks({"keys": [a_key(alg).public_jwk()]}).keys[0].alg.name == alg
