"""How an issuer's keys are found: by its own metadata, or by a certificate, and only in the way that is set."""

import base64
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509 as certificates

from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.wire import JsonObject, Reply
from deputize.jose.jwt import SIGNED
from deputize.jose.keys import PrivateKey
from deputize.jose.x509 import TRUSTED as CHAINED
from deputize.jose.x509 import Roots
from deputize.vc.issuer_keys import (
    KEY_FOUND,
    NAMES_ITSELF,
    ONE_KEY,
    SUBJECT_IS_ISSUER,
    WEB_ISSUER,
    certified,
    issuer_metadata,
    metadata_url,
    well_known,
)
from deputize.vc.presented import open_sd_jwt
from deputize.vc.verify import TRUSTED_ISSUER, TRUSTED_TYPE, Policy, TrustedIssuer, VerifiedCredential, averify, verify
from tests.core.outside import Outside
from tests.jose.making import a_key
from tests.jose.test_x509 import TODAY, Made, names, root
from tests.jose.test_x509 import issue as certificate
from tests.support.proofs import lets_through, stops
from tests.vc.made import ISSUER, NOW, claims, crafted, issuer_key
from tests.vc.made import VCT as DIPLOMA

URL = "https://uni.example/.well-known/jwt-vc-issuer/registrar"
JWKS_URI = "https://keys.uni.example/set"
SET = {"keys": [issuer_key().public_jwk()]}
GOOD: JsonObject = {"issuer": ISSUER, "jwks": SET}


def text(**header: Any) -> str:
    return crafted(claims(), typ="dc+sd-jwt", **header)


# --- published ----------------------------------------------------------------------------------------------------


def a_policy(issuer: str = ISSUER, way: Any = None) -> Policy:
    return Policy(issuers=(TrustedIssuer(issuer=issuer, keys=way or well_known(), types=frozenset({DIPLOMA})),))


async def taken(outside: Outside, policy: Policy | None = None, **header: Any) -> VerifiedCredential:
    return await averify(text(**header), policy or a_policy(), asked=None, env=outside.env)


@lets_through(WEB_ISSUER, NAMES_ITSELF)
@pytest.mark.parametrize(
    "documents", [{URL: GOOD}, {URL: {"issuer": ISSUER, "jwks_uri": JWKS_URI, "more": 1}, JWKS_URI: SET}]
)
async def test_an_issuer_publishes_its_keys(documents: dict[str, Any]) -> None:
    outside, policy = Outside(documents), a_policy()
    assert (await taken(outside, policy)).issuer == ISSUER
    assert [call.url for call in outside.calls] == list(documents)
    assert verify(text(), policy, asked=None, now=NOW).issuer == ISSUER  # kept
    with pytest.raises(Fault, match="averify"):
        verify(text(), a_policy(), asked=None, now=NOW)


@lets_through(WEB_ISSUER)
@pytest.mark.parametrize(
    ("iss", "url"),
    [
        ("https://a.example", "https://a.example/.well-known/jwt-vc-issuer"),
        ("https://a.example/", "https://a.example/.well-known/jwt-vc-issuer"),
        ("https://a.example:8443/t/1", "https://a.example:8443/.well-known/jwt-vc-issuer/t/1"),
        ("https://a.example/t/1/", "https://a.example/.well-known/jwt-vc-issuer/t/1"),
    ],
)
def test_the_well_known_part_stands_between_host_and_path(iss: str, url: str) -> None:
    assert metadata_url(iss, "x") == url


@stops(WEB_ISSUER)
@pytest.mark.parametrize(
    "iss",
    [
        "http://a.example",
        "http://127.0.0.1",
        "HTTPS://a.example",
        "https://a.example?q",
        "https://a.example/?",
        "https://a.example#f",
        "https://u@a.example",
        "https://",
        "did:web:a.example",
        "a.example",
        "https://ä.example",
        "https://a.example/\n",
    ],
)
async def test_another_kind_of_name_is_not_looked_up(iss: str) -> None:
    outside = Outside()
    with pytest.raises(Refusal) as refused:
        await averify(crafted(claims(iss=iss), typ="dc+sd-jwt"), a_policy(iss), asked=None, env=outside.env)
    assert refused.value.rule is WEB_ISSUER
    assert outside.calls == []


