"""Mallory tries passwords, asks who has an account, plants a cookie, or gives Alice a link to our sign-in.

She has a list of logins, many passwords, as many connections as she likes, and one address.
"""

from dataclasses import replace

import anyio
import anyio.lowlevel
import httpx2
import pytest

from deputize.core.rules import Refusal
from deputize.core.wire import b64u
from deputize.oauth.throttle import NOT_TOO_FAST, Throttle
from deputize.server import people
from deputize.server.people import RIGHT_PASSWORD, Hashing, Source, check_password
from deputize.server.session import Session
from tests.support.pages import PASSWORDS, QUICK, World, copied, field_on, send, sign_in
from tests.support.proofs import stops

RIGHT = PASSWORDS["alice"]


@stops(NOT_TOO_FAST)
async def test_lg_01_ten_wrong_passwords_for_one_login_are_slowed_down_however_it_is_written() -> None:
    world = await World().with_people()
    written = ("alice", "Alice", " alice", "ALICE ", "ａlice", "alice\u00a0", "aLice", "alice", "Alice", "ALICE")
    told = [(await sign_in(world.browser(), login, "wrong")).status_code for login in written]
    assert told == [403] * 6 + [429] * 4
    slow = await sign_in(world.browser(), "alice", RIGHT)
    assert (slow.status_code, slow.headers["retry-after"]) == (429, "2")
    assert "Please wait 2 seconds" in slow.text


async def test_lg_01_a_hundred_logins_from_one_address_are_slowed_down() -> None:
    world = await World().with_people()
    told = [(await sign_in(world.browser(), f"person-{n}", "wrong")).status_code for n in range(100)]
    assert told.count(403) == QUICK.address_free + 1
    assert (await sign_in(world.browser(address="198.51.100.7"), "alice", RIGHT)).status_code == 303


async def test_lg_01_nobody_is_locked_out_for_good() -> None:
    world = await World().with_people()
    for _ in range(50):
        told = await sign_in(world.browser(), "alice", "wrong")
        world.fixed.forward(int(told.headers.get("retry-after", 0)))
    world.fixed.forward(QUICK.pause_max)
    assert (await sign_in(world.browser(address="198.51.100.7"), "alice", RIGHT)).status_code == 303


async def test_lg_01_an_account_of_ones_own_does_not_wash_the_address_clean() -> None:
    world = await World().with_people()
    told = []
    for n in range(40):
        told.append((await sign_in(world.browser(), f"person-{n}", "wrong")).status_code)
        await sign_in(world.browser(), "bob", PASSWORDS["bob"])
    assert told.count(403) <= QUICK.address_free + 1


async def test_lg_01_many_at_once_are_no_faster_than_one_after_another() -> None:
    world = await World().with_people()
    told: list[int] = []

    async def guess(n: int) -> None:
        told.append((await sign_in(world.browser(), "alice", f"wrong {n}")).status_code)

    async with anyio.create_task_group() as crowd:
        for n in range(30):
            crowd.start_soon(guess, n)
    assert (told.count(403), told.count(429)) == (QUICK.login_free + 1, 30 - QUICK.login_free - 1)


@pytest.mark.parametrize("failures", [0, 5, 6, 9])
async def test_lg_02_who_has_an_account_is_not_told(failures: int) -> None:
    """The same status, headers and body, early and late, for a login that somebody has and one that nobody has."""
    told = []
    for login in ("alice", "carol"):
        world = await World().with_people()
        for _ in range(failures):
            await sign_in(world.browser(), login, "wrong")
        answer = await sign_in(world.browser(), login, "wrong")
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        body = answer.text.replace(login, "…").replace(field_on(answer, "token"), "…")
        told.append((answer.status_code, headers, body))
    assert told[0] == told[1]


async def test_lg_02_a_login_that_nobody_has_takes_the_same_work() -> None:
    class Counting(Hashing):
        work: list[str]

        def _verify(self, kept: str, password: bytes) -> bool:
            self.work.append(kept.rpartition("$")[0].rpartition("$")[0])
            return super()._verify(kept, password)

    world = await World().with_people()
    hashing = Counting(QUICK)
    hashing.work = []
    for login, password in (("alice", "wrong"), ("carol", "wrong"), ("alice", "x" * 5000), ("carol", "")):
        with pytest.raises(Refusal) as told:
            await check_password(world.env, login, password, Source("192.0.2.1"), QUICK, hashing)
        assert told.value.rule is RIGHT_PASSWORD
    assert len(hashing.work) == 4
    assert len(set(hashing.work)) == 1  # the same parameters


