"""The OpenID Foundation's modules for OpenID providers, mirrored by name: each test is called as its module is.

The plans are Basic (the code flow), Config and Dynamic (registration), each name without its `oidcc-`. What is not
mirrored stands in docs/divergences.md.
"""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from deputize.core.wire import JsonObject
from deputize.jose import jwt
from deputize.jose.keys import KeySet, PrivateKey, PublicKey
from deputize.oauth.authentication import BY_PASSWORD
from deputize.oauth.client import Client, Person
from deputize.server import session
from deputize.server.session import Entered
from tests.attacks.test_request_objects import an_object, pushed
from tests.support.asgi import Answer
from tests.support.cast import READ, jwks
from tests.support.flow import CALLBACK, ISSUER, OTHER_CALLBACK, TWO, WEB, Flow, Landing, ticks_on
from tests.support.newcomers import CALLBACK as NEWCOMERS
from tests.support.newcomers import Door, a_door, a_newcomer
from tests.support.pages import field_on
from tools.rules import ROOT

MODULES = ROOT.parent / "shared" / "specs" / "41-oidf-modules.txt"
PLANS = {"config": 1, "basic": 38, "dynamic": 23}
REFUSED = (400, "invalid_client_metadata")


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with a_door() as made:
        yield made


@pytest.fixture
def flow(door: Door) -> Flow:
    return door.flow


async def signed_in(flow: Flow, client: str = WEB, **changed: Any) -> JsonObject:
    """What the token endpoint answers at the end of a good flow."""
    asked = {"scope": f"openid {READ}", **changed}
    where = {name: value for name, value in changed.items() if name == "redirect_uri"}
    answer = await flow.redeem(await flow.code(client, **asked), client, **where)
    assert answer.status == 200, answer.body
    return answer.json


def told_of(id_token: str, flow: Flow) -> JsonObject:
    """The claims of an ID token, verified by the keys that are published, as any client would."""
    keys = KeySet.of(*(PublicKey.from_jwk(key.public_jwk()) for key in flow.world.signer.all))
    expected = jwt.Expectation(
        typ=frozenset({"jwt"}),
        algs=frozenset({"ES256", "RS256"}),
        issuer=ISSUER,
        audience=None,
        lifetime_max=None,
        age_max=None,
        needs=frozenset({"sub", "aud", "exp", "iat", "auth_time"}),
        error="x",
    )
    return dict(jwt.verify(id_token, keys, expected, flow.world.now).claims)


async def who(flow: Flow, token: str, *, method: str = "GET") -> Answer:
    return await flow.world.send(method, "/userinfo", (("authorization", f"Bearer {token}"),))


async def back(flow: Flow, browser: httpx2.AsyncClient, client: str = WEB, **changed: Any) -> Landing:
    """Where a request ends up that needs no page."""
    return Landing.of(await flow.begin(browser, client, **changed))


# --- what the server says of itself ---------------------------------------------------------------------------------


async def test_discovery_endpoint_verification(flow: Flow) -> None:
    told = (await flow.world.get("/.well-known/openid-configuration")).json
    assert told["issuer"] == ISSUER
    for name in ("authorization", "token", "userinfo", "registration", "end_session"):
        assert told[f"{name}_endpoint"].startswith(f"{ISSUER}/")
    assert (told["response_types_supported"], told["subject_types_supported"]) == (["code"], ["public"])
    assert "openid" in told["scopes_supported"]
    assert told["claims_parameter_supported"] is False
    keys = (await flow.world.get(told["jwks_uri"].removeprefix(ISSUER))).json["keys"]
    assert {key["alg"] for key in keys} == set(told["id_token_signing_alg_values_supported"])
    assert not {"d", "p", "k"} & {name for key in keys for name in key}


# --- the flow -------------------------------------------------------------------------------------------------------


async def test_server(flow: Flow) -> None:
    told = await signed_in(flow, scope=f"openid profile {READ}", nonce="n")
    claims = told_of(told["id_token"], flow)
    assert (claims["sub"], claims["aud"], claims["nonce"]) == ("alice", WEB, "n")
    assert (await who(flow, told["access_token"])).json == {"sub": "alice", "name": "Alice"}


