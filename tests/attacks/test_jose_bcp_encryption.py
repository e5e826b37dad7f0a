"""The JWT BCP's attacks on encryption, by the number that the digest gives them.

Mallory holds our public encryption key, as anybody does, and sends whatever she likes under it. She wants our private
key, our time and memory, or that what is merely encrypted counts as signed.
"""

import json
import time
import tracemalloc
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc import jwe as their_jwe
from joserfc.jwk import ECKey, OctKey

from deputize.core.rules import Refusal, Rule
from deputize.core.wire import b64u, b64u_bytes, json_bytes
from deputize.jose import jwe, jwt
from deputize.jose.jwe import COMPACT_JWE, DIRECT_AGREEMENT, ENCS, EPHEMERAL_POINT, UNCOMPRESSED, DecryptionKey
from tests.jose.making import a_key, claims, signed, verify, why_not

OURS = DecryptionKey.generate()
GOOD = jwe.encrypt(signed().encode(), OURS.public_jwk(), header={"cty": "JWT"})
HEADER: dict[str, Any] = json.loads(b64u_bytes(GOOD.partition(".")[0]))


def refused(message: str, *keys: DecryptionKey) -> Rule | None:
    try:
        jwe.decrypt(message, keys or (OURS,), encs=ENCS, error="invalid_request")
    except Refusal as refusal:
        return refusal.rule
    return None


def under(**changes: object) -> str:
    """The good message under another header."""
    return ".".join((b64u(json_bytes(HEADER | changes)), *GOOD.split(".")[1:]))


def seconds(act: Any) -> float:
    """Of the processor: others share the machine."""
    begun = time.process_time()
    act()
    return time.process_time() - begun


def test_bcp_06_what_is_encrypted_is_not_signed() -> None:
    """Made with a public key (CVE-2023-51774); and the reverse: a signature opens nothing."""
    assert why_not(GOOD) is jwt.COMPACT
    to_the_signer = {**a_key().public_jwk(), "use": "enc", "alg": "ECDH-ES"}
    assert why_not(jwe.encrypt(json_bytes(claims(sub="mallory")), to_the_signer)) is jwt.COMPACT
    assert refused(signed()) is COMPACT_JWE
    assert not hasattr(jwe.decrypt(GOOD, [OURS], encs=ENCS, error="x"), "claims")


@pytest.mark.parametrize("alg", ["none", "None", "HS256"])
def test_bcp_07_an_unsigned_token_inside_stays_unsigned(alg: str) -> None:
    inner = f"{b64u(json_bytes({'typ': 'at+jwt', 'alg': alg}))}.{b64u(json_bytes(claims()))}."
    for text in (inner, inner + "AAAA", json_bytes(claims()).decode(), GOOD):
        opened = jwe.decrypt(jwe.encrypt(text.encode(), OURS.public_jwk()), [OURS], encs=ENCS, error="x")
        assert why_not(opened.text) in {jwt.COMPACT, jwt.ALGORITHM}
    assert verify(jwe.decrypt(GOOD, [OURS], encs=ENCS, error="x").text).text("sub") == "alice"


def test_bcp_08_an_ephemeral_point_off_the_curve_meets_no_private_key() -> None:
    epk = HEADER["epk"]
    for changes in (
        {"x": epk["y"], "y": epk["x"]},
        {"y": b64u(bytes(32))},
        {"x": b64u(bytes(32)), "y": b64u(bytes(32))},
        {"x": b64u(b"\xff" * 32)},
        {"crv": "P-384"},
        {"crv": "P-256", "kty": "OKP"},
        {"x": b64u(bytes(31) + b"\1")},
    ):
        assert refused(under(epk=epk | changes)) is EPHEMERAL_POINT


@pytest.mark.parametrize("p2c", [2**31 - 1, 10**12, 1_200_001, 600_000, 1, -1, "1000", 1e308])
def test_bcp_17_no_password_is_stretched_at_all(p2c: object) -> None:
    """A count above 1 200 000 must be refused before any hashing; we refuse every count: there is no PBES2 here."""
    message = under(alg="PBES2-HS256+A128KW", p2c=p2c, p2s="QUJDREVGR0g")
    assert seconds(lambda: refused(message)) < 0.05
    assert refused(message) is DIRECT_AGREEMENT


def test_bcp_17_not_even_a_good_message_by_password() -> None:
    password = OctKey.import_key("correct horse battery staple")
    algorithms = ["PBES2-HS256+A128KW", "A128GCM"]
    message = their_jwe.encrypt_compact({"alg": algorithms[0], "enc": algorithms[1]}, b"text", password, algorithms)
    assert refused(message) is DIRECT_AGREEMENT


@pytest.mark.parametrize("mebibytes", [1, 64])
def test_bcp_18_nothing_is_inflated(mebibytes: int) -> None:
    """64 MiB in less than 128 KiB, sealed rightly to our key."""
    registry = their_jwe.JWERegistry(algorithms=["ECDH-ES", "A128GCM", "DEF"])
    header = {"alg": "ECDH-ES", "enc": "A128GCM", "zip": "DEF"}
    key = ECKey.import_key(OURS.public_jwk())
    message = their_jwe.encrypt_compact(header, bytes(mebibytes * 2**20), key, registry=registry)
    assert len(message) < 128 * 1024
    tracemalloc.start()
    begun = time.process_time()
    try:
        with pytest.raises(Refusal) as refused:
            jwe.decrypt(message, [OURS], encs=ENCS, error="x", bytes_max=128 * 1024)
        assert refused.value.rule is UNCOMPRESSED
        assert time.process_time() - begun < 0.05
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_bcp_19_rsa_in_its_old_padding_is_refused_before_its_key_is_touched() -> None:
    """Good padding, bad padding, no key at all: the same answer, at once (Bleichenbacher)."""
    key, cek, iv = rsa.generate_private_key(65537, 2048), bytes(16), bytes(12)
    head = b64u(json_bytes({"alg": "RSA1_5", "enc": "A128GCM"}))
    sealed = AESGCM(cek).encrypt(iv, b"text", head.encode())
    for encrypted in (key.public_key().encrypt(cek, padding.PKCS1v15()), bytes(256), b"\xff" * 256):
        message = f"{head}.{b64u(encrypted)}.{b64u(iv)}.{b64u(sealed[:-16])}.{b64u(sealed[-16:])}"
        assert refused(message) is DIRECT_AGREEMENT
        assert seconds(lambda message=message: refused(message)) < 0.05


def test_bcp_20_a_tag_has_16_bytes_and_an_iv_12() -> None:
    head, _, iv, text, tag = GOOD.split(".")
    for length in (0, 4, 8, 12, 15):
        assert refused(f"{head}..{iv}.{text}.{b64u(b64u_bytes(tag)[:length])}") is COMPACT_JWE
    for length in (0, 1, 8, 11, 13, 16):
        assert refused(f"{head}..{b64u(bytes(length))}.{text}.{tag}") is COMPACT_JWE
    assert refused(f"{head}..{iv}.{text}.{b64u(b64u_bytes(tag) + bytes(1))}") is COMPACT_JWE
