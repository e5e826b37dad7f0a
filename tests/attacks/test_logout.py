"""Who wants Alice signed out, or sent elsewhere, without her; and who is not told that she has gone."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from deputize.core.ports import Event
from deputize.jose.jwt import peek
from deputize.oauth import backchannel_logout
from deputize.oauth.backchannel_logout import PAUSE, TRIES_MAX, LogoutDue
from deputize.oauth.client import Client
from deputize.oauth.end_session import BRIEF
from deputize.oauth.registering import AFTER_LOGOUT, TOLD_OF_LOGOUT
from tests.attacks.test_pages_framing import CSP
from tests.attacks.test_pages_injection import PAYLOADS, PLAIN, _Shape
from tests.support.cast import READ
from tests.support.flow import TWO, WEB
from tests.support.logout import AFTER, Leaving, leaving_in
from tests.support.newcomers import a_door, a_newcomer
from tests.support.pages import SAME_ORIGIN, field_on, token_on
from tests.support.proofs import lets_through, stops


@pytest.fixture
async def leaving() -> AsyncIterator[Leaving]:
    async with leaving_in() as made:
        yield made


# --- at the page ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {}])
async def test_co_02_a_form_from_elsewhere_signs_nobody_out(leaving: Leaving, headers: dict[str, str]) -> None:
    browser = await leaving.flow.browser()
    page = await leaving.asks(browser)
    fields = {"token": token_on(page), "ticket": field_on(page, "ticket")}
    assert (await browser.post("/sign-out", data=fields, headers=headers)).status_code == 403
    assert await leaving.is_in(browser)


@pytest.mark.parametrize("token", ["", "x", "another's"])
async def test_co_01_nor_one_without_this_sessions_secret(leaving: Leaving, token: str) -> None:
    browser = await leaving.flow.browser()
    if token == "another's":
        token = token_on(await leaving.asks(await leaving.flow.browser("bob")))
    answer = await browser.post("/sign-out", data={"token": token}, headers=SAME_ORIGIN)
    assert (answer.status_code, await leaving.is_in(browser)) == (403, True)


async def test_a_hint_of_another_person_or_of_another_session_signs_nobody_out(leaving: Leaving) -> None:
    """Bob has an ID token of his own, and one of Alice's from her other browser was stolen."""
    browser, other = await leaving.flow.browser(), await leaving.flow.browser()
    for hint in (
        (await leaving.signed_in(await leaving.flow.browser("bob")))["id_token"],
        (await leaving.signed_in(other))["id_token"],
    ):
        page = await leaving.asks(browser, id_token_hint=hint, post_logout_redirect_uri=AFTER)
        assert "Sign out here?" in page.text
    assert await leaving.is_in(browser)
    assert await leaving.is_in(other)


async def test_az_29_without_a_hint_nobody_is_sent_anywhere_unasked(leaving: Leaving) -> None:
    answer = await leaving.asks(leaving.flow.stranger(), client_id=WEB, post_logout_redirect_uri=AFTER)
    assert answer.headers["location"] == "/sign-in"


@pytest.mark.parametrize("ticket", ["x", "a.b", "..", "x" * 5000])
async def test_a_ticket_that_is_not_ours_leads_nowhere(leaving: Leaving, ticket: str) -> None:
    browser = await leaving.flow.browser()
    assert (await browser.get("/sign-out", params={"ticket": ticket})).status_code == 403
    form = {"token": token_on(await leaving.asks(browser)), "ticket": ticket}
    assert (await browser.post("/sign-out", data=form, headers=SAME_ORIGIN)).status_code == 403
    assert await leaving.is_in(browser)


async def test_a_parameter_that_is_there_twice_is_no_request(leaving: Leaving) -> None:
    browser = await leaving.flow.browser()
    told = await browser.get(
        f"/end-session?post_logout_redirect_uri={AFTER}&post_logout_redirect_uri=https://evil.example"
    )
    assert told.status_code == 400
    both = await browser.post("/end-session?state=a", content="state=b")
    assert both.status_code == 400
    assert (
        await browser.post("/end-session", content="{}", headers={"content-type": "application/json"})
    ).status_code == 400