@pytest.mark.parametrize(
    "answer",
    [
        GOOD | {"issuer": ISSUER + "/"},
        GOOD | {"issuer": ISSUER.upper()},
        {"jwks": SET},
        {"issuer": ISSUER},
        GOOD | {"jwks_uri": JWKS_URI},
        {"issuer": ISSUER, "jwks_uri": "http://keys.uni.example/set"},
        {"issuer": ISSUER, "jwks_uri": "http://127.0.0.1/set"},
        {"issuer": ISSUER, "jwks_uri": 1},
        {"issuer": ISSUER, "jwks": []},
        {"issuer": ISSUER, "jwks": {"keys": []}},
        GOOD | {"padding": "x" * 70_000},
        Reply(status=404, body=b"{}"),
        Reply(status=302),
        Reply(status=200, body=b"not JSON"),
        Fault("nobody there"),
    ],
)
async def test_a_document_that_is_not_good_gives_no_key(answer: Any) -> None:
    with pytest.raises(Fault):
        await taken(Outside({URL: answer, JWKS_URI: SET}))


@stops(NAMES_ITSELF)
async def test_of_two_names_that_differ_by_a_slash_one_is_the_issuers() -> None:
    way = well_known()
    slashed = ISSUER + "/"
    both = Policy(
        issuers=tuple(TrustedIssuer(issuer=name, keys=way, types=frozenset({DIPLOMA})) for name in (ISSUER, slashed))
    )
    outside = Outside({URL: GOOD})
    assert (await taken(outside, both)).issuer == ISSUER
    with pytest.raises(Refusal) as refused:
        await averify(crafted(claims(iss=slashed), typ="dc+sd-jwt"), both, asked=None, env=outside.env)
    assert refused.value.rule is NAMES_ITSELF


@stops(ONE_KEY)
async def test_an_unknown_key_is_asked_for_once_more_and_not_again() -> None:
    outside, policy = Outside({URL: GOOD}), a_policy()
    await taken(outside, policy)
    outside.later(120)
    for _ in range(5):
        with pytest.raises(Refusal) as refused:
            await taken(outside, policy, kid="unknown")
        assert refused.value.rule is ONE_KEY
    assert len(outside.calls) <= 3
    new = PrivateKey.generate()
    outside.answers[URL] = GOOD | {"jwks": {"keys": [new.public_jwk()]}}
    outside.later(120)
    rotated = crafted(claims(), key=new, typ="dc+sd-jwt")
    assert (await averify(rotated, policy, asked=None, env=outside.env)).issuer == ISSUER


async def test_a_strangers_name_makes_nobody_ask() -> None:
    outside = Outside()
    with pytest.raises(Refusal) as refused:
        await averify(
            crafted(claims(iss="https://evil.example"), typ="dc+sd-jwt"), a_policy(), asked=None, env=outside.env
        )
    assert refused.value.rule is TRUSTED_ISSUER
    assert outside.calls == []


@stops(KEY_FOUND)
async def test_a_credential_without_a_name_has_no_metadata() -> None:
    opened = open_sd_jwt(crafted(claims(iss=...), typ="dc+sd-jwt"), None, "x")
    with pytest.raises(Refusal) as refused:
        well_known().at_hand(opened.token, None, NOW, "x")
    assert refused.value.rule is KEY_FOUND
    with pytest.raises(Refusal) as refused:
        await well_known().find(opened.token, None, Outside().env, "x")
    assert refused.value.rule is KEY_FOUND


def test_metadata_is_read() -> None:
    assert issuer_metadata(GOOD).keys
    assert issuer_metadata({"issuer": ISSUER, "jwks_uri": JWKS_URI}).jwks_uri == JWKS_URI


# --- certified ----------------------------------------------------------------------------------------------------


def a_leaf(*alternatives: certificates.GeneralName, by: Made | None = None, **changes: Any) -> Made:
    extra = ((certificates.SubjectAlternativeName(alternatives), False),) if alternatives else ()
    return certificate("registrar", by or root(), key=issuer_key()._object, extra=extra, **changes)


def x5c(*chain: Made) -> list[str]:
    return [base64.b64encode(one.der).decode() for one in chain]


DNS = certificates.DNSName("uni.example")


def certified_policy(issuer: str | None = None, *, anchored: bool = False, types: str = DIPLOMA) -> Policy:
    way = certified(Roots([root().der]), anchored=anchored)
    return Policy(issuers=(TrustedIssuer(issuer=issuer, keys=way, types=frozenset({types})),))


