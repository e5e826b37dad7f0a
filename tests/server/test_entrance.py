"""The doors as a browser comes through them: passkey, password and code, one-time link; and one's own account."""

import json
import re
from html import unescape
from typing import Any
from urllib.parse import quote

import httpx2
import pyotp
import pytest

from deputize.core.ports import Event, Replace
from deputize.core.rules import Fault, Refusal
from deputize.core.values import Issuer
from deputize.core.wire import JsonObject
from deputize.oauth.authentication import BY_PASSKEY, BY_PASSWORD, BY_PASSWORD_AND_CODE
from deputize.oauth.client import Person
from deputize.server import codes, invitations, passkeys, people, tickets
from deputize.server.account import ONE_LEFT
from deputize.server.account_views import browser_in_words
from deputize.server.codes import RIGHT_CODE
from deputize.server.frame import Frame
from deputize.server.invitations import GOOD_LINK
from deputize.server.passkeys import KNOWN_PASSKEY, NEW_PASSKEY, NOT_TOO_MANY, Passkey, Place
from deputize.server.session import USED_ONCE, Session
from deputize.server.tickets import OUR_TICKET
from tests.support.pages import PASSWORDS, SAME_ORIGIN, World, field_on, send, sign_in, text_of, token_on
from tests.support.passkey import SoftPasskey
from tests.support.proofs import lets_through, stops


def options_on(page: httpx2.Response) -> JsonObject:
    """What the page tells its script to ask the browser for."""
    found = re.search(r'data-passkey="([^"]*)"', page.text)
    assert found, page.text
    told: JsonObject = json.loads(unescape(found[1]))
    return told


async def add_passkey(browser: httpx2.AsyncClient, key: SoftPasskey, **told: Any) -> httpx2.Response:
    shown = await browser.get("/account/passkey")
    fields = {"token": token_on(shown), "ticket": field_on(shown, "ticket"), "name": told.pop("name", "")}
    fields["credential"] = key.makes(options_on(shown), **told)
    return await browser.post("/account/passkey", data=fields, headers=SAME_ORIGIN)


async def enter_by(browser: httpx2.AsyncClient, key: SoftPasskey, *, onward: str = "", **told: Any) -> httpx2.Response:
    shown = await browser.get("/sign-in", params={"next": onward} if onward else None)
    fields = {name: field_on(shown, name) for name in ("token", "ticket", "next")}
    fields["credential"] = key.answers(options_on(shown), **told)
    return await browser.post("/sign-in/passkey", data=fields, headers=SAME_ORIGIN)


async def session_of(world: World, person: str = "alice") -> Session:
    """The latest living one."""
    found = await world.env.store.select(Session, "person", person)
    return max((one for one in found if one.ended_at is None), key=lambda one: one.started_at)


async def events(world: World, person: str = "alice") -> list[str]:
    return [event.what for event in await world.env.store.select(Event, "person", person)]


# --- passkeys -------------------------------------------------------------------------------------------------------


@lets_through(NEW_PASSKEY, KNOWN_PASSKEY, OUR_TICKET, USED_ONCE, NOT_TOO_MANY)
async def test_alice_adds_a_passkey_and_comes_in_by_it_without_typing_anything() -> None:
    world = await World().with_people()
    browser, key = await world.signed_in(), SoftPasskey()
    answer = await add_passkey(browser, key, name="My phone")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    page = text_of(await browser.get("/account"))
    assert "My phone" in page
    assert "On one device. Made just now, not used yet." in page

    world.fixed.forward(60)
    other = world.browser()
    entered = await enter_by(other, key, onward="/agents")
    assert (entered.status_code, entered.headers["location"]) == (303, "/agents")
    assert (await other.get("/inbox")).status_code == 200
    begun = await session_of(world)
    assert (begun.authentication.amr, begun.authentication.acr()) == (BY_PASSKEY, "phr")
    assert begun.authentication.at == world.fixed.now
    assert "used just now" in text_of(await other.get("/account"))


async def test_what_the_browser_is_asked_for_is_a_passkey_of_this_place_with_its_person_verified() -> None:
    world = await World().with_people()
    asked = options_on(await world.browser().get("/sign-in"))
    assert (asked["rpId"], asked["userVerification"], asked["allowCredentials"]) == ("as.example", "required", [])
    browser = await world.signed_in()
    made = options_on(await browser.get("/account/passkey"))
    assert made["authenticatorSelection"] == {
        "residentKey": "required",
        "requireResidentKey": True,
        "userVerification": "required",
    }
    assert made["attestation"] == "none"
    assert made["excludeCredentials"] == []
    assert "alice" not in made["user"]["id"]
    await add_passkey(browser, SoftPasskey())
    assert len(options_on(await browser.get("/account/passkey"))["excludeCredentials"]) == 1


