"""Alice lets an app act for her: at her browser, with the app waiting on her own machine for the answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx2
import pytest
from playwright.async_api import Page, expect

from deputize.core.ports import Add
from deputize.oauth.client import OWN_SCOPES, Client, own_resource
from deputize.server.http import Receive, Scope, Send
from tests.stories.test_browser import _OVERHANG, NARROW, WIDE, Desk, a_desk
from tests.support.flow import CODE_GRANTS, VERIFIER, challenge_of
from tests.support.pages import PASSWORDS, PHARMACY
from tests.support.serving import CHROMIUM, loopback_socket, origin_of, served

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install --no-install-recommends chromium"),
]

READ, ORDER = "prescriptions:read", "prescriptions:order"


@dataclass
class App:
    """A client on Alice's machine: it opens her browser, and waits on a port of its own."""

    desk: Desk
    redirect_uri: str
    came: "asyncio.Future[dict[str, str]]"

    def opens(self, **changed: str) -> str:
        asked = {
            "response_type": "code",
            "client_id": "desk-app",
            "redirect_uri": self.redirect_uri,
            "scope": f"openid profile {READ} {ORDER}",
            "state": "the-state",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
            "login_hint": "alice",
        }
        return f"{self.desk.origin}/authorize?{urlencode({**asked, **changed})}"

    async def redeems(self) -> dict[str, Any]:
        """What the app gets for the code that came."""
        told = await asyncio.wait_for(self.came, 10)
        assert (told["state"], told["iss"]) == ("the-state", self.desk.origin)
        form = {
            "grant_type": "authorization_code",
            "code": told["code"],
            "redirect_uri": self.redirect_uri,
            "code_verifier": VERIFIER,
            "client_id": "desk-app",
        }
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.post(f"{self.desk.origin}/token", data=form)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def an_app(folder: Path) -> AsyncIterator[App]:
    async with a_desk(folder) as desk:
        store, bound = desk.world.env.store, loopback_socket()
        came: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

        async def receiver(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/cb" and not came.done():
                message = await receive()
                query = scope["query_string"] if scope["method"] == "GET" else message["body"]
                came.set_result(dict(parse_qsl(query.decode())))
            headers = [(b"content-type", b"text/html")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send(
                {"type": "http.response.body", "body": b"<!doctype html><title>Back</title><p>You may close this."}
            )

        client = Client(
            key="desk-app",
            name="Prescription Helper",
            auth_method="none",
            grant_types=CODE_GRANTS,
            audiences=frozenset({PHARMACY, desk.origin}),
            scope=frozenset({READ, ORDER, *OWN_SCOPES}),
            redirect_uris=("http://127.0.0.1/cb",),
            application_type="native",
        )
        assert await store.commit(Add(own_resource(desk.origin)), Add(client))
        async with served(receiver, bound):
            yield App(desk, f"{origin_of(bound)}/cb", came)


async def _signs_in(page: Page) -> None:
    await expect(page.get_by_label("Login")).to_have_value("alice")
    await page.get_by_label("Password").fill(PASSWORDS["alice"])
    await page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize("width", [NARROW, pytest.param(WIDE, marks=pytest.mark.slow)])
async def test_alice_signs_in_allows_less_than_was_asked_and_the_app_has_just_that(tmp_path: Path, width: int) -> None:
    async with an_app(tmp_path) as app:
        page = await app.desk.sit_down(width=width)
        await page.goto(app.opens())
        await _signs_in(page)
        await expect(page.get_by_role("heading", level=1)).to_contain_text("An app on this device")
        await expect(page.get_by_text("Prescription Helper")).to_be_visible()
        assert await page.evaluate(_OVERHANG) <= 0
        for name in ("Allow", "Deny"):
            await expect(page.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)
        await page.get_by_label("prepare orders of medicine").uncheck()
        await page.get_by_role("button", name="Allow").click()
        await expect(page).to_have_title("Back")
        told = await app.redeems()
        assert told["scope"] == f"openid {READ} profile"
        await page.goto(f"{app.desk.origin}/agents")
        await expect(page.get_by_text("Prescription Helper").first).to_be_visible()


async def test_it_works_without_javascript_and_by_a_form(tmp_path: Path) -> None:
    async with an_app(tmp_path) as app:
        page = await app.desk.sit_down(java_script_enabled=False)
        await page.goto(app.opens(response_mode="form_post"))
        await _signs_in(page)
        await page.get_by_role("button", name="Allow").click()
        await page.get_by_role("button", name="Go on").click()
        await expect(page).to_have_title("Back")
        assert (await app.redeems())["scope"] == f"openid {ORDER} {READ} profile"


async def test_with_javascript_the_form_goes_on_by_itself(tmp_path: Path) -> None:
    async with an_app(tmp_path) as app:
        page = await app.desk.sit_down()
        await page.goto(app.opens(response_mode="form_post"))
        await _signs_in(page)
        await page.get_by_role("button", name="Deny").click()
        await expect(page).to_have_title("Back")
        assert (await asyncio.wait_for(app.came, 10))["error"] == "access_denied"


async def test_allow_and_deny_weigh_the_same(tmp_path: Path) -> None:
    async with an_app(tmp_path) as app:
        page = await app.desk.sit_down()
        await page.goto(app.opens())
        await _signs_in(page)
        looks = [
            await page.get_by_role("button", name=name).evaluate(
                """one => { const box = one.getBoundingClientRect(), style = getComputedStyle(one);
                return [box.width, box.height, box.top, style.color, style.backgroundColor, style.fontSize] }"""
            )
            for name in ("Allow", "Deny")
        ]
        assert looks[0] == looks[1]
