"""Corpus AZ: Mallory sends Alice's browser to the authorization endpoint, with a request of her own making.

She wants an answer to go where she can read it, or Alice's yes to stand for more than Alice has read.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from typing import Any

import httpx2
import pytest

from deputize.core.ports import Replace
from deputize.core.wire import json_bytes
from deputize.jose.keys import PrivateKey
from deputize.oauth.asking import MAY_ASK
from deputize.oauth.authentication import SEEN_ENOUGH
from deputize.oauth.authorize import ALLOWED, CONSENTED, SIGNED_IN
from deputize.oauth.begun import ANSWERED_ONCE, KNOWN_CLIENT, Begun
from deputize.oauth.client import Client, Person, Resource
from deputize.oauth.grants.authorization_code import Code
from deputize.oauth.requested import (
    BRIEF,
    CODE_ONLY,
    MAX_AGE,
    MODE,
    ONCE,
    PKCE,
    PROMPT,
    REGISTERED_CODE,
    THUMBPRINT,
)
from tests.support.cast import CLAIM, INSURER, ORDER, PHARMACY, READ, a_purchase
from tests.support.flow import APP, AT, CALLBACK, ISSUER, OTHER_CALLBACK, TWO, WEB, Flow, Landing, query_of, ticks_on
from tests.support.pages import field_on
from tests.support.proofs import lets_through, stops


async def none_came_of_it(flow: Flow) -> None:
    for kind in (Begun, Code):
        assert await flow.world.store.select(kind, "", "") == [], "G2"


async def is_a_page(flow: Flow, answer: httpx2.Response) -> None:
    """`page 400`: shown to who is there, and nobody is sent anywhere."""
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert "location" not in answer.headers
    assert "refresh" not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    await none_came_of_it(flow)


async def goes_back(flow: Flow, answer: httpx2.Response, error: str, *, to: str = AT[APP]) -> Landing:
    """`redir err=…`: to the registered redirect URI, with the state and the issuer."""
    landing = Landing.of(answer)
    assert landing.where == to
    assert landing.error == error
    assert landing.told["state"] == "a state, as it is"
    assert landing.told["iss"] == ISSUER
    await none_came_of_it(flow)
    return landing


# --- whom an answer reaches -----------------------------------------------------------------------------------------


@stops(KNOWN_CLIENT)
async def test_az_01_an_unknown_or_disabled_client(flow: Flow) -> None:
    browser = await flow.browser()
    for name in ("nobody", "", None, "x" * 600, "\x07"):
        await is_a_page(flow, await flow.begin(browser, client_id=name))
    await flow.world.change(Client, APP, disabled_at=flow.world.now)
    await is_a_page(flow, await flow.begin(browser))


def _tampered(uri: str) -> Iterator[str]:
    yield uri.replace("web.example", "evil.example")  # AZ-02
    yield f"{uri}?x=1"  # AZ-03
    yield f"{uri}/"  # AZ-04
    yield f"{uri}/more"
    yield uri.replace("/cb", "/x/../cb")
    yield uri.replace("/cb", "/CB")
    yield uri.replace("/cb", "/%63b")
    yield uri.replace("https", "HTTPS")
    yield uri.replace("web.example", "WEB.example")
    yield uri.replace("https://", "https://user@")  # AZ-05
    yield uri.replace("https://web.example", "https://web.example@evil.example")
    yield uri.replace("web.example", "web.example:8443")
    yield uri.replace("web.example", "web.example:443")
    yield uri.replace("https", "http")
    yield f"{uri}#part"  # AZ-06
    yield f"{uri}%23part"
    yield uri.replace("https:", "")
    yield "https:evil.example"
    yield f"{uri}\t"
    yield f"{uri}\r\nx: y"
    yield "javascript:alert(1)"
    yield "*"


@pytest.mark.parametrize("uri", [*_tampered(CALLBACK)])
async def test_az_02_to_06_another_redirect_uri(flow: Flow, uri: str) -> None:
    await is_a_page(flow, await flow.begin(await flow.browser(), WEB, redirect_uri=uri))


async def test_az_03_a_registered_query_stays_as_it_is(flow: Flow) -> None:
    page = await flow.shown(await flow.browser(), TWO, redirect_uri=OTHER_CALLBACK, scope=CLAIM)
    landing = await flow.says(flow.browsers[-1], page, "allow", *ticks_on(page))
    assert landing.told["at"] == "1"
    for uri in ("https://two.example/cb", f"{OTHER_CALLBACK}&x=1", "https://two.example/cb?at=2"):
        answer = await flow.begin(flow.browsers[-1], TWO, redirect_uri=uri)
        assert answer.status_code == 400


async def test_az_07_two_are_registered_and_none_is_named(flow: Flow) -> None:
    await is_a_page(flow, await flow.begin(await flow.browser(), TWO, redirect_uri=None))


async def test_a_sole_redirect_uri_need_not_be_named_unless_an_id_token_is_wanted(flow: Flow) -> None:
    browser = await flow.browser()
    page = await flow.shown(browser, WEB, redirect_uri=None)
    landing = await flow.says(browser, page, "allow", *ticks_on(page))
    assert landing.where == CALLBACK
    again = await flow.begin(browser, WEB, redirect_uri=None, scope="openid")
    assert again.status_code == 400  # OpenID Connect Core, 3.1.2.1


async def test_az_08_of_a_native_client_the_port_floats_and_nothing_else(flow: Flow) -> None:
    browser = await flow.browser()
    assert (await flow.begin(browser, redirect_uri="http://127.0.0.1:61023/cb")).status_code == 303
    for uri in (
        "http://127.0.0.1:5001/other",
        "http://localhost:5001/cb",
        "http://[::1]:5001/cb",
        "https://127.0.0.1/cb",
    ):
        assert (await flow.begin(browser, redirect_uri=uri)).status_code == 400


async def test_az_09_a_scheme_of_an_apps_own(flow: Flow) -> None:
    await flow.world.change(Client, APP, redirect_uris=("com.example.app:/cb",))
    browser = await flow.browser()
    for uri in ("com.example.app2:/cb", "com.example.app:/cb/x", "com.example:/cb"):
        await is_a_page(flow, await flow.begin(browser, redirect_uri=uri))
    page = await flow.shown(browser, redirect_uri="com.example.app:/cb")
    assert "form-action 'self' com.example.app:;" in page.headers["content-security-policy"]
    landing = await flow.says(browser, page, "allow", *ticks_on(page))
    assert landing.where == "com.example.app:/cb"


# --- what is asked --------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "az-10 no response type": ({"response_type": None}, "invalid_request"),
    "az-10 token": ({"response_type": "token"}, "unsupported_response_type"),
    "az-10 id_token": ({"response_type": "id_token"}, "unsupported_response_type"),
    "az-10 hybrid": ({"response_type": "code id_token"}, "unsupported_response_type"),
    "az-10 unknown": ({"response_type": "x"}, "unsupported_response_type"),
    "az-11 fragment": ({"response_mode": "fragment"}, "invalid_request"),
    "az-11 unknown mode": ({"response_mode": "web_message"}, "invalid_request"),
    "az-12 no challenge": ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
    "az-13 plain": ({"code_challenge_method": "plain"}, "invalid_request"),
    "az-13 no method": ({"code_challenge_method": None}, "invalid_request"),
    "az-13 lower case": ({"code_challenge_method": "s256"}, "invalid_request"),
    "az-13 no challenge": ({"code_challenge": None}, "invalid_request"),
    "az-14 short": ({"code_challenge": "a" * 42}, "invalid_request"),
    "az-14 long": ({"code_challenge": "a" * 44}, "invalid_request"),
    "az-14 alphabet": ({"code_challenge": "a" * 42 + "="}, "invalid_request"),
    "az-16 nothing of it is known": ({"scope": "everything"}, "invalid_scope"),
    "az-16 no scope token": ({"scope": 'a"b'}, "invalid_scope"),
    "az-17 unknown resource": ({"resource": "https://evil.example"}, "invalid_target"),
    "az-17 relative": ({"resource": "/api"}, "invalid_target"),
    "az-17 with a fragment": ({"resource": f"{PHARMACY}#x"}, "invalid_target"),
    "az-17 another's": ({"resource": INSURER}, "invalid_target"),
    "az-18 no array": ({"authorization_details": "{}"}, "invalid_authorization_details"),
    "az-18 no JSON": ({"authorization_details": "["}, "invalid_authorization_details"),
    "az-18 unknown type": ({"authorization_details": '[{"type":"x"}]'}, "invalid_authorization_details"),
    "az-18 unknown field": (
        {"authorization_details": json_bytes([{**a_purchase(), "x": 1}]).decode()},
        "invalid_authorization_details",
    ),
    "az-20 none and more": ({"prompt": "none login"}, "invalid_request"),
    "az-20 an unknown prompt": ({"prompt": "create"}, "invalid_request"),
    "az-21 negative": ({"max_age": "-1"}, "invalid_request"),
    "az-21 no number": ({"max_age": "abc"}, "invalid_request"),
    "dpop_jkt": ({"dpop_jkt": "short"}, "invalid_request"),
    "long nonce": ({"nonce": "n" * 1025}, "invalid_request"),
    "long hint": ({"login_hint": "n" * 1025}, "invalid_request"),
    "az-23 an acr that we have not": ({"acr_values": "urn:gold"}, "unmet_authentication_requirements"),
}


@stops(
    CODE_ONLY,
    MODE,
    PKCE,
    PROMPT,
    MAX_AGE,
    THUMBPRINT,
    BRIEF,
    SEEN_ENOUGH,
)
@pytest.mark.parametrize("case", [*BAD])
async def test_az_10_to_23_what_is_wrong_goes_back_to_the_client(flow: Flow, case: str) -> None:
    changed, error = BAD[case]
    landing = await goes_back(flow, await flow.begin(await flow.browser(), **changed), error)
    assert "#" not in landing.where


@lets_through(CODE_ONLY, MODE, PKCE, PROMPT, MAX_AGE, THUMBPRINT, BRIEF, ONCE, KNOWN_CLIENT, REGISTERED_CODE)
async def test_a_good_request_with_all_that_it_may_have_is_shown(flow: Flow) -> None:
    page = await flow.shown(
        await flow.browser(),
        scope=f"openid profile {READ} unheard-of",
        response_mode="query",
        nonce="n" * 1024,
        prompt="consent",
        max_age="3600",
        login_hint="alice",
        acr_values="",
        dpop_jkt="A" * 43,
        display="popup",
        ui_locales="<b>de</b>",
        claims='{"id_token":{"acr":{"essential":true}}}',
        unheard_of="x",
    )
    assert page.status_code == 200, page.text
    assert len(ticks_on(page)) == 2  # reading, and the name; who she is goes with openid


@stops(REGISTERED_CODE)
async def test_a_client_that_is_not_registered_for_codes(flow: Flow) -> None:
    await flow.world.change(Client, APP, grant_types=frozenset({"refresh_token"}))
    await goes_back(flow, await flow.begin(await flow.browser()), "unauthorized_client")


@stops(ONCE)
async def test_az_15_what_decides_is_doubled_on_a_page_the_rest_goes_back(flow: Flow) -> None:
    browser = await flow.browser()
    for name in ("client_id", "redirect_uri", "state", "response_mode", "request_uri", "request"):
        more = f"&{name}=x" * (1 if name in flow.asks() else 2)
        await is_a_page(flow, await flow.begin(browser, more=more))
    for name in ("scope", "response_type", "code_challenge", "code_challenge_method", "nonce", "prompt", "unheard-of"):
        more = f"&{name}=x" * (1 if name in flow.asks() else 2)
        await goes_back(flow, await flow.begin(browser, more=more), "invalid_request")


async def test_az_15_bytes_that_are_no_form(flow: Flow) -> None:
    browser = await flow.browser()
    for more in (
        "&x=%",
        "&x=%zz",
        "&x=%ff",
        "&x=%00",
        "&" + "&".join(f"a{n}=1" for n in range(100)),
        "&x=" + "y" * 17000,
    ):
        await is_a_page(flow, await flow.begin(browser, more=more))


async def test_az_16_scope_is_narrowed_to_what_the_client_is_registered_for_and_that_is_told(flow: Flow) -> None:
    told = await flow.tokens(scope=f"{READ} {CLAIM} offline_access")
    assert told["scope"] == READ


async def test_az_16_a_client_without_any_scope_at_the_resource(flow: Flow) -> None:
    await flow.world.change(Client, APP, scope=frozenset())
    await goes_back(flow, await flow.begin(await flow.browser(), scope=None), "invalid_scope")


async def test_az_17_a_scope_that_leads_to_two_resources_names_one(flow: Flow) -> None:
    await flow.world.client(
        "ambiguous",
        audiences=frozenset({PHARMACY, INSURER}),
        redirect_uris=(CALLBACK,),
        grant_types=frozenset({"authorization_code"}),
        scope=frozenset({READ, CLAIM}),
    )
    browser = await flow.browser()
    for scope in (f"{READ} {CLAIM}", None):
        answer = await flow.begin(browser, "ambiguous", scope=scope)
        assert Landing.of(answer).error == "invalid_target"
    page = await flow.shown(browser, "ambiguous", scope=CLAIM)
    assert "Madrid Insurance" in page.text
    assert "Madrid Pharmacy" not in page.text


async def test_az_17_a_resource_that_was_switched_off(flow: Flow) -> None:
    await flow.world.change(Resource, PHARMACY, disabled_at=flow.world.now)
    await goes_back(flow, await flow.begin(await flow.browser(), resource=PHARMACY), "invalid_target")


async def test_az_18_details_over_sixteen_kilobytes(flow: Flow) -> None:
    many = json_bytes([{**a_purchase(), "item": "x" * 2000}] * 9).decode()
    answer = await flow.begin(await flow.browser(), authorization_details=many)
    assert answer.status_code in {303, 400}
    await none_came_of_it(flow)


# --- who is there ---------------------------------------------------------------------------------------------------


@stops(SIGNED_IN, CONSENTED)
async def test_az_19_nothing_may_be_shown(flow: Flow) -> None:
    await goes_back(flow, await flow.begin(flow.stranger(), WEB, prompt="none"), "login_required", to=CALLBACK)
    browser = await flow.browser()
    await goes_back(flow, await flow.begin(browser, WEB, prompt="none"), "consent_required", to=CALLBACK)


@lets_through(SIGNED_IN, CONSENTED)
async def test_az_19_nothing_need_be_shown_after_a_yes_that_covers_it(flow: Flow) -> None:
    await flow.allowed(WEB)
    browser = await flow.browser()
    landing = Landing.of(await flow.begin(browser, WEB, prompt="none", scope=READ))
    assert (await flow.redeem(landing.told["code"], WEB)).status == 200
    stranger = Landing.of(await flow.begin(flow.stranger(), WEB, prompt="none", scope=READ))
    assert stranger.error == "login_required"


async def test_az_20_the_page_is_shown_where_the_client_wants_it_so(flow: Flow) -> None:
    await flow.allowed(WEB)
    browser = await flow.browser()
    assert (await flow.begin(browser, WEB)).headers["location"].startswith(CALLBACK)
    assert (await flow.shown(browser, WEB, prompt="consent")).status_code == 200


@lets_through(SEEN_ENOUGH)
@pytest.mark.parametrize(
    "changed", [{"max_age": "0"}, {"prompt": "login"}, {"prompt": "select_account"}, {"max_age": "9"}]
)
async def test_az_21_who_signed_in_too_long_ago_signs_in_again_once(flow: Flow, changed: dict[str, Any]) -> None:
    browser = await flow.browser()
    flow.world.clock.forward(10)
    begun = await flow.begin(browser, **changed)
    assert begun.headers["location"].startswith("/sign-in?next=%2Fauthorize%2F")
    shown = await browser.get(begun.headers["location"])
    assert shown.status_code == 200  # although somebody is signed in
    where = field_on(shown, "next")
    assert (await browser.get(where)).headers["location"].startswith("/sign-in?")  # nobody has signed in since
    await flow.sign_in(browser)
    page = await browser.get(where)
    assert page.status_code == 200
    landing = await flow.says(browser, page, "allow", *ticks_on(page))
    token = await flow.redeem(landing.told["code"])
    assert token.status == 200


async def test_az_21_a_fresh_sign_in_is_enough(flow: Flow) -> None:
    assert (await flow.shown(await flow.browser(), max_age="60")).status_code == 200


@pytest.mark.parametrize("aged", [0, 24 * 3600])
async def test_az_22_a_hint_names_who_is_to_be_there(flow: Flow, aged: int) -> None:
    hint = (await flow.tokens(WEB, scope="openid"))["id_token"]
    flow.world.clock.forward(aged)
    alice, bob = await flow.browser("alice"), await flow.browser("bob")
    assert "code" in Landing.of(await flow.begin(alice, WEB, scope="openid", id_token_hint=hint)).told
    silent = Landing.of(await flow.begin(bob, WEB, scope="openid", id_token_hint=hint, prompt="none"))
    assert silent.error == "login_required"
    begun = await flow.begin(bob, WEB, scope="openid", id_token_hint=hint)
    where = field_on(await bob.get(begun.headers["location"]), "next")
    await flow.sign_in(bob, "bob")  # once more: it is still not Alice
    page = await bob.get(where)
    assert "error=login_required" in page.text
    assert "code=" not in page.text
    again = await flow.begin(bob, WEB, scope="openid", id_token_hint=hint)
    where = field_on(await bob.get(again.headers["location"]), "next")
    await flow.sign_in(bob, "alice")
    assert "code=" in (await bob.get(where)).text


async def test_az_22_a_hint_that_is_none_of_ours(flow: Flow) -> None:
    told = await flow.tokens(WEB, scope="openid")
    now, signer = flow.world.now, flow.world.signer.all[0]
    claims = {"iss": ISSUER, "sub": "alice", "aud": WEB, "iat": now, "exp": now + 300}
    browser = await flow.browser()

    async def lands(hint: str) -> Landing:
        return Landing.of(await flow.begin(browser, WEB, scope="openid", id_token_hint=hint))

    assert "code" in (await lands(flow.world.signed(claims, signer, "JWT"))).told
    for hint in (
        "x",
        told["id_token"].rpartition(".")[0] + ".",
        told["access_token"],
        flow.world.signed(claims, signer, "JWT", {"alg": "none"}),
        flow.world.signed(claims, PrivateKey.generate(), "JWT"),
        flow.world.signed({**claims, "iss": "https://evil.example"}, signer, "JWT"),
        flow.world.signed({**claims, "aud": APP}, signer, "JWT"),
        flow.world.signed({**claims, "iat": None}, signer, "JWT"),
    ):
        assert (await lands(hint)).error == "invalid_request"


async def test_az_24_a_posted_request_has_its_parameters_in_the_body_alone(flow: Flow) -> None:
    browser = await flow.browser()
    answer = await browser.post("/authorize?client_id=x", data=flow.asks())
    await is_a_page(flow, answer)
    begun = await browser.post("/authorize", data=flow.asks())  # from a client's page: no token of ours
    page = await flow.follow(browser, begun)
    assert page.status_code == 200
    for body, kind in ((b"{}", "application/json"), (b"x", "multipart/form-data")):
        assert (await browser.post("/authorize", content=body, headers={"content-type": kind})).status_code == 400
    assert (await browser.head("/authorize", params=flow.asks())).status_code == 405
    assert (await browser.put("/authorize", data=flow.asks())).status_code == 405


@pytest.mark.parametrize("what", ["person", "client", "policy", "taken back", "session"])
async def test_az_25_something_is_lost_between_the_page_and_the_answer(flow: Flow, what: str) -> None:
    await flow.allowed(WEB, scope=READ)
    browser = await flow.browser()
    page = await flow.shown(browser, WEB)
    before = len(await flow.world.store.select(Code, "", ""))
    if what == "person":
        await flow.world.change(Person, "alice", disabled_at=flow.world.now)
    elif what == "client":
        await flow.world.change(Client, WEB, disabled_at=flow.world.now)
    elif what == "policy":
        flow.world.policy.denied.add(WEB)
    elif what == "taken back":
        await flow.world.take_back(client=WEB)
    else:
        await flow.sign_in(browser, "bob")
    answer = await flow.sends(browser, page, "allow", *ticks_on(page))
    assert len(await flow.world.store.select(Code, "", "")) == before
    assert "code=" not in answer.text + answer.headers.get("location", "")


@lets_through(ALLOWED)
@stops(ALLOWED, MAY_ASK)
async def test_az_27_issuer_and_state_are_in_each_answer(flow: Flow) -> None:
    state = 'a "state" &=#+% ä\u2028'
    yes = await flow.allowed(state=state)
    assert set(yes.told) == {"code", "state", "iss"}
    assert (yes.told["state"], yes.told["iss"]) == (state, ISSUER)
    browser = await flow.browser()
    no = await flow.says(browser, await flow.shown(browser, state=state), "deny")
    assert (no.error, no.told["state"], no.told["iss"]) == ("access_denied", state, ISSUER)
    none = await flow.allowed(state=None)
    assert set(none.told) == {"code", "iss"}
    flow.world.policy.denied.add(APP)
    assert Landing.of(await flow.begin(browser, state=state)).error == "access_denied"


async def test_who_may_come_from_a_form_of_ours_is_sent_on_by_a_page(flow: Flow) -> None:
    """The policy of the sign-in page would stop a redirect that leads away from here."""
    await flow.allowed(WEB)
    browser = flow.stranger()
    form = await flow.shown(browser, WEB)
    await flow.sign_in(browser)
    page = await browser.get(field_on(form, "next"))
    assert page.status_code == 200
    found = re.search(r'content="0; url=([^"]*)"', page.text)
    assert found
    told = query_of(unescape(found[1]))
    assert set(told) == {"code", "state", "iss"}
    assert (await flow.redeem(told["code"], WEB)).status == 200


async def test_az_28_an_answer_leaves_by_303(flow: Flow) -> None:
    assert (await flow.allowed()).status == 303


async def test_az_29_the_page_that_follows_a_sign_in_is_ours(flow: Flow) -> None:
    browser = flow.stranger()
    for onward in (
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/authorize/../x",
        "/authorize/a/b",
        "/authorize?x",
    ):
        shown = await browser.get("/sign-in", params={"next": onward})
        assert 'name="next" value="/inbox"' in shown.text


async def test_az_30_two_requests_in_one_browser_are_not_mixed(flow: Flow) -> None:
    browser = await flow.browser()
    first = await flow.shown(browser, state="first", scope=READ)
    second = await flow.shown(browser, WEB, state="second", scope=ORDER, nonce="n")
    after = await flow.says(browser, second, "allow")
    before = await flow.says(browser, first, "allow")
    assert (before.where, before.told["state"]) == (AT[APP], "first")
    assert (after.where, after.told["state"]) == (CALLBACK, "second")
    assert (await flow.redeem(before.told["code"], APP)).json["scope"] == READ
    assert (await flow.redeem(after.told["code"], WEB)).json["scope"] == ORDER


async def test_az_26_the_pages_ask_who_is_there_each_time(flow: Flow) -> None:
    """A cookie that is nobody's session is nobody: what a half-finished sign-in leaves behind opens nothing."""
    browser = flow.stranger()
    browser.cookies.set("__Host-deputize", "A" * 43, domain="as.example", path="/")
    begun = await flow.begin(browser)
    assert begun.headers["location"].startswith("/sign-in?")