@pytest.mark.parametrize(
    ("issuer", "place"),
    [
        ("https://as.example", Place("as.example", "https://as.example")),
        ("https://as.example:8443/tenant", Place("as.example", "https://as.example:8443")),
        ("http://localhost:9400", Place("localhost", "http://localhost:9400")),
        ("http://127.0.0.1:9400", None),
        ("https://[2001:db8::1]", None),
    ],
)
def test_the_place_of_passkeys_comes_from_the_issuer(issuer: str, place: Place | None) -> None:
    assert Place.of(Issuer(issuer)) == place


async def test_a_server_that_has_no_name_offers_none() -> None:
    world = await World(issuer="http://127.0.0.1:9400").with_people()
    assert "passkey" not in (await world.browser().get("/sign-in")).text
    browser = await world.signed_in()
    assert "browsers make no passkeys for it" in text_of(await browser.get("/account"))
    assert (await browser.get("/account/passkey")).status_code == 404
    answer = await send(browser, "/sign-in/passkey", shown_at="/account", ticket="x", credential="{}")
    assert answer.status_code == 403


async def test_passkeys_have_names_and_are_removed_but_for_the_last_way_in() -> None:
    world = await World().with_people()
    browser, first, second = await world.signed_in(), SoftPasskey(), SoftPasskey(id=b"another")
    await add_passkey(browser, first)
    world.fixed.forward(1)
    await add_passkey(browser, second, name="  A\u202e key\n of mine  ")
    kept = {one.name: one for one in await world.env.store.select(Passkey, "person", "alice")}
    assert set(kept) == {"Passkey 1", "A key of mine"}
    paths = re.findall(r"/account/passkeys/[\w-]+/", (await browser.get("/account")).text)
    await send(browser, f"{paths[0]}rename", shown_at="/account", name="Phone")
    assert "Phone" in text_of(await browser.get("/account"))
    await send(browser, f"{paths[0]}remove", shown_at="/account")
    assert (await enter_by(world.browser(), first)).status_code == 403
    assert (await enter_by(world.browser(), second)).status_code == 303
    assert "passkey_removed" in await events(world)


@lets_through(ONE_LEFT)
@stops(ONE_LEFT)
async def test_nobody_takes_their_last_way_in_away() -> None:
    world = await World().with_people()
    secret = (await invitations.invite(world.env, login="carol", name="Carol")).reveal()
    browser, key = world.browser(), SoftPasskey()
    shown = await browser.get(f"/welcome/{secret}")
    fields = {"token": token_on(shown), "ticket": field_on(shown, "ticket"), "credential": key.makes(options_on(shown))}
    assert (await browser.post(f"/welcome/{secret}", data=fields, headers=SAME_ORIGIN)).status_code == 303
    page = await browser.get("/account")
    assert "It is your only way in" in text_of(page)
    (kept,) = await world.env.store.select(Passkey, "person", "carol")
    path = re.findall(r"/account/passkeys/[\w-]+/", page.text)[0] + "remove"
    assert (await send(browser, path, shown_at="/account")).status_code == 403
    await send(browser, "/account/password", password="four words that differ")
    assert (await send(browser, path, shown_at="/account")).status_code == 303
    after = await world.env.store.read(Passkey, kept.key)
    assert after is not None
    assert after.removed_at is not None


@stops(NOT_TOO_MANY)
async def test_a_passkey_is_registered_once_and_twenty_are_enough() -> None:
    world = await World().with_people()
    alice, bob, key = await world.signed_in(), await world.signed_in("bob"), SoftPasskey()
    assert (await add_passkey(alice, key)).status_code == 303
    assert (await add_passkey(bob, key)).status_code == 403
    assert await passkeys.of(await world.person("bob"), world.env) == []
    for n in range(passkeys.PASSKEYS_MAX - 1):
        assert (await add_passkey(alice, SoftPasskey(id=b"%d" % n))).status_code == 303
    assert (await add_passkey(alice, SoftPasskey(id=b"one more"))).status_code == 403


# --- codes ----------------------------------------------------------------------------------------------------------