def why_not(*chain: Made, policy: Policy | None = None, iss: Any = ISSUER, **header: Any) -> Rule | None:
    made = crafted(claims(iss=iss), typ="dc+sd-jwt", **(dict[str, Any](x5c=x5c(*chain)) if chain else {}), **header)
    try:
        verify(made, policy or certified_policy(), asked=None, now=NOW)
    except Refusal as refusal:
        return refusal.rule
    return None


@lets_through(SUBJECT_IS_ISSUER, KEY_FOUND)
def test_a_certificate_stands_for_the_issuer_that_it_names() -> None:
    between = certificate("between", root(), authority=True, path=0)
    assert why_not(a_leaf(DNS)) is None
    assert why_not(a_leaf(certificates.UniformResourceIdentifier(ISSUER))) is None
    assert why_not(a_leaf(DNS, by=between), between) is None
    assert why_not(a_leaf(DNS), kid=...) is None
    assert why_not(a_leaf(), policy=certified_policy(ISSUER, anchored=True)) is None
    made = crafted(claims(iss=...), typ="dc+sd-jwt", x5c=x5c(a_leaf()))
    assert verify(made, certified_policy(), asked=None, now=NOW).issuer == "CN=registrar"


@stops(SUBJECT_IS_ISSUER)
@pytest.mark.parametrize(
    "alternative",
    [
        certificates.DNSName("other.example"),
        certificates.DNSName("*.example"),
        certificates.UniformResourceIdentifier(ISSUER + "/"),
        None,
    ],
)
def test_a_certificate_of_another_company_does_not(alternative: certificates.GeneralName | None) -> None:
    leaf = a_leaf(alternative) if alternative else a_leaf()
    assert why_not(leaf) is SUBJECT_IS_ISSUER
    assert why_not(leaf, policy=certified_policy(ISSUER)) is SUBJECT_IS_ISSUER


@stops(KEY_FOUND)
def test_without_a_certificate_there_is_no_key() -> None:
    assert why_not() is KEY_FOUND
    assert why_not(x5c=[]) is KEY_FOUND
    assert why_not(x5c="x") is KEY_FOUND
    assert why_not(x5c=["!"]) is KEY_FOUND
    assert why_not(a_leaf(DNS), alg="Ed25519") is KEY_FOUND
    assert why_not(jwk=issuer_key().public_jwk()) is KEY_FOUND
    assert why_not(x5u="https://uni.example/chain") is KEY_FOUND


def test_a_chain_is_good_now_and_ends_at_a_root_that_is_trusted() -> None:
    stranger = certificate("stranger", authority=True)
    late = certificate("late", root(), authority=True, until=TODAY - timedelta(hours=1))
    assert why_not(a_leaf(DNS, by=stranger)) is CHAINED
    assert why_not(a_leaf(DNS, by=stranger), stranger) is CHAINED
    assert why_not(a_leaf(DNS, until=TODAY - timedelta(hours=1))) is CHAINED
    assert why_not(a_leaf(DNS, by=late), late) is CHAINED
    selfmade = certificate("registrar", key=issuer_key()._object)
    assert why_not(selfmade) in {CHAINED, KEY_FOUND}
    other = certificate("registrar", root(), key=a_key("ES256", 77)._object, extra=(names(ISSUER),))
    assert why_not(other) is SIGNED
    assert why_not(a_leaf(DNS), policy=certified_policy(types="urn:other")) is TRUSTED_TYPE


async def test_the_way_of_an_issuer_is_not_the_attackers_to_choose() -> None:
    """Who leaves the certificates out is not looked up instead, and the other way round."""
    outside = Outside({URL: GOOD})
    with pytest.raises(Refusal) as refused:
        await averify(text(), certified_policy(ISSUER), asked=None, env=outside.env)
    assert refused.value.rule is KEY_FOUND
    thief = a_key("ES256", 78)
    leaf = certificate("x", root(), key=thief._object, extra=(names(ISSUER),))
    both = Policy(issuers=(*a_policy().issuers, *certified_policy().issuers))
    made = crafted(claims(), key=thief, typ="dc+sd-jwt", x5c=x5c(leaf), kid=issuer_key().kid)
    with pytest.raises(Refusal) as refused:
        await averify(made, both, asked=None, env=outside.env)
    assert refused.value.rule is SIGNED
    assert replace(both, error="x").rows(ISSUER)[0][0].issuer == ISSUER