async def test_the_request_waits_while_alice_signs_in_and_no_longer_than_its_life(flow: Flow) -> None:
    browser = flow.stranger()
    begun = await flow.begin(browser, login_hint="alice")
    assert begun.headers["location"].startswith("/sign-in?next=%2Fauthorize%2F")
    form = await browser.get(begun.headers["location"])
    assert 'name="login" value="alice"' in form.text
    await flow.sign_in(browser)
    where = field_on(form, "next")
    page = await browser.get(where)
    assert page.status_code == 200
    flow.world.clock.forward(flow.world.here.authorize.life)
    assert (await browser.get(where)).status_code == 409
    assert (await browser.get("/authorize/nothing")).status_code == 409


@lets_through(ANSWERED_ONCE)
@stops(ANSWERED_ONCE)
async def test_a_request_is_answered_once(flow: Flow) -> None:
    browser = await flow.browser()
    page = await flow.shown(browser)
    await flow.says(browser, page, "allow", *ticks_on(page))
    for answer in ("allow", "deny"):
        again = await flow.sends(browser, page, answer, *ticks_on(page))
        assert again.status_code == 409
    assert len(await flow.world.store.select(Code, "", "")) == 1


async def test_a_request_without_scope_asks_for_the_resources_default(flow: Flow) -> None:
    whole = await flow.tokens(scope=None, resource=PHARMACY)
    assert whole["scope"] == f"{ORDER} {READ}"
    found = await flow.world.store.read(Resource, PHARMACY)
    assert found is not None
    assert await flow.world.store.commit(Replace(found, replace(found, default_scope=frozenset({READ}))))
    assert (await flow.tokens(scope=None))["scope"] == READ
