"""A key is checked when it is loaded; a bad one is malformed, whatever is wrong with it."""

from typing import Any

import pytest

from deputize.core.wire import Malformed, b64u, b64u_bytes
from deputize.jose import jwt
from deputize.jose.algorithms import BY_NAME
from deputize.jose.keys import KEYS_MAX, KeySet, PrivateKey, PublicKey, ec_public, thumbprint
from tests.jose.making import a_key, signed, why_not


def a_jwk(of: str = "ES256", /, **changes: object) -> dict[str, Any]:
    """A public key as a JWK; `member=...` (the dots) leaves one out."""
    return {name: value for name, value in (a_key(of).public_jwk() | changes).items() if value is not ...}


def test_the_thumbprint_is_the_rfcs() -> None:
    """RFC 7638, 3.1."""
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
        "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
        "nqDKgw"
    )
    jwk = {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert PublicKey.from_jwk(jwk).thumbprint == thumbprint(jwk)


@pytest.mark.parametrize("jwk", [{}, {"kty": 7}, {"kty": "oct", "k": "QQ"}, {"kty": "EC", "crv": "P-256", "x": "QQ"}])
def test_what_is_no_public_key_has_no_thumbprint(jwk: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        thumbprint(jwk)


def test_a_point_is_on_a_curve_of_ours() -> None:
    with pytest.raises(Malformed):
        ec_public(a_jwk(crv="secp256k1"))


@pytest.mark.parametrize("alg", sorted(BY_NAME))
def test_a_key_written_and_read_is_the_same_key(alg: str) -> None:
    key = a_key(alg)
    again = PrivateKey.from_jwk(key.to_jwk())
    assert again.to_jwk() == key.to_jwk()
    assert key.public().verifies(again.sign(b"data"), b"data")
    assert again.public().thumbprint == key.kid == thumbprint(key.public_jwk())
    assert key.public_jwk().keys().isdisjoint({"d", "p", "q", "dp", "dq", "qi", "priv"})


def test_a_private_key_does_not_show_itself() -> None:
    shown = f"{a_key()!r} {a_key()} {[a_key()]}"
    assert a_key().to_jwk()["d"] not in shown
    assert a_key().kid in shown


def test_a_private_key_keeps_the_name_that_it_has() -> None:
    assert PrivateKey.from_jwk(a_key().to_jwk() | {"kid": "signer-1"}).kid == "signer-1"
    assert PrivateKey.from_jwk({**a_key().to_jwk(), "kid": ""}).kid == a_key().kid


P256 = a_jwk("ES256")
BAD_PUBLIC: dict[str, dict[str, Any]] = {
    "no kty": a_jwk(kty=...),
    "a kty that is a list": a_jwk(kty=["EC"]),
    "a kty of a MAC": {"kty": "oct", "k": "QUJD"},
    "a kty of a MAC without its key": {"kty": "oct", "alg": "HS256"},
    "a kty of nobody": a_jwk(kty="XX"),
    "a private key": a_key().to_jwk(),
    "a key for encryption": a_jwk(use="enc"),
    "a use that is a list": a_jwk(use=["sig"]),
    "operations without verify": a_jwk(key_ops=["sign"]),
    "operations that are a text": a_jwk(key_ops="verify"),
    "no operation": a_jwk(key_ops=[]),
    "a key id that is a number": a_jwk(kid=7),
    "a key id of 257 letters": a_jwk(kid="k" * 257),
    "an alg that is a list": a_jwk(alg=["ES256"]),
    "an alg that is an object": a_jwk(alg={}),
    "an alg of another kind": a_jwk(alg="RS256"),
    "an alg of another curve": a_jwk(alg="ES384"),
    "a MAC's alg": a_jwk(alg="HS256"),
    "no alg at all": a_jwk(alg="none"),
    "a curve that is a list": a_jwk(crv=["P-256"]),
    "another curve's name": a_jwk(crv="P-384"),
    "secp256k1": a_jwk(crv="secp256k1", alg=...),
    "P-521": a_jwk(crv="P-521", alg=...),
    "no x": a_jwk(x=...),
    "an x that is a number": a_jwk(x=7),
    "an x that is short": a_jwk(x=P256["x"][:-2]),
    "an x with a zero before it": a_jwk(x=b64u(b"\0" + b64u_bytes(P256["x"]))),
    "an x with padding": a_jwk(x=P256["x"] + "="),
    "a point off the curve": a_jwk(x=P256["y"], y=P256["x"]),
    "the point at infinity": a_jwk(x=b64u(bytes(32)), y=b64u(bytes(32))),
    "an x beyond the field": a_jwk(x=b64u(b"\xff" * 32)),
    "X25519": {"kty": "OKP", "crv": "X25519", "x": b64u(bytes(range(32)))},
    "Ed448": {"kty": "OKP", "crv": "Ed448", "x": b64u(bytes(57))},
    "Ed25519 of 31 bytes": {"kty": "OKP", "crv": "Ed25519", "x": b64u(bytes(range(31)))},
    "Ed25519 for ES256": a_jwk("Ed25519", alg="ES256"),
    "RSA for ES256": a_jwk("RS256", alg="ES256"),
    "an even modulus": a_jwk("RS256", n=b64u(b"\xff" * 255 + b"\xfe")),
    "a modulus of 2047 bits": a_jwk("RS256", n=b64u(b"\x7f" + b"\xff" * 255)),
    "a modulus of 1024 bits": a_jwk("RS256", n=b64u(b"\xff" * 128)),
    "a modulus of 8200 bits": a_jwk("RS256", n=b64u(b"\xff" * 1025)),
    "a modulus with a leading zero": a_jwk("RS256", n=b64u(b"\0" + b"\xff" * 256)),
    "no modulus": a_jwk("RS256", n=...),
    "exponent 1": a_jwk("RS256", e=b64u(b"\1")),
    "exponent 2": a_jwk("RS256", e=b64u(b"\2")),
    "an even exponent": a_jwk("RS256", e=b64u(b"\1\0\0")),
    "exponent 0": a_jwk("RS256", e=b64u(b"\0")),
    "an exponent beyond 32 bits": a_jwk("RS256", e=b64u(b"\1\0\0\0\1")),
}


@pytest.mark.parametrize("what", BAD_PUBLIC)
def test_a_bad_public_key_is_malformed(what: str) -> None:
    with pytest.raises(Malformed):
        PublicKey.from_jwk(BAD_PUBLIC[what])


@pytest.mark.parametrize("what", BAD_PUBLIC)
def test_a_bad_key_among_good_ones_is_skipped(what: str) -> None:
    keys = KeySet.from_jwks({"keys": [BAD_PUBLIC[what], a_jwk()]})
    assert [key.thumbprint for key in keys.keys] == [a_key().kid]


@pytest.mark.parametrize("what", ["text", 7, None, []])
def test_what_is_no_key_among_good_ones_is_skipped(what: object) -> None:
    assert len(KeySet.from_jwks({"keys": [what, a_jwk()]}).keys) == 1


def _small_order() -> list[bytes]:
    """Every encoding of the eight points whose order divides 8, the ones that are not canonical among them."""
    prime = 2**255 - 19
    eighth = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
    ys = [0, 1, prime - 1, eighth, prime - eighth, prime, prime + 1]
    return [(y | sign << 255).to_bytes(32, "little") for y in ys for sign in (0, 1)]


@pytest.mark.parametrize("point", _small_order(), ids=lambda point: point.hex()[:8] + point.hex()[-2:])
def test_an_ed25519_point_of_small_order_is_malformed(point: bytes) -> None:
    with pytest.raises(Malformed):
        PublicKey.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": b64u(point)})


BAD_PRIVATE: dict[str, dict[str, Any]] = {
    "no private part": a_key().public_jwk(),
    "a d of zero": a_key().to_jwk() | {"d": b64u(bytes(32))},
    "a d that is short": a_key().to_jwk() | {"d": b64u(bytes(31))},
    "another's d": a_key().to_jwk() | {"d": a_key("ES256", 1).to_jwk()["d"]},
    "another's Ed25519 d": a_key("Ed25519").to_jwk() | {"d": a_key("Ed25519", 1).to_jwk()["d"]},
    "RSA without primes": {name: value for name, value in a_key("RS256").to_jwk().items() if name not in {"p", "q"}},
    "RSA with another's prime": a_key("RS256").to_jwk() | {"p": a_key("PS256").to_jwk()["p"]},
    "a key for encryption": a_key().to_jwk() | {"use": "enc"},
    "operations without sign": a_key().to_jwk() | {"key_ops": ["verify"]},
    "a MAC's key": {"kty": "oct", "k": b64u(bytes(32))},
}


@pytest.mark.parametrize("what", BAD_PRIVATE)
def test_a_bad_private_key_is_malformed(what: str) -> None:
    with pytest.raises(Malformed):
        PrivateKey.from_jwk(BAD_PRIVATE[what])


def test_a_key_that_names_no_algorithm_gets_one_when_it_is_loaded() -> None:
    nameless = a_jwk("RS256", alg=...)
    assert PublicKey.from_jwk(nameless).alg.name == "PS256"
    assert PublicKey.from_jwk(nameless, alg="RS256").alg.name == "RS256"
    assert KeySet.from_jwks({"keys": [nameless]}, alg="RS256").keys[0].alg.name == "RS256"
    with pytest.raises(Malformed):
        PublicKey.from_jwk(a_jwk("RS256"), alg="PS256")


def test_the_old_name_of_ed25519_is_read_on_a_key_and_not_on_a_token() -> None:
    for alg in (None, "EdDSA", "Ed25519"):
        assert PublicKey.from_jwk(a_jwk("Ed25519", alg="EdDSA"), alg=alg).alg.name == "Ed25519"
    assert why_not(signed({"alg": "EdDSA"}, key=a_key("Ed25519")), a_key("Ed25519")) is jwt.ALGORITHM


def test_a_set_is_an_array_of_at_most_a_hundred() -> None:
    assert len(KeySet.from_jwks({"keys": [a_jwk()] * KEYS_MAX}).keys) == KEYS_MAX
    none: list[dict[str, object]] = [{"keys": [a_jwk()] * (KEYS_MAX + 1)}, {}, {"keys": {}}, {"keys": None}]
    for bad in none:
        with pytest.raises(Malformed):
            KeySet.from_jwks(bad)


def test_candidates_bear_the_id_and_the_algorithm_and_are_at_most_four() -> None:
    one, two, ed = a_key().public(), a_key("ES256", 1).public(), a_key("Ed25519").public()
    keys = KeySet.of(one, two, ed)
    assert keys.candidates(one.kid, "ES256") == (one,)
    assert keys.candidates(one.kid, "Ed25519") == ()
    assert keys.candidates("another", "ES256") == ()
    assert keys.candidates(None, "ES256") == (one, two)
    assert len(KeySet.of(*[one] * 9).candidates(None, "ES256")) == 4
    assert KeySet().candidates(None, "ES256") == ()


def test_two_keys_of_one_id_are_both_tried() -> None:
    first, second = (PrivateKey.from_jwk(a_key("ES256", which).to_jwk() | {"kid": "same"}) for which in (0, 1))
    for key in (first, second):
        assert why_not(signed(key=key), first, second) is None
