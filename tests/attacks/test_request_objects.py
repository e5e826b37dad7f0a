"""Corpus RO: Mallory signs a request for another, alters one, or puts beside it what is not in it."""

from typing import Any

import pytest

from deputize.core.wire import JsonObject
from deputize.jose import jwt
from deputize.jose.keys import PrivateKey
from deputize.oauth.authorize import ONE_OF_BOTH
from deputize.oauth.begun import SIGNED_ONLY
from deputize.oauth.client import Client
from deputize.oauth.request_object import ITS_CLIENT, NO_ASSERTION, NOT_NESTED, PARAMETERS, RECENT, TYP
from deputize.oauth.requested import Settings
from tests.support.asgi import Answer
from tests.support.cast import ORDER, PHARMACY, READ, a_purchase
from tests.support.flow import CALLBACK, ISSUER, TWO, WEB, Flow, Landing, a_flow, ticks_on
from tests.support.proofs import lets_through, stops

MALLORYS = PrivateKey.generate()


def an_object(
    flow: Flow, *, key: PrivateKey | None = None, typ: str = TYP, header: JsonObject | None = None, **changed: Any
) -> str:
    """A good request object of the web client; None leaves a claim out."""
    now = flow.world.now
    good = {**flow.asks(WEB), "iss": WEB, "aud": ISSUER, "iat": now, "nbf": now, "exp": now + 300, "jti": "one"}
    return flow.world.signed({**good, **changed}, key or flow.world.keys[WEB], typ, header)


async def pushed(flow: Flow, compact: str, **more: str) -> Answer:
    return await flow.world.post("/par", {"request": compact, "client_id": WEB, **more}, by=WEB)


@lets_through(ITS_CLIENT, NOT_NESTED, NO_ASSERTION, RECENT, PARAMETERS, ONE_OF_BOTH)
@pytest.mark.parametrize("typ", [TYP, "JWT"])
@pytest.mark.parametrize("way", ["browser", "pushed"])
async def test_what_was_signed_is_what_is_asked(flow: Flow, way: str, typ: str) -> None:
    compact = an_object(
        flow, typ=typ, scope=None, max_age=3600, resource=[PHARMACY], authorization_details=[a_purchase()]
    )
    browser = await flow.browser()
    query = {"client_id": WEB, "request": compact}
    if way == "pushed":
        query = {"client_id": WEB, "request_uri": (await pushed(flow, compact))["request_uri"]}
    page = await flow.follow(browser, await browser.get("/authorize", params=query))
    landing = await flow.says(browser, page, "allow", *ticks_on(page))
    assert landing.told["state"] == "a state, as it is"
    assert (await flow.redeem(landing.told["code"], WEB)).json["authorization_details"] == [a_purchase()]


def _bad(flow: Flow) -> dict[str, str]:
    now = flow.world.now
    good = an_object(flow)
    return {
        "ro-01 unsigned": an_object(flow, header={"alg": "none"}),
        "ro-01 by a secret": an_object(flow, header={"alg": "HS256"}),
        "ro-01 cut": good.rpartition(".")[0] + ".",
        "ro-01 no JWT": "x",
        "ro-02 by another": an_object(flow, key=MALLORYS),
        "ro-02 by another client": an_object(flow, key=flow.world.keys[TWO]),
        "ro-03 iss": an_object(flow, iss="mallory"),
        "ro-03 no iss": an_object(flow, iss=None),
        "ro-03 aud": an_object(flow, aud="https://evil.example"),
        "ro-03 two auds": an_object(flow, aud=[ISSUER, "https://evil.example"]),
        "ro-03 no aud": an_object(flow, aud=None),
        "ro-03 no exp": an_object(flow, exp=None),
        "ro-03 over": an_object(flow, exp=now - 11),
        "ro-03 too long": an_object(flow, exp=now + 3700),
        "ro-03 ahead": an_object(flow, nbf=now + 120),
        "ro-03 old": an_object(flow, nbf=now - 3700, iat=None),
        "ro-04 another client": an_object(flow, client_id=TWO),
        "ro-04 no client": an_object(flow, client_id=None),
        "ro-06 nested": an_object(flow, request=good),
        "ro-06 a reference": an_object(flow, request_uri="urn:x"),
        "sub": an_object(flow, sub=WEB),
        "another typ": an_object(flow, typ="client-authentication+jwt"),
        "an access token": an_object(flow, typ="at+jwt"),
        "a flag": an_object(flow, state=True),
        "several texts": an_object(flow, resource=[PHARMACY, 7]),
    }


