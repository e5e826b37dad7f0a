"""Whose status lists a verifier takes: the credential's own issuer's, by a key that is found as the credential's is."""

from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509 as certificates

from deputize.core.ports import Env
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.wire import Headers, Reply
from deputize.jose import jws
from deputize.jose.jwt import SIGNED, UNEXPIRED
from deputize.jose.keys import PrivateKey
from deputize.jose.x509 import Roots
from deputize.vc.issuer_keys import KEY_FOUND, ONE_KEY, SUBJECT_IS_ISSUER, Way, certified, pinned, well_known
from deputize.vc.status_check import StatusLists
from deputize.vc.status_list import IS_VALID, WITHIN
from deputize.vc.status_token import ITS_NAME, Form, signed
from deputize.vc.verify import Policy, StatusCheck, TrustedIssuer, averify, status_at_hand, status_of_issuer
from tests.core.outside import Outside
from tests.jose.making import a_key
from tests.jose.test_x509 import issue as certificate
from tests.jose.test_x509 import root
from tests.support.ports import CountingRandom
from tests.vc.lists import GOOD, REVOKED, SIZE, SUSPENDED, a_content, claims_of
from tests.vc.made import ISSUER, NOW, claims, crafted, issuer_key
from tests.vc.made import VCT as DIPLOMA
from tests.vc.test_issuer_keys import GOOD as METADATA
from tests.vc.test_issuer_keys import URL as METADATA_URL
from tests.vc.test_issuer_keys import x5c

URI = "https://uni.example/status/1"
PINNED = pinned({"keys": [issuer_key().public_jwk()]})
STRANGER = a_key("ES256", 77)
LIST = Form.JWT.value


def a_list(key: PrivateKey | None = None, form: Form = Form.JWT, **changed: Any) -> bytes:
    good = {"uri": URI, "issued_at": NOW, "until": NOW + 600}
    return signed(a_content(**{**good, **changed}), form, key or issuer_key())


def answering(token: bytes) -> tuple[Outside, Env]:
    """What is out there: the issuer's metadata and its list."""
    outside = Outside({METADATA_URL: METADATA})
    kind = Headers((("content-type", Form.JWT.media_type),))
    outside.answers[URI] = Reply(status=200, headers=kind, body=token)
    return outside, replace(outside.env, random=CountingRandom())


async def why_not(
    check: StatusCheck,
    env: Env,
    *,
    idx: int = GOOD,
    way: Way = PINNED,
    uri: str = URI,
    issuer: str | None = ISSUER,
    iss: Any = ISSUER,
    **header: Any,
) -> Rule | None:
    text = crafted(claims(iss=iss, status={"status_list": {"idx": idx, "uri": uri}}), typ="dc+sd-jwt", **header)
    trusted = TrustedIssuer(issuer=issuer, keys=way, types=frozenset({DIPLOMA}), status=check)
    try:
        await averify(text, Policy(issuers=(trusted,)), asked=None, env=env)
    except Refusal as refusal:
        return refusal.rule
    return None


@pytest.mark.parametrize("way", [PINNED, well_known()], ids=["pinned", "web"])
async def test_the_issuers_own_list_is_looked_at(way: Way) -> None:
    _, env = answering(a_list())
    check = status_of_issuer(StatusLists(), way)
    assert await why_not(check, env, way=way) is None
    for idx, rule in ((REVOKED, IS_VALID), (SUSPENDED, IS_VALID), (SIZE, WITHIN)):
        assert await why_not(check, env, way=way, idx=idx) is rule


@pytest.mark.parametrize("way", [PINNED, well_known()], ids=["pinned", "web"])
async def test_sl_01_a_list_by_somebody_else_is_none(way: Way) -> None:
    _, env = answering(a_list(STRANGER))
    assert await why_not(status_of_issuer(StatusLists(), way), env, way=way) is ONE_KEY
    told = claims_of(sub=URI, iat=NOW, exp=NOW + 600)
    data = jws.signing_input(told, alg="ES256", typ=LIST, kid=issuer_key().kid)
    _, env = answering(jws.compact(data, STRANGER.sign(data)).encode())
    assert await why_not(status_of_issuer(StatusLists(), way), env, way=way) is SIGNED


async def test_without_a_list_the_credential_is_not_taken() -> None:
    outside, env = answering(b"")
    del outside.answers[URI]
    with pytest.raises(Fault, match="nobody there"):
        await why_not(status_of_issuer(StatusLists(), PINNED), env)


def by_certificate(key: PrivateKey, *hosts: str) -> list[str]:
    extra = ((certificates.SubjectAlternativeName([certificates.DNSName(host) for host in hosts]), False),)
    return x5c(certificate("registrar", root(), key=key._object, extra=extra if hosts else ()))


@pytest.mark.parametrize(
    ("hosts", "of_list", "rule"),
    [
        (("uni.example",), ("uni.example", "lists.uni.example"), None),
        (("uni.example",), ("other.example",), SUBJECT_IS_ISSUER),
        (("uni.example",), None, KEY_FOUND),
        ((), (), None),
    ],
)
async def test_a_list_by_a_certificate_of_the_same_issuer(
    hosts: tuple[str, ...], of_list: tuple[str, ...] | None, rule: Rule | None
) -> None:
    """Its chain is in its own header, and its leaf may be another than the credential's; both name the issuer."""
    way = certified(Roots([root().der]))
    header = {"kid": "1"} if of_list is None else {"x5c": by_certificate(STRANGER, *of_list)}
    data = jws.signing_input(claims_of(sub=URI, iat=NOW, exp=NOW + 600), alg="ES256", typ=LIST, kid=None, header=header)
    _, env = answering(jws.compact(data, STRANGER.sign(data)).encode())
    told: dict[str, Any] = {"x5c": by_certificate(issuer_key(), *hosts), "iss": ISSUER if hosts else ...}
    assert await why_not(status_of_issuer(StatusLists(), way), env, way=way, issuer=None, **told) is rule


@pytest.mark.parametrize("form", Form)
async def test_a_list_at_hand_needs_nobody(form: Form) -> None:
    outside = Outside()
    check = status_at_hand(a_list(form=form), PINNED)
    for idx, rule in ((GOOD, None), (REVOKED, IS_VALID), (SIZE, WITHIN)):
        assert await why_not(check, outside.env, idx=idx) is rule
    assert await why_not(check, outside.env, uri=URI + "/") is ITS_NAME
    assert await why_not(status_at_hand(a_list(STRANGER, form), PINNED), outside.env) is ONE_KEY
    outside.later(700)
    assert await why_not(check, outside.env) is UNEXPIRED
    assert outside.calls == []
