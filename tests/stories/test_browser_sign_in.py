"""Alice comes in: by a passkey that a real browser keeps, by password and code, by a one-time link."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pyotp
import pytest
from playwright.async_api import Page, expect

from deputize.adapters.sqlite import SqliteStore
from deputize.adapters.system import SystemClock, SystemRandom
from deputize.server import invitations
from deputize.server.passkeys import Passkey
from deputize.server.session import Session
from tests.stories.test_browser import NARROW, WIDE, Desk
from tests.support.pages import PASSWORDS, World
from tests.support.serving import CHROMIUM, chromium, loopback_socket, served

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install --no-install-recommends chromium"),
]

_OVERHANG = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@asynccontextmanager
async def a_named_desk(folder: Path) -> AsyncIterator[Desk]:
    """A server that is reached by a name: browsers make no passkeys for a number."""
    bound = loopback_socket()
    origin = f"http://localhost:{bound.getsockname()[1]}"
    store = SqliteStore(folder / "deputize.db")
    world = World(issuer=origin, store=store, clock=SystemClock(), random=SystemRandom())
    await world.with_people()
    async with served(world.app, bound), chromium() as browser:
        desk = Desk(world, origin, browser, [])
        yield desk
        assert desk.complaints == []
    await store.close()


async def with_device(page: Page, *, verifies: bool = True) -> None:
    """The page's device keeps passkeys, and its owner's finger is on it."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": verifies,
        "automaticPresenceSimulation": True,
    }
    await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})


async def fits(page: Page) -> None:
    """Nothing hangs over, and every button is as high as a thumb."""
    assert await page.evaluate(_OVERHANG) <= 0
    for target in await page.locator("button:visible, a.button:visible, nav a:visible").all():
        box = await target.bounding_box()
        assert box is not None
        assert 44 <= box["height"] < 60, await target.inner_text()


@pytest.mark.parametrize("width", [NARROW, pytest.param(WIDE, marks=pytest.mark.slow)])
async def test_a_passkey_is_added_named_used_and_removed(tmp_path: Path, width: int) -> None:
    async with a_named_desk(tmp_path) as desk:
        page = await desk.sit_down(width=width)
        await with_device(page)
        await desk.signed_in(page)
        await page.get_by_role("link", name="Account").click()
        await fits(page)
        await page.get_by_role("link", name="Add a passkey").click()
        await fits(page)
        await page.get_by_label("What you call it").fill("My phone")
        await page.get_by_role("button", name="Add a passkey").click()
        await expect(page.get_by_text("My phone").first).to_be_visible()
        await fits(page)

        await page.get_by_role("button", name="Sign out", exact=True).click()
        await fits(page)
        await page.get_by_role("button", name="Use a passkey").click()
        await expect(page).to_have_url(f"{desk.origin}/inbox")
        found = await desk.world.env.store.select(Session, "person", "alice")
        assert any(one.authentication.acr() == "phr" for one in found)

        await page.goto("/account/passkey")
        await page.get_by_role("button", name="Add a passkey").click()
        await expect(page.get_by_role("alert")).to_have_text("This device has a passkey for you already.")
        await page.goto("/account")
        await page.locator("summary").first.click()
        await page.get_by_label("Name").fill("Old phone")
        await page.get_by_role("button", name="Rename").click()
        await page.locator("summary").first.click()
        await page.get_by_role("button", name="Remove Old phone").click()
        await expect(page.get_by_text("You have none yet.")).to_be_visible()
        (kept,) = await desk.world.env.store.select(Passkey, "person", "alice")
        assert kept.removed_at is not None


async def test_a_device_that_does_not_know_its_owner_does_not_open(tmp_path: Path) -> None:
    async with a_named_desk(tmp_path) as desk:
        page = await desk.sit_down()
        await with_device(page, verifies=False)
        await page.goto("/sign-in")
        await page.get_by_role("button", name="Use a passkey").click()
        await expect(page.get_by_role("alert")).to_contain_text("did not use a passkey")
        await expect(page.get_by_label("Password")).to_be_visible()


async def test_carol_comes_in_by_her_link_with_a_passkey(tmp_path: Path) -> None:
    async with a_named_desk(tmp_path) as desk:
        secret = (await invitations.invite(desk.world.env, login="carol", name="Carol")).reveal()
        page = await desk.sit_down()
        await with_device(page)
        await page.goto(f"/welcome/{secret}")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Welcome, Carol")
        await fits(page)
        await page.get_by_role("button", name="Make a passkey").click()
        await expect(page).to_have_url(f"{desk.origin}/inbox")
        await page.get_by_role("button", name="Sign out", exact=True).click()
        await page.get_by_role("button", name="Use a passkey").click()
        await expect(page).to_have_url(f"{desk.origin}/inbox")


async def test_link_password_and_code_work_without_javascript(tmp_path: Path) -> None:
    async with a_named_desk(tmp_path) as desk:
        secret = (await invitations.invite(desk.world.env, login="carol", name="Carol")).reveal()
        page = await desk.sit_down(java_script_enabled=False)
        await page.goto(f"/welcome/{secret}")
        await expect(page.get_by_role("button", name="Make a passkey")).to_have_count(0)
        await page.get_by_label("New password").fill("four words that differ")
        await page.get_by_role("button", name="Set this password").click()
        await expect(page).to_have_url(f"{desk.origin}/inbox")

        await page.goto("/account/passkey")
        await expect(page.get_by_text("Your browser has no passkeys")).to_be_visible()
        await page.goto("/account/code")
        await page.get_by_text("Type it instead").click()
        totp = pyotp.TOTP((await page.locator(".secret").inner_text()).replace(" ", ""))
        await page.get_by_label("Code").fill(totp.at(SystemClock()()))
        await page.get_by_role("button", name="Add it").click()
        await expect(page.get_by_text("you are asked for a code")).to_be_visible()
        await page.get_by_role("button", name="Sign out", exact=True).click()

        await page.get_by_label("Login").fill("carol")
        await page.get_by_label("Password").fill("four words that differ")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", name="Your code")).to_be_visible()
        await fits(page)
        await page.get_by_label("Code").fill(totp.at(SystemClock()(), counter_offset=1))  # the one of now was used
        await page.get_by_role("button", name="Sign in").click()
        await expect(page).to_have_url(f"{desk.origin}/inbox")


@pytest.mark.parametrize("width", [320])
async def test_the_pages_of_signing_in_fit(tmp_path: Path, width: int) -> None:
    async with a_named_desk(tmp_path) as desk:
        secret = (await invitations.invite(desk.world.env, login="carol", name="C" * 200)).reveal()
        page = await desk.sit_down(width=width)
        for path in (f"/welcome/{secret}", "/sign-in", "/sign-in?again=1&acr=phr"):
            await page.goto(path)
            await fits(page)
        await page.get_by_role("link", name="Deputize").click()
        await page.get_by_label("Login").fill("alice")
        await page.get_by_label("Password").fill(PASSWORDS["alice"])
        await page.get_by_role("button", name="Sign in").click()
        for path in ("/account", "/account/password", "/account/code", "/account/passkey"):
            await page.goto(path)
            await expect(page).to_have_url(re.compile(re.escape(path)))
            await fits(page)
