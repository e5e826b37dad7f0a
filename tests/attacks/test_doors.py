"""Mallory at the doors: she has seen Alice's password, or a code, or a link; she has a page that looks like ours.

She may replay what she saw, answer a challenge that was made for another, skip a step, or only guess, so that Alice is
kept out.
"""

from dataclasses import replace
from typing import Any

import anyio
import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from deputize.core.ports import Replace
from deputize.core.rules import Refusal
from deputize.core.wire import b64u, json_bytes, json_object
from deputize.oauth.throttle import NOT_TOO_FAST, Throttle
from deputize.server import codes, invitations, passkeys, tickets
from deputize.server.codes import RIGHT_CODE
from deputize.server.common import is_common
from deputize.server.invitations import GOOD_LINK, Invitation
from deputize.server.passkeys import KNOWN_PASSKEY, NEW_PASSKEY, Passkey, Place
from deputize.server.people import FIT_PASSWORD, Source, check_code, check_new, check_password
from deputize.server.session import USED_ONCE, Session
from deputize.server.tickets import OUR_TICKET
from tests.server.test_entrance import add_authenticator, add_passkey, enter_by, events, give_code, options_on
from tests.support.cast import BASIC
from tests.support.pages import PASSWORDS, QUICK, SAME_ORIGIN, World, copied, field_on, send, sign_in, token_on
from tests.support.passkey import ATTESTED, PRESENT, VERIFIED, SoftPasskey
from tests.support.proofs import stops
from tests.support.world import World as Protocol
from tests.support.world import basic

RIGHT = PASSWORDS["alice"]


async def _with_passkey() -> tuple[World, SoftPasskey]:
    world, key = await World().with_people(), SoftPasskey()
    assert (await add_passkey(await world.signed_in(), key)).status_code == 303
    world.fixed.forward(60)
    return world, key


async def _sessions(world: World) -> set[str]:
    return {one.key for one in await world.env.store.select(Session, "", "")}


# --- passkeys -------------------------------------------------------------------------------------------------------

_TAMPERED: tuple[dict[str, Any], ...] = (
    {"origin": "https://as.example.evil.example"},
    {"origin": "http://as.example"},
    {"origin": "https://as.example:8443"},
    {"host": "evil.example"},
    {"host": "example"},
    {"flags": PRESENT},
    {"flags": VERIFIED},
    {"flags": 0},
    {"kind": "webauthn.create"},
    {"kind": "payment.get"},
    {"challenge": b64u(bytes(32))},
    {"crossOrigin": True},
    {"crossOrigin": "no"},
    {"topOrigin": "https://evil.example"},
    {"handle": b64u(b"somebody else")},
    {"by": ec.generate_private_key(ec.SECP256R1())},
)


@stops(KNOWN_PASSKEY)
@pytest.mark.parametrize("told", _TAMPERED, ids=" ".join)
async def test_lg_13_what_a_false_page_or_a_thief_has_signed_opens_nothing(told: dict[str, Any]) -> None:
    world, key = await _with_passkey()
    before = await _sessions(world)
    assert (await enter_by(world.browser(), key, **told)).status_code == 403
    assert await _sessions(world) == before
    assert (await enter_by(world.browser(), key)).status_code == 303, "and Alice still comes in"


@stops(KNOWN_PASSKEY)
@pytest.mark.parametrize(
    "credential",
    [
        "",
        "x",
        "{}",
        "[]",
        '{"rawId":1,"response":{}}',
        '{"rawId":"AA","response":{"clientDataJSON":"e30"}}',
        '{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"!!"}}',
        '{"id":"AA","id":"AB","rawId":"AA","response":{}}',
        "\ud800",
    ],
)
async def test_lg_13_what_is_no_credential_at_all_is_refused(credential: str) -> None:
    world, _ = await _with_passkey()
    ticket = await tickets.read(await tickets.give("x", {}, "b", world.env), "x", "b", world.env)
    place = Place("as.example", "https://as.example")
    with pytest.raises(Refusal) as told:
        await passkeys.check(place, credential, ticket, world.env)
    assert told.value.rule is KNOWN_PASSKEY
    with pytest.raises(Refusal) as told:
        await passkeys.register(place, await world.person("alice"), credential, ticket, "", world.env)
    assert told.value.rule is NEW_PASSKEY


@pytest.mark.parametrize("part", ["clientDataJSON", "authenticatorData", "signature"])
async def test_lg_13_no_bit_of_an_answer_may_be_changed(part: str) -> None:
    world, key = await _with_passkey()
    browser = world.browser()
    shown = await browser.get("/sign-in")
    told = json_object(key.answers(options_on(shown)).encode())
    for spoilt in ("", "AA", told["response"][part][:-4], told["response"][part] + "AAAA"):
        broken = {**told, "response": {**told["response"], part: spoilt}}
        fields = {name: field_on(shown, name) for name in ("token", "ticket", "next")}
        fields["credential"] = json_bytes(broken).decode()
        assert (await browser.post("/sign-in/passkey", data=fields, headers=SAME_ORIGIN)).status_code == 403


