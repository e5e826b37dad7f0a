"""The pages as a browser gets them."""

import hashlib
import re
from collections.abc import MutableMapping
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import httpx2
import pytest

from deputize.adapters.memory import MemoryStore
from deputize.core.ports import Change, Event, Replace
from deputize.core.rules import Fault, Refusal
from deputize.core.values import ClientId, Instant, Subject
from deputize.oauth import asking, standing
from deputize.oauth.asking import Answered, Ask, Collected, Waiting
from deputize.server.pages import PageSettings
from deputize.server.session import Session
from tests.support.pages import (
    BOT,
    PASSWORDS,
    QUICK,
    SAME_ORIGIN,
    SENTENCE,
    World,
    copied,
    send,
    sign_in,
    text_of,
    token_on,
)

ALICE = Subject("alice")


async def _world() -> World:
    return await World().with_people()


class _Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


# --- signing in and out -----------------------------------------------------------------------------------------


async def test_who_is_not_signed_in_is_led_to_the_sign_in_and_back() -> None:
    world = await _world()
    ask = await world.asked()
    browser = world.browser()
    away = await browser.get(f"/asks/{ask.page}")
    assert (away.status_code, away.headers["location"]) == (303, f"/sign-in?next=/asks/{ask.page}")
    answer = await sign_in(browser, "alice", PASSWORDS["alice"], onward=f"/asks/{ask.page}")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/asks/{ask.page}")
    assert SENTENCE in text_of(await browser.get(answer.headers["location"]))


async def test_home_is_the_inbox() -> None:
    world = await _world()
    browser = world.browser()
    assert (await browser.get("/")).headers["location"] == "/sign-in"
    browser = await world.signed_in()
    assert (await browser.get("/")).headers["location"] == "/inbox"
    assert (await browser.get("/sign-in")).headers["location"] == "/inbox"


async def test_the_form_shows_again_what_was_typed_but_never_the_password() -> None:
    world = await _world()
    answer = await sign_in(world.browser(), "alice", "a wrong password")
    assert answer.status_code == 403
    assert "do not belong together" in text_of(answer)
    assert 'value="alice"' in answer.text
    assert "a wrong password" not in answer.text


@pytest.mark.parametrize("fields", [{}, {"login": "alice"}, {"password": "x"}, {"login": "", "password": ""}])
async def test_an_empty_form_is_shown_again(fields: dict[str, str]) -> None:
    """LG-11: no stage of signing in is skipped by leaving a field out."""
    world = await _world()
    browser = world.browser()
    answer = await send(browser, "/sign-in", **fields)
    assert answer.status_code == 400
    assert "type your login and your password" in text_of(answer)
    assert (await browser.get("/inbox")).status_code == 303


async def test_after_signing_out_the_cookie_opens_nothing() -> None:
    """LG-07: wherever the cookie was copied to."""
    world = await _world()
    browser = await world.signed_in()
    thief = world.browser()
    copied(browser, into=thief)
    assert (await thief.get("/inbox")).status_code == 200
    out = await send(browser, "/sign-out", shown_at="/inbox")
    assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
    assert "Max-Age=0" in out.headers["set-cookie"]
    assert (await thief.get("/inbox")).status_code == 303
    assert "__Host-deputize" not in dict(browser.cookies)


async def test_a_person_who_was_disabled_is_out_at_once() -> None:
    world = await _world()
    browser = await world.signed_in()
    alice = await world.person("alice")
    assert await world.env.store.commit(Replace(alice, replace(alice, disabled_at=world.env.clock())))
    assert (await browser.get("/inbox")).status_code == 303


async def test_an_open_inbox_keeps_nobody_signed_in() -> None:
    """LG-08: a page that looks for news does nothing; a person who reads does."""
    world = await _world()
    looking, reading = await world.signed_in(), await world.signed_in()
    for _ in range(70):
        world.fixed.forward(60)
        await looking.get("/inbox/waiting")
        await reading.get("/inbox")
    out = await looking.get("/inbox/waiting", headers={"hx-request": "true"})
    assert (out.status_code, out.headers["hx-redirect"]) == (204, "/sign-in")
    assert (await reading.get("/inbox")).status_code == 200


async def test_times_outlast_a_restart() -> None:
    """LG-08: they are stored, and not counted from when a process began."""
    world = await _world()
    browser = await world.signed_in()
    world.fixed.forward(3600)
    again = World(store=world.env.store, clock=world.fixed)
    later = again.browser()
    copied(browser, into=later)
    assert (await later.get("/inbox")).status_code == 303


