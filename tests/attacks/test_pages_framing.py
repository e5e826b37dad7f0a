"""Mallory shows our pages in a frame under hers, so that Alice clicks on what she does not see.

Or she reads from a link that Alice follows where Alice came from.
"""

import re

import httpx2
import pytest

from tests.support.pages import BOT, SAME_ORIGIN, World, send, sign_in

CSP = {
    "default-src 'none'",
    "style-src 'self'",
    "script-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
}


async def _answers(world: World) -> list[httpx2.Response]:
    """Every page, every error, every redirect, every fragment."""
    stranger, browser = world.browser(), await world.signed_in()
    reading, ask = await world.asked_to_read(), await world.asked(words="Please.")
    told = [await stranger.get(path) for path in ("/", "/sign-in", "/inbox", "/nowhere", "/sign-out", "/static/x")]
    told += [await sign_in(stranger, "alice", "wrong"), await stranger.post("/sign-in"), await stranger.put("/inbox")]
    told += [await stranger.get("/inbox/waiting", headers={"hx-request": "true"})]
    told += [await browser.get("/inbox"), await browser.get("/inbox/waiting"), await browser.get("/agents")]
    told += [await browser.get(f"/asks/{ask.page}"), await browser.get(f"/asks/{ask.page}/live")]
    told += [await send(browser, f"/asks/{reading.page}", answer="allow")]
    told += [await send(browser, f"/asks/{reading.page}", shown_at="/inbox", answer="allow")]
    told += [await send(browser, f"/asks/{ask.page}", answer="perhaps"), await browser.get("/agents")]
    told += [await browser.post("/sign-out", content=b"{}", headers=SAME_ORIGIN)]
    told += [await send(browser, f"/agents/{BOT}/take-back", shown_at="/agents")]
    for _ in range(8):
        told.append(await sign_in(stranger, "bob", "wrong"))
    assert {200, 204, 303, 400, 403, 404, 405, 409, 429} <= {one.status_code for one in told}
    return told


async def test_co_03_no_page_of_ours_stands_in_a_frame() -> None:
    for answer in await _answers(await World().with_people()):
        assert answer.headers["x-frame-options"] == "DENY"
        assert set(answer.headers["content-security-policy"].split("; ")) == CSP
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "geolocation=()" in answer.headers["permissions-policy"]


async def test_co_10_no_page_tells_another_where_alice_came_from_or_fetches_from_elsewhere() -> None:
    for answer in await _answers(await World().with_people()):
        assert answer.headers["referrer-policy"] == "no-referrer"
        for address in re.findall(r'(?:href|src|action|hx-get)="([^"]*)"', answer.text):
            assert address.startswith(("/", "#")), address
            assert not address.startswith("//"), address


async def test_nothing_personal_is_kept_by_a_cache() -> None:
    for answer in await _answers(await World().with_people()):
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["evil.example", "as.example@evil.example", "[::1", "as.example:99999", ""])
async def test_no_address_is_made_from_the_host_that_a_request_names(host: str) -> None:
    world = await World().with_people()
    browser = await world.signed_in()
    ask = await world.asked()
    for path in ("/", "/inbox", "/inbox/", "/nowhere", f"/asks/{ask.page}", "/sign-in"):
        for one in (browser, world.browser()):
            answer = await one.get(path, headers={"host": host, "x-forwarded-host": "evil.example"})
            assert answer.status_code < 500
            assert "evil" not in answer.text
            assert answer.headers.get("location", "/").startswith("/")
            assert not answer.headers.get("location", "/").startswith("//")
