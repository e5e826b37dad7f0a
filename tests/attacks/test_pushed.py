"""Corpus PA: Mallory pushes what she should not, or brings a reference that is another's, old, or used."""

from typing import Any

import pytest

from deputize.jose.keys import PrivateKey
from deputize.oauth.authorize import PUSHED_ONLY
from deputize.oauth.begun import NO_REFERENCE, OUR_REFERENCE, PUSHED, SAME_KEY, URN, Begun
from deputize.oauth.client import Client
from deputize.oauth.grants.authorization_code import Code
from deputize.oauth.requested import Settings
from tests.support.cast import ORDER, READ
from tests.support.flow import APP, CALLBACK, ISSUER, TWO, WEB, Flow, Landing, a_flow, challenge_of, ticks_on
from tests.support.proofs import lets_through, stops

KEY, OTHER_KEY = PrivateKey.generate(), PrivateKey.generate()


async def brought(flow: Flow, uri: str, client: str = WEB, **more: str) -> Landing:
    """The whole way from a reference to the answer."""
    browser = await flow.browser()
    begun = await browser.get("/authorize", params={"client_id": client, "request_uri": uri, **more})
    page = await flow.follow(browser, begun)
    return Landing.of(page) if page.status_code == 303 else await flow.says(browser, page, "allow", *ticks_on(page))


@lets_through(PUSHED, NO_REFERENCE, OUR_REFERENCE)
@pytest.mark.parametrize("client", [WEB, APP])
async def test_what_was_pushed_is_what_is_asked(flow: Flow, client: str) -> None:
    answer = await flow.push(client, scope=READ)
    assert answer.status == 201
    assert answer.header("cache-control") == "no-store"
    assert answer.json["expires_in"] == 60
    assert answer["request_uri"].startswith(URN)
    landing = await brought(flow, answer["request_uri"], client)
    assert landing.told["state"] == "a state, as it is"
    assert (await flow.redeem(landing.told["code"], client)).json["scope"] == READ


async def test_pa_01_a_confidential_client_authenticates(flow: Flow) -> None:
    form = flow.asks(WEB)
    assert (await flow.world.post("/par", form)).told == (401, "invalid_client")
    assert await flow.world.store.select(Begun, "", "") == []


@stops(NO_REFERENCE)
async def test_pa_02_a_reference_is_not_pushed(flow: Flow) -> None:
    first = await flow.push()
    form = {"request_uri": first["request_uri"]}
    assert (await flow.world.post("/par", form, by=WEB)).told == (400, "invalid_request")
    assert (await flow.push(request_uri="https://web.example/r")).told == (400, "invalid_request")


async def test_pa_03_what_is_pushed_is_held_as_what_a_browser_brings(flow: Flow) -> None:
    for uri in ("https://evil.example/cb", f"{CALLBACK}?x=1", "http://web.example/cb"):
        assert (await flow.push(redirect_uri=uri)).told == (400, "invalid_request")
    for changed, error in (
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"resource": "https://evil.example"}, "invalid_target"),
        ({"authorization_details": "[]x"}, "invalid_authorization_details"),
        ({"prompt": "none login"}, "invalid_request"),
    ):
        assert (await flow.push(**changed)).told == (400, error)


@stops(PUSHED)
async def test_pa_04_anothers_reference_and_the_owners_still_works(flow: Flow) -> None:
    uri = (await flow.push())["request_uri"]
    browser = await flow.browser()
    for client in (TWO, APP):
        answer = await browser.get("/authorize", params={"client_id": client, "request_uri": uri})
        assert answer.status_code == 400
        assert "location" not in answer.headers
    for wrong in (f"{URN}x", URN, f"{URN}{'A' * 43}", f"{uri}x"):
        answer = await browser.get("/authorize", params={"client_id": WEB, "request_uri": wrong})
        assert answer.status_code == 400
    await brought(flow, uri)


async def test_a_page_of_a_request_that_no_browser_brought_is_nobodys(flow: Flow) -> None:
    """Else a reference would be good without its client's name, and for longer than its minute."""
    uri = (await flow.push())["request_uri"]
    answer = await (await flow.browser()).get(f"/authorize/{uri.removeprefix(URN)}")
    assert answer.status_code == 409


async def test_pa_05_a_reference_after_its_minute(flow: Flow) -> None:
    uri = (await flow.push())["request_uri"]
    flow.world.clock.forward(60)
    browser = await flow.browser()
    answer = await browser.get("/authorize", params={"client_id": WEB, "request_uri": uri})
    assert answer.status_code == 400