# --- the inbox ----------------------------------------------------------------------------------------------------


async def test_the_inbox_says_what_waits_and_what_was_lately() -> None:
    world = await _world()
    browser = await world.signed_in()
    denied = await world.asked(by=BOT)
    await asking.answer(denied, by=ALICE, allow=False, env=world.env, via="test")
    waiting = await world.asked()
    text = text_of(await browser.get("/inbox"))
    assert "1 question is waiting for you." in text
    now, lately = text.split("Lately")
    assert SENTENCE in now
    assert "5 minutes left" in now
    assert "An agent of Madrid Pharmacy, registered by your administrator" in now
    assert SENTENCE in lately
    assert "Denied · just now" in lately
    assert f"/asks/{waiting.page}" in (await browser.get("/inbox")).text


async def test_an_empty_inbox_says_that_questions_appear_by_themselves() -> None:
    world = await _world()
    browser = await world.signed_in()
    assert "appears here by itself" in text_of(await browser.get("/inbox"))


async def test_an_open_inbox_is_sent_something_only_where_something_is_new() -> None:
    world = await _world()
    browser = await world.signed_in()
    page = await browser.get("/inbox")
    news = _news_of(page)
    assert (await browser.get(news)).status_code == 204
    await world.asked()
    told = await browser.get(news)
    assert SENTENCE in text_of(told)
    assert "hx-swap-oob" in told.text  # how many there are is announced
    assert "<title>(1) Inbox" in told.text
    news = _news_of(told)
    assert (await browser.get(news)).status_code == 204
    world.fixed.forward(61)
    told = await browser.get(news)
    assert "3 minutes left" in text_of(told)
    assert "hx-swap-oob" not in told.text  # nothing to announce: only time went by
    world.fixed.forward(300)
    assert "appears here by itself" in text_of(await browser.get(_news_of(told)))


def _news_of(page: httpx2.Response) -> str:
    found = re.search(r'hx-get="([^"]+)" hx-trigger="every 1s"', page.text)
    assert found
    return found[1]


async def test_what_waits_is_found_behind_many_that_have_expired() -> None:
    world = await _world()
    browser = await world.signed_in()
    for _ in range(5):
        for _ in range(29):
            await world.asked()
        world.fixed.forward(301)
    ask = await world.asked()
    assert f"/asks/{ask.page}" in (await browser.get("/inbox")).text.partition("Lately")[0]


# --- one ask --------------------------------------------------------------------------------------------------------


async def test_the_page_sets_what_was_checked_apart_from_what_was_only_said() -> None:
    world = await _world()
    browser = await world.signed_in()
    ask = await world.asked(words="Your pack runs out.", reason="The order costs more than €10.")
    page = await browser.get(f"/asks/{ask.page}")
    text = text_of(page)
    assert SENTENCE in text
    assert "Madrid Pharmacy says The order costs more than €10." in text
    assert "pharmacy-bot says, in its own words Your pack runs out. Nobody has checked this." in text
    assert "<blockquote>Your pack runs out.</blockquote>" in page.text
    assert "POST /orders at pharmacy.example" in text.partition("The small print")[2]


async def test_allow_and_deny_are_the_same_button() -> None:
    world = await _world()
    browser = await world.signed_in()
    ask = await world.asked()
    tags = _Tags((await browser.get(f"/asks/{ask.page}")).text)
    answers = [one for one in tags.named("button") if one.get("name") == "answer"]
    assert answers == [
        {"name": "answer", "value": "deny", "type": "submit"},
        {"name": "answer", "value": "allow", "type": "submit"},
    ]


@pytest.mark.parametrize(
    ("answer", "says", "event"),
    [("allow", "You allowed this", "ask_allowed"), ("deny", "You denied this", "ask_denied")],
)
async def test_an_answer_is_kept_noted_and_told(answer: str, says: str, event: str) -> None:
    world = await _world()
    browser = await world.signed_in()
    ask = await world.asked()
    answered = await send(browser, f"/asks/{ask.page}", answer=answer)
    assert (answered.status_code, answered.headers["location"]) == (303, f"/asks/{ask.page}")
    kept = await world.now_of(ask)
    assert isinstance(kept.state, Answered)
    assert (kept.state.allowed is not None) == (answer == "allow")
    page = await browser.get(f"/asks/{ask.page}")
    assert f"{says} just now" in text_of(page)
    assert 'name="answer"' not in page.text
    events = [one for one in await world.env.store.select(Event, "person", "alice") if one.what == event]
    assert [one.told["via"] for one in events] == ["the page"]


