"""Corpus CO: Mallory wants Alice's yes for more than Alice has read, for another client, or without Alice."""

import asyncio
import json
from typing import Any

import httpx2
import pytest

from deputize.core.ports import Event
from deputize.core.values import ClientId, Subject
from deputize.core.wire import json_bytes
from deputize.oauth import standing
from deputize.oauth.asking import Ask
from deputize.oauth.client import Client, Resource
from deputize.oauth.grants.authorization_code import Code
from deputize.oauth.standing import Standing
from tests.attacks.test_pages_framing import CSP
from tests.attacks.test_pages_injection import PAYLOADS, PLAIN, _Shape
from tests.support.cast import ORDER, PHARMACY, READ, a_purchase
from tests.support.flow import APP, AT, CALLBACK, OTHER_CALLBACK, TWO, WEB, Flow, Landing, ticks_on
from tests.support.pages import SAME_ORIGIN, text_of, token_on


async def codes(flow: Flow) -> int:
    return len(await flow.world.store.select(Code, "", ""))


async def standing_of(flow: Flow, client: str) -> Standing | None:
    return await standing.find(Subject("alice"), ClientId(client), flow.world.env)


async def test_rc_08_of_several_first_yeses_at_once_one_standing_is_left(flow: Flow) -> None:
    browser = await flow.browser()
    pages = [await flow.shown(browser, scope=scope) for scope in (READ, ORDER, READ)]
    landed = await asyncio.gather(*(flow.says(browser, page, "allow", *ticks_on(page)) for page in pages))
    assert all("code" in one.told for one in landed)
    [kept] = await flow.world.store.select(Standing, "", "")
    assert {scope for one in kept.allowed for scope in one.scope} == {READ, ORDER}


# --- the form -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "x", None, "another's"])
async def test_co_01_a_form_without_this_sessions_secret(flow: Flow, token: str | None) -> None:
    browser = await flow.browser()
    page = await flow.shown(browser)
    fields = {"answer": "allow", "scope0": "1"}
    if token == "another's":
        fields["token"] = token_on(await flow.shown(await flow.browser()))
    elif token is not None:
        fields["token"] = token
    answer = await browser.post(str(page.url.raw_path, "ascii"), data=fields, headers=SAME_ORIGIN)
    assert answer.status_code == 403
    assert await codes(flow) == 0