@stops(USED_ONCE)
async def test_lg_13_an_answer_is_good_once_in_the_browser_that_was_asked() -> None:
    world, key = await _with_passkey()
    browser, mallory = world.browser(), world.browser()
    shown = await browser.get("/sign-in")
    fields = {name: field_on(shown, name) for name in ("token", "ticket", "next")}
    fields["credential"] = key.answers(options_on(shown))
    stolen = {**fields, "token": token_on(await mallory.get("/sign-in"))}
    assert (await mallory.post("/sign-in/passkey", data=stolen, headers=SAME_ORIGIN)).status_code == 403
    copied(browser, into=mallory)
    assert (await browser.post("/sign-in/passkey", data=fields, headers=SAME_ORIGIN)).status_code == 303
    assert (await mallory.post("/sign-in/passkey", data=fields, headers=SAME_ORIGIN)).status_code == 403
    assert (await mallory.get("/inbox")).status_code == 303


@stops(OUR_TICKET)
async def test_lg_13_a_challenge_grows_old() -> None:
    world, key = await _with_passkey()
    browser = world.browser()
    shown = await browser.get("/sign-in")
    world.fixed.forward(tickets.LIFE)
    fields = {name: field_on(shown, name) for name in ("token", "ticket", "next")}
    fields["credential"] = key.answers(options_on(shown))
    late = await browser.post("/sign-in/passkey", data=fields, headers=SAME_ORIGIN)
    assert late.status_code == 403
    assert "took too long" in late.text
    assert field_on(late, "ticket") != fields["ticket"], "and the page is ready for another try"


@stops(KNOWN_PASSKEY)
async def test_lg_13_a_copied_passkey_is_noticed_by_its_counter() -> None:
    world, key = await _with_passkey()
    assert (await enter_by(world.browser(), key)).status_code == 303
    copy = replace(key, counter=0)
    assert (await enter_by(world.browser(), copy)).status_code == 403
    assert "passkey_refused" in await events(world)


async def test_lg_13_of_two_answers_with_one_counter_one_is_let_in() -> None:
    world, key = await _with_passkey()
    told: list[int] = []

    async def enter() -> None:
        told.append((await enter_by(world.browser(), replace(key))).status_code)

    async with anyio.create_task_group() as both:
        both.start_soon(enter)
        both.start_soon(enter)
    assert sorted(told) == [303, 403]


@stops(NEW_PASSKEY)
@pytest.mark.parametrize(
    "told",
    [
        {"origin": "https://evil.example"},
        {"host": "evil.example"},
        {"flags": PRESENT | ATTESTED},
        {"challenge": b64u(bytes(32))},
        {"type": "webauthn.get"},
        {"crossOrigin": True},
    ],
    ids=" ".join,
)
async def test_lg_13_a_passkey_that_was_made_elsewhere_is_not_registered(told: dict[str, Any]) -> None:
    world = await World().with_people()
    assert (await add_passkey(await world.signed_in(), SoftPasskey(), **told)).status_code == 403
    assert await world.env.store.select(Passkey, "", "") == []


async def test_lg_13_a_challenge_to_sign_in_registers_nothing_nor_does_another_persons() -> None:
    world = await World().with_people()
    alice, key = await world.signed_in(), SoftPasskey()
    shown = await alice.get("/account/passkey")
    entrance = await alice.get("/sign-in?again=1")
    fields = {"token": token_on(shown), "ticket": field_on(entrance, "ticket")}
    made = key.makes({**options_on(shown), "challenge": options_on(entrance)["challenge"]})
    answer = await alice.post("/account/passkey", data={**fields, "credential": made}, headers=SAME_ORIGIN)
    assert answer.status_code == 403
    kept = await world.env.store.select(Passkey, "", "")
    assert kept == []


async def test_a_disabled_persons_passkey_opens_nothing() -> None:
    world, key = await _with_passkey()
    alice = await world.person("alice")
    assert await world.env.store.commit(Replace(alice, replace(alice, disabled_at=world.fixed.now)))
    assert (await enter_by(world.browser(), key)).status_code == 403


# --- codes ----------------------------------------------------------------------------------------------------------


async def _half(world: World) -> tuple[httpx2.AsyncClient, httpx2.Response]:
    browser = world.browser()
    return browser, await sign_in(browser, "alice", RIGHT)