async def add_authenticator(world: World, browser: httpx2.AsyncClient) -> pyotp.TOTP:
    shown = await browser.get("/account/code")
    secret = re.search(r'class="secret">([A-Z2-7 ]+)<', shown.text)
    assert secret
    told = pyotp.TOTP(secret[1].replace(" ", ""))
    fields = {"token": token_on(shown), "ticket": field_on(shown, "ticket"), "code": told.at(world.fixed.now)}
    answer = await browser.post("/account/code", data=fields, headers=SAME_ORIGIN)
    assert answer.status_code == 303, answer.text
    return told


async def give_code(browser: httpx2.AsyncClient, shown: httpx2.Response, code: str) -> httpx2.Response:
    fields = {"token": token_on(shown), "ticket": field_on(shown, "ticket"), "code": code}
    return await browser.post("/sign-in/code", data=fields, headers=SAME_ORIGIN)


@lets_through(RIGHT_CODE)
async def test_after_the_password_comes_the_code() -> None:
    world = await World().with_people()
    totp = await add_authenticator(world, await world.signed_in())
    world.fixed.forward(60)
    browser = world.browser()
    shown = await sign_in(browser, "alice", PASSWORDS["alice"], onward="/agents")
    assert shown.status_code == 200
    assert "Open your authenticator" in text_of(shown)
    assert (await browser.get("/inbox")).status_code == 303, "half is not enough"
    entered = await give_code(browser, shown, totp.at(world.fixed.now))
    assert (entered.status_code, entered.headers["location"]) == (303, "/agents")
    begun = await session_of(world)
    assert (begun.authentication.amr, begun.authentication.acr()) == (BY_PASSWORD_AND_CODE, "mfa")


@lets_through(RIGHT_CODE)
@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
async def test_a_code_of_one_step_before_or_after_will_do(steps: int, *, good: bool) -> None:
    world = await World().with_people()
    totp = await add_authenticator(world, await world.signed_in())
    world.fixed.forward(300)
    browser = world.browser()
    shown = await sign_in(browser, "alice", PASSWORDS["alice"])
    typed = totp.at(world.fixed.now, counter_offset=steps)
    told = await give_code(browser, shown, f"{typed[:3]} {typed[3:]}")
    assert told.status_code == (303 if good else 403)


async def test_a_wrong_code_may_be_corrected_and_the_removed_authenticator_is_asked_no_more() -> None:
    world = await World().with_people()
    totp = await add_authenticator(world, await world.signed_in())
    world.fixed.forward(60)
    browser = world.browser()
    shown = await sign_in(browser, "alice", PASSWORDS["alice"])
    again = await give_code(browser, shown, "000000")
    assert again.status_code == 403
    assert "not the one of now" in text_of(again)
    assert (await give_code(browser, again, totp.at(world.fixed.now))).status_code == 303
    await send(browser, "/account/code/remove", shown_at="/account")
    assert (await sign_in(world.browser(), "alice", PASSWORDS["alice"])).status_code == 303


async def test_an_authenticator_is_added_by_who_shows_a_code_of_it() -> None:
    world = await World().with_people()
    browser = await world.signed_in()
    shown = await browser.get("/account/code")
    fields = {"token": token_on(shown), "ticket": field_on(shown, "ticket"), "code": "123"}
    assert (await browser.post("/account/code", data=fields, headers=SAME_ORIGIN)).status_code == 403
    assert await codes.of(await world.person("alice"), world.env) is None
    await add_authenticator(world, browser)
    assert (await browser.get("/account/code")).headers["location"] == "/account"
    alice = await world.person("alice")
    with pytest.raises(Refusal) as told:
        await codes.enrol(alice, codes.fresh_secret(world.env), "123456", world.env)
    assert told.value.rule is RIGHT_CODE


# --- one-time links -------------------------------------------------------------------------------------------------


@lets_through(GOOD_LINK)
async def test_the_first_person_comes_in_by_a_link_and_sets_a_password() -> None:
    world = World()
    secret = (await invitations.invite(world.env, login=" Carol ", name="Carol C.")).reveal()
    browser = world.browser()
    for _ in range(2):  # mail programs look at links, too
        shown = await browser.get(f"/welcome/{secret}")
        assert shown.status_code == 200
        assert "Welcome, Carol C." in text_of(shown)
    assert await world.env.store.select(Person, "", "") == []
    answer = await send(browser, f"/welcome/{secret}", password="four words that differ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/inbox")
    assert (await browser.get("/inbox")).status_code == 200
    assert (await session_of(world, "carol")).amr == BY_PASSWORD
    assert (await sign_in(world.browser(), "carol", "four words that differ")).status_code == 303
    assert (await events(world, "carol"))[:2] == ["person_invited", "signed_in"]