@pytest.mark.parametrize("fields", [{}, {"answer": ""}, {"answer": "yes"}, {"answer": "ALLOW"}])
async def test_what_is_no_answer_changes_nothing(fields: dict[str, str]) -> None:
    world = await _world()
    browser = await world.signed_in()
    ask = await world.asked()
    assert (await send(browser, f"/asks/{ask.page}", **fields)).status_code == 400
    assert await world.now_of(ask) == ask


async def test_an_expired_ask_says_so_and_takes_no_answer() -> None:
    world = await _world()
    browser = await world.signed_in()
    ask = await world.asked()
    shown = await browser.get(f"/asks/{ask.page}")
    world.fixed.forward(300)
    late = await browser.post(
        f"/asks/{ask.page}", data={"token": token_on(shown), "answer": "allow"}, headers=SAME_ORIGIN
    )
    assert late.status_code == 200  # the page itself, which says what has become of it
    assert "This question expired" in text_of(late)
    assert isinstance((await world.now_of(ask)).state, Waiting)


async def test_an_open_ask_tells_by_itself_what_becomes_of_it() -> None:
    world = await _world()
    browser = await world.signed_in()
    ask = await world.asked()
    page = await browser.get(f"/asks/{ask.page}")
    news = _news_of(page)
    assert (await browser.get(news)).status_code == 204
    world.fixed.forward(61)
    told = await browser.get(news)
    assert (text_of(told), "hx-retarget" in told.headers) == ("3 minutes left to answer", False)
    await asking.answer(ask, by=ALICE, allow=True, env=world.env, via="the command line")
    told = await browser.get(_news_of(told))
    assert told.headers["hx-retarget"] == "#ask"
    assert "You allowed this just now" in text_of(told)
    kept = await world.now_of(ask)
    assert await world.env.store.commit(Replace(kept, replace(kept, state=Collected(world.env.clock()))))
    told = await browser.get(_news_of(told))
    assert "pharmacy-bot has your answer" in text_of(told)
    assert "hx-get" not in told.text  # nothing can change any more


async def test_what_stands_for_thirty_days_says_how_to_end_it() -> None:
    world = await _world()
    browser = await world.signed_in()
    ask = await world.asked_to_read()
    await send(browser, f"/asks/{ask.page}", answer="allow")
    assert "You can take it back at any time under My agents" in text_of(await browser.get(f"/asks/{ask.page}"))
    covered = await world.asked_to_read()
    assert "You had allowed this already" in text_of(await browser.get(f"/asks/{covered.page}"))


async def test_a_resource_and_a_client_that_are_gone_still_have_a_page() -> None:
    world = await _world()
    browser = await world.signed_in()
    ask = await world.asked(by="gone-bot")
    page = await browser.get(f"/asks/{ask.page}")
    assert page.status_code == 200
    assert "gone-bot wants to" in text_of(page)


# --- my agents ------------------------------------------------------------------------------------------------------


async def _stand(world: World) -> standing.Standing:
    found = await standing.find(ALICE, ClientId(BOT), world.env)
    assert found is not None
    return found


async def test_my_agents_says_what_each_may_and_until_when() -> None:
    world = await _world()
    browser = await world.signed_in()
    assert "You have allowed nothing yet" in text_of(await browser.get("/agents"))
    once, reading = await world.asked(), await world.asked_to_read()
    await asking.answer(once, by=ALICE, allow=True, env=world.env, via="test")
    assert "It may do nothing without asking" in text_of(await browser.get("/agents"))
    await asking.answer(reading, by=ALICE, allow=True, env=world.env, via="test")
    text = text_of(await browser.get("/agents"))
    assert "read your prescriptions at Madrid Pharmacy until 14 February 2027, 30 days from now" in text
    assert "Since 15 January 2027" in text


async def test_taking_back_takes_effect_at_once_and_says_so() -> None:
    world = await _world()
    browser = await world.signed_in()
    ask = await world.asked_to_read()
    await send(browser, f"/asks/{ask.page}", answer="allow")
    issued_at = world.env.clock()
    answer = await send(browser, f"/agents/{BOT}/take-back", shown_at="/agents")
    assert (answer.status_code, answer.headers["location"]) == (303, "/agents")
    assert not (await _stand(world)).lets_live(issued_at)
    text = text_of(await browser.get("/agents"))
    assert "You took everything back just now. It took effect at once" in text
    with pytest.raises(Refusal):
        await world.asked()