async def test_alternate_happy_flow(flow: Flow) -> None:
    """Another redirect URI, with a query of its own, and a state that has to be escaped."""
    landing = await flow.allowed(TWO, redirect_uri=OTHER_CALLBACK, scope=READ, state="a=1&b= %20é")
    assert (landing.where, landing.told["state"], landing.told["at"]) == ("https://two.example/cb", "a=1&b= %20é", "1")
    assert (await flow.redeem(landing.told["code"], TWO, redirect_uri=OTHER_CALLBACK)).status == 200


async def test_response_type_missing(flow: Flow) -> None:
    landing = await back(flow, await flow.browser(), response_type=None)
    assert landing.error in {"invalid_request", "unsupported_response_type"}


async def test_idtoken_signature(flow: Flow) -> None:
    id_token = (await signed_in(flow))["id_token"]
    assert jwt.peek(id_token, "x")[0].kid in {key.kid for key in flow.world.signer.all}
    assert told_of(id_token, flow)["iss"] == ISSUER


async def test_idtoken_unsigned(door: Door) -> None:
    """No ID token is ever without a signature."""
    assert (await door.says(a_newcomer(id_token_signed_response_alg="none"))).told == REFUSED


async def test_idtoken_rs256(door: Door) -> None:
    """It is the server's keys that say what ID tokens are signed with: a client that wants another is told so."""
    assert (await door.says(a_newcomer(id_token_signed_response_alg="RS256"))).told == REFUSED
    door.flow.world.signer.all = (PrivateKey.generate("RS256"),)
    made = await door.made(a_newcomer(id_token_signed_response_alg="RS256"))
    told = await signed_in(door.flow, made["client_id"], redirect_uri=NEWCOMERS)
    assert jwt.peek(told["id_token"], "x")[0].alg == "RS256"
    assert told_of(told["id_token"], door.flow)["sub"] == "alice"


async def test_userinfo_get(flow: Flow) -> None:
    assert (await who(flow, (await signed_in(flow))["access_token"])).json == {"sub": "alice"}


async def test_userinfo_post_header(flow: Flow) -> None:
    assert (await who(flow, (await signed_in(flow))["access_token"], method="POST")).json == {"sub": "alice"}


async def test_ensure_request_without_nonce_succeeds_for_code_flow(flow: Flow) -> None:
    assert "nonce" not in told_of((await signed_in(flow))["id_token"], flow)


async def test_ensure_request_with_valid_pkce_succeeds(flow: Flow) -> None:
    assert (await flow.redeem(await flow.code(WEB), WEB)).status == 200


async def test_ensure_post_request_succeeds(flow: Flow) -> None:
    browser = await flow.browser()
    page = await flow.follow(browser, await browser.post("/authorize", data=flow.asks(WEB)))
    assert (await flow.says(browser, page, "allow", *ticks_on(page))).told["code"]


async def test_server_client_secret_post(door: Door) -> None:
    made = await door.made(a_newcomer(token_endpoint_auth_method="client_secret_post"))
    code = await door.flow.code(made["client_id"], redirect_uri=NEWCOMERS, scope="openid")
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": NEWCOMERS}
    shown = {"client_id": made["client_id"], "client_secret": made["client_secret"]}
    verifier = "a-verifier-that-is-long-enough-to-be-one-of-them"
    answer = await door.flow.world.post("/token", {**form, **shown, "code_verifier": verifier})
    assert told_of(answer["id_token"], door.flow)["aud"] == made["client_id"]


# --- scopes ---------------------------------------------------------------------------------------------------------


async def _scope(flow: Flow, *names: str) -> None:
    """Scopes that are not in the metadata change nothing, and the answer says what was given."""
    told = await signed_in(flow, scope=f"openid {' '.join(names)}")
    known = (await flow.world.get("/.well-known/openid-configuration")).json["scopes_supported"]
    assert set(told["scope"].split()) == {"openid", *names} & set(known)
    claims = (await who(flow, told["access_token"])).json
    assert claims == ({"sub": "alice", "name": "Alice"} if "profile" in names else {"sub": "alice"})


async def test_scope_profile(flow: Flow) -> None:
    await _scope(flow, "profile")


async def test_scope_email(flow: Flow) -> None:
    await _scope(flow, "email")


async def test_scope_address(flow: Flow) -> None:
    await _scope(flow, "address")