@lets_through(BRIEF)
@stops(BRIEF)
async def test_a_state_has_its_bounds(leaving: Leaving) -> None:
    browser = await leaving.flow.browser()
    good = await leaving.asks(browser, client_id=WEB, post_logout_redirect_uri=AFTER, state="s" * 1024)
    assert "Sign out here?" in good.text
    bad = await leaving.asks(browser, client_id=WEB, post_logout_redirect_uri=AFTER, state="s" * 1025)
    assert bad.status_code == 400


async def _answers(leaving: Leaving) -> list[httpx2.Response]:
    browser = await leaving.flow.browser()
    page = await leaving.asks(browser, client_id=WEB, post_logout_redirect_uri=AFTER)
    return [
        await browser.get(
            "/end-session", params={"client_id": WEB, "post_logout_redirect_uri": "https://evil.example"}
        ),
        page,
        await leaving.confirms(browser, page),
    ]


async def test_co_03_co_10_no_frame_and_no_trace(leaving: Leaving) -> None:
    for answer in await _answers(leaving):
        assert answer.headers["x-frame-options"] == "DENY"
        assert set(answer.headers["content-security-policy"].split("; ")) == CSP
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_co_04_no_text_of_others_becomes_markup(leaving: Leaving, payload: str) -> None:
    shapes = []
    for text in (PLAIN, payload):
        typed = text.replace("\0", "")[:1024]
        await leaving.flow.world.change(Client, WEB, name=typed)
        browser = await leaving.flow.browser()
        page = await leaving.asks(browser, client_id=WEB, post_logout_redirect_uri=AFTER, state=typed)
        shapes.append((_Shape(page).tags, _Shape(await leaving.confirms(browser, page)).tags))
    assert shapes[0] == shapes[1]


# --- who is told ----------------------------------------------------------------------------------------------------


async def test_whoever_asked_not_to_hear_is_not_told_and_gets_no_sid(leaving: Leaving) -> None:
    browser = await leaving.flow.browser()
    told = await leaving.signed_in(browser, TWO)
    assert "sid" not in peek(told["id_token"], "x")[1]
    await leaving.asks(browser, id_token_hint=told["id_token"])
    assert not await leaving.is_in(browser)
    assert await leaving.told() == []


async def test_each_way_of_signing_out_is_told(leaving: Leaving) -> None:
    """By herself, elsewhere from her account, and by Bob at the same browser."""
    first, second = await leaving.flow.browser(), await leaving.flow.browser()
    for browser in (first, second):
        await leaving.signed_in(browser)
    page = await first.get("/account")
    await first.post("/account/sessions/end", data={"token": token_on(page)}, headers=SAME_ORIGIN)
    assert len(await leaving.told()) == 1
    await leaving.flow.sign_in(first, "bob")
    told = await leaving.told()
    assert [one["sub"] for one in told] == ["alice", "alice"]
    assert len({one["sid"] for one in told}) == len({one["jti"] for one in told}) == 2


async def test_lg_05_signing_in_once_more_is_no_logout_and_the_client_hears_of_the_end(leaving: Leaving) -> None:
    browser = await leaving.flow.browser()
    await leaving.signed_in(browser)
    await leaving.flow.sign_in(browser)  # a step up: another cookie, the same sid
    assert len(await leaving.sids()) == 1
    assert await leaving.told() == []
    await leaving.confirms(browser, await leaving.asks(browser))
    assert len(await leaving.told()) == 1


async def test_a_client_that_does_not_answer_is_told_later_and_then_given_up(leaving: Leaving) -> None:
    browser, world = await leaving.flow.browser(), leaving.flow.world
    await leaving.signed_in(browser)
    await leaving.confirms(browser, await leaving.asks(browser))
    leaving.hearing.answers = [0, 500, 302, 503, 404, 0]
    for tries in range(1, TRIES_MAX + 1):
        assert len(await leaving.told()) == tries
        assert len(await leaving.told()) == tries  # not before its time
        world.clock.forward(PAUSE << tries)
    assert len(await leaving.told()) == TRIES_MAX
    [event] = [one for one in await world.store.select(Event, "client", WEB) if "told" in one.what]
    assert (event.what, event.told["tries"]) == ("client_not_told_of_logout", "6")