async def test_a_password_that_will_not_do_leaves_the_link_as_it_was() -> None:
    world = World()
    secret = (await invitations.invite(world.env, login="carol")).reveal()
    browser = world.browser()
    for unfit in ("short", "", "passwordpassword", "1234567890123456", "a" * 20):
        answer = await send(browser, f"/welcome/{secret}", password=unfit)
        assert answer.status_code == 400
        assert "longer or less common password" in text_of(answer)
    assert (await send(browser, f"/welcome/{secret}", password="four words that differ")).status_code == 303


async def test_who_starts_anew_by_a_link_has_no_old_way_in_and_is_signed_out_everywhere() -> None:
    world = await World().with_people()
    browser, key = await world.signed_in(), SoftPasskey()
    await add_passkey(browser, key)
    await add_authenticator(world, browser)
    secret = (await invitations.invite(world.env, login="alice")).reveal()
    fresh, new = world.browser(), SoftPasskey(id=b"new")
    shown = await fresh.get(f"/welcome/{secret}")
    fields = {"token": token_on(shown), "ticket": field_on(shown, "ticket"), "credential": new.makes(options_on(shown))}
    assert (await fresh.post(f"/welcome/{secret}", data=fields, headers=SAME_ORIGIN)).status_code == 303
    assert (await browser.get("/inbox")).status_code == 303
    assert (await sign_in(world.browser(), "alice", PASSWORDS["alice"])).status_code == 403
    assert (await enter_by(world.browser(), key)).status_code == 403
    assert (await enter_by(world.browser(), new)).status_code == 303


async def test_a_newer_link_ends_the_older_and_a_disabled_person_gets_none() -> None:
    world = await World().with_people()
    older = (await invitations.invite(world.env, login="alice")).reveal()
    newer = (await invitations.invite(world.env, login="alice")).reveal()
    assert (await world.browser().get(f"/welcome/{older}")).status_code == 403
    assert (await world.browser().get(f"/welcome/{newer}")).status_code == 200
    alice = await world.person("alice")
    await world.env.store.commit(
        Replace(alice, Person(key="alice", login="alice", name="", disabled_at=world.fixed.now))
    )
    assert (await world.browser().get(f"/welcome/{newer}")).status_code == 403
    with pytest.raises(Fault):
        await invitations.invite(world.env, login="alice")


# --- the account ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/account/passkey", "/account/password", "/account/code"])
async def test_who_changes_a_way_in_was_seen_lately(path: str) -> None:
    world = await World().with_people()
    browser = await world.signed_in()
    assert (await browser.get(path)).status_code == 200
    world.fixed.forward(601)
    away = await browser.get(path)
    assert (away.status_code, away.headers["location"]) == (303, f"/sign-in?next={quote(path, safe='')}&again=1")
    shown = await browser.get(away.headers["location"])
    assert "Is it still you?" in text_of(shown)
    fields = {name: field_on(shown, name) for name in ("token", "next", "again")}
    fields |= {"login": "alice", "password": PASSWORDS["alice"]}
    back = await browser.post("/sign-in", data=fields, headers=SAME_ORIGIN)
    assert back.headers["location"] == path
    assert (await browser.get(path)).status_code == 200


async def test_a_new_password_signs_out_everywhere_else() -> None:
    world = await World().with_people()
    here, there = await world.signed_in(), await world.signed_in()
    unfit = await send(here, "/account/password", password="too short")
    assert unfit.status_code == 400
    assert (await send(here, "/account/password", password="nine purple bottles")).status_code == 303
    assert (await there.get("/inbox")).status_code == 303
    assert (await here.get("/inbox")).status_code == 200
    assert (await sign_in(world.browser(), "alice", PASSWORDS["alice"])).status_code == 403
    assert (await sign_in(world.browser(), "alice", "nine purple bottles")).status_code == 303