async def test_an_agent_that_was_stopped_may_be_let_ask_again_and_is_allowed_nothing_by_it() -> None:
    world = await _world()
    browser = await world.signed_in()
    ask = await world.asked_to_read()
    await send(browser, f"/asks/{ask.page}", answer="allow")
    issued_at = world.env.clock()
    await send(browser, f"/agents/{BOT}/take-back", shown_at="/agents")
    assert (await send(browser, f"/agents/{BOT}/welcome", shown_at="/agents")).status_code == 303
    kept = await _stand(world)
    assert (kept.allowed, kept.taken_back_at, kept.lets_live(issued_at)) == ((), None, False)
    assert isinstance((await world.asked()).state, Waiting)


async def test_taking_back_twice_is_taking_back_once() -> None:
    world = await _world()
    browser = await world.signed_in()
    ask = await world.asked_to_read()
    await send(browser, f"/asks/{ask.page}", answer="allow")
    await send(browser, f"/agents/{BOT}/take-back", shown_at="/agents")
    first = await _stand(world)
    world.fixed.forward(10)
    assert (await send(browser, f"/agents/{BOT}/take-back", shown_at="/agents")).status_code == 303
    assert await _stand(world) == first


async def test_an_ask_of_a_stopped_agent_cannot_be_allowed_but_denied() -> None:
    world = await _world()
    browser = await world.signed_in()
    ask = await world.asked_to_read()
    await send(browser, f"/asks/{ask.page}", answer="allow")
    open_one = await world.asked()
    await send(browser, f"/agents/{BOT}/take-back", shown_at="/agents")
    no = await send(browser, f"/asks/{open_one.page}", answer="allow")
    assert no.status_code == 403
    assert "first let it ask again under My agents" in text_of(no)
    assert isinstance((await world.now_of(open_one)).state, Waiting)
    assert (await send(browser, f"/asks/{open_one.page}", answer="deny")).status_code == 303


async def test_an_agent_whose_name_is_an_address_has_its_own_buttons() -> None:
    world = await _world()
    name = "https://bot.example/who?a=b&c=/d"
    await world.with_client("bot.example", "vouches for itself", key=name)
    browser = await world.signed_in()
    ask = await world.asked(by=name)
    await send(browser, f"/asks/{ask.page}", answer="allow")
    page = await browser.get("/agents")
    action = next(one["action"] for one in _Tags(page.text).named("form") if one["action"].endswith("take-back"))
    answer = await browser.post(action, data={"token": token_on(page)}, headers=SAME_ORIGIN)
    assert answer.status_code == 303
    found = await standing.find(ALICE, ClientId(name), world.env)
    assert found is not None
    assert found.taken_back_at == world.env.clock()


async def test_an_agent_that_was_never_allowed_has_nothing_to_take_back() -> None:
    world = await _world()
    browser = await world.signed_in()
    for verb in ("take-back", "welcome"):
        assert (await send(browser, f"/agents/{BOT}/{verb}", shown_at="/inbox")).status_code == 404


# --- the frame ------------------------------------------------------------------------------------------------------


async def test_what_a_browser_may_keep_for_ever_is_named_by_what_is_in_it() -> None:
    world = await _world()
    browser = world.browser()
    tags = _Tags((await browser.get("/sign-in")).text)
    addresses = [one["href"] for one in tags.named("link")]
    assert len(addresses) == 2
    for address in addresses:
        found = await browser.get(address)
        assert found.status_code == 200
        assert "immutable" in found.headers["cache-control"]
        assert found.headers["content-encoding"] == "gzip"
        plain = await browser.get(address, headers={"accept-encoding": "identity"})
        assert (plain.content, "content-encoding" in plain.headers) == (found.content, False)
    for path in ("/static/deputize.css", "/static/nothing", "/static/..%2fpages.py", "/static/"):
        assert (await browser.get(path)).status_code == 404


async def test_the_one_foreign_script_is_the_one_that_was_looked_at() -> None:
    """It is htmx 2.0.11 as npm has it; whoever brings another version changes this line and looks at what it does."""
    world = await _world()
    browser = await world.signed_in()
    (script,) = _Tags((await browser.get("/inbox")).text).named("script")
    found = (await browser.get(script["src"])).content
    assert hashlib.sha256(found).hexdigest() == "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"


