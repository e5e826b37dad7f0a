"""The OpenID Foundation's modules for servers of FAPI 2.0, mirrored by name: each test is called as its module is.

The plans are those of the Security Profile and of Message Signing (plain, DPoP, private_key_jwt). What is not mirrored
stands in docs/divergences.md. The server is one that keeps to the profile: `oauth.profile = "fapi2"`.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from deputize.core.wire import JsonObject
from deputize.jose import jwt
from deputize.jose.keys import PrivateKey
from deputize.oauth import assertion
from deputize.oauth.authorize import PUSHED_ONLY
from deputize.oauth.begun import SIGNED_ONLY, URN
from deputize.oauth.client import Client
from deputize.oauth.dpop import token_hash
from deputize.oauth.fapi2 import ALWAYS_BOUND, ISSUER_ALONE, REDIRECT_NAMED, STRONG_ALG, STRONG_CLIENT
from deputize.oauth.request_object import SHORT, TYP
from deputize.oauth.requested import Settings
from tests.support.asgi import Answer
from tests.support.cast import ORDER, READ, jwks
from tests.support.flow import APP, CALLBACK, ISSUER, TWO, VERIFIER, WEB, Flow, Landing, a_flow, ticks_on
from tests.support.proofs import lets_through, stops
from tools.rules import ROOT

KEY, OTHER_KEY = PrivateKey.generate(), PrivateKey.generate()
RSA = PrivateKey.generate("RS256")
MODULES = ROOT.parent / "shared" / "specs" / "41-oidf-modules.txt"
PREFIX = "fapi2-security-profile-final-"


@dataclass
class Bank:
    """A server of the profile, with a client on the web that shows KEY."""

    flow: Flow

    async def pushed(self, *, key: PrivateKey | None = KEY, **changed: Any) -> Answer:
        return await self.flow.push(WEB, key=key, **changed)

    async def object(
        self, *, outside: dict[str, str] | None = None, key: PrivateKey | None = None, **changed: Any
    ) -> Answer:
        """Push a request object; None leaves a claim out."""
        form = {"request": self.signed(key=key, **changed), "client_id": WEB, **(outside or {})}
        return await self.flow.world.post("/par", form, by=WEB, key=KEY)

    def signed(self, *, key: PrivateKey | None = None, header: JsonObject | None = None, **changed: Any) -> str:
        now = self.flow.world.now
        good = {**self.flow.asks(WEB), "iss": WEB, "aud": ISSUER, "nbf": now, "exp": now + 300}
        return self.flow.world.signed({**good, **changed}, key or self.flow.world.keys[WEB], TYP, header)

    async def lands(self, pushed: Answer, says: str = "allow", **more: str) -> Landing:
        """Bring what was pushed in Alice's browser, with nothing beside it but the client's name."""
        assert pushed.status == 201, pushed.body
        browser = await self.flow.browser()
        query = {"client_id": WEB, "request_uri": pushed["request_uri"], **more}
        page = await self.flow.follow(browser, await browser.get("/authorize", params=query))
        assert page.status_code == 200, page.text
        return await self.flow.says(browser, page, says, *ticks_on(page))

    async def code(self, **changed: Any) -> str:
        return (await self.lands(await self.pushed(**changed))).told["code"]

    async def redeemed(self, code: str, *, key: PrivateKey | None = KEY, **changed: Any) -> Answer:
        return await self.flow.redeem(code, WEB, key=key, **changed)

    async def tokens(self, **changed: Any) -> JsonObject:
        answer = await self.redeemed(await self.code(**changed))
        assert answer.status == 200, answer.body
        return answer.json

    async def asserted(
        self,
        path: str,
        form: dict[str, str],
        key: PrivateKey | None = None,
        header: JsonObject | None = None,
        **claims: Any,
    ) -> Answer:
        """Post a form with a client assertion that is altered."""
        compact = self.flow.world.assertion(WEB, key=key, header=header, **claims)
        shown = {"client_assertion_type": assertion.TYPE, "client_assertion": compact}
        return await self.flow.world.post(path, {**form, **shown}, key=KEY)

    async def userinfo(self, token: str, *headers: tuple[str, str], scheme: str = "DPoP", **claims: Any) -> Answer:
        """Call the resource: UserInfo, with a good proof unless its claims are altered."""
        good = {"htm": "GET", "ath": token_hash(token)}
        by, header = claims.pop("by", None), claims.pop("header", None)
        proof = self.flow.world.proof(KEY, "/userinfo", by=by, header=header, **{**good, **claims})
        shown = headers or (("dpop", proof),)
        return await self.flow.world.send("GET", "/userinfo", (("authorization", f"{scheme} {token}"), *shown))


@asynccontextmanager
async def a_bank(*, signed_only: bool = False) -> AsyncIterator[Bank]:
    async with a_flow(fapi2=True, authorize=Settings(signed_only=signed_only)) as flow:
        yield Bank(flow)


@pytest.fixture
async def bank() -> AsyncIterator[Bank]:
    async with a_bank() as made:
        yield made


@pytest.fixture
async def signing() -> AsyncIterator[Bank]:
    """A bank that takes signed requests alone (Message Signing)."""
    async with a_bank(signed_only=True) as made:
        yield made


async def goes_through(bank: Bank, pushed: Answer) -> Landing:
    landing = await bank.lands(pushed)
    assert (await bank.redeemed(landing.told["code"])).status == 200
    return landing


def refuses_object(answer: Answer) -> None:
    assert answer.told == (400, "invalid_request_object")


# --- the happy ways -------------------------------------------------------------------------------------------------


async def test_discovery_end_point_verification(bank: Bank, signing: Bank) -> None:
    told = (await bank.flow.world.get("/.well-known/openid-configuration")).json
    strong = ["ES256", "Ed25519", "PS256"]
    assert told["require_pushed_authorization_requests"] is True
    assert told["authorization_response_iss_parameter_supported"] is True
    assert told["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert told["introspection_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    for name in (
        "dpop_signing_alg_values_supported",
        "token_endpoint_auth_signing_alg_values_supported",
        "request_object_signing_alg_values_supported",
    ):
        assert told[name] == strong
    assert "RS256" not in str(told)
    assert "registration_endpoint" not in told
    signed = (await signing.flow.world.get("/.well-known/openid-configuration")).json
    assert signed["require_signed_request_object"] is True


@lets_through(ALWAYS_BOUND, ISSUER_ALONE, REDIRECT_NAMED, STRONG_ALG, STRONG_CLIENT, SHORT)
async def test_happy_flow(bank: Bank, signing: Bank) -> None:
    landing = await bank.lands(await bank.pushed(scope=f"openid {READ}"))
    assert landing.told["iss"] == ISSUER
    answer = await bank.redeemed(landing.told["code"])
    assert (answer.status, answer["token_type"]) == (200, "DPoP")
    await goes_through(signing, await signing.object())
    landing = await signing.lands(await signing.object(response_mode="jwt", prompt="consent"))
    _, claims = jwt.peek(landing.told["response"], "x")
    assert (claims["iss"], claims["aud"]) == (ISSUER, WEB)
    assert {"code", "state", "exp"} <= claims.keys()


async def test_user_rejects_authentication(bank: Bank) -> None:
    landing = await bank.lands(await bank.pushed(), says="deny")
    assert (landing.error, landing.told["iss"], landing.told["state"]) == ("access_denied", ISSUER, "a state, as it is")


async def test_ensure_authorization_request_without_state_success(bank: Bank) -> None:
    assert "state" not in (await goes_through(bank, await bank.pushed(state=None))).told


async def test_ensure_authorization_request_without_nonce_success(bank: Bank) -> None:
    _, claims = jwt.peek((await bank.tokens(scope="openid"))["id_token"], "x")
    assert "nonce" not in claims


async def test_ensure_authorization_request_with_64_char_nonce_success(bank: Bank) -> None:
    _, claims = jwt.peek((await bank.tokens(scope="openid", nonce="n" * 64))["id_token"], "x")
    assert claims["nonce"] == "n" * 64


async def test_ensure_authorization_request_with_long_nonce(bank: Bank) -> None:
    _, claims = jwt.peek((await bank.tokens(scope="openid", nonce="n" * 384))["id_token"], "x")
    assert claims["nonce"] == "n" * 384


async def test_ensure_authorization_request_with_long_state(bank: Bank) -> None:
    assert (await goes_through(bank, await bank.pushed(state="s" * 384))).told["state"] == "s" * 384


async def test_ensure_other_scope_order_succeeds(bank: Bank) -> None:
    assert (await bank.tokens(scope=f"{READ} openid"))["scope"] == f"openid {READ}"


async def test_access_token_type_header_case_sensitivity(bank: Bank) -> None:
    token = (await bank.tokens(scope="openid"))["access_token"]
    for scheme in ("dpop", "DPOP"):
        assert (await bank.userinfo(token, scheme=scheme)).json == {"sub": "alice"}


async def test_refresh_token(bank: Bank) -> None:
    """A refresh token is not rotated, and is its client's own."""
    told = await bank.tokens()
    form = {"grant_type": "refresh_token", "refresh_token": told["refresh_token"]}
    for _ in range(3):
        answer = await bank.flow.world.post("/token", form, by=WEB, key=KEY)
        assert (answer.status, answer["refresh_token"], answer["token_type"]) == (200, told["refresh_token"], "DPoP")
    assert (await bank.flow.world.post("/token", form, by=TWO, key=KEY)).told == (400, "invalid_grant")
    assert (await bank.flow.world.post("/token", form, by=WEB)).told == (400, "invalid_dpop_proof")
    wrong = {**form, "refresh_token": told["refresh_token"][:-4] + "AAAA"}
    assert (await bank.flow.world.post("/token", wrong, by=WEB, key=KEY, spends=("family", "revoked"))).told == (
        400,
        "invalid_grant",
    )


