"""Two other libraries, both ways: they verify what we sign, and we verify what they sign."""

import json
from typing import Any

import jwt as pyjwt
import pytest
from joserfc import jwk, jws
from jwt.algorithms import OKPAlgorithm

from deputize.jose.algorithms import ALL
from deputize.jose.jwt import SIGNED, sign
from tests.jose.making import AUDIENCE, ISSUER, NOW, a_key, claims, verify, why_not

ALGS = sorted(ALL)
HEADER = {"typ": "at+jwt"}


def _pyjwt() -> pyjwt.PyJWS:
    theirs = pyjwt.PyJWS()
    theirs.register_algorithm("Ed25519", OKPAlgorithm())  # it knows the old name alone
    return theirs


@pytest.mark.parametrize("alg", ALGS)
def test_joserfc_verifies_what_we_sign(alg: str) -> None:
    token = sign(claims(), a_key(alg), typ="at+jwt")
    read = jws.deserialize_compact(token, jwk.import_key(a_key(alg).public_jwk()), algorithms=[alg])
    assert json.loads(read.payload) == claims()
    assert read.protected == {**HEADER, "alg": alg, "kid": a_key(alg).kid}


@pytest.mark.parametrize("alg", ALGS)
def test_we_verify_what_joserfc_signs(alg: str) -> None:
    token = jws.serialize_compact(
        {**HEADER, "alg": alg}, json.dumps(claims(), indent=1), jwk.import_key(a_key(alg).to_jwk()), algorithms=[alg]
    )
    assert verify(token, a_key(alg)).claims == claims()
    assert why_not(token, a_key(alg, 1)) is SIGNED


@pytest.mark.parametrize("alg", ALGS)
def test_pyjwt_verifies_what_we_sign(alg: str) -> None:
    token = sign(claims(), a_key(alg), typ="at+jwt")
    key = pyjwt.PyJWK({**a_key(alg).public_jwk(), "alg": "EdDSA" if alg == "Ed25519" else alg}).key
    assert json.loads(_pyjwt().decode(token, key, algorithms=[alg])) == claims()
    assert pyjwt.decode(token, options={"verify_signature": False}, issuer=ISSUER, audience=AUDIENCE) == claims()


@pytest.mark.parametrize("alg", ALGS)
def test_we_verify_what_pyjwt_signs(alg: str) -> None:
    private: Any = a_key(alg)._object
    token = _pyjwt().encode(json.dumps(claims(exp=NOW + 60.5)).encode(), private, alg, headers={"typ": "at+jwt"})
    assert verify(token, a_key(alg)).claims == claims(exp=NOW + 60.5)
    assert why_not(token, a_key(alg, 1)) is SIGNED


@pytest.mark.parametrize("alg", ALGS)
def test_the_thumbprint_is_the_same_everywhere(alg: str) -> None:
    assert jwk.import_key(a_key(alg).public_jwk()).thumbprint() == a_key(alg).public().thumbprint