@stops(NOT_TOO_FAST)
async def test_lg_03_failures_count_through_every_door() -> None:
    """Some at the page, some at a second worker's page, some at the command line."""
    world = await World().with_people()
    second = World(store=world.env.store, clock=world.fixed, random=world.env.random)
    for _ in range(2):
        assert (await sign_in(world.browser(), "alice", "wrong")).status_code == 403
        assert (await sign_in(second.browser(address="198.51.100.7"), "alice", "wrong")).status_code == 403
        with pytest.raises(Refusal) as told:
            await check_password(world.env, "alice", "wrong", Source("command line"), QUICK)
        assert told.value.rule is RIGHT_PASSWORD
    assert (await sign_in(second.browser(), "alice", RIGHT)).status_code == 429
    with pytest.raises(Refusal) as told:
        await check_password(world.env, "alice", RIGHT, Source("command line"), QUICK)
    assert told.value.rule is NOT_TOO_FAST


async def test_a_throttle_tells_who_reads_the_store_neither_login_nor_address() -> None:
    world = await World().with_people()
    await sign_in(world.browser(), "a password in the wrong field", "wrong")
    kept = await world.env.store.select(Throttle, "", "")
    assert len(kept) == 2
    assert not any("password" in repr(one) or "192.0.2.1" in repr(one) for one in kept)


# --- sessions ---------------------------------------------------------------------------------------------------


async def test_lg_05_a_planted_cookie_opens_nothing_after_alice_has_signed_in() -> None:
    """Fixation: Mallory plants a value that she knows, and waits."""
    world = await World().with_people()
    mallory, alice = world.browser(), world.browser()
    await mallory.get("/sign-in")
    planted = dict(mallory.cookies)
    copied(mallory, into=alice)
    assert (await sign_in(alice, "alice", RIGHT)).status_code == 303
    assert dict(alice.cookies) != planted
    assert (await mallory.get("/inbox")).status_code == 303
    assert (await alice.get("/inbox")).status_code == 200


async def test_lg_05_signing_in_over_anothers_session_ends_that_one() -> None:
    world = await World().with_people()
    mallory, alice = await world.signed_in("bob"), world.browser()
    copied(mallory, into=alice)
    shown = await alice.get("/inbox")
    fields = {"token": field_on(shown, "token"), "login": "alice", "password": RIGHT}
    same_origin = {"sec-fetch-site": "same-origin"}
    assert (await alice.post("/sign-in", data=fields, headers=same_origin)).status_code == 303
    assert (await mallory.get("/inbox")).status_code == 303
    page = await alice.get("/inbox")
    assert "signed in as Alice" in page.text


async def test_lg_05_each_sign_in_and_out_changes_the_cookie() -> None:
    world = await World().with_people()
    browser = world.browser()
    seen = []
    for _ in range(3):
        await browser.get("/sign-in")
        seen.append(browser.cookies["__Host-deputize"])
        await sign_in(browser, "alice", RIGHT)
        seen.append(browser.cookies["__Host-deputize"])
        await send(browser, "/sign-out", shown_at="/inbox")
    assert len(set(seen)) == 6


@pytest.mark.parametrize(
    ("issuer", "name", "flags"),
    [
        ("https://as.example", "__Host-deputize", {"Path=/", "HttpOnly", "SameSite=Lax", "Secure", "Max-Age=43200"}),
        ("http://127.0.0.1:9400", "deputize-dev", {"Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=43200"}),
    ],
)
async def test_lg_06_the_cookie_is_for_this_host_and_no_script(issuer: str, name: str, flags: set[str]) -> None:
    world = await World(issuer=issuer).with_people()
    browser = world.browser()
    for answer in (await browser.get("/sign-in"), await sign_in(browser, "alice", RIGHT)):
        pair, *told = answer.headers.get_list("set-cookie")[0].split("; ")
        assert (pair.partition("=")[0], set(told)) == (name, flags)
    known, *told = answer.headers.get_list("set-cookie")[1].split("; ")
    assert known.partition("=")[0] == {"__Host-deputize": "__Host-deputize-browser"}.get(name, "deputize-browser-dev")
    assert set(told) - {"Max-Age=15552000"} == flags - {"Max-Age=43200"}