async def test_pa_05_who_signs_in_may_take_longer_than_that(flow: Flow) -> None:
    uri = (await flow.push())["request_uri"]
    browser = await flow.browser()
    begun = await browser.get("/authorize", params={"client_id": WEB, "request_uri": uri})
    flow.world.clock.forward(300)
    page = await flow.follow(browser, begun)
    assert (await flow.says(browser, page, "allow", *ticks_on(page))).told["code"]


async def test_pa_06_a_reference_is_good_until_it_is_answered(flow: Flow) -> None:
    uri = (await flow.push())["request_uri"]
    browser = await flow.browser()
    for _ in range(3):  # reloads
        begun = await browser.get("/authorize", params={"client_id": WEB, "request_uri": uri})
        assert begun.status_code == 303
    page = await flow.follow(browser, begun)
    await flow.says(browser, page, "allow", *ticks_on(page))
    again = await browser.get("/authorize", params={"client_id": WEB, "request_uri": uri})
    assert again.status_code == 400
    assert len(await flow.world.store.select(Code, "", "")) == 1


@lets_through(PUSHED_ONLY)
@stops(PUSHED_ONLY)
@pytest.mark.parametrize("where", ["server", "client"])
async def test_pa_07_where_requests_are_to_be_pushed(where: str) -> None:
    async with a_flow(authorize=Settings(pushed_only=where == "server")) as flow:
        if where == "client":
            await flow.world.change(Client, WEB, pushes=True)
        browser = await flow.browser()
        assert Landing.of(await flow.begin(browser, WEB)).error == "invalid_request"
        await brought(flow, (await flow.push())["request_uri"])
        told = (await flow.world.get("/.well-known/oauth-authorization-server")).json
        assert told["require_pushed_authorization_requests"] == (where == "server")


async def test_pa_08_what_stands_beside_the_reference_is_ignored(flow: Flow) -> None:
    uri = (await flow.push(scope=READ))["request_uri"]
    more = {"scope": f"{READ} {ORDER}", "redirect_uri": "https://evil.example", "state": "other", "prompt": "none"}
    landing = await brought(flow, uri, code_challenge=challenge_of("mallory"), **more)
    assert (landing.where, landing.told["state"]) == (CALLBACK, "a state, as it is")
    assert (await flow.redeem(landing.told["code"], WEB)).json["scope"] == READ


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE", "OPTIONS"])
async def test_pa_09_another_method(flow: Flow, method: str) -> None:
    answer = await flow.world.send(method, "/par", ())
    assert answer.status == 405
    assert answer.header("access-control-allow-origin") is None


async def test_pa_10_too_much(flow: Flow) -> None:
    assert (await flow.push(nonce="n" * (64 * 1024))).status == 413
    many: dict[str, Any] = {f"a{number}": "1" for number in range(100)}
    assert (await flow.push(**many)).told == (400, "invalid_request")


@pytest.mark.parametrize("aud", [f"{ISSUER}/par", f"{ISSUER}/token", [ISSUER, f"{ISSUER}/par"], "https://evil.example"])
async def test_pa_11_an_assertion_for_another_audience(flow: Flow, aud: str | list[str]) -> None:
    _, fields = flow.world.logs_in(WEB)
    form = {**flow.asks(WEB), **dict(fields), "client_assertion": flow.world.assertion(WEB, aud=aud)}
    assert (await flow.world.post("/par", form)).told == (401, "invalid_client")


@lets_through(SAME_KEY)
@stops(SAME_KEY)
async def test_pa_12_the_key_of_the_proof_binds_the_code(flow: Flow) -> None:
    other = await flow.push(key=KEY, dpop_jkt=OTHER_KEY.kid)
    assert other.told == (400, "invalid_dpop_proof")
    for changed in ({"dpop_jkt": KEY.kid}, {}):
        landing = await brought(flow, (await flow.push(key=KEY, **changed))["request_uri"])
        assert (await flow.redeem(landing.told["code"], WEB, key=OTHER_KEY)).told == (400, "invalid_grant")
        assert (await flow.redeem(landing.told["code"], WEB)).told == (400, "invalid_grant")
        assert (await flow.redeem(landing.told["code"], WEB, key=KEY))["token_type"] == "DPoP"


@stops(OUR_REFERENCE)
@pytest.mark.parametrize(
    "uri", ["https://web.example/request.jwt", "http://169.254.169.254/", "file:///etc/passwd", "x"]
)
async def test_ro_08_a_reference_to_elsewhere_is_not_followed(flow: Flow, uri: str) -> None:
    """The world's way out is closed: a fetch would be a fault, and a 500."""
    answer = await flow.begin(await flow.browser(), WEB, request_uri=uri)
    assert answer.status_code == 400
    assert "location" not in answer.headers