async def test_scope_phone(flow: Flow) -> None:
    await _scope(flow, "phone")


async def test_scope_all(flow: Flow) -> None:
    await _scope(flow, "profile", "email", "address", "phone")


# --- what may be asked besides --------------------------------------------------------------------------------------


async def _passes(flow: Flow, **more: str) -> None:
    assert told_of((await signed_in(flow, **more))["id_token"], flow)["sub"] == "alice"


async def test_display_page(flow: Flow) -> None:
    await _passes(flow, display="page")


async def test_display_popup(flow: Flow) -> None:
    await _passes(flow, display="popup")


async def test_ui_locales(flow: Flow) -> None:
    await _passes(flow, ui_locales="se")


async def test_claims_locales(flow: Flow) -> None:
    await _passes(flow, claims_locales="se")


async def test_login_hint(flow: Flow) -> None:
    await _passes(flow, login_hint="bob@example.com")


async def test_ensure_request_with_acr_values_succeeds(flow: Flow) -> None:
    known = (await flow.world.get("/.well-known/openid-configuration")).json["acr_values_supported"]
    browser, alice = flow.stranger(), await flow.world.store.read(Person, "alice")
    assert alice is not None
    how = Entered(amr=BY_PASSWORD)
    browser.cookies.set(
        "__Host-deputize",
        await session.begin(alice, None, session.Settings(), flow.world.env, how=how),
        domain="as.example",
    )
    page = await flow.shown(browser, WEB, scope="openid", acr_values=" ".join(known))
    landing = await flow.says(browser, page, "allow", *ticks_on(page))
    assert told_of((await flow.redeem(landing.told["code"], WEB))["id_token"], flow)["acr"] == known[-1] == "pwd"


async def test_ensure_request_with_unknown_parameter_succeeds(flow: Flow) -> None:
    await _passes(flow, extra="foobar")


async def test_prompt_none_not_logged_in(flow: Flow) -> None:
    assert (await back(flow, flow.stranger(), scope="openid", prompt="none")).error == "login_required"


async def test_prompt_none_logged_in(flow: Flow) -> None:
    first = await signed_in(flow, scope="openid")
    landing = await back(flow, await flow.browser(), scope="openid", prompt="none")
    again = (await flow.redeem(landing.told["code"], WEB)).json
    told = [told_of(one["id_token"], flow) for one in (first, again)]
    assert [(one["sub"], one["auth_time"]) for one in told] == [("alice", flow.world.now)] * 2


async def _signs_in_again(flow: Flow, **changed: Any) -> None:
    await signed_in(flow, scope="openid")
    browser, before = await flow.browser(), flow.world.now
    flow.world.clock.forward(10)
    begun = await flow.begin(browser, WEB, scope="openid", **changed)
    assert begun.headers["location"].startswith("/sign-in?")
    where = field_on(await browser.get(begun.headers["location"]), "next")
    await flow.sign_in(browser)
    page = await browser.get(where)
    landed = re.search(r"code=([A-Za-z0-9_-]+)", page.headers.get("location", "") + page.text)
    assert landed is not None
    claims = told_of((await flow.redeem(landed[1], WEB))["id_token"], flow)
    assert claims["auth_time"] == before + 10


async def test_prompt_login(flow: Flow) -> None:
    await _signs_in_again(flow, prompt="login")


async def test_max_age_1(flow: Flow) -> None:
    await _signs_in_again(flow, max_age="1")


async def test_max_age_10000(flow: Flow) -> None:
    await signed_in(flow, scope="openid")
    browser, signed_in_at = await flow.browser(), flow.world.now
    flow.world.clock.forward(10)
    landing = await back(flow, browser, scope="openid", max_age="10000")
    assert told_of((await flow.redeem(landing.told["code"], WEB))["id_token"], flow)["auth_time"] == signed_in_at


async def test_id_token_hint(flow: Flow) -> None:
    hint = (await signed_in(flow, scope="openid"))["id_token"]
    landing = await back(flow, await flow.browser(), scope="openid", prompt="none", id_token_hint=hint)
    assert told_of((await flow.redeem(landing.told["code"], WEB))["id_token"], flow)["sub"] == "alice"


# --- the code -------------------------------------------------------------------------------------------------------


