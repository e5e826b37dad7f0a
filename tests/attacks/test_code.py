"""Corpus TK: Mallory has somebody's code, or a code of her own, and brings it to the token endpoint.

She has read it from a log, a browser's history or a redirect; or she holds the code and the verifier of her own client.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deputize.adapters.sqlite import SqliteStore
from deputize.core.ports import Event
from deputize.core.values import Instant
from deputize.core.wire import json_bytes
from deputize.jose import jwt
from deputize.jose.keys import PrivateKey
from deputize.oauth.asking import Ask, Collected
from deputize.oauth.authority import NO_WIDER_DETAILS, NO_WIDER_SCOPE, NO_WIDER_TARGET
from deputize.oauth.client import Client, Person
from deputize.oauth.families import Family
from deputize.oauth.grants.authorization_code import LIFE, LIVE, NO_REPLAY, SAME_KEY, SAME_REDIRECT, VERIFIED, Code
from deputize.oauth.login import CONFIDENTIAL
from deputize.oauth.tokens import NOT_REVOKED, Revoked
from tests.support.cast import BOT, CLAIM, INSURER, ORDER, PHARMACY, READ, BrokenStore, a_purchase
from tests.support.flow import APP, ISSUER, TWO, VERIFIER, WEB, Flow, a_flow
from tests.support.proofs import lets_through, stops
from tests.support.variants import remade

NOT_GOOD = (400, "invalid_grant")
KEY, OTHER_KEY = PrivateKey.generate(), PrivateKey.generate()


@pytest.fixture(params=["memory", "sqlite"])
async def either(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Flow]:
    async with a_flow(tmp_path / "world.db" if request.param == "sqlite" else None) as flow:
        yield flow


async def events(flow: Flow, what: str) -> list[Event]:
    return [event for event in await flow.world.store.select(Event, "", "", limit=1000) if event.what == what]


async def the_code(flow: Flow) -> Code:
    [found] = await flow.world.store.select(Code, "", "")
    return found


# --- what a code is for ---------------------------------------------------------------------------------------------


@lets_through(LIVE, SAME_REDIRECT, VERIFIED, CONFIDENTIAL)
@pytest.mark.parametrize("client", [APP, WEB])
async def test_a_code_becomes_a_token_that_says_what_was_allowed(either: Flow, client: str) -> None:
    answer = await either.redeem(await either.code(client), client)
    assert answer.status == 200
    assert answer.header("cache-control") == "no-store"
    _, claims = jwt.peek(answer["access_token"], "x")
    assert claims["aud"] == PHARMACY  # TK-18
    assert (claims["sub"], claims["client_id"], claims["iss"]) == ("alice", client, ISSUER)
    assert claims["scope"] == answer["scope"] == f"{ORDER} {READ}"
    assert claims["exp"] - claims["iat"] <= 900
    assert claims["auth_time"] == either.world.now
    assert "act" not in claims
    assert await either.world.is_active(answer["access_token"])
    [ask] = await either.world.store.select(Ask, "person", "alice")
    assert isinstance(ask.state, Collected)


async def test_no_text_of_a_code_lies_in_the_store(flow: Flow) -> None:
    code = await flow.code()
    assert code not in repr(await the_code(flow))


async def test_a_client_of_oauth_2_1_does_not_name_the_redirect_uri_again(flow: Flow) -> None:
    assert (await flow.redeem(await flow.code(), redirect_uri=None)).status == 200


async def test_a_refresh_token_goes_along_for_who_is_registered_for_it(flow: Flow) -> None:
    told = await flow.tokens()
    form = {"grant_type": "refresh_token", "refresh_token": told["refresh_token"]}
    answer = await flow.world.post("/token", form, by=APP)
    assert answer.status == 200
    assert await flow.world.is_active(answer["access_token"])
    await flow.world.change(Client, APP, grant_types=frozenset({"authorization_code"}))
    assert "refresh_token" not in await flow.tokens()


# --- who may not have it --------------------------------------------------------------------------------------------


@lets_through(NO_REPLAY)
@stops(NO_REPLAY, NOT_REVOKED)
async def test_tk_01_a_code_twice_ends_all_that_came_of_it(either: Flow) -> None:
    code = await either.code(WEB)
    first = (await either.redeem(code, WEB)).json
    fresh = await either.world.post(
        "/token", {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}, by=WEB
    )
    assert (await either.redeem(code, WEB, spends=("revoked",))).told == NOT_GOOD
    assert (await either.redeem(code, WEB, spends=("revoked",))).told == NOT_GOOD
    for token in (first["access_token"], fresh["access_token"]):
        assert not await either.world.is_active(token)
    form = {"grant_type": "refresh_token", "refresh_token": fresh["refresh_token"]}
    assert (await either.world.post("/token", form, by=WEB)).told == NOT_GOOD
    assert len(await events(either, "code_replayed")) == 1


async def test_tk_01_a_token_that_was_derived_ends_too(flow: Flow) -> None:
    exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
    await flow.world.change(Client, WEB, grant_types=frozenset({"authorization_code", exchange}))
    code = await flow.code(WEB)
    first = (await flow.redeem(code, WEB)).json
    kind = "urn:ietf:params:oauth:token-type:access_token"
    form = {"grant_type": exchange, "subject_token": first["access_token"], "subject_token_type": kind, "scope": READ}
    derived = await flow.world.post("/token", form, by=WEB)
    assert derived.status == 200
    await flow.redeem(code, WEB, spends=("revoked",))
    assert not await flow.world.is_active(derived["access_token"])


async def test_a_replay_with_a_wrong_verifier_ends_nothing(flow: Flow) -> None:
    """Who does not know the verifier has only seen the code: they are not to undo what Alice wants."""
    code = await flow.code()
    first = (await flow.redeem(code)).json
    assert (await flow.redeem(code, code_verifier="x" * 43)).told == NOT_GOOD
    assert (await flow.redeem(code, by=BOT)).told[1] in {"unauthorized_client", "invalid_grant"}
    assert await flow.world.is_active(first["access_token"])


async def test_tk_01_of_many_at_once_one_wins_and_the_rest_end_it(either: Flow) -> None:
    code = await either.code()
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
    answers = await asyncio.gather(*(either.world.post_quickly("/token", form, by=APP) for _ in range(12)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 11
    [won] = [answer for answer in answers if answer.status == 200]
    assert not await either.world.is_active(won["access_token"])
    assert len(await either.world.store.select(Family, "", "")) == 1
    assert len(await either.world.store.select(Revoked, "", "")) == 1


@stops(LIVE)
async def test_tk_02_a_code_after_its_minute(flow: Flow) -> None:
    code = await flow.code()
    flow.world.clock.forward(LIFE)
    assert (await flow.redeem(code)).told == NOT_GOOD
    flow.world.clock.now = Instant(flow.world.now - 1)
    assert (await flow.redeem(code)).status == 200


async def test_tk_03_another_client_cannot_use_it_and_cannot_use_it_up(flow: Flow) -> None:
    code = await flow.code(WEB)
    assert (await flow.redeem(code, WEB, by=TWO)).told == NOT_GOOD
    assert (await flow.redeem(code, WEB, by=APP)).told == NOT_GOOD
    assert len(await events(flow, "code_client_mismatch")) == 2
    assert (await flow.redeem(code, WEB)).status == 200


async def test_tk_03_says_the_same_of_anothers_code_as_of_none(flow: Flow) -> None:
    code = await flow.code(WEB)
    stolen, invented = await flow.redeem(code, WEB, by=TWO), await flow.redeem("A" * 43, WEB, by=TWO)
    assert stolen.body == invented.body


async def test_tk_04_another_client_with_the_owners_name_in_the_body(flow: Flow) -> None:
    code = await flow.code(WEB)
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER, "client_id": WEB}
    _, fields = flow.world.logs_in(TWO)
    assert (await flow.world.post("/token", {**form, **dict(fields)})).told == (401, "invalid_client")
    assert (await flow.world.post("/token", form)).told == (
        401,
        "invalid_client",
    )  # a confidential client, by name alone
    assert (await flow.redeem(code, WEB)).status == 200


@stops(VERIFIED)
async def test_tk_05_a_wrong_verifier_and_the_third_one_kills(flow: Flow) -> None:
    code = await flow.code()
    for verifier in ("x" * 43, VERIFIER + "x"):
        assert (await flow.redeem(code, code_verifier=verifier, spends=("code",))).told == NOT_GOOD
    assert (await flow.redeem(code)).status == 200
    other = await flow.code()
    for _ in range(3):
        assert (await flow.redeem(other, code_verifier="x" * 43, spends=("code",))).told == NOT_GOOD
    assert (await flow.redeem(other)).told == NOT_GOOD


async def test_tk_05_a_code_that_was_used_counts_no_more(flow: Flow) -> None:
    code = await flow.code()
    await flow.redeem(code)
    assert (await flow.redeem(code, code_verifier="x" * 43)).told == NOT_GOOD  # and nothing is written


async def test_tk_06_no_verifier(flow: Flow) -> None:
    """There is always a challenge: a request without one has no answer (AZ-12)."""
    assert (await flow.redeem(await flow.code(), code_verifier=None, spends=("code",))).told == NOT_GOOD


@stops(SAME_REDIRECT)
async def test_tk_07_another_redirect_uri(flow: Flow) -> None:
    code = await flow.code()
    for uri in ("http://127.0.0.1:5002/cb", "http://127.0.0.1/cb", "https://evil.example/"):
        assert (await flow.redeem(code, redirect_uri=uri)).told == NOT_GOOD
    assert (await flow.redeem(code)).status == 200


@pytest.mark.parametrize("code", ["A" * 43, "x", "x" * 8192, "ä" * 43, "\ud7ff"])
async def test_tk_08_what_is_no_code(flow: Flow, code: str) -> None:
    assert (await flow.redeem(code)).told == NOT_GOOD


async def test_tk_08_an_empty_code(flow: Flow) -> None:
    assert (await flow.redeem("")).told == (400, "invalid_request")


@pytest.mark.parametrize("what", ["person", "client", "taken back", "policy"])
async def test_tk_10_something_is_lost_before_the_code_is_used(flow: Flow, what: str) -> None:
    code = await flow.code(WEB)
    if what == "person":
        await flow.world.change(Person, "alice", disabled_at=flow.world.now)
    elif what == "client":
        await flow.world.change(Client, WEB, disabled_at=flow.world.now)
    elif what == "taken back":
        await flow.world.take_back(client=WEB)
    else:
        flow.world.policy.denied.add("issue")
    told = (await flow.redeem(code, WEB)).told
    assert told in {NOT_GOOD, (401, "invalid_client"), (400, "access_denied")}
    assert await flow.world.store.select(Family, "", "") == []


@lets_through(NO_WIDER_TARGET)
@stops(NO_WIDER_TARGET)
async def test_tk_09_a_code_of_one_worker_is_taken_by_another_at_once(tmp_path: Path) -> None:
    path = tmp_path / "world.db"
    async with a_flow(path) as flow:
        code = await flow.code()
        others = SqliteStore(path)
        try:
            remade(flow.world, store=others)
            assert (await flow.redeem(code)).status == 200
        finally:
            await others.close()


async def test_tk_19_where_nothing_can_be_written_the_code_is_not_used_up(either: Flow) -> None:
    """The mark that it was used, and what comes of it, are one write."""
    store = either.world.store
    code = await either.code()
    remade(either.world, store=BrokenStore(store, frozenset({Family.kind})))
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
    assert (await either.world.post_quickly("/token", form, by=APP)).status == 503
    remade(either.world, store=store)
    assert (await the_code(either)).spent_at is None
    answer = await either.redeem(code)
    assert await either.world.is_active(answer["access_token"])


async def test_tk_11_another_resource_does_not_use_the_code_up(flow: Flow) -> None:
    code = await flow.code(TWO, scope=READ)
    for resource in (INSURER, "https://evil.example", ISSUER):
        assert (await flow.redeem(code, TWO, resource=resource)).told == (400, "invalid_target")
    assert (await flow.redeem(code, TWO, resource=PHARMACY)).status == 200


@stops(NO_WIDER_SCOPE, NO_WIDER_DETAILS)
async def test_tk_12_never_wider(flow: Flow) -> None:
    code = await flow.code(scope=READ)
    assert (await flow.redeem(code, scope=f"{READ} {ORDER}")).told == (400, "invalid_scope")
    details = json_bytes([a_purchase()]).decode()
    refused = await flow.redeem(code, authorization_details=details)
    assert refused.told == (400, "invalid_authorization_details")
    both = await flow.code(scope=f"{READ} {ORDER}")
    assert (await flow.redeem(both, scope=READ)).json["scope"] == READ


@stops(CONFIDENTIAL)
async def test_tk_21_what_a_public_client_may_not(flow: Flow) -> None:
    every = frozenset({"client_credentials", "urn:openid:params:grant-type:ciba"}) | {
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:deputize:grant-type:transaction",
    }
    await flow.world.change(Client, APP, grant_types=every)
    for path, form in (
        ("/token", {"grant_type": "client_credentials"}),
        ("/token", {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange"}),
        ("/backchannel", {"scope": f"openid {READ}", "login_hint": "alice"}),
        ("/transaction", {"transaction_challenge": flow.world.challenge()}),
        ("/introspect", {"token": flow.world.minted()}),
    ):
        assert (await flow.world.post(path, form, by=APP)).told[1] == "unauthorized_client", path


async def test_a_public_client_revokes_what_is_its_own(flow: Flow) -> None:
    told = await flow.tokens()
    assert (await flow.world.post("/revoke", {"token": told["refresh_token"]}, by=APP)).status == 200
    assert not await flow.world.is_active(told["access_token"])


# --- keys -----------------------------------------------------------------------------------------------------------


@lets_through(SAME_KEY)
@stops(SAME_KEY)
async def test_dp_09_a_code_that_is_bound_to_a_key_is_used_by_who_shows_it(flow: Flow) -> None:
    code = await flow.code(dpop_jkt=KEY.kid)
    assert (await flow.redeem(code)).told == NOT_GOOD
    assert (await flow.redeem(code, key=OTHER_KEY)).told == NOT_GOOD
    answer = await flow.redeem(code, key=KEY)
    assert answer["token_type"] == "DPoP"
    _, claims = jwt.peek(answer["access_token"], "x")
    assert claims["cnf"] == {"jkt": KEY.kid}
    form = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
    assert (await flow.world.post("/token", form, by=APP)).told == NOT_GOOD
    assert (await flow.world.post("/token", form, by=APP, key=KEY)).status == 200


# --- several resources ----------------------------------------------------------------------------------------------


async def test_a_yes_for_two_resources_becomes_a_token_for_each(flow: Flow) -> None:
    browser = await flow.browser()
    begun = await flow.begin(browser, TWO, scope=f"{READ} {CLAIM}", resource=PHARMACY, more=f"&resource={INSURER}")
    page = await flow.follow(browser, begun)
    assert "read your prescriptions at Madrid" in page.text.replace("\N{NO-BREAK SPACE}", " ")
    landing = await flow.says(browser, page, "allow", "scope0", "scope1")
    first = await flow.redeem(landing.told["code"], TWO, resource=PHARMACY)
    _, claims = jwt.peek(first["access_token"], "x")
    assert (claims["aud"], claims["scope"]) == (PHARMACY, READ)
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"], "resource": INSURER, "scope": CLAIM}
    second = await flow.world.post("/token", form, by=TWO)
    _, claims = jwt.peek(second["access_token"], "x")
    assert (claims["aud"], claims["scope"]) == (INSURER, CLAIM)


# --- details --------------------------------------------------------------------------------------------------------


async def test_a_yes_to_one_thing_is_for_that_thing_and_for_this_once(flow: Flow) -> None:
    details = json_bytes([a_purchase()]).decode()
    told = await flow.tokens(scope=None, authorization_details=details)
    assert told["authorization_details"] == [a_purchase()]
    assert "scope" not in told
    assert "refresh_token" not in told
    again = await flow.shown(await flow.browser(), authorization_details=details, scope=None)
    assert again.status_code == 200
    assert "order 30" in again.text