async def test_what_is_stored_opens_no_session() -> None:
    world = await World().with_people()
    await world.signed_in()
    (kept,) = await world.env.store.select(Session, "person", "alice")
    mallory = world.browser()
    for value in (kept.key, b64u(kept.key.encode())):
        mallory.cookies.set("__Host-deputize", value, domain="as.example")
        assert (await mallory.get("/inbox")).status_code == 303


async def test_a_session_that_is_over_opens_nothing_and_changes_nothing() -> None:
    world = await World().with_people()
    browser = await world.signed_in()
    ask = await world.asked(life=9000)
    shown = await browser.get(f"/asks/{ask.page}")
    world.fixed.forward(3600)
    fields = {"token": field_on(shown, "token"), "answer": "allow"}
    late = await browser.post(f"/asks/{ask.page}", data=fields, headers={"sec-fetch-site": "same-origin"})
    assert (late.status_code, late.headers["location"]) == (303, f"/sign-in?next=/asks/{ask.page}")
    assert await world.now_of(ask) == ask


# --- where a sign-in leads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "onward",
    [
        "//evil.example",
        "///evil.example",
        "////evil.example/%2f..",
        "/\\evil.example",
        "\\\\evil.example",
        "\\evil.example",
        "https:evil.example",
        "https://evil.example",
        "https://as.example@evil.example",
        "http:/evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "/inbox@evil.example",
        "/inbox\r\nLocation: https://evil.example",
        "/inbox%0d%0aset-cookie:a=b",
        "/inbox\n",
        "\t//evil.example",
        " /inbox",
        "/inbox?x=//evil.example",
        "/inbox#x",
        "/inbox/..//evil.example",
        "/./evil",
        "/asks/",
        "/asks/../../evil",
        "/asks/x/live",
        "/asks/%2e%2e",
        "/sign-out",
        "/agents/x/take-back",
        "/token",
        "inbox",
        "/INBOX",
        "／inbox",
        "/inbox\u202e",
    ],
)
async def test_a_sign_in_leads_to_a_page_of_ours_and_nowhere_else(onward: str) -> None:
    world = await World().with_people()
    browser = world.browser()
    shown = await browser.get("/sign-in", params={"next": onward})
    assert field_on(shown, "next") == "/inbox"
    fields = {"token": field_on(shown, "token"), "login": "alice", "password": RIGHT, "next": onward}
    answer = await browser.post("/sign-in", data=fields, headers={"sec-fetch-site": "same-origin"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/inbox")
    again = await browser.get("/sign-in", params={"next": onward})
    assert again.headers["location"] == "/inbox"


@pytest.mark.parametrize("onward", ["/inbox", "/agents", "/asks/a_b-9"])
async def test_a_sign_in_leads_on_to_where_one_wanted_to_go(onward: str) -> None:
    world = await World().with_people()
    answer = await sign_in(world.browser(), "alice", RIGHT, onward=onward)
    assert answer.headers["location"] == onward


# --- a crowd --------------------------------------------------------------------------------------------------------


async def test_a_crowd_at_the_sign_in_is_told_to_come_again_and_keeps_nobody_else_waiting() -> None:
    world = await World().with_people()
    slow = replace(QUICK, hashing_queue=1, memory_kib=16384, time_cost=3, login_free=99, address_free=99)
    crowded = World(
        store=world.env.store, clock=world.fixed, random=world.env.random, settings=replace(world.settings, people=slow)
    )
    told: list[httpx2.Response] = []
    asked: list[int] = []

    async def guess() -> None:
        told.append(await sign_in(crowded.browser(), "alice", "wrong"))

    async def look() -> None:
        while len(told) < 8:
            asked.append((await crowded.browser().get("/.well-known/oauth-authorization-server")).status_code)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as crowd:
        for _ in range(8):
            crowd.start_soon(guess)
        crowd.start_soon(look)
    statuses = [one.status_code for one in told]
    assert statuses.count(503) >= 1
    assert set(statuses) == {403, 503}
    assert all(one.headers["retry-after"] == "5" for one in told if one.status_code == 503)
    assert set(asked) == {200}
    assert people.Settings().hashing_at_once == 1