async def test_pages_begin_where_the_issuer_does() -> None:
    world = await World(issuer="https://as.example/tenant").with_people()
    browser = world.browser()
    shown = await browser.get("/tenant/sign-in")
    fields = {"token": token_on(shown), "login": "alice", "password": PASSWORDS["alice"]}
    answer = await browser.post("/tenant/sign-in", data=fields, headers=SAME_ORIGIN)
    assert answer.headers["location"] == "/tenant/inbox"
    page = await browser.get("/tenant/inbox")
    assert page.status_code == 200
    links = {one["href"] for one in _Tags(page.text).named("a")} - {"#main"}
    assert all(link.startswith("/tenant/") for link in links)
    assert (await browser.get("/inbox")).status_code == 404
    assert (await world.browser().get("/tenant/agents")).headers["location"] == "/tenant/sign-in?next=/agents"


@pytest.mark.parametrize(
    ("path", "status"), [("/nowhere", 404), ("/inbox/", 404), ("/asks/", 404), ("/sign-in/code", 405)]
)
async def test_an_address_that_leads_nowhere_has_a_page(path: str, status: int) -> None:
    world = await _world()
    browser = await world.signed_in()
    page = await browser.get(path)
    assert page.status_code == status
    assert "Go to the inbox" in text_of(page)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"a=1&a=2", "application/x-www-form-urlencoded"),
        (b"a=%zz", "application/x-www-form-urlencoded"),
        (b"a=%ff", "application/x-www-form-urlencoded"),
        (b"{}", "application/json"),
        (b"--x", "multipart/form-data; boundary=x"),
        (b"a=" + b"x" * 70_000, "application/x-www-form-urlencoded"),
    ],
)
async def test_a_form_that_is_none_is_refused_with_a_page(content: bytes, kind: str) -> None:
    world = await _world()
    browser = await world.signed_in()
    for path in ("/sign-in", "/sign-out", "/asks/x", f"/agents/{BOT}/take-back"):
        answer = await browser.post(path, content=content, headers={**SAME_ORIGIN, "content-type": kind})
        assert answer.status_code == 400
        assert "Nothing was changed" in text_of(answer)


async def test_where_the_store_cannot_a_page_says_so() -> None:
    class Away:
        def __init__(self, *, retry: bool) -> None:
            self.retry = retry

        async def read(self, *_: object) -> object:
            raise Fault("the disk is full", retry=self.retry)

    for retry, status in ((True, 503), (False, 500)):
        world = World(store=Away(retry=retry))  # type: ignore[arg-type]
        browser = world.browser()
        browser.cookies.set("__Host-deputize", "v" * 43, domain="as.example")
        page = await browser.get("/inbox")
        assert (page.status_code, page.headers.get("retry-after")) == (status, "5" if retry else None)
        assert "the disk is full" not in page.text


async def test_a_bug_is_told_in_general() -> None:
    class Broken:
        async def read(self, *_: object) -> object:
            raise ZeroDivisionError("eight green bottles")

    world = World(store=Broken())  # type: ignore[arg-type]
    transport = httpx2.ASGITransport(app=world.app, raise_app_exceptions=False)
    browser = httpx2.AsyncClient(transport=transport, base_url="https://as.example")
    browser.cookies.set("__Host-deputize", "v" * 43, domain="as.example")
    page = await browser.get("/inbox")
    assert page.status_code == 500
    assert page.headers["x-frame-options"] == "DENY"
    assert "green" not in page.text


async def test_who_goes_away_in_the_middle_of_a_form_is_no_bug() -> None:
    world = await _world()
    told: list[dict[str, object]] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/sign-in",
        "query_string": b"",
        "headers": [(b"content-type", b"application/x-www-form-urlencoded")],
        "client": ("192.0.2.1", 1),
    }
    begun: dict[str, object] = {"type": "http.request", "body": b"log", "more_body": True}
    gone: dict[str, object] = {"type": "http.disconnect"}
    messages = iter((begun, gone))

    async def receive() -> dict[str, object]:
        return next(messages)

    async def hear(message: MutableMapping[str, Any]) -> None:
        told.append(dict(message))

    await world.app(scope, receive, hear)
    assert told[0]["status"] == 400