async def _used_twice(flow: Flow, seconds: int) -> None:
    code = await flow.code(WEB, scope="openid")
    token = (await flow.redeem(code, WEB))["access_token"]
    flow.world.clock.forward(seconds)
    assert (await flow.redeem(code, WEB, spends=("revoked", "family"))).told == (400, "invalid_grant")
    assert (await who(flow, token)).status == 401


async def test_codereuse(flow: Flow) -> None:
    await _used_twice(flow, 0)


async def test_codereuse_30seconds(flow: Flow) -> None:
    await _used_twice(flow, 30)


async def test_refresh_token(flow: Flow) -> None:
    told = await signed_in(flow)
    form = {"grant_type": "refresh_token", "refresh_token": told["refresh_token"]}
    flow.world.clock.forward(1)
    fresh = (await flow.world.post("/token", form, by=WEB)).json
    assert fresh["access_token"] != told["access_token"]
    assert (await who(flow, fresh["access_token"])).json == {"sub": "alice"}
    form["refresh_token"] = fresh["refresh_token"]
    assert (await flow.world.post("/token", form, by=TWO)).told == (400, "invalid_grant")


async def test_refresh_token_rp_key_rotation(door: Door) -> None:
    """The client registers another key: from then on that one is its own, and the one before is nobody's."""
    old, new = PrivateKey.generate(), PrivateKey.generate()

    def says(key: PrivateKey, **more: str) -> JsonObject:
        return a_newcomer(token_endpoint_auth_method="private_key_jwt", jwks={"keys": [key.public_jwk()]}, **more)

    made, flow = await door.made(says(old)), door.flow
    flow.world.keys[made["client_id"]] = old
    told = await signed_in(flow, made["client_id"], redirect_uri=NEWCOMERS)
    assert (await door.manages(made, "PUT", says(new, client_id=made["client_id"]))).status == 200
    form = {"grant_type": "refresh_token", "refresh_token": told["refresh_token"]}
    assert (await flow.world.post("/token", form, by=made["client_id"])).told == (401, "invalid_client")
    flow.world.keys[made["client_id"]] = new
    assert (await flow.world.post("/token", form, by=made["client_id"])).status == 200


# --- redirect URIs --------------------------------------------------------------------------------------------------


async def _goes_nowhere(flow: Flow, client: str, **changed: Any) -> None:
    """The browser is told so, and is not sent on."""
    answer = await flow.begin(await flow.browser(), client, **changed)
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_ensure_registered_redirect_uri(flow: Flow) -> None:
    await _goes_nowhere(flow, WEB, redirect_uri=f"{CALLBACK}/more")


async def test_ensure_redirect_uri_in_authorization_request(flow: Flow) -> None:
    await _goes_nowhere(flow, WEB, redirect_uri=None, scope="openid")


async def test_redirect_uri_query_ok(door: Door) -> None:
    uri = f"{NEWCOMERS}?foo=bar"
    made = await door.made(a_newcomer(redirect_uris=[uri]))
    landing = await door.flow.allowed(made["client_id"], redirect_uri=uri, scope="openid")
    assert (landing.where, landing.told["foo"]) == (NEWCOMERS, "bar")


async def test_redirect_uri_query_mismatch(door: Door) -> None:
    made = await door.made(a_newcomer(redirect_uris=[f"{NEWCOMERS}?foo=bar"]))
    await _goes_nowhere(door.flow, made["client_id"], redirect_uri=f"{NEWCOMERS}?bar=foo")


async def test_redirect_uri_query_added(door: Door) -> None:
    made = await door.made()
    await _goes_nowhere(door.flow, made["client_id"], redirect_uri=f"{NEWCOMERS}?foo=bar")


async def test_redirect_uri_regfrag(door: Door) -> None:
    answer = await door.says(a_newcomer(redirect_uris=[f"{NEWCOMERS}#foobar"]))
    assert answer.told == (400, "invalid_redirect_uri")


# --- request objects ------------------------------------------------------------------------------------------------


async def test_request_uri_unsigned_supported_correctly_or_rejected_as_unsupported(flow: Flow) -> None:
    told = (await flow.world.get("/.well-known/openid-configuration")).json
    assert told["request_uri_parameter_supported"] is False
    await _goes_nowhere(flow, WEB, request_uri="https://web.example/request.jwt")