# --- DPoP -----------------------------------------------------------------------------------------------------------


async def test_check_dpop_proof_nbf_exp(bank: Bank) -> None:
    now = bank.flow.world.now
    code = await bank.code()
    proof = bank.flow.world.proof(KEY, nbf=now, exp=now + 60)
    assert (await with_proof(bank, code, proof)).status == 200
    token = (await bank.tokens(scope="openid"))["access_token"]
    assert (await bank.userinfo(token, nbf=now, exp=now + 60)).status == 200
    assert (await bank.userinfo(token, nbf=now - 120, exp=now - 60)).told == (401, "invalid_dpop_proof")


async def with_proof(bank: Bank, code: str, proof: str, **changed: Any) -> Answer:
    """POST /token with this very proof."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    return await bank.flow.world.post("/token", {**form, **changed}, (("dpop", proof),), by=WEB)


async def test_ensure_dpopproof_with_iat_10seconds_before_succeeds(bank: Bank) -> None:
    proof = bank.flow.world.proof(KEY, iat=bank.flow.world.now - 10)
    assert (await with_proof(bank, await bank.code(), proof)).status == 200


async def test_ensure_dpopproof_with_iat_10seconds_after_succeeds(bank: Bank) -> None:
    proof = bank.flow.world.proof(KEY, iat=bank.flow.world.now + 10)
    assert (await with_proof(bank, await bank.code(), proof)).status == 200


async def test_ensure_mismatched_dpop_jkt_fails(bank: Bank) -> None:
    answer = await bank.pushed(dpop_jkt=OTHER_KEY.public().thumbprint)
    assert answer.told == (400, "invalid_dpop_proof")


async def test_ensure_token_endpoint_fails_with_mismatched_dpop_proof_jkt(bank: Bank) -> None:
    assert (await bank.redeemed(await bank.code(), key=OTHER_KEY)).told == (400, "invalid_grant")


async def test_ensure_token_endpoint_fails_with_mismatched_dpop_jkt(bank: Bank) -> None:
    code = await bank.code(key=None, dpop_jkt=KEY.public().thumbprint)
    assert (await bank.redeemed(code, key=OTHER_KEY)).told == (400, "invalid_grant")


async def test_ensure_dpopproof_at_par_endpoint_binding_success(bank: Bank) -> None:
    assert (await bank.redeemed(await bank.code())).status == 200


async def test_ensure_dpop_auth_code_binding_success(bank: Bank) -> None:
    code = await bank.code(key=None, dpop_jkt=KEY.public().thumbprint)
    assert (await bank.redeemed(code)).status == 200


@stops(ALWAYS_BOUND)
async def test_ensure_holder_of_key_required(bank: Bank) -> None:
    code = await bank.code(key=None)
    answer = await bank.redeemed(code, key=None)
    assert answer.told == (400, "invalid_dpop_proof")
    assert answer["error_description"] == ALWAYS_BOUND.says
    assert (await bank.redeemed(code)).status == 200  # nothing was spent


@stops(STRONG_ALG)
async def test_dpop_negative_tests(bank: Bank) -> None:
    token = (await bank.tokens(scope="openid"))["access_token"]
    world = bank.flow.world
    assert (await bank.userinfo(token, ("x", "no proof"))).told == (401, "invalid_token")
    assert (await bank.userinfo(token, scheme="Bearer")).told == (401, "invalid_token")
    proof = world.proof(KEY, "/userinfo", htm="GET", ath=token_hash(token))
    twice = await bank.userinfo(token, ("dpop", proof), ("dpop", proof))
    assert twice.told == (401, "invalid_dpop_proof")
    assert (await bank.userinfo(token, ("dpop", proof))).status == 200
    assert (await bank.userinfo(token, ("dpop", proof))).told == (401, "invalid_token")
    for altered in (
        {"ath": None},
        {"ath": token_hash("another")},
        {"htm": "POST"},
        {"htu": f"{ISSUER}/elsewhere"},
        {"jti": None},
        {"iat": None},
        {"iat": world.now - 120},
        {"iat": world.now + 120},
        {"by": OTHER_KEY},
        {"header": {"typ": "JWT"}},
        {"header": {"alg": "none"}},
        {"header": {"jwk": KEY.to_jwk()}},
    ):
        answer = await bank.userinfo(token, **altered)
        assert (answer.status, answer["error"]) in {(401, "invalid_token"), (401, "invalid_dpop_proof")}, altered
    challenges = " ".join(value for name, value in answer.headers if name == "www-authenticate")
    assert 'algs="ES256 Ed25519 PS256"' in challenges
    weak = world.proof(RSA, "/userinfo", htm="GET", ath=token_hash(token))
    assert (await bank.userinfo(token, ("dpop", weak)))["error_description"] == STRONG_ALG.says
    answer = await bank.pushed(key=RSA)
    assert answer.told == (400, "invalid_dpop_proof")
    assert answer["error_description"] == STRONG_ALG.says


# --- request objects (Message Signing) ------------------------------------------------------------------------------


async def test_ensure_request_object_with_multiple_aud_succeeds(signing: Bank) -> None:
    await goes_through(signing, await signing.object(aud=[ISSUER, "https://other.example"]))


async def test_ensure_request_object_with_nbf_8_seconds_in_the_future_is_accepted(signing: Bank) -> None:
    await goes_through(signing, await signing.object(nbf=signing.flow.world.now + 8))


async def test_ensure_different_nonce_inside_and_outside_request_object(signing: Bank) -> None:
    pushed = await signing.object(scope="openid", nonce="inside", outside={"nonce": "outside"})
    answer = await signing.redeemed((await signing.lands(pushed)).told["code"])
    _, claims = jwt.peek(answer["id_token"], "x")
    assert claims["nonce"] == "inside"


async def test_ensure_different_state_inside_and_outside_request_object(signing: Bank) -> None:
    landing = await signing.lands(await signing.object(state="inside", outside={"state": "outside"}))
    assert landing.told["state"] == "inside"


async def test_state_only_outside_request_object_not_used(signing: Bank) -> None:
    landing = await signing.lands(await signing.object(state=None, outside={"state": "outside"}), state="further out")
    assert "state" not in landing.told


async def test_ensure_request_object_without_exp_fails(signing: Bank) -> None:
    refuses_object(await signing.object(exp=None))


async def test_ensure_request_object_without_nbf_fails(signing: Bank) -> None:
    refuses_object(await signing.object(nbf=None))


@stops(REDIRECT_NAMED)
async def test_ensure_request_object_without_redirect_uri_fails(signing: Bank) -> None:
    answer = await signing.object(redirect_uri=None)
    assert answer.told == (400, "invalid_request")
    assert answer["error_description"] == REDIRECT_NAMED.says


async def test_ensure_expired_request_object_fails(signing: Bank) -> None:
    refuses_object(await signing.object(exp=signing.flow.world.now - 300))


async def test_ensure_request_object_with_bad_aud_fails(signing: Bank) -> None:
    refuses_object(await signing.object(aud="https://other.example"))
    refuses_object(await signing.object(aud=f"{ISSUER}/par"))


@stops(SHORT)
async def test_ensure_request_object_with_exp_over_60_fails(signing: Bank) -> None:
    now = signing.flow.world.now
    refuses_object(await signing.object(exp=now + 70 * 60))
    answer = await signing.object(nbf=now - 30 * 60, exp=now + 40 * 60)
    assert answer["error_description"] == SHORT.says


async def test_ensure_request_object_with_nbf_over_60_fails(signing: Bank) -> None:
    refuses_object(await signing.object(nbf=signing.flow.world.now - 70 * 60))


async def test_ensure_signed_request_object_with_rs256_fails(signing: Bank) -> None:
    await signing.flow.world.change(Client, WEB, jwks=jwks(signing.flow.world.keys[WEB], RSA))
    answer = await signing.object(key=RSA)
    refuses_object(answer)
    assert answer["error_description"] == STRONG_ALG.says


async def test_ensure_request_object_signature_algorithm_is_not_none(signing: Bank) -> None:
    compact = signing.signed(header={"alg": "none"})
    for text in (compact, compact.rpartition(".")[0] + "."):
        form = {"request": text, "client_id": WEB}
        refuses_object(await signing.flow.world.post("/par", form, by=WEB, key=KEY))


async def test_ensure_request_object_with_invalid_signature_fails(signing: Bank) -> None:
    refuses_object(await signing.object(key=OTHER_KEY))


async def test_ensure_matching_key_in_authorization_request(signing: Bank) -> None:
    """By the key of another client of this server."""
    refuses_object(await signing.object(key=signing.flow.world.keys[TWO]))


async def test_ensure_unsigned_request_at_par_endpoint_fails(signing: Bank) -> None:
    answer = await signing.pushed()
    assert answer.told == (400, "invalid_request")
    assert answer["error_description"] == SIGNED_ONLY.says


async def test_par_authorization_request_containing_request_uri(signing: Bank) -> None:
    refuses_object(await signing.object(request_uri=f"{URN}x"))


# --- the authorization request --------------------------------------------------------------------------------------


async def test_ensure_registered_redirect_uri(bank: Bank) -> None:
    assert (await bank.pushed(redirect_uri=f"{CALLBACK}/more")).told == (400, "invalid_request")


async def test_plain_fapi_tolerate_unregistered_redirect_uri(bank: Bank) -> None:
    """A server may take those of a client that authenticates (RFC 9126, 2.4); ours are registered."""
    assert (await bank.pushed(redirect_uri="https://web.example/another")).told == (400, "invalid_request")


async def test_ensure_redirect_uri_in_authorization_request(bank: Bank) -> None:
    answer = await bank.pushed(redirect_uri=None)
    assert answer.told == (400, "invalid_request")
    assert answer["error_description"] == REDIRECT_NAMED.says


async def test_ensure_unsigned_authorization_request_without_using_par_fails(bank: Bank) -> None:
    browser = await bank.flow.browser()
    landing = Landing.of(await bank.flow.begin(browser, WEB))
    assert landing.error == "invalid_request"
    assert landing.told["error_description"] == PUSHED_ONLY.says
    with_object = {"client_id": WEB, "request": bank.signed()}
    assert Landing.of(await browser.get("/authorize", params=with_object)).error == "invalid_request"


async def test_ensure_response_type_code_idtoken_fails(bank: Bank) -> None:
    assert (await bank.pushed(response_type="code id_token")).told == (400, "unsupported_response_type")


async def test_ensure_response_type_token_fails(bank: Bank) -> None:
    assert (await bank.pushed(response_type="token")).told == (400, "unsupported_response_type")


async def test_par_ensure_pkce_required(bank: Bank) -> None:
    answer = await bank.pushed(code_challenge=None, code_challenge_method=None)
    assert answer.told == (400, "invalid_request")


async def test_par_plain_pkce_rejected(bank: Bank) -> None:
    assert (await bank.pushed(code_challenge_method="plain")).told == (400, "invalid_request")


async def test_par_without_duplicate_parameters(bank: Bank) -> None:
    """Nothing that was pushed is repeated in the browser, and what is put there is not looked at."""
    pushed = await bank.pushed(scope=READ)
    landing = await bank.lands(pushed, scope=ORDER, state="another", redirect_uri="https://evil.example/")
    assert (landing.where, landing.told["state"]) == (CALLBACK, "a state, as it is")
    assert (await bank.redeemed(landing.told["code"]))["scope"] == READ


async def test_par_ensure_reused_request_uri_prior_to_auth_completion_succeeds(bank: Bank) -> None:
    pushed = await bank.pushed()
    browser = await bank.flow.browser()
    query = {"client_id": WEB, "request_uri": pushed["request_uri"]}
    for _ in range(2):
        page = await bank.flow.follow(browser, await browser.get("/authorize", params=query))
        assert page.status_code == 200
    assert (await bank.flow.says(browser, page, "allow", *ticks_on(page))).told["code"]


async def test_par_attempt_reuse_request_uri(bank: Bank) -> None:
    pushed = await bank.pushed()
    await bank.lands(pushed)
    again = await bank.flow.stranger().get(
        "/authorize", params={"client_id": WEB, "request_uri": pushed["request_uri"]}
    )
    assert again.status_code == 400


async def test_par_attempt_to_use_expired_request_uri(bank: Bank) -> None:
    pushed = await bank.pushed()
    assert int(pushed.json["expires_in"]) < 600
    bank.flow.world.clock.forward(pushed.json["expires_in"])
    browser = await bank.flow.browser()
    answer = await browser.get("/authorize", params={"client_id": WEB, "request_uri": pushed["request_uri"]})
    assert answer.status_code == 400


async def test_par_attempt_to_use_request_uri_for_different_client(bank: Bank) -> None:
    pushed = await bank.pushed()
    browser = await bank.flow.browser()
    answer = await browser.get("/authorize", params={"client_id": TWO, "request_uri": pushed["request_uri"]})
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_par_authorization_request_containing_request_uri_form_param(bank: Bank) -> None:
    assert (await bank.pushed(request_uri=f"{URN}x")).told == (400, "invalid_request")


async def test_par_attempt_invalid_http_method(bank: Bank) -> None:
    assert (await bank.flow.world.get("/par")).status == 405


# --- client authentication ------------------------------------------------------------------------------------------


@stops(STRONG_CLIENT)
async def test_ensure_client_assertion_in_token_endpoint(bank: Bank) -> None:
    """And nothing that is weaker instead of it."""
    code = await bank.code()
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    assert (await bank.flow.world.post("/token", form, key=KEY)).told == (401, "invalid_client")
    assert (await bank.flow.world.post("/token", {**form, "client_id": WEB}, key=KEY)).told == (401, "invalid_client")
    for weak in ("try-basic", "try-post", APP):
        if weak != APP:
            method = weak.replace("try-", "client_secret_")
            await bank.flow.world.client(weak, auth_method=method)
        answer = await bank.flow.world.token(by=weak, key=KEY)
        assert answer.told == (401, "invalid_client")
        assert answer["error_description"] == STRONG_CLIENT.says
    assert (await bank.redeemed(code)).status == 200


async def test_ensure_client_id_in_token_endpoint(bank: Bank) -> None:
    """One that is sent is that of the client that authenticates."""
    code = await bank.code()
    assert (await bank.redeemed(code, client_id=TWO)).told == (401, "invalid_client")
    assert (await bank.redeemed(code, client_id=WEB)).status == 200


async def test_ensure_signed_client_assertion_with_rs256_fails(bank: Bank) -> None:
    await bank.flow.world.change(Client, WEB, jwks=jwks(bank.flow.world.keys[WEB], RSA))
    answer = await bank.asserted("/par", bank.flow.asks(WEB), key=RSA)
    assert answer.told == (401, "invalid_client")
    assert answer["error_description"] == STRONG_ALG.says
    assert (await bank.asserted("/par", bank.flow.asks(WEB))).status == 201


async def test_ensure_client_assertion_with_exp_is_5_minutes_in_past_fails(bank: Bank) -> None:
    now = bank.flow.world.now
    answer = await bank.asserted("/par", bank.flow.asks(WEB), iat=now - 360, exp=now - 300)
    assert answer.told == (401, "invalid_client")


async def test_ensure_client_assertion_with_wrong_aud_fails(bank: Bank) -> None:
    answer = await bank.asserted("/par", bank.flow.asks(WEB), aud="https://other.example")
    assert answer.told == (401, "invalid_client")


async def test_ensure_client_assertion_with_no_sub_fails(bank: Bank) -> None:
    assert (await bank.asserted("/par", bank.flow.asks(WEB), sub=None)).told == (401, "invalid_client")


async def test_par_ensure_jwt_client_assertions_nbf_8_seconds_in_the_future_is_accepted(bank: Bank) -> None:
    assert (await bank.asserted("/par", bank.flow.asks(WEB), nbf=bank.flow.world.now + 8)).status == 201


async def test_par_ensure_jwt_client_assertions_nbf_over_60_seconds_in_the_future_fails(bank: Bank) -> None:
    answer = await bank.asserted("/par", bank.flow.asks(WEB), nbf=bank.flow.world.now + 61)
    assert answer.told == (401, "invalid_client")


@stops(ISSUER_ALONE)
async def test_par_test_array_as_audience_fails(bank: Bank) -> None:
    for aud in ([ISSUER], [ISSUER, "https://other.example"]):
        answer = await bank.asserted("/par", bank.flow.asks(WEB), aud=aud)
        assert answer.told == (401, "invalid_client")
        assert answer["error_description"] == ISSUER_ALONE.says


async def test_par_test_par_endpoint_url_as_audience_fails(bank: Bank) -> None:
    assert (await bank.asserted("/par", bank.flow.asks(WEB), aud=f"{ISSUER}/par")).told == (401, "invalid_client")


async def test_par_test_token_endpoint_url_as_audience_fails(bank: Bank) -> None:
    """Not from a client, either, that may go on with it elsewhere for a while."""
    await bank.flow.world.change(Client, WEB, legacy_audience_until=bank.flow.world.now + 3600)
    for path in ("/par", "/token"):
        answer = await bank.asserted(path, bank.flow.asks(WEB), aud=f"{ISSUER}/token")
        assert answer.told == (401, "invalid_client")


# --- the code -------------------------------------------------------------------------------------------------------


async def test_ensure_authorization_code_is_bound_to_client(bank: Bank) -> None:
    code = await bank.code()
    assert (await bank.flow.redeem(code, TWO, key=KEY)).told == (400, "invalid_grant")
    assert (await bank.redeemed(code)).status == 200


async def test_attempt_reuse_authorization_code_after_one_second(bank: Bank) -> None:
    code = await bank.code(scope="openid")
    token = (await bank.redeemed(code))["access_token"]
    bank.flow.world.clock.forward(1)
    assert (await bank.redeemed(code, spends=("revoked", "family"))).told == (400, "invalid_grant")
    assert (await bank.userinfo(token)).told == (401, "invalid_token")


async def test_ensure_token_endpoint_fails_with_expired_auth_code(bank: Bank) -> None:
    code = await bank.code()
    bank.flow.world.clock.forward(60)
    assert (await bank.redeemed(code)).told == (400, "invalid_grant")


async def test_ensure_pkce_code_verifier_required(bank: Bank) -> None:
    answer = await bank.redeemed(await bank.code(), code_verifier=None, spends=("code",))
    assert answer.told == (400, "invalid_grant")


async def test_incorrect_pkce_code_verifier_rejected(bank: Bank) -> None:
    answer = await bank.redeemed(await bank.code(), code_verifier="x" * 43, spends=("code",))
    assert answer.told == (400, "invalid_grant")


# --- none is missing ------------------------------------------------------------------------------------------------


def test_each_module_is_mirrored_or_has_its_reason() -> None:
    if not MODULES.exists():
        pytest.skip("the list of modules is not here (../shared)")
    text = MODULES.read_text(encoding="utf-8")
    plan = text.partition("## fapi2-message-signing-final-test-plan")[2].partition("\n## ")[0]
    names = [line.removeprefix(PREFIX) for line in plan.splitlines() if line.startswith(PREFIX)]
    assert len(names) == 78
    excused = (ROOT / "docs" / "divergences.md").read_text(encoding="utf-8")
    here = globals()
    missing = [
        name
        for name in names
        if "test_" + re.sub("[^a-z0-9]", "_", name.lower()) not in here and f"`{name}`" not in excused
    ]
    assert not missing, missing