@pytest.mark.parametrize(("status", "what"), [(204, "client_told_of_logout"), (400, "client_not_told_of_logout")])
async def test_a_yes_and_a_no_are_the_end_of_it(leaving: Leaving, status: int, what: str) -> None:
    browser, world = await leaving.flow.browser(), leaving.flow.world
    await leaving.signed_in(browser)
    await leaving.confirms(browser, await leaving.asks(browser))
    leaving.hearing.answers = [status]
    await leaving.told()
    world.clock.forward(600)
    assert len(await leaving.told()) == 1
    assert [one.what for one in await world.store.select(Event, "client", WEB) if "told" in one.what] == [what]


async def test_of_many_workers_one_tells(leaving: Leaving) -> None:
    browser, world = await leaving.flow.browser(), leaving.flow.world
    await leaving.signed_in(browser)
    await leaving.confirms(browser, await leaving.asks(browser))
    [due] = await world.store.select(LogoutDue, "", "")
    told = await asyncio.gather(*(backchannel_logout.tell(due, world.here.issuer, world.env) for _ in range(5)))
    assert sorted(told) == [False] * 4 + [True]
    assert len(leaving.hearing.calls) == 1


async def test_a_client_that_is_gone_or_disabled_is_not_called(leaving: Leaving) -> None:
    browser = await leaving.flow.browser()
    await leaving.signed_in(browser)
    await leaving.confirms(browser, await leaving.asks(browser))
    await leaving.flow.world.change(Client, WEB, backchannel_logout_uri="")
    assert await leaving.told() == []
    assert await backchannel_logout.waiting(leaving.flow.world.env) == []


async def test_jw_22_a_logout_token_is_no_hint_and_no_assertion(leaving: Leaving) -> None:
    browser = await leaving.flow.browser()
    await leaving.signed_in(browser)
    await leaving.confirms(browser, await leaving.asks(browser))
    await leaving.told()
    [token] = leaving.hearing.tokens()
    back = await leaving.flow.browser()
    assert (await leaving.asks(back, id_token_hint=token)).status_code == 400
    assert await leaving.is_in(back)
    asked = await leaving.flow.begin(back, WEB, id_token_hint=token, scope=READ)
    assert "error=invalid_request" in asked.headers["location"]


# --- what a client may register -------------------------------------------------------------------------------------


@lets_through(AFTER_LOGOUT, TOLD_OF_LOGOUT)
async def test_a_client_says_where_people_go_and_where_it_hears() -> None:
    async with a_door() as door:
        said = {
            "post_logout_redirect_uris": ["https://app.example/bye"],
            "backchannel_logout_uri": "https://app.example/logout",
            "backchannel_logout_session_required": True,
        }
        answer = await door.says(a_newcomer() | said)
        assert (answer.status, {name: answer.json.get(name) for name in said}) == (201, said)
        client = await door.flow.world.store.read(Client, answer["client_id"])
        assert client is not None
        assert client.post_logout_redirect_uris == ("https://app.example/bye",)
        assert client.backchannel_logout_uri == "https://app.example/logout"


@pytest.mark.parametrize(
    "said",
    [
        {"post_logout_redirect_uris": ["http://app.example/bye"]},
        {"post_logout_redirect_uris": ["https://app.example/*"]},
        {"post_logout_redirect_uris": ["https://app.example/#x"]},
        {"post_logout_redirect_uris": ["javascript:alert(1)"]},
        {"post_logout_redirect_uris": "https://app.example/bye"},
        {"backchannel_logout_uri": "http://127.0.0.1/logout"},
        {"backchannel_logout_uri": "https://app.example/logout#x"},
        {"backchannel_logout_uri": "https://user@app.example/logout"},
        {"backchannel_logout_uri": ["https://app.example/logout"]},
    ],
)
@stops(AFTER_LOGOUT, TOLD_OF_LOGOUT)
async def test_and_no_place_that_could_be_another(said: dict[str, object]) -> None:
    async with a_door() as door:
        answer = await door.says(a_newcomer() | said)
        assert answer.told == (400, "invalid_client_metadata")