@stops(RIGHT_CODE)
async def test_lg_04_a_code_is_good_once_nor_is_one_before_it() -> None:
    world = await World().with_people()
    totp = await add_authenticator(world, await world.signed_in())
    world.fixed.forward(300)
    used, earlier = totp.at(world.fixed.now), totp.at(world.fixed.now, counter_offset=-1)
    assert (await give_code(*await _half(world), used)).status_code == 303
    for code in (used, earlier):
        assert (await give_code(*await _half(world), code)).status_code == 403


@stops(USED_ONCE)
async def test_lg_04_of_ten_who_bring_one_code_at_once_one_is_let_in() -> None:
    """RC-10."""
    world = await World(settings=replace(World().settings, people=replace(QUICK, login_free=99))).with_people()
    totp = await add_authenticator(world, await world.signed_in())
    world.fixed.forward(300)
    halves = [await _half(world) for _ in range(10)]
    told: list[int] = []

    async def bring(browser: httpx2.AsyncClient, shown: httpx2.Response) -> None:
        told.append((await give_code(browser, shown, totp.at(world.fixed.now))).status_code)

    async with anyio.create_task_group() as crowd:
        for half in halves:
            crowd.start_soon(bring, *half)
    assert sorted(told) == [303] + [403] * 9


@stops(NOT_TOO_FAST)
async def test_lg_04_a_thousand_guesses_are_a_handful() -> None:
    """The right password in between does not wash the count clean: only both together do."""
    world = await World().with_people()
    totp = await add_authenticator(world, await world.signed_in())
    world.fixed.forward(300)
    alice, here, looked = await world.person("alice"), Source("192.0.2.9"), []
    for n in range(1000):
        guess = f"{(int(totp.at(world.fixed.now)) + 7 + n) % 1_000_000:06}"
        try:
            await check_password(world.env, "alice", RIGHT, here, QUICK)
            await check_code(world.env, alice, guess, here, QUICK)
        except Refusal as refusal:
            if refusal.rule is RIGHT_CODE:
                looked.append(guess)
    assert len(looked) == 3


async def test_lg_11_no_half_is_skipped() -> None:
    """AZ-26: the page of codes by itself, with a ticket of another browser, another purpose, or none, opens nothing."""
    world = await World().with_people()
    totp = await add_authenticator(world, await world.signed_in())
    world.fixed.forward(300)
    code = totp.at(world.fixed.now)
    browser, shown = await _half(world)
    other = world.browser()
    begun = await other.get("/sign-in")
    for ticket in ("", "x", field_on(begun, "ticket"), field_on(shown, "ticket")):
        fields = {"token": token_on(begun), "ticket": ticket, "code": code}
        assert (await other.post("/sign-in/code", data=fields, headers=SAME_ORIGIN)).status_code == 403
    for missing in ({}, {"code": ""}, {"code": "0" * 5000}):
        fields = {"token": token_on(shown), "ticket": field_on(shown, "ticket"), **missing}
        assert (await browser.post("/sign-in/code", data=fields, headers=SAME_ORIGIN)).status_code == 403
    assert (await other.get("/inbox")).status_code == (await browser.get("/inbox")).status_code == 303


async def test_lg_11_the_first_half_does_not_wait_for_ever() -> None:
    world = await World().with_people()
    totp = await add_authenticator(world, await world.signed_in())
    world.fixed.forward(300)
    browser, shown = await _half(world)
    world.fixed.forward(tickets.LIFE)
    assert (await give_code(browser, shown, totp.at(world.fixed.now))).status_code == 403


async def test_what_is_kept_of_an_authenticator_does_not_show_itself() -> None:
    world = await World().with_people()
    totp = await add_authenticator(world, await world.signed_in())
    kept = await codes.of(await world.person("alice"), world.env)
    assert totp.secret not in repr(kept)


# --- links ----------------------------------------------------------------------------------------------------------


@stops(GOOD_LINK)
async def test_lg_09_a_link_is_good_once_for_a_while_and_its_secret_is_not_kept() -> None:
    world = World()
    secret = (await invitations.invite(world.env, login="carol")).reveal()
    (kept,) = await world.env.store.select(Invitation, "", "")
    assert secret not in repr(kept)
    browser = world.browser()
    assert (await send(browser, f"/welcome/{secret}", password="four words that differ")).status_code == 303
    told = {(await world.browser().get(f"/welcome/{one}")).status_code for one in (secret, kept.key, "x", secret[:-1])}
    assert told == {403}
    late = (await invitations.invite(world.env, login="dora")).reveal()
    world.fixed.forward(invitations.LIFE)
    assert (await world.browser().get(f"/welcome/{late}")).status_code == 403


