"""Take the pictures of the pages for docs/pictures: a real server, the demo's people, Debian's chromium."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import httpx2
from playwright.async_api import Browser, Page

from deputize.adapters.system import SystemClock, SystemRandom
from deputize.core.values import ClientId, Instant, Subject
from deputize.oauth import asking, standing
from deputize.oauth.device import Settings
from tests.support.pages import PASSWORDS, World
from tests.support.serving import CHROMIUM, chromium, loopback_socket, origin_of, served
from tools.rules import ROOT

FOLDER = ROOT / "docs" / "pictures"
BYTES_MAX = 150_000
PNGQUANT = shutil.which("pngquant")
SIZES = {390: 844, 1280: 1000}
Scheme = Literal["light", "dark"]


class Earlier:
    """The machine's clock, put back: for what is to have happened some time ago."""

    def __init__(self) -> None:
        self.by = 0

    def __call__(self) -> Instant:
        return Instant(SystemClock()() - self.by)


async def _story(world: World, clock: Earlier) -> None:
    """What happened before the pictures: some answers, an agent that was stopped, one that may do something."""
    alice, env = Subject("alice"), world.env
    await world.with_client("delivery-bot", "an agent of Madrid Pharmacy, registered by your administrator")
    await world.with_client("calendar-helper", "registered by you")
    clock.by = 3 * 24 * 3600
    may = await world.asked_to_read()
    await asking.answer(may, by=alice, allow=True, env=env, via="the page")
    helper = await world.asked_to_read(by="calendar-helper")
    await asking.answer(helper, by=alice, allow=True, env=env, via="the page")
    clock.by = 50 * 60
    once = await world.asked(by="delivery-bot")
    await asking.answer(once, by=alice, allow=False, env=env, via="the page")
    found = await standing.find(alice, ClientId("calendar-helper"), env)
    if found is not None:
        await env.store.commit(*standing.take_back(found, clock()))


async def _sign_in(page: Page, origin: str) -> None:
    await page.goto(f"{origin}/sign-in")
    await page.get_by_label("Login").fill("alice")
    await page.get_by_label("Password").fill(PASSWORDS["alice"])
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/inbox")


async def _take(browser: Browser, origin: str, width: int, scheme: Scheme, ask: asking.Ask) -> None:
    context = await browser.new_context(
        viewport={"width": width, "height": SIZES[width]},
        device_scale_factor=2 if width < 600 else 1,
        color_scheme=scheme,
    )
    page = await context.new_page()
    ending = f"{width}{'-dark' if scheme == 'dark' else ''}"
    await page.goto(f"{origin}/sign-in")
    await _shoot(page, f"sign-in-{ending}")
    await _sign_in(page, origin)
    await _shoot(page, f"inbox-{ending}")
    await page.goto(f"{origin}/asks/{ask.page}")
    await _shoot(page, f"ask-{ending}")
    await page.goto(f"{origin}/agents")
    await _shoot(page, f"agents-{ending}")
    await page.goto(f"{origin}/device")
    await _shoot(page, f"device-code-{ending}")
    await page.get_by_label("Code").fill(await _a_code(origin))
    await page.get_by_role("button", name="Go on").click()
    await page.wait_for_url("**/device/*")
    await _shoot(page, f"device-{ending}")
    await context.close()


async def _a_code(origin: str) -> str:
    """What a device shows that has just begun."""
    form = {"client_id": "build-light", "scope": "prescriptions:read prescriptions:order"}
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{origin}/device_authorization", data=form)
    return str(answer.json()["user_code"])


async def _shoot(page: Page, name: str) -> None:
    await page.screenshot(path=FOLDER / f"{name}.png")


def _shrink(path: Path) -> None:
    if PNGQUANT is not None:  # 64 colours are enough for type on paper
        command = [PNGQUANT, "--force", "--ext", ".png", "--strip", "64", str(path)]
        subprocess.run(command, check=True)  # noqa: S603 (a fixed command, on a file that we have just written)
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size // 1000} kB")
    if size > BYTES_MAX:
        raise SystemExit(f"{path.name} is larger than {BYTES_MAX // 1000} kB; with pngquant it would not be")


async def pictures() -> None:
    """All pictures, light and dark, narrow and wide."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    bound = loopback_socket()
    clock = Earlier()
    world = World(issuer=origin_of(bound), clock=clock, random=SystemRandom(), device=Settings(on=True))
    await world.with_people()
    await world.with_device()
    await _story(world, clock)
    clock.by = 12
    ask = await world.asked(
        reason="The order costs more than €10.",
        words="Your Ibuprofen runs out on Thursday. Shall I reorder the usual pack?",
    )
    clock.by = 0
    async with served(world.app, bound), chromium() as browser:
        for scheme in ("light", "dark"):
            for width in SIZES:
                await _take(browser, origin_of(bound), width, scheme, ask)


def main() -> int:
    """Take them, if there is a browser."""
    if CHROMIUM is None:
        print("there is no chromium here: apt-get install chromium")
        return 1
    asyncio.run(pictures())
    for path in sorted(FOLDER.glob("*.png")):
        _shrink(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