async def test_request_uri_unsigned(flow: Flow) -> None:
    await test_request_uri_unsigned_supported_correctly_or_rejected_as_unsupported(flow)


async def test_request_uri_signed_rs256(flow: Flow) -> None:
    """Nothing is fetched from where a request says: what is signed comes itself, or is pushed."""
    key = PrivateKey.generate("RS256")
    await flow.world.change(Client, WEB, jwks=jwks(flow.world.keys[WEB], key))
    await _goes_nowhere(flow, WEB, request_uri="https://web.example/request.jwt#hash")
    assert (await pushed(flow, an_object(flow, key=key))).status == 201


async def test_unsigned_request_object_supported_correctly_or_rejected_as_unsupported(flow: Flow) -> None:
    told = (await flow.world.get("/.well-known/openid-configuration")).json
    assert "none" not in told["request_object_signing_alg_values_supported"]
    query = {"client_id": WEB, "request": an_object(flow, header={"alg": "none"})}
    answer = await (await flow.browser()).get("/authorize", params=query)
    assert (answer.status_code, "location" in answer.headers) == (400, False)


async def test_ensure_request_object_with_redirect_uri(flow: Flow) -> None:
    """The one inside counts; the one beside it is not read."""
    browser = await flow.browser()
    query = {"client_id": WEB, "request": an_object(flow), "redirect_uri": "https://evil.example/cb"}
    page = await flow.follow(browser, await browser.get("/authorize", params=query))
    assert (await flow.says(browser, page, "allow", *ticks_on(page))).where == CALLBACK


# --- registering ----------------------------------------------------------------------------------------------------


async def test_registration_logo_uri(door: Door) -> None:
    """It is taken, and no page shows it: their policy lets no picture of others in."""
    made = await door.made(a_newcomer(logo_uri="https://trips.example/logo.png"))
    page = await door.flow.shown(await door.flow.browser(), made["client_id"], redirect_uri=NEWCOMERS, scope=READ)
    assert "img-src 'self' data:;" in page.headers["content-security-policy"]
    assert "logo.png" not in page.text


async def test_registration_policy_uri(door: Door) -> None:
    assert (await door.made(a_newcomer(policy_uri="https://trips.example/policy")))["policy_uri"]


async def test_registration_tos_uri(door: Door) -> None:
    assert (await door.made(a_newcomer(tos_uri="https://trips.example/tos")))["tos_uri"]


async def test_server_rotate_keys(flow: Flow) -> None:
    before = (await signed_in(flow))["id_token"]
    first, second = flow.world.signer.all[0], PrivateKey.generate()
    flow.world.signer.all = (second, first)
    after = (await signed_in(flow, prompt="consent"))["id_token"]
    assert [jwt.peek(one, "x")[0].kid for one in (before, after)] == [first.kid, second.kid]
    shown = {key["kid"] for key in (await flow.world.get("/jwks")).json["keys"]}
    assert shown == {first.kid, second.kid}
    assert all(told_of(one, flow)["sub"] == "alice" for one in (before, after))


async def test_ensure_client_assertion_with_iss_aud_succeeds(flow: Flow) -> None:
    """The issuer as the audience: it is the only one that is taken."""
    claims = jwt.peek(flow.world.assertion(WEB), "x")[1]
    assert claims["aud"] == ISSUER
    assert (await flow.redeem(await flow.code(WEB), WEB)).status == 200


# --- nothing is forgotten -------------------------------------------------------------------------------------------


def test_each_module_is_mirrored_or_has_its_reason() -> None:
    if not MODULES.exists():
        pytest.skip(f"there is no {MODULES.name} here: the list lies beside the repository")
    text = MODULES.read_text(encoding="utf-8")
    excused = (ROOT / "docs" / "divergences.md").read_text(encoding="utf-8")
    missing = []
    for plan, count in PLANS.items():
        lines = text.partition(f"## oidcc-{plan}-certification-test-plan")[2].partition("\n## ")[0].splitlines()
        names = [line for line in lines if line.startswith("oidcc-")]
        assert len(names) == count
        missing += [
            name
            for name in names
            if f"test_{name.removeprefix('oidcc-').replace('-', '_').lower()}" not in globals()
            and f"`{name}`" not in excused
        ]
    assert not missing, missing
