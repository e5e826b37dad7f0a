"""Alice at her browser: a real one, at a real server on loopback, with records in a real file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from deputize.adapters.sqlite import SqliteStore
from deputize.adapters.system import SystemClock, SystemRandom
from deputize.core.values import ClientId, Subject
from deputize.oauth import asking, standing
from deputize.oauth.asking import Answered
from deputize.oauth.device import Settings
from deputize.oauth.grants import NO_DEVICES
from tests.support.pages import BOT, PASSWORDS, SENTENCE, World
from tests.support.serving import CHROMIUM, chromium, loopback_socket, origin_of, served

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install --no-install-recommends chromium"),
]

ALICE = Subject("alice")
NARROW, WIDE = 390, 1280


@dataclass
class Desk:
    """A server with its people, and a browser for whoever sits down."""

    world: World
    origin: str
    browser: Browser
    complaints: list[str]

    async def sit_down(self, *, width: int = NARROW, **options: Any) -> Page:
        context: BrowserContext = await self.browser.new_context(
            viewport={"width": width, "height": 844}, base_url=self.origin, **options
        )
        page = await context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", self._complained)
        page.on("pageerror", lambda problem: self.complaints.append(str(problem)))
        return page

    def _complained(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    async def signed_in(self, page: Page) -> None:
        await page.goto("/")
        await page.get_by_label("Login").fill("alice")
        await page.get_by_label("Password").fill(PASSWORDS["alice"])
        await page.get_by_role("button", name="Sign in").click()
        await expect(page).to_have_url(f"{self.origin}/inbox")


@asynccontextmanager
async def a_desk(folder: Path, device: Settings = NO_DEVICES) -> AsyncIterator[Desk]:
    bound = loopback_socket()
    store = SqliteStore(folder / "deputize.db")
    world = World(issuer=origin_of(bound), store=store, clock=SystemClock(), random=SystemRandom(), device=device)
    await world.with_people()
    async with served(world.app, bound), chromium() as browser:
        desk = Desk(world, origin_of(bound), browser, [])
        yield desk
        assert desk.complaints == []  # no script failed, and nothing broke the content security policy
    await store.close()


async def test_alice_sees_an_ask_appear_reads_it_and_allows_it(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        page = await desk.sit_down()
        await desk.signed_in(page)
        await expect(page.get_by_role("status")).to_have_text("Nothing is waiting for you.")
        await page.evaluate("window.never_reloaded = true")

        ask = await desk.world.asked(words="Your pack runs out on Thursday.", reason="The order costs more than €10.")
        await expect(page.get_by_role("status")).to_have_text("1 question is waiting for you.")
        await expect(page).to_have_title("(1) Inbox · Deputize")
        assert await page.evaluate("window.never_reloaded")

        await page.get_by_role("link", name="Read and answer").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(SENTENCE)
        await expect(page.get_by_role("blockquote")).to_have_text("Your pack runs out on Thursday.")
        await expect(page.get_by_text("Nobody has checked this.")).to_be_visible()
        await page.get_by_text("The small print").click()
        await expect(page.get_by_text("POST /orders at pharmacy.example")).to_be_visible()

        await page.get_by_role("button", name="Allow").click()
        await expect(page.get_by_role("status")).to_contain_text("You allowed this just now")
        kept = await desk.world.now_of(ask)
        assert isinstance(kept.state, Answered)
        assert kept.state.allowed == ask.wanted

        await page.go_back()
        await expect(page.get_by_role("button", name="Allow")).to_have_count(0)


async def test_an_ask_that_is_open_says_by_itself_when_it_is_answered_elsewhere(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        page = await desk.sit_down(width=WIDE)
        await desk.signed_in(page)
        ask = await desk.world.asked()
        await page.goto(f"/asks/{ask.page}")
        await expect(page.get_by_text("left to answer")).to_be_visible()
        await page.evaluate("window.never_reloaded = true")
        await asking.answer(ask, by=ALICE, allow=False, env=desk.world.env, via="the command line")
        await expect(page.get_by_role("status")).to_contain_text("You denied this")
        await expect(page.get_by_role("button", name="Deny")).to_have_count(0)
        assert await page.evaluate("window.never_reloaded")


async def test_an_ask_that_is_open_says_by_itself_when_its_time_is_over(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        page = await desk.sit_down()
        await desk.signed_in(page)
        ask = await desk.world.asked(life=3)
        await page.goto(f"/asks/{ask.page}")
        await expect(page.get_by_role("status")).to_contain_text("This question expired")


async def test_everything_works_without_javascript(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        page = await desk.sit_down(java_script_enabled=False)
        await desk.signed_in(page)
        assert 'http-equiv="refresh" content="10"' in await page.content()
        reading, buying = await desk.world.asked_to_read(), await desk.world.asked()
        await page.reload()
        await expect(page.get_by_role("link", name="Read and answer")).to_have_count(2)
        for ask, answer in ((reading, "Allow"), (buying, "Deny")):
            await page.goto(f"/asks/{ask.page}")
            await page.get_by_role("button", name=answer).click()
            await expect(page.locator(".verdict")).to_contain_text("just now")
        await page.goto("/agents")
        await page.get_by_role("button", name="Take everything back").click()
        await expect(page.get_by_text("It took effect at once")).to_be_visible()
        found = await standing.find(ALICE, ClientId(BOT), desk.world.env)
        assert found is not None
        assert found.taken_back_at is not None
        await page.get_by_role("button", name="Sign out").click()
        await page.goto("/inbox")
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_everything_works_from_the_keyboard(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        page = await desk.sit_down(width=WIDE)
        await page.goto("/")
        await expect(page.get_by_label("Login")).to_be_focused()
        await page.keyboard.type("alice")
        await page.keyboard.press("Tab")
        await page.keyboard.type(PASSWORDS["alice"])
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{desk.origin}/inbox")
        ask = await desk.world.asked()
        await expect(page.get_by_role("link", name="Read and answer")).to_be_visible()
        await _tab_to(page, "Read and answer")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text(SENTENCE)
        await _tab_to(page, "Deny")
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("You denied this")
        assert isinstance((await desk.world.now_of(ask)).state, Answered)


async def _tab_to(page: Page, name: str) -> None:
    for _ in range(20):
        await page.keyboard.press("Tab")
        if name in await page.evaluate("document.activeElement.innerText"):
            return
    raise AssertionError(f"{name} is not reached by Tab")


_LONG = "x" * 60 + " pharmacy.example/" + "y" * 80
_OVERHANG = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("width", [320, *(pytest.param(width, marks=pytest.mark.slow) for width in (NARROW, WIDE))])
async def test_no_page_is_wider_than_the_screen_whatever_it_has_to_say(tmp_path: Path, width: int) -> None:
    async with a_desk(tmp_path) as desk:
        page = await desk.sit_down(width=width)
        await page.goto("/sign-in")
        assert await page.evaluate(_OVERHANG) <= 0
        await desk.signed_in(page)
        await desk.world.with_client(_LONG, _LONG, key="long-bot")
        ask, reading = (
            await desk.world.asked(words=_LONG, reason=_LONG, by="long-bot"),
            await desk.world.asked_to_read(),
        )
        await asking.answer(reading, by=ALICE, allow=True, env=desk.world.env, via="test")
        for path in ("/inbox", f"/asks/{ask.page}", "/agents", f"/asks/{reading.page}"):
            await page.goto(path)
            assert await page.evaluate(_OVERHANG) <= 0, path
            for target in await page.locator("button:visible, a.button:visible, nav a:visible").all():
                box = await target.bounding_box()
                assert box is not None
                assert 44 <= box["height"] < 60, await target.inner_text()  # a thumb's width, and one line
        await page.goto(f"/asks/{ask.page}")
        for answer in ("Allow", "Deny"):
            await expect(page.get_by_role("button", name=answer)).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
async def test_allow_and_deny_weigh_the_same(tmp_path: Path, scheme: Any) -> None:
    async with a_desk(tmp_path) as desk:
        page = await desk.sit_down(color_scheme=scheme)
        await desk.signed_in(page)
        ask = await desk.world.asked()
        await page.goto(f"/asks/{ask.page}")
        looks = [
            await page.get_by_role("button", name=name).evaluate(
                """one => { const box = one.getBoundingClientRect(), style = getComputedStyle(one);
                return [box.width, box.height, box.top, style.color, style.backgroundColor, style.borderColor,
                        style.fontSize, style.fontWeight, one.querySelector('svg').getBoundingClientRect().width] }"""
            )
            for name in ("Allow", "Deny")
        ]
        assert looks[0] == looks[1]
        assert await page.evaluate("document.activeElement === document.body")  # neither is chosen beforehand


async def test_the_second_half_of_a_double_click_is_no_answer(tmp_path: Path) -> None:
    """The buttons of a fresh page take nothing for a moment: who clicks twice on the inbox has not read the ask."""
    async with a_desk(tmp_path) as desk:
        page = await desk.sit_down()
        await desk.signed_in(page)
        ask = await desk.world.asked()
        await page.goto(f"/asks/{ask.page}")
        allow = page.get_by_role("button", name="Allow")
        assert await allow.evaluate(
            """one => { const [settling] = one.getAnimations(); settling.pause(); settling.currentTime = 100;
            return [settling.effect.getTiming().duration, getComputedStyle(one).pointerEvents] }"""
        ) == [600, "none"]
        await allow.evaluate("one => one.getAnimations()[0].finish()")
        assert await allow.evaluate("one => getComputedStyle(one).pointerEvents") == "auto"