@stops(ITS_CLIENT, NOT_NESTED, NO_ASSERTION, RECENT, PARAMETERS)
async def test_ro_01_to_06_what_is_wrong_with_an_object(flow: Flow) -> None:
    browser = await flow.browser()
    for name, compact in _bad(flow).items():
        answer = await browser.get("/authorize", params={"client_id": WEB, "request": compact})
        assert answer.status_code == 400, name
        assert "location" not in answer.headers
        assert (await pushed(flow, compact)).told == (400, "invalid_request_object"), name


async def test_ro_04_and_05_what_stands_beside_the_object_is_not_read(flow: Flow) -> None:
    compact = an_object(flow, scope=READ, state=None)
    beside = {"scope": f"{READ} {ORDER}", "state": "other", "redirect_uri": "https://evil.example", "nonce": "x"}
    browser = await flow.browser()
    begun = await browser.get("/authorize", params={"client_id": WEB, "request": compact, **beside})
    page = await flow.follow(browser, begun)
    landing = await flow.says(browser, page, "allow")
    assert landing.where == CALLBACK
    assert "state" not in landing.told
    token = await flow.redeem(landing.told["code"], WEB)
    assert token.json["scope"] == READ


@stops(ONE_OF_BOTH)
async def test_ro_06_an_object_and_a_reference(flow: Flow) -> None:
    uri = (await flow.push())["request_uri"]
    query = {"client_id": WEB, "request": an_object(flow), "request_uri": uri}
    assert (await (await flow.browser()).get("/authorize", params=query)).status_code == 400


@lets_through(SIGNED_ONLY)
@stops(SIGNED_ONLY)
@pytest.mark.parametrize("where", ["server", "client"])
async def test_where_requests_are_to_be_signed(where: str) -> None:
    async with a_flow(authorize=Settings(signed_only=where == "server")) as flow:
        if where == "client":
            await flow.world.change(Client, WEB, signs=True)
        browser = await flow.browser()
        assert (await flow.begin(browser, WEB)).status_code == 400
        assert (await flow.push()).told == (400, "invalid_request")
        assert (await pushed(flow, an_object(flow))).status == 201
        query = {"client_id": WEB, "request": an_object(flow)}
        assert (await flow.follow(browser, await browser.get("/authorize", params=query))).status_code == 200
        told = (await flow.world.get("/.well-known/openid-configuration")).json
        assert told["require_signed_request_object"] == (where == "server")


@pytest.mark.parametrize("mode", ["jwt", "query.jwt"])
async def test_an_answer_may_come_signed(flow: Flow, mode: str) -> None:
    """JARM: who reads it knows whom it is from, and whom it is for."""
    landing = await flow.allowed(WEB, response_mode=mode)
    assert set(landing.told) == {"response"}
    _, claims = jwt.peek(landing.told["response"], "x")
    assert set(claims) == {"code", "state", "iss", "aud", "exp"}
    assert (claims["iss"], claims["aud"]) == (ISSUER, WEB)
    assert claims["exp"] == flow.world.now + 600
    assert (await flow.redeem(claims["code"], WEB)).status == 200
    refused = Landing.of(await flow.begin(flow.stranger(), WEB, response_mode=mode, prompt="none"))
    _, claims = jwt.peek(refused.told["response"], "x")
    assert claims["error"] == "login_required"


async def test_an_answer_may_come_signed_in_a_form(flow: Flow) -> None:
    browser = await flow.browser()
    page = await flow.shown(browser, WEB, response_mode="form_post.jwt")
    answer = await flow.sends(browser, page, "deny")
    assert 'name="response"' in answer.text
    assert 'name="error"' not in answer.text