@pytest.mark.parametrize(
    "headers",
    [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.example"}, {}],
)
async def test_co_02_a_form_from_elsewhere(flow: Flow, headers: dict[str, str]) -> None:
    browser = await flow.browser()
    page = await flow.shown(browser)
    fields = {"token": token_on(page), "answer": "allow", "scope0": "1"}
    answer = await browser.post(str(page.url.raw_path, "ascii"), data=fields, headers=headers)
    assert answer.status_code == 403
    assert await codes(flow) == 0


async def _answers(flow: Flow) -> list[httpx2.Response]:
    browser = await flow.browser()
    page = await flow.shown(browser)
    told = [page, await flow.sends(browser, page, "allow"), await flow.sends(browser, page, "allow", "scope0")]
    told += [await flow.sends(browser, page, "allow", "scope0"), await browser.get("/authorize")]
    told += [
        await flow.begin(browser, prompt="none"),
        await flow.begin(browser, response_mode="form_post", prompt="none"),
    ]
    return told


async def test_co_03_no_page_of_these_stands_in_a_frame(flow: Flow) -> None:
    for answer in await _answers(flow):
        assert answer.headers["x-frame-options"] == "DENY"
        policy = set(answer.headers["content-security-policy"].split("; "))
        assert CSP - policy <= {"form-action 'self'"}
        assert policy - CSP <= {"form-action 'self' http://127.0.0.1:5001"}


async def test_co_10_none_of_these_tells_another_where_alice_came_from(flow: Flow) -> None:
    for answer in await _answers(flow):
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers.get("access-control-allow-origin") is None


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_co_04_no_text_of_others_becomes_markup(flow: Flow, payload: str) -> None:
    shapes = []
    for text in (PLAIN, payload):
        typed = text.replace("\0", "")
        await flow.world.change(Client, APP, name=typed, how_known=typed)
        await flow.world.change(Resource, PHARMACY, name=typed, scopes={READ: typed})
        browser = await flow.browser()
        page = await flow.shown(browser, scope=READ, login_hint=typed, ui_locales=typed, state=typed)
        shape = _Shape(page)
        posted = _Shape(await flow.begin(browser, response_mode="form_post", prompt="none", state=typed))
        assert ("input", ("type", "name", "value")) in posted.tags
        shapes.append((shape.tags, posted.tags))
    assert shapes[0] == shapes[1]


async def test_co_05_the_request_decides_and_not_the_form(flow: Flow) -> None:
    browser = await flow.browser()
    page = await flow.shown(browser, scope=f"openid profile {READ}")
    more = {"scope": f"{READ} {ORDER}", "redirect_uri": "https://evil.example/", "scope9": "1", "detail0": "1"}
    landing = Landing.of(await flow.sends(browser, page, "allow", *ticks_on(page), **more))
    assert landing.where == AT[APP]
    assert (await flow.redeem(landing.told["code"])).json["scope"] == " ".join(sorted({"openid", "profile", READ}))
    other = await flow.shown(browser, scope=f"{READ} {ORDER}")
    landing = await flow.says(browser, other, "allow", "scope1")
    assert (await flow.redeem(landing.told["code"])).json["scope"] == READ


async def test_narrower_by_tick(flow: Flow) -> None:
    browser = await flow.browser()
    page = await flow.shown(browser, scope=f"openid profile {READ} {ORDER}")
    assert len(ticks_on(page)) == 3
    assert "know who you are" in page.text
    landing = await flow.says(browser, page, "allow", ticks_on(page)[1])
    told = (await flow.redeem(landing.told["code"])).json
    assert told["scope"] == f"openid {READ}"
    found = await standing_of(flow, APP)
    assert found is not None
    assert [once.scope for once in found.allowed] == [frozenset({"openid", READ})]


async def test_nothing_left_is_no_yes(flow: Flow) -> None:
    browser = await flow.browser()
    page = await flow.shown(browser)
    answer = await flow.sends(browser, page, "allow")
    assert answer.status_code == 400
    assert "Leave at least one thing ticked" in answer.text
    assert await codes(flow) == 0
    assert (await flow.sends(browser, page, "perhaps", "scope0")).status_code == 400


# --- what is remembered ---------------------------------------------------------------------------------------------


async def test_co_06_a_yes_covers_what_it_was_for_and_nothing_else(flow: Flow) -> None:
    await flow.allowed(TWO, scope=READ)
    browser = await flow.browser()

    async def asks_again(client: str = TWO, **changed: Any) -> bool:
        answer = await flow.begin(browser, client, **changed)
        return answer.headers["location"].startswith("/authorize/")

    assert not await asks_again(scope=READ)
    assert await asks_again(WEB, scope=READ)  # another client
    assert await asks_again(scope=READ, redirect_uri=OTHER_CALLBACK)  # another host
    assert await asks_again(scope=f"{READ} {ORDER}")  # wider
    assert await asks_again(scope=f"openid {READ}")
    assert await asks_again(scope=READ, authorization_details=json_bytes([a_purchase()]).decode())
    assert await asks_again(scope=READ, prompt="consent")
    flow.world.clock.forward(flow.world.here.asks.standing_life)
    await flow.sign_in(browser)
    assert await asks_again(scope=READ)  # its time is over


async def test_co_06_a_public_client_is_asked_for_each_time(flow: Flow) -> None:
    await flow.allowed(scope=READ)
    browser = await flow.browser()
    page = await flow.shown(browser, scope=READ)
    assert page.status_code == 200
    assert "Read your prescriptions" in text_of(page).replace("\N{NO-BREAK SPACE}", " ")  # what was allowed before
    assert Landing.of(await flow.begin(browser, scope=READ, prompt="none")).error == "consent_required"


async def test_co_06_a_yes_on_the_telephone_is_no_yes_in_a_browser(flow: Flow) -> None:
    await flow.world.change(
        Client, WEB, grant_types=frozenset({"authorization_code", "urn:openid:params:grant-type:ciba"})
    )
    await flow.world.allow(await flow.world.asked(by=WEB, scope=f"openid {READ}"))
    assert (await flow.shown(await flow.browser(), WEB, scope=READ)).status_code == 200


async def test_what_is_taken_back_ends_every_token_and_is_not_asked_for_again(flow: Flow) -> None:
    told = await flow.tokens(WEB)
    await flow.world.take_back(client=WEB)
    assert not await flow.world.is_active(told["access_token"])
    form = {"grant_type": "refresh_token", "refresh_token": told["refresh_token"]}
    assert (await flow.world.post("/token", form, by=WEB)).told == (400, "invalid_grant")
    browser = await flow.browser()
    page = await flow.shown(browser, WEB)
    assert page.status_code == 403
    assert "/agents" in page.text
    assert Landing.of(await flow.begin(browser, WEB, prompt="none")).error == "access_denied"
    await flow.world.welcome(client=WEB)
    flow.world.clock.forward(2)
    assert (await flow.shown(browser, WEB)).status_code == 200


async def test_what_was_answered_stands_in_the_inbox(flow: Flow) -> None:
    await flow.allowed(scope=READ)
    browser = await flow.browser()
    assert "Allowed" in text_of(await browser.get("/inbox"))
    [ask] = await flow.world.store.select(Ask, "person", "alice")
    page = await browser.get(f"/asks/{ask.page}")
    assert "You allowed this" in text_of(page)
    assert "read your prescriptions" in text_of(await browser.get("/agents"))


# --- answered once, by who is asked ---------------------------------------------------------------------------------


async def test_co_08_a_double_click_and_the_way_back(flow: Flow) -> None:
    browser = await flow.browser()
    page = await flow.shown(browser)
    await flow.says(browser, page, "allow", *ticks_on(page))
    second = await flow.sends(browser, page, "allow", *ticks_on(page))
    assert second.status_code == 409
    assert "already answered" in second.text
    assert (await browser.get(str(page.url.raw_path, "ascii"))).status_code == 409
    assert await codes(flow) == 1


async def test_co_09_a_no_is_told_and_nothing_of_it_stays(flow: Flow) -> None:
    browser = await flow.browser()
    landing = await flow.says(browser, await flow.shown(browser, WEB), "deny")
    assert landing.error == "access_denied"
    assert await codes(flow) == 0
    assert await standing_of(flow, WEB) is None
    assert (await flow.shown(browser, WEB)).status_code == 200
    events = {event.what for event in await flow.world.store.select(Event, "person", "alice")}
    assert "ask_denied" in events


async def test_bob_answers_for_himself_only(flow: Flow) -> None:
    """Who opens another's page is asked themselves: the request is nobody's before somebody answers it."""
    alice, bob = await flow.browser("alice"), await flow.browser("bob")
    page = await flow.shown(alice)
    where = str(page.url.raw_path, "ascii")
    mine = await bob.get(where)
    landing = await flow.says(bob, mine, "allow", *ticks_on(mine))
    token = await flow.redeem(landing.told["code"])
    introspected = await flow.world.post("/introspect", {"token": token["access_token"]}, by=PHARMACY)
    assert introspected["sub"] == "bob"
    assert (await flow.sends(alice, page, "allow", *ticks_on(page))).status_code == 409


async def test_no_secret_is_logged_or_told(flow: Flow) -> None:
    landing = await flow.allowed(WEB)
    await flow.redeem(landing.told["code"], WEB)
    events = [json.dumps(dict(event.told)) for event in await flow.world.store.select(Event, "", "", limit=1000)]
    everything = json.dumps(flow.world.logged, default=str) + "".join(events)
    assert landing.told["code"] not in everything


# --- how it is written ----------------------------------------------------------------------------------------------


async def test_the_page_says_first_what_was_verified_and_then_what_is_claimed(flow: Flow) -> None:
    await flow.world.change(Client, WEB, name="Your Bank")
    text = text_of(await flow.shown(await flow.browser(), WEB))
    assert text.index("web.example") < text.index("“Your Bank”")
    assert "for 30 days" in text or "30 days" in text
    assert "Answer goes to https://web.example" in text


async def test_of_an_app_on_the_persons_own_device_nothing_is_verified(flow: Flow) -> None:
    text = text_of(await flow.shown(await flow.browser()))
    assert "An app on this device" in text
    assert "Any program on it could be the one that asks" in text


async def test_form_post_brings_the_answer_in_a_form(flow: Flow) -> None:
    browser = await flow.browser()
    page = await flow.shown(browser, WEB, response_mode="form_post")
    answer = await flow.sends(browser, page, "allow", *ticks_on(page))
    assert answer.status_code == 200
    assert f'action="{CALLBACK}"' in answer.text
    assert 'name="code"' in answer.text
    assert 'name="iss" value="https://as.example"' in answer.text
    assert "form-action 'self' https://web.example;" in answer.headers["content-security-policy"]