async def test_a_standing_that_changes_all_the_time_ends_in_a_page() -> None:
    class Busy(MemoryStore):
        busy = False

        async def commit(self, *changes: Change) -> bool:
            return not self.busy and await super().commit(*changes)

    store = Busy()
    world = await World(store=store).with_people()
    browser = await world.signed_in()
    ask = await world.asked_to_read()
    await send(browser, f"/asks/{ask.page}", answer="allow")
    token = token_on(await browser.get("/agents"))
    store.busy = True
    answer = await browser.post(f"/agents/{BOT}/take-back", data={"token": token}, headers=SAME_ORIGIN)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


# --- words, and who cannot see them ---------------------------------------------------------------------------------

_JARGON = re.compile(r"\b(tokens?|clients?|scopes?|oauth|grants?|null|none|undefined|api)\b", re.IGNORECASE)


async def _all_pages(world: World) -> list[httpx2.Response]:
    browser = await world.signed_in()
    reading, denied, waiting = await world.asked_to_read(), await world.asked(), await world.asked(words="Please.")
    await send(browser, f"/asks/{reading.page}", answer="allow")
    await send(browser, f"/asks/{denied.page}", answer="deny")
    pages = [await browser.get(path) for path in ("/inbox", "/agents", "/nowhere")]
    pages += [await browser.get(f"/asks/{ask.page}") for ask in (reading, denied, waiting)]
    pages += [await send(browser, f"/asks/{denied.page}", shown_at="/inbox", answer="allow")]
    await send(browser, f"/agents/{BOT}/take-back", shown_at="/agents")
    pages += [await browser.get("/agents"), await world.browser().get("/sign-in")]
    pages += [await sign_in(world.browser(), "alice", "wrong"), await browser.post("/sign-out")]
    return pages


async def test_no_page_speaks_our_jargon() -> None:
    for page in await _all_pages(await _world()):
        assert not _JARGON.search(text_of(page)), text_of(page)


async def test_each_page_can_be_read_aloud_and_used_by_keyboard() -> None:
    for page in await _all_pages(await _world()):
        tags = _Tags(page.text)
        assert tags.named("html") == [{"lang": "en"}]
        assert len(tags.named("title")) == 1
        levels = [int(tag[1]) for tag, _ in tags.tags if re.fullmatch(r"h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        labelled = {one["for"] for one in tags.named("label")}
        fields = [one for one in tags.named("input") if one.get("type") != "hidden"]
        assert {one["id"] for one in fields} == labelled
        assert all(one.get("type") == "submit" for one in tags.named("button"))
        ids = [told["id"] for _, told in tags.tags if "id" in told]
        assert len(set(ids)) == len(ids)
        assert not any("style" in told or any(name.startswith("on") for name in told) for _, told in tags.tags)


_COLOURS = re.compile(r"--(paper|card|ink|soft|accent|accent-soft): (#[0-9a-f]{6})")


def _luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


async def test_type_stands_out_from_its_ground_in_light_and_dark() -> None:
    """WCAG 2.2, 1.4.3 (AA): at least 4.5 to 1."""
    world = await _world()
    browser = world.browser()
    sheet = next(
        one["href"] for one in _Tags((await browser.get("/sign-in")).text).named("link") if ".css" in one["href"]
    )
    found = _COLOURS.findall((await browser.get(sheet)).text)
    assert len(found) == 12
    for scheme in (dict(found[:6]), dict(found[6:])):
        for type_, ground in (
            ("ink", "paper"),
            ("ink", "card"),
            ("soft", "paper"),
            ("soft", "card"),
            ("accent", "paper"),
            ("accent", "card"),
            ("accent", "accent-soft"),
            ("card", "accent"),
            ("card", "ink"),
        ):
            light, dark = sorted((_luminance(scheme[type_]), _luminance(scheme[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (type_, ground)


async def test_sessions_and_passwords_have_settings_of_their_own() -> None:
    assert PageSettings(people=QUICK).people.login_free == 5
    world = await _world()
    await world.signed_in()
    (kept,) = await world.env.store.select(Session, "person", "alice")
    assert kept.expires_at == Instant(world.env.clock() + PageSettings().session.life)


async def test_asks_are_found_by_page_alone() -> None:
    """The handle that a client polls with is worth nothing at the pages."""
    world = await _world()
    browser = await world.signed_in()
    ask: Ask = await world.asked()
    assert (await browser.get(f"/asks/{ask.key}")).status_code == 404
