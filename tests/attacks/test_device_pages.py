"""Corpus CO at the pages of the device flow: forged forms, frames, markup, and a yes that is sent twice."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from deputize.core.values import ClientId, Subject
from deputize.oauth import standing
from deputize.oauth.asking import Waiting
from deputize.oauth.client import Client, Resource
from tests.attacks.test_pages_framing import CSP
from tests.attacks.test_pages_injection import PAYLOADS, PLAIN, _Shape
from tests.support.cast import PHARMACY, READ
from tests.support.device import BUILD, SIGNED, Devices, devices_in
from tests.support.pages import SAME_ORIGIN, token_on


@pytest.fixture
async def devices() -> AsyncIterator[Devices]:
    async with devices_in(link=True, lasting=True) as made:
        yield made


@pytest.mark.parametrize("token", ["", "x", "another's"])
async def test_co_01_a_code_that_another_page_sends_takes_nothing_up(devices: Devices, token: str) -> None:
    """Mallory's page would have Alice's browser type the code of Mallory's device."""
    browser, begun = await devices.browser(), await devices.begun()
    if token == "another's":
        token = token_on(await (await devices.browser("bob")).get("/device"))
    sent = await browser.post("/device", data={"token": token, "user_code": begun["user_code"]}, headers=SAME_ORIGIN)
    assert (sent.status_code, await devices.asks()) == (403, [])


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {}])
async def test_co_02_nor_does_one_that_comes_from_elsewhere(devices: Devices, headers: dict[str, str]) -> None:
    browser, begun = await devices.browser(), await devices.begun()
    fields = {"token": token_on(await browser.get("/device")), "user_code": begun["user_code"]}
    assert (await browser.post("/device", data=fields, headers=headers)).status_code == 403
    assert not await devices.asks()


async def _answers(devices: Devices) -> list[httpx2.Response]:
    browser, begun = await devices.browser(), await devices.begun()
    told = [await browser.get("/device"), await browser.get(begun["verification_uri_complete"])]
    told += [await devices.types(browser, "no code"), await devices.types(browser, "BBBB-BBBB")]
    told += [await devices.types(browser, begun["user_code"])]
    page = await devices.flow.follow(browser, told[-1])
    return [*told, page, await devices.says(browser, page, "allow")]


async def test_co_03_co_10_no_frame_and_no_trace(devices: Devices) -> None:
    for answer in await _answers(devices):
        assert answer.headers["x-frame-options"] == "DENY"
        assert set(answer.headers["content-security-policy"].split("; ")) == CSP
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_co_04_no_text_of_others_becomes_markup(devices: Devices, payload: str) -> None:
    shapes = []
    for text in (PLAIN, payload):
        typed = text.replace("\0", "")
        await devices.world.change(Client, BUILD, name=typed, how_known=typed)
        await devices.world.change(Resource, PHARMACY, name=typed, scopes={READ: typed})
        browser = await devices.browser()
        asked = _Shape(await devices.asked(browser, (await devices.begun())["user_code"]))
        wrong = _Shape(await devices.types(await devices.browser("bob"), typed))
        linked = _Shape(await browser.get("/device", params={"user_code": typed}))
        shapes.append((asked.tags, wrong.tags, linked.tags))
    assert shapes[0] == shapes[1]


async def test_co_08_who_clicks_twice_has_answered_once(devices: Devices) -> None:
    browser, begun = await devices.browser(), await devices.begun()
    page = await devices.asked(browser, begun["user_code"])
    assert (await devices.says(browser, page, "deny")).status_code == 303
    again = await devices.says(browser, page, "allow")
    assert (again.status_code, "already answered" in again.text) == (409, True)
    back = await browser.get(str(page.url.raw_path, "ascii"))
    assert back.headers["location"].startswith("/asks/")
    assert "You denied this" in (await browser.get(back.headers["location"])).text
    assert (await devices.poll(begun)).told == (400, "access_denied")


async def test_co_09_a_no_is_remembered_as_nothing(devices: Devices) -> None:
    await devices.answered(await devices.begun(), "deny")
    assert await standing.find(Subject("alice"), ClientId(BUILD), devices.world.env) is None


async def test_co_06_no_earlier_yes_answers_a_device(devices: Devices) -> None:
    """RFC 8628, 5.4: whoever is fished has allowed the real thing long ago."""
    await devices.answered(await devices.begun(SIGNED))
    found = await standing.find(Subject("alice"), ClientId(SIGNED), devices.world.env)
    assert found is not None
    assert found.allowed
    begun = await devices.begun(SIGNED)
    page = await devices.asked(await devices.browser(), begun["user_code"])
    assert page.status_code == 200
    assert "Read your prescriptions at Madrid Pharmacy, for" in page.text  # what was allowed before is said
    assert any(isinstance(ask.state, Waiting) for ask in await devices.asks())


async def test_whoever_is_signed_out_comes_back_to_the_question(devices: Devices) -> None:
    begun = await devices.begun()
    browser = await devices.browser()
    page = await devices.asked(browser, begun["user_code"])
    where = str(page.url.raw_path, "ascii")
    turned = await devices.flow.stranger().get(where)
    assert turned.headers["location"] == f"/sign-in?next={where}"
    assert (await devices.flow.stranger().get("/device")).headers["location"] == "/sign-in?next=%2Fdevice"
    for told in (
        "/device?user_code=BCDF-GHJK&next=//evil.example",
        "/device?user_code=//evil",
        "/device//evil.example",
    ):
        shown = await devices.flow.stranger().get("/sign-in", params={"next": told})
        assert 'name="next" value="/inbox"' in shown.text
