"""Mallory has a page of her own, and Alice, who is signed in here, opens it.

Mallory can make Alice's browser send any form to us; she has an account of her own here, and knows how our forms look.
She cannot read what Alice's browser is sent.
"""

from dataclasses import dataclass

import httpx2
import pytest

from deputize.core.values import ClientId, Subject
from deputize.oauth import standing
from deputize.oauth.asking import Ask
from deputize.server.session import FROM_OUR_PAGE, WITH_ITS_TOKEN, Session
from tests.support.pages import BOT, ISSUER, PASSWORDS, SAME_ORIGIN, World, send, text_of, token_on
from tests.support.proofs import stops

CROSS_SITE: tuple[dict[str, str], ...] = (
    {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
    {"sec-fetch-site": "cross-site", "origin": "null"},
    {"sec-fetch-site": "same-site", "origin": "https://other.as.example"},
    {"sec-fetch-site": "none"},
    {"origin": "https://evil.example"},
    {"origin": "https://as.example.evil.example"},
    {"origin": "http://as.example"},
    {"origin": "null"},
    {"referer": f"{ISSUER}/inbox"},
    {},
)


@dataclass
class Scene:
    """Alice is signed in, has allowed the bot something, and is asked once more."""

    world: World
    browser: httpx2.AsyncClient
    ask: Ask
    token: str

    @classmethod
    async def set(cls) -> "Scene":
        world = await World().with_people()
        browser = await world.signed_in()
        reading = await world.asked_to_read()
        await send(browser, f"/asks/{reading.page}", answer="allow")
        ask = await world.asked()
        return cls(world, browser, ask, token_on(await browser.get("/inbox")))

    def forms(self) -> list[tuple[str, dict[str, str]]]:
        """Every form that we take, filled in as Mallory would."""
        return [
            ("/sign-in", {"login": "bob", "password": PASSWORDS["bob"]}),
            ("/sign-out", {}),
            (f"/asks/{self.ask.page}", {"answer": "allow"}),
            (f"/asks/{self.ask.page}", {"answer": "deny"}),
            (f"/agents/{BOT}/take-back", {}),
            (f"/agents/{BOT}/welcome", {}),
        ]

    async def state(self) -> tuple[object, ...]:
        """All that a form could change."""
        env = self.world.env
        sessions = await env.store.select(Session, "", "")
        return (
            await self.world.now_of(self.ask),
            await standing.find(Subject("alice"), ClientId(BOT), env),
            {one.key: (one.person, one.ended_at) for one in sessions},
        )

    async def changes_nothing(self, token: str | None, headers: dict[str, str]) -> None:
        for path, fields in self.forms():
            before, cookies = await self.state(), dict(self.browser.cookies)
            sent = fields if token is None else {**fields, "token": token}
            answer = await self.browser.post(path, data=sent, headers=headers)
            assert answer.status_code == 403, path
            assert "Nothing was changed" in text_of(answer)
            assert (await self.state(), dict(self.browser.cookies)) == (before, cookies)


@stops(WITH_ITS_TOKEN)
@pytest.mark.parametrize("token", [None, "", "x", "A" * 43])
async def test_co_01_a_form_without_its_secret_changes_nothing(token: str | None) -> None:
    scene = await Scene.set()
    await scene.changes_nothing(token, SAME_ORIGIN)


@stops(WITH_ITS_TOKEN)
async def test_co_01_the_secret_of_another_session_changes_nothing() -> None:
    scene = await Scene.set()
    bobs = token_on(await (await scene.world.signed_in("bob")).get("/inbox"))
    nobodys = token_on(await scene.world.browser().get("/sign-in"))
    for token in (bobs, nobodys, scene.token[::-1], scene.token.lower()):
        await scene.changes_nothing(token, SAME_ORIGIN)


async def test_co_01_the_secret_of_alices_earlier_session_changes_nothing() -> None:
    scene = await Scene.set()
    await send(scene.browser, "/sign-out", shown_at="/inbox")
    scene.browser = await scene.world.signed_in()
    await scene.changes_nothing(scene.token, SAME_ORIGIN)


@stops(FROM_OUR_PAGE)
@pytest.mark.parametrize("headers", CROSS_SITE)
async def test_co_02_a_form_from_another_site_changes_nothing_even_with_the_secret(headers: dict[str, str]) -> None:
    scene = await Scene.set()
    await scene.changes_nothing(scene.token, headers)


async def test_a_doubled_origin_or_secret_is_no_way_around() -> None:
    scene = await Scene.set()
    before = await scene.state()
    path = f"/asks/{scene.ask.page}"
    doubled = [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]
    answer = await scene.browser.post(path, data={"token": scene.token, "answer": "allow"}, headers=doubled)
    assert answer.status_code == 400
    twice = f"token={scene.token}&token=x&answer=allow".encode()
    form = {**SAME_ORIGIN, "content-type": "application/x-www-form-urlencoded"}
    assert (await scene.browser.post(path, content=twice, headers=form)).status_code == 400
    assert await scene.state() == before


async def test_a_secret_in_the_address_does_not_count() -> None:
    scene = await Scene.set()
    before = await scene.state()
    path = f"/asks/{scene.ask.page}?token={scene.token}&answer=allow"
    assert (await scene.browser.post(path, data={"a": "b"}, headers=SAME_ORIGIN)).status_code == 403
    assert (await scene.browser.get(path)).status_code == 200
    assert await scene.state() == before


async def test_nobody_is_signed_in_as_somebody_else_by_a_foreign_form() -> None:
    """Login CSRF: Alice would answer what Mallory's account is asked."""
    world = await World().with_people()
    browser = world.browser()
    fields = {"login": "bob", "password": PASSWORDS["bob"], "token": token_on(await world.browser().get("/sign-in"))}
    assert (await browser.post("/sign-in", data=fields, headers=SAME_ORIGIN)).status_code == 403
    await browser.get("/sign-in")
    assert (await browser.post("/sign-in", data=fields, headers=SAME_ORIGIN)).status_code == 403
    assert await world.env.store.select(Session, "", "") == []