@stops(USED_ONCE)
async def test_lg_09_of_many_who_use_one_link_at_once_one_has_it() -> None:
    """RC-10."""
    world = World()
    secret = (await invitations.invite(world.env, login="carol")).reveal()
    shown = [(browser := world.browser(), await browser.get(f"/welcome/{secret}")) for _ in range(8)]
    told: list[int] = []

    async def use(n: int, browser: httpx2.AsyncClient, page: httpx2.Response) -> None:
        fields = {"token": token_on(page), "password": f"four words that differ {n}"}
        told.append((await browser.post(f"/welcome/{secret}", data=fields, headers=SAME_ORIGIN)).status_code)

    async with anyio.create_task_group() as crowd:
        for n, (browser, page) in enumerate(shown):
            crowd.start_soon(use, n, browser, page)
    assert sorted(told) == [303] + [403] * 7
    assert len(await _sessions(world)) == 1


async def test_lg_09_the_page_of_a_link_names_no_host_of_a_request_and_tells_nobody_where_it_was() -> None:
    world = World()
    secret = (await invitations.invite(world.env, login="carol")).reveal()
    page = await world.browser().get(f"/welcome/{secret}", headers={"host": "evil.example"})
    assert "evil.example" not in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"


async def test_lg_09_guessing_links_slows_down_where_it_comes_from() -> None:
    world = World()
    told = [(await world.browser().get(f"/welcome/{n}")).status_code for n in range(60)]
    assert told.count(429) >= 60 - QUICK.address_free - 2


# --- passwords ------------------------------------------------------------------------------------------------------


@stops(FIT_PASSWORD)
@pytest.mark.parametrize(
    "password",
    [
        "a",
        "x" * 4096,
        "nul\0" * 5,
        "passwordpassword",
        "Password 1234567!",
        "123456789012345",
        "qwertyuiopasdfg",
        "ab" * 9,
    ],
)
def test_lg_10_a_password_that_is_tried_first_is_no_new_password(password: str) -> None:
    with pytest.raises(Refusal) as told:
        check_new(password, QUICK)
    assert told.value.rule is FIT_PASSWORD


def test_lg_10_a_login_is_no_password_and_words_of_ones_own_are() -> None:
    with pytest.raises(Refusal):
        check_new("alice.the.pharmacist", QUICK, login="alice.the.pharmacist")
    assert not is_common("eight green bottles")
    assert is_common("dragon dragon dragon")


# --- nobody is kept out ---------------------------------------------------------------------------------------------


async def test_lg_01_strangers_who_guess_all_day_do_not_keep_alice_out() -> None:
    """From a browser in which she has signed in before, by a passkey from any: what others do there does not count."""
    world, key = await _with_passkey()
    hers = world.browser()
    assert (await sign_in(hers, "alice", RIGHT)).status_code == 303
    await send(hers, "/sign-out", shown_at="/inbox")
    for n in range(30):
        await sign_in(world.browser(address=f"198.51.100.{n}"), "alice", "wrong")
    assert (await sign_in(world.browser(), "alice", RIGHT)).status_code == 429, "a browser that nobody knows waits"
    assert (await sign_in(hers, "alice", RIGHT)).status_code == 303
    assert (await enter_by(world.browser(), key)).status_code == 303


async def test_lg_01_a_browser_that_is_known_has_no_more_guesses_than_others() -> None:
    world = await World().with_people()
    hers = world.browser()
    await sign_in(hers, "alice", RIGHT)
    await send(hers, "/sign-out", shown_at="/inbox")
    told = [(await sign_in(hers, "alice", "wrong")).status_code for _ in range(10)]
    assert told == [403] * 6 + [429] * 4
    assert (await sign_in(hers, "bob", "wrong")).status_code == 403, "and is a stranger to Bob"


async def test_lg_01_bobs_browser_is_no_help_with_alice() -> None:
    world = await World().with_people()
    bobs = world.browser()
    for _n in range(9):
        await sign_in(world.browser(), "alice", "wrong")
    await sign_in(bobs, "bob", PASSWORDS["bob"])
    await send(bobs, "/sign-out", shown_at="/inbox")
    assert (await sign_in(bobs, "alice", RIGHT)).status_code == 429


# --- clients --------------------------------------------------------------------------------------------------------


@stops(NOT_TOO_FAST)
async def test_ca_06_fifty_wrong_secrets_are_answered_ever_more_rarely_and_the_right_one_always(
    world: Protocol,
) -> None:
    form = {"grant_type": "client_credentials"}
    told = []
    for n in range(50):
        answer = await world.post("/token", form, headers=(("authorization", basic(BASIC, f"wrong {n}")),))
        told.append(answer.told)
    assert told[:6] == [(401, "invalid_client")] * 6
    assert set(told[6:]) == {(429, "temporarily_unavailable")}
    assert answer.header("retry-after") == "2"
    assert "retry_after" not in answer.json
    kept = len(await world.store.select(Throttle, "", ""))
    assert kept == 2, "one for the client from here, one for all from here"
    good = await world.post("/token", form, by=BASIC)
    assert good.status == 200
