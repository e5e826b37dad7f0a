"""A wallet proves that it holds a key: for this issuer, now, with a nonce of the issuer's, and with that key alone."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from deputize.core.rules import Refusal, Rule
from deputize.core.values import Instant
from deputize.core.wire import b64u, json_bytes
from deputize.jose import jwt
from deputize.jose.keys import PrivateKey
from deputize.vc.proofs import (
    FRESH_NONCE,
    ITS_ISS,
    KEYS_DIFFER,
    NO_ATTESTATION,
    NONCE_LIFE,
    ONE_KEY,
    ONE_NONCE,
    TYP,
    ProofNonces,
    hold,
    prove,
)
from tests.jose.making import a_key
from tests.support.proofs import lets_through, stops
from tests.vc.made import NOW, holder_key

ISSUER = "https://uni.example/credentials"
NONCES = ProofNonces("a secret of the server's")


def a_proof(key: PrivateKey | None = None, header: Mapping[str, Any] = MappingProxyType({}), **claims: Any) -> str:
    """A proof whose signature is good; `...` leaves a part out."""
    one = key or holder_key()
    jwk = {name: value for name, value in one.public_jwk().items() if name not in {"kid", "use"}}
    head = {"typ": TYP, "alg": one.alg.name, "jwk": jwk} | dict(header)
    body = {"aud": ISSUER, "iat": NOW, "nonce": "n1"} | claims
    parts = (b64u(json_bytes({n: v for n, v in part.items() if v is not ...})) for part in (head, body))
    data = ".".join(parts)
    return f"{data}.{b64u(one.sign(data.encode()))}"


def why_not(*proofs: str, client_id: str | None = None, error: str = "invalid_proof", **told: Any) -> Rule | None:
    try:
        hold(proofs, issuer=ISSUER, client_id=client_id, now=NOW, **told)
    except Refusal as refusal:
        return refusal.rule if refusal.error == error else None
    return None


@lets_through(ONE_KEY, ITS_ISS, ONE_NONCE, KEYS_DIFFER, NO_ATTESTATION)
@pytest.mark.parametrize("alg", ["ES256", "Ed25519", "ES384"])
def test_keys_that_are_proven_are_known(alg: str) -> None:
    keys = [a_key(alg, 91), a_key(alg, 92)]
    proven = hold(
        [prove(key, issuer=ISSUER, nonce="n1", now=NOW) for key in keys], issuer=ISSUER, client_id=None, now=NOW
    )
    assert [jwk["x"] for jwk in proven.jwks] == [key.public_jwk()["x"] for key in keys]
    assert proven.nonce == "n1"
    assert why_not(prove(keys[0], issuer=ISSUER, nonce="n1", now=NOW, client_id="w"), client_id="w") is None


@stops(jwt.TYPED, jwt.SOLE_AUDIENCE, jwt.BRIEF, jwt.BEGUN, jwt.CLAIMS, jwt.ALGORITHM)
@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (a_proof(header={"typ": "JWT"}), jwt.TYPED),
        (a_proof(aud="https://uni.example/credentials/credential"), jwt.SOLE_AUDIENCE),
        (a_proof(aud=[ISSUER, "https://other.example"]), jwt.SOLE_AUDIENCE),
        (a_proof(iat=NOW - 400), jwt.BRIEF),
        (a_proof(iat=NOW + 60), jwt.BEGUN),
        (a_proof(iat=...), jwt.CLAIMS),
        (a_proof(nonce=...), jwt.CLAIMS),
        (a_proof(exp=NOW - 60), jwt.UNEXPIRED),
    ],
)
def test_a_proof_that_is_for_another_purpose_is_refused(text: str, rule: Rule) -> None:
    assert why_not(text) is rule


def test_an_algorithm_that_the_metadata_do_not_name_is_refused() -> None:
    assert why_not(a_proof(a_key("Ed25519", 91)), algs=frozenset({"ES256"})) is jwt.ALGORITHM


@stops(ONE_KEY)
@pytest.mark.parametrize(
    "header",
    [
        {"jwk": ...},
        {"kid": "x"},
        {"x5c": ["AAAA"]},
        {"trust_chain": ["x"]},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"jwk": holder_key().to_jwk()},
        {"jwk": {**holder_key().public_jwk(), "alg": "ES384"}},
    ],
    ids=["none", "kid", "x5c", "trust_chain", "symmetric", "private", "other alg"],
)
def test_a_proof_has_one_public_key(header: dict[str, Any]) -> None:
    assert why_not(a_proof(header=header)) is ONE_KEY


@stops(NO_ATTESTATION)
def test_an_attestation_that_nobody_looks_at_is_refused() -> None:
    assert why_not(a_proof(header={"key_attestation": "e.y.z"})) is NO_ATTESTATION


@stops(ITS_ISS)
def test_a_proof_says_no_other_client() -> None:
    assert why_not(a_proof(iss="somebody"), client_id="w") is ITS_ISS
    assert why_not(a_proof(iss="w")) is ITS_ISS  # of a wallet that said nothing of itself


@stops(ONE_NONCE, KEYS_DIFFER)
def test_a_batch_has_one_nonce_and_a_key_for_each() -> None:
    assert why_not(a_proof(), a_proof(a_key("ES256", 91), nonce="n2")) is ONE_NONCE
    assert why_not(a_proof(), a_proof()) is KEYS_DIFFER


@lets_through(FRESH_NONCE)
@stops(FRESH_NONCE)
def test_a_nonce_is_ours_and_of_now() -> None:
    given = NONCES.fresh(NOW, "chance")
    assert NONCES.hold(given, NOW).key == NONCES.hold(given, Instant(NOW + NONCE_LIFE - 1)).key
    assert NONCES.fresh(NOW, "other") != given
    other = ProofNonces("another secret").fresh(NOW, "chance")
    altered = ("A" if given[0] != "A" else "B") + given[1:]
    late = Instant(NOW + NONCE_LIFE)
    for nonce, now in (
        (other, NOW),
        (altered, NOW),
        (given, late),
        (given, Instant(NOW - 60)),
        ("", NOW),
        ("ä" * 51, NOW),
    ):
        with pytest.raises(Refusal) as refused:
            NONCES.hold(nonce, now)
        assert (refused.value.error, refused.value.rule) == ("invalid_nonce", FRESH_NONCE)
    assert why_not(a_proof(nonce=7), error="invalid_nonce") is FRESH_NONCE
    assert "secret" not in repr(NONCES).replace("ProofNonces", "").replace("secret=", "")
