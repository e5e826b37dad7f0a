"""Alice connects a device: it shows a code, she types it at her phone, and it gets what she leaves ticked."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import expect

from deputize.cli.trying import CodeTrial, obtain_by_device
from deputize.core.values import Seconds
from deputize.oauth.device import RISK, Settings
from deputize.sdk import Prompt
from tests.stories.test_browser import _OVERHANG, NARROW, WIDE, a_desk
from tests.support.pages import PASSWORDS, PHARMACY
from tests.support.serving import CHROMIUM

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install --no-install-recommends chromium"),
]


async def test_alice_types_a_code_without_javascript_and_the_device_has_what_she_left(tmp_path: Path) -> None:
    async with a_desk(tmp_path, Settings(on=True, interval=Seconds(1))) as desk:
        await desk.world.with_device()
        loop, came = asyncio.get_running_loop(), asyncio.Queue[Prompt]()

        def show(prompt: Prompt) -> None:
            loop.call_soon_threadsafe(came.put_nowait, prompt)

        trial = CodeTrial(
            issuer=desk.origin,
            client_id="build-light",
            scope="prescriptions:read prescriptions:order",
            resource=PHARMACY,
            dpop=True,
        )
        waiting = asyncio.create_task(asyncio.to_thread(obtain_by_device, trial, show, show_token=False))
        prompt = await asyncio.wait_for(came.get(), 10)
        assert prompt.verification_uri == f"{desk.origin}/device"

        page = await desk.sit_down(java_script_enabled=False)
        await page.goto(prompt.verification_uri)
        await page.get_by_label("Login").fill("alice")
        await page.get_by_label("Password").fill(PASSWORDS["alice"])
        await page.get_by_role("button", name="Sign in").click()
        for width in (WIDE, NARROW):
            await page.set_viewport_size({"width": width, "height": 844})
            assert await page.evaluate(_OVERHANG) <= 0
        await expect(page.get_by_text(RISK)).to_be_visible()
        await page.get_by_label("Code").fill(prompt.user_code.lower().replace("-", " "))
        await page.get_by_role("button", name="Go on").click()

        await expect(page.get_by_role("heading", level=1)).to_contain_text("Something on another device")
        await expect(page.get_by_text(f"The device that shows {prompt.user_code}")).to_be_visible()
        await expect(page.get_by_text("127.0.0.1, the network that you are on")).to_be_visible()
        assert await page.evaluate(_OVERHANG) <= 0
        await page.get_by_label("prepare orders of medicine").uncheck()
        await page.get_by_role("button", name="Allow").click()
        await expect(page.locator(".verdict")).to_contain_text("You allowed this just now")

        told = await asyncio.wait_for(waiting, 10)
        assert told["token_type"] == "DPoP"
        said = " ".join(told["steps"])
        assert "prescriptions:read" in said
        assert "prescriptions:order" not in said
