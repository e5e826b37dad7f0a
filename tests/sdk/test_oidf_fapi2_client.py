"""The OpenID Foundation's modules for clients of FAPI 2.0, mirrored by name: each test is called as its module is.

The client is our SDK with a key of its own, at a server that takes pushed requests. What is not mirrored stands in
docs/divergences.md.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from deputize.core.rules import Fault, Refusal
from deputize.core.wire import Reply, b64u, json_bytes
from deputize.jose import jwt
from deputize.jose.keys import PrivateKey
from deputize.sdk.answers import TokenSet
from deputize.sdk.authorize import Begun, begin, collect, refresh
from deputize.sdk.discover import Discovery
from tests.sdk.served import DPOP_KEY, ISSUER, SERVER, Served, secret, token, told
from tests.sdk.test_access import NO_TOKEN, OK, Play
from tests.sdk.test_authorize import BACK, CODE_SERVER, answer, signed_in
from tests.sdk.test_discover import AT, web
from tests.sdk.test_discover import ISSUER as TENANT
from tests.sdk.test_discover import SERVER as DOCUMENT
from tools.rules import ROOT

MODULES = ROOT.parent / "shared" / "specs" / "41-oidf-modules.txt"
PREFIX = "fapi2-security-profile-final-client-test-"
AT_BANK = replace(CODE_SERVER, pushed_authorization_request_endpoint=ISSUER.at("/par"))
RSA = PrivateKey.generate("RS256")


def begun_at(served: Served) -> Begun:
    flow = begin(AT_BANK, served.login, redirect_uri=BACK, scope=frozenset({"openid", "read"}))
    return served.run(flow, [told({"request_uri": "urn:one", "expires_in": 60}, 201)])


def ends(*, arrives: Mapping[str, Any] | None = None, **claims: Any) -> TokenSet:
    """The whole way, with an answer or an ID token that is altered."""
    served = Served()
    begun = begun_at(served)
    arrived = answer(begun, **(arrives or {}))
    return served.run(collect(AT_BANK, served.login, begun, arrived), signed_in(served, begun, **claims))


def refused(**claims: Any) -> None:
    with pytest.raises(Refusal):
        ends(**claims)


def test_happy_path() -> None:
    served = Served()
    begun = begun_at(served)
    query = dict(parse_qsl(urlsplit(begun.url).query))
    assert sorted(query) == ["client_id", "request_uri"]
    found = served.run(collect(AT_BANK, served.login, begun, answer(begun)), signed_in(served, begun))
    assert found.access_token.matches("the-token")
    pushed, redeemed, _ = served.forms()
    assert pushed["code_challenge_method"] == ("S256",)
    for form in (pushed, redeemed):
        _, claims = jwt.peek(form["client_assertion"][0], "x")
        assert claims["aud"] == ISSUER.text


def test_happy_path_no_dpop_nonce() -> None:
    """Where the server wants no nonce, the proof has none."""
    served = Served()
    begun = begun_at(served)
    served.run(collect(AT_BANK, served.login, begun, answer(begun)), signed_in(served, begun))
    proofs = [value for call in served.calls for name, value in call.headers if name == "dpop"]
    assert len(set(proofs)) == len(proofs) == 2
    assert all("nonce" not in jwt.peek(proof, "x")[1] for proof in proofs)


async def test_discovery_issuer_mismatch() -> None:
    with pytest.raises(Fault):
        await Discovery().server(TENANT, web(**{AT: {**DOCUMENT, "issuer": "https://evil.example"}}))


# --- the ID token ---------------------------------------------------------------------------------------------------


def test_invalid_iss() -> None:
    refused(iss=f"{ISSUER.text}/")


def test_invalid_aud() -> None:
    refused(aud="another")


def test_invalid_secondary_aud() -> None:
    refused(aud=["bot", "another"])


def test_invalid_expired_exp() -> None:
    refused(exp=1)


def test_invalid_missing_exp() -> None:
    refused(exp=None)


def test_invalid_missing_aud() -> None:
    refused(aud=None)


def test_invalid_missing_iss() -> None:
    refused(iss=None)


def test_invalid_nonce() -> None:
    refused(nonce="another")


def test_invalid_missing_nonce() -> None:
    refused(nonce=None)


def test_valid_aud_as_array() -> None:
    assert ends(aud=["bot"]).id_token is not None


def test_invalid_alternate_alg() -> None:
    refused(by=RSA)


def test_invalid_null_alg() -> None:
    served = Served()
    begun = begun_at(served)
    nonce = begun.nonce.reveal() if begun.nonce else ""
    claims = {"iss": ISSUER.text, "aud": "bot", "sub": "alice", "iat": served.clock(), "exp": served.clock() + 300}
    unsigned = f"{b64u(json_bytes({'alg': 'none'}))}.{b64u(json_bytes({**claims, 'nonce': nonce}))}."
    answers: list[Reply | Fault] = [token(id_token=unsigned), told({"keys": [DPOP_KEY.public_jwk()]})]
    with pytest.raises(Refusal):
        served.run(collect(AT_BANK, served.login, begun, answer(begun)), answers)


# --- the authorization response -------------------------------------------------------------------------------------


def test_invalid_authorization_response_iss() -> None:
    refused(arrives={"iss": "https://evil.example"})


def test_remove_authorization_response_iss() -> None:
    refused(arrives={"iss": None})


def test_ensure_authorization_response_with_invalid_state_fails() -> None:
    refused(arrives={"state": "another"})


def test_ensure_authorization_response_with_invalid_missing_state_fails() -> None:
    refused(arrives={"state": None})


# --- tokens ---------------------------------------------------------------------------------------------------------


def test_token_endpoint_response_without_expires_in() -> None:
    """It is taken, and not for long."""
    served = Served()
    flow = begin(AT_BANK, served.login, redirect_uri=BACK, scope=frozenset({"read"}))
    begun = served.run(flow, [told({"request_uri": "urn:one", "expires_in": 60}, 201)])
    answered = told({"access_token": "the-token", "token_type": "DPoP"})
    found = served.run(collect(AT_BANK, served.login, begun, answer(begun)), [answered])
    assert found.expires_at > served.clock()


def test_token_type_case_insensitivity() -> None:
    served = Served()
    for name in ("dpop", "DPOP", "DPoP"):
        found = served.run(refresh(SERVER, served.login, secret()), [token(token_type=name)])
        assert found.access_token.matches("the-token")


def test_rs_dpop_auth_scheme_case_insensitivity() -> None:
    play = Play(token={"token_type": "dpop", "expires_in": 300})
    play.pages["https://as.example/.well-known/oauth-authorization-server"]["dpop_signing_alg_values_supported"] = [
        "ES256"
    ]
    access = play.access(key=DPOP_KEY)
    wants = (401, 'dPoP error="use_dpop_nonce"')
    assert play.call(access, NO_TOKEN, wants, OK, nonce=lambda n: f"n{n}" if n == 2 else None) == 200


def test_client_refresh_token_test() -> None:
    """The refresh token stays where none comes in its place."""
    served = Served()
    found = served.run(refresh(SERVER, served.login, secret()), [token()])
    assert found.access_token.matches("the-token")
    form = served.forms()[0]
    assert (form["grant_type"], "client_assertion" in form) == (("refresh_token",), True)


def test_each_module_is_mirrored_or_has_its_reason() -> None:
    if not MODULES.exists():
        pytest.skip("the list of modules is not here (../shared)")
    text = MODULES.read_text(encoding="utf-8")
    plan = text.partition("## fapi2-message-signing-final-client-test-plan")[2].partition("\n## ")[0]
    names = [line for line in plan.splitlines() if line.startswith("fapi2-")]
    assert len(names) == 32
    excused = (ROOT / "docs" / "divergences.md").read_text(encoding="utf-8")
    short = [name.removeprefix(PREFIX).removeprefix("fapi2-security-profile-final-") for name in names]
    missing = [
        name
        for name in short
        if "test_" + re.sub("[^a-z0-9]", "_", name.lower()) not in globals() and f"`{name}`" not in excused
    ]
    assert not missing, missing