async def test_alice_sees_where_she_is_signed_in_and_ends_it() -> None:
    world = await World().with_people()
    here, phone, third = await world.signed_in(), world.browser(), await world.signed_in()
    phone.headers["user-agent"] = "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/150.0 Mobile Safari/537.36"
    await sign_in(phone, "alice", PASSWORDS["alice"])
    page = await here.get("/account")
    assert "Chrome on Android" in text_of(page)
    assert text_of(page).count("this one") == 1
    which = re.findall(r'name="which" value="([\w-]+)"', page.text)
    assert len(which) == 2
    await send(here, "/account/sessions/end", shown_at="/account", which="not-one-of-them")
    assert (await phone.get("/inbox")).status_code == 200
    for one in which:
        await send(here, "/account/sessions/end", shown_at="/account", which=one)
    assert (await phone.get("/inbox")).status_code == (await third.get("/inbox")).status_code == 303
    await sign_in(phone, "alice", PASSWORDS["alice"])
    await send(here, "/account/sessions/end", shown_at="/account")
    assert (await phone.get("/inbox")).status_code == 303
    assert (await here.get("/inbox")).status_code == 200


async def test_another_persons_session_or_passkey_is_not_there() -> None:
    world = await World().with_people()
    alice, bob = await world.signed_in(), await world.signed_in("bob")
    await add_passkey(alice, SoftPasskey())
    path = re.findall(r"/account/passkeys/[\w-]+/", (await alice.get("/account")).text)[0]
    for does in ("rename", "remove"):
        assert (await send(bob, path + does, shown_at="/account", name="x")).status_code == 404
    await send(bob, "/account/sessions/end", shown_at="/account")
    assert (await alice.get("/inbox")).status_code == 200


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0", "Firefox on Linux"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 20_0 like Mac OS X) Version/20.0 Mobile Safari/604.1",
            "Safari on an iPhone",
        ),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/150.0 Safari/537.36 Edg/150.0", "Edge on Windows"),
        ("<script>alert(1)</script>", "A browser"),
        ("", "A browser"),
    ],
)
def test_a_browser_is_named_as_a_person_would(agent: str, words: str) -> None:
    assert browser_in_words(agent) == words


# --- for the authorization endpoint ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("acr", "only"),
    [((), False), (("phr",), True), (("phr", "gold"), True), (("phr", "mfa"), False), (("gold",), False)],
)
def test_a_request_that_only_a_passkey_meets_leads_to_the_passkey(acr: tuple[str, ...], *, only: bool) -> None:
    world = World()
    frame = Frame.of(world.here.issuer, world.env, world.settings.session)
    where = frame.to_sign_in("/agents", again=True, login="a&b", acr_values=acr).headers["location"]
    assert where == "/sign-in?next=%2Fagents&again=1&login_hint=a%26b" + ("&acr=phr" if only else "")


async def test_a_hint_fills_the_form_and_a_passkey_that_is_needed_is_said() -> None:
    world = await World().with_people()
    shown = await world.browser().get("/sign-in?next=/agents&again=1&acr=phr&login_hint=alice")
    assert 'name="password"' not in shown.text
    assert "needs a passkey" in text_of(shown)
    shown = await world.browser().get("/sign-in?next=/agents&login_hint=%22%3E%3Cscript%3E")
    assert 'value="&#34;&gt;&lt;script&gt;"' in shown.text


async def test_a_ticket_is_for_one_purpose_in_one_browser_for_a_while() -> None:
    world = World()
    text = await tickets.give("this", {"a": 1}, "browser", world.env)
    ticket = await tickets.read(text, "this", "browser", world.env)
    assert ticket.told == {"a": 1}
    assert await world.env.store.commit(ticket.used)
    assert not await world.env.store.commit(ticket.used)


@stops(OUR_TICKET)
@pytest.mark.parametrize(
    ("about", "browser", "late", "spoil"),
    [
        ("that", "browser", 0, ""),
        ("this", "another", 0, ""),
        ("this", "", 0, ""),
        ("this", "browser", tickets.LIFE, ""),
        ("this", "browser", 0, "A"),
        ("this", "browser", 0, ".A"),
        ("this", "browser", 0, "é"),
    ],
)
async def test_no_other_ticket_opens_anything(about: str, browser: str, late: int, spoil: str) -> None:
    world = World()
    text = spoil + await tickets.give("this", {}, "browser", world.env)
    world.fixed.forward(late)
    with pytest.raises(Refusal) as told:
        await tickets.read(text, about, browser, world.env)
    assert told.value.rule is OUR_TICKET


async def test_people_has_the_one_check_of_codes() -> None:
    world = await World().with_people()
    with pytest.raises(Refusal) as told:
        await people.check_code(
            world.env, await world.person("bob"), "123456", people.Source("x"), world.settings.people
        )
    assert told.value.rule is RIGHT_CODE
