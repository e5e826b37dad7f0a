"""Corpus LG-12: who comes from another provider, and is not who they seem to be, or nobody here any more."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from deputize.core.rules import Fault
from deputize.core.values import Instant, IssuerIdentifier
from deputize.core.wire import Call, Headers, JsonObject, Reply, json_bytes
from deputize.jose.jwt import peek
from deputize.jose.keys import PrivateKey
from deputize.oauth.client import Person
from deputize.oauth.grants.authorization_code import Code
from deputize.oauth.upstream import (
    ALLOWED_THERE,
    ANSWERED_BY,
    FOR_US,
    FRESH,
    GAVE_TOKEN,
    SAME_BROWSER,
    Provider,
    Trip,
    Upstream,
)
from deputize.server.session import Session
from deputize.server.upstream import KNOWN_HERE, NOBODY, NOT_THERE, ONE_PERSON, UpstreamLink
from tests.support.cast import PHARMACY, READ
from tests.support.flow import CALLBACK, CODE_GRANTS, TWO, WEB, query_of
from tests.support.pages import SAME_ORIGIN, token_on
from tests.support.proofs import lets_through, stops
from tests.support.upstream import BACK, IDP, US, Both, both_of
from tests.support.world import a_world

STRANGE = PrivateKey.generate()


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    async with both_of(enrols=True) as made:
        yield made


async def people(both: Both) -> set[str]:
    return {one.key for one in await both.here.store.select(Person, "", "")}


@lets_through(ANSWERED_BY, ALLOWED_THERE, GAVE_TOKEN, SAME_BROWSER, FOR_US, KNOWN_HERE)
async def test_somebody_comes_and_is_the_same_person_the_next_time(both: Both) -> None:
    browser = both.flow.stranger()
    where = await both.sent(browser)
    asked = query_of(where)
    assert where.startswith(f"{IDP}/authorize?")
    assert (asked["redirect_uri"], asked["client_id"], asked["code_challenge_method"]) == (BACK, US, "S256")
    before = await people(both)
    answer = await both.back(browser, await both.allowed(where))
    assert (answer.status_code, answer.headers["location"]) == (303, "/inbox")
    [made] = await people(both) - before
    assert made.startswith("corp-")  # and not "bob": a name elsewhere is nobody's name here
    assert await both.who(browser) == made
    [kept] = [one for one in await both.here.store.select(Session, "person", made) if one.ended_at is None]
    assert (kept.amr, kept.authentication.acr()) == ((), None)  # how it was done there, nobody here has seen
    other = both.flow.stranger()
    await both.comes(other)
    assert await both.who(other) == made
    assert await both.who(browser) == made


async def test_the_way_leads_on_to_where_the_person_wanted_to_go(both: Both) -> None:
    browser = both.flow.stranger()
    where = await both.sent(browser, at="/sign-in?next=/agents")
    assert (await both.back(browser, await both.allowed(where))).headers["location"] == "/agents"


@stops(KNOWN_HERE)
async def test_where_nobody_is_enrolled_a_stranger_stays_one() -> None:
    async with both_of() as both:
        before = await people(both)
        browser = both.flow.stranger()
        answer = await both.comes(browser)
        assert (answer.status_code, NOBODY in answer.text) == (403, True)
        assert await both.who(browser) is None
        assert await people(both) == before


@lets_through(ONE_PERSON)
@stops(ONE_PERSON)
async def test_who_is_signed_in_adds_an_account_of_theirs_and_nobody_elses() -> None:
    async with both_of() as both:
        alice = await both.flow.browser("alice")
        added = await both.back(alice, await both.allowed(await both.sent(alice, at="/account"), "alice"))
        assert added.headers["location"] == "/account"
        fresh = both.flow.stranger()
        await both.comes(fresh, "alice")
        assert await both.who(fresh) == "alice"
        bob = await both.flow.browser("bob")
        taken = await both.back(bob, await both.allowed(await both.sent(bob, at="/account"), "alice"))
        assert (taken.status_code, len(await both.here.store.select(UpstreamLink, "", ""))) == (403, 1)


async def test_what_was_begun_for_alice_is_not_linked_to_bob(both: Both) -> None:
    """Mallory begins at her own browser, and has Alice's bring the end of it (login CSRF, and linking)."""
    mallory, alice = both.flow.stranger(), await both.flow.browser("alice")
    end = await both.allowed(await both.sent(mallory))
    assert (await both.back(alice, end)).status_code == 403
    assert await both.who(alice) == "alice"
    bob = await both.flow.browser("bob")
    linking = await both.allowed(await both.sent(bob, at="/account"))
    assert (await both.back(alice, linking)).status_code == 403
    assert not await both.here.store.select(UpstreamLink, "", "")


async def test_the_way_back_is_gone_once(both: Both) -> None:
    browser = both.flow.stranger()
    end = await both.allowed(await both.sent(browser))
    assert (await both.back(browser, end)).status_code == 303
    assert (await both.back(browser, end)).status_code == 403


@stops(ANSWERED_BY)
async def test_lg_12_an_answer_of_another_provider(both: Both) -> None:
    browser = both.flow.stranger()
    end = await both.allowed(await both.sent(browser))
    for changed in (
        end.replace("iss=https%3A%2F%2Fidp.example", "iss=https%3A%2F%2Fevil.example"),
        end.split("&iss=")[0],
    ):
        assert changed != end
        answer = await both.back(browser, changed)
        assert (answer.status_code, NOT_THERE in answer.text) == (403, True)
    assert not [call for call in both.wire.calls if call.url == f"{IDP}/token"]  # and the code was shown to nobody


@stops(ALLOWED_THERE, GAVE_TOKEN)
async def test_lg_12_a_no_a_code_that_is_none_and_an_answer_without_a_token(both: Both) -> None:
    browser = both.flow.stranger()
    end = await both.allowed(await both.sent(browser))
    code = query_of(end)["code"]
    for changed in (end.replace("code=", "error="), f"{end}&error=access_denied", end.replace(code, "x")):
        assert (await both.back(browser, changed)).status_code == 403
    both.wire.alters = lambda told: {**told, "id_token": None}
    assert (await both.back(browser, end)).status_code == 403
    assert await both.who(browser) is None


def _minted(both: Both, told: JsonObject, **changed: Any) -> JsonObject:
    claims = dict(peek(told["id_token"], "x")[1])
    typ, key = changed.pop("typ", "JWT"), changed.pop("key", both.idp.signer.all[0])
    header = {"kid": both.idp.signer.all[0].kid} if key is not both.idp.signer.all[0] else None
    return {**told, "id_token": both.idp.signed({**claims, **changed}, key, typ, header)}


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "another-client"},
        {"aud": [US, "another-client"]},
        {"azp": "another-client"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"nonce": "of another browser"},
        {"nonce": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"typ": "at+jwt"},
        {"typ": "logout+jwt"},
        {"key": STRANGE},
    ],
)
@stops(SAME_BROWSER, FOR_US)
async def test_lg_12_an_id_token_that_is_not_the_answer(both: Both, changed: dict[str, Any]) -> None:
    browser = both.flow.stranger()
    both.wire.alters = lambda told: _minted(both, told, **changed)
    before = await people(both)
    answer = await both.comes(browser)
    assert (answer.status_code, NOT_THERE in answer.text) == (403, True)
    assert await both.who(browser) is None
    assert await people(both) == before


async def test_the_same_token_unaltered_is_the_answer(both: Both) -> None:
    both.wire.alters = lambda told: _minted(both, told)
    browser = both.flow.stranger()
    assert (await both.comes(browser)).status_code == 303


@lets_through(FRESH)
@stops(FRESH)
async def test_who_is_to_sign_in_once_more_does_so_there(both: Both) -> None:
    browser = both.flow.stranger()
    await both.comes(browser)
    first = await both.who(browser)
    both.here.clock.forward(120)
    both.idp.clock.forward(120)
    where = await both.sent(browser, at="/sign-in?next=/account&again=1", again="1")
    assert (query_of(where)["prompt"], query_of(where)["max_age"]) == ("login", "0")
    for auth_time in (None, both.here.now - 110):
        both.wire.alters = _at(both, auth_time)
        away = await both.sent(browser, at="/sign-in?next=/account&again=1", again="1")
        assert (await both.back(browser, await _there(both, away))).status_code == 403
    both.wire.alters = _at(both, both.here.now)
    away = await both.sent(browser, at="/sign-in?next=/account&again=1", again="1")
    assert (await both.back(browser, await _there(both, away))).headers["location"] == "/account"
    assert await both.who(browser) == first


def _at(both: Both, auth_time: Instant | int | None) -> Callable[[JsonObject], JsonObject]:
    return lambda told: _minted(both, told, auth_time=auth_time)


async def _there(both: Both, url: str) -> str:
    """A provider that takes no notice of being asked to sign the person in once more."""
    return await both.allowed(url.replace("prompt=login", "prompt=consent").replace("max_age=0", "max_age=9999"))


@stops(KNOWN_HERE)
async def test_lg_12_a_person_who_was_disabled_or_is_gone(both: Both) -> None:
    browser = both.flow.stranger()
    await both.comes(browser)
    person = await both.who(browser)
    assert person is not None
    await both.here.change(Person, person, disabled_at=both.here.now)
    again = both.flow.stranger()
    assert (await both.comes(again)).status_code == 403
    assert await both.who(again) is None
    [link] = await both.here.store.select(UpstreamLink, "", "")
    await both.here.change(UpstreamLink, link.key, person="nobody any more")
    assert (await both.comes(again)).status_code == 403  # and is not enrolled anew under what was another's


async def test_lg_12_a_provider_that_was_taken_out_leads_nowhere(both: Both) -> None:
    browser = both.flow.stranger()
    page = await browser.get("/sign-in")
    answer = await browser.post("/sign-in/at/other", data={"token": token_on(page)}, headers=SAME_ORIGIN)
    assert answer.status_code == 404
    assert (await browser.get("/sign-in/from/other?code=x&state=y")).status_code == 404


async def test_co_07_that_the_provider_asks_nobody_any_more_is_no_yes_to_a_client_here(both: Both) -> None:
    """There, we are one client, which was allowed long ago. Here, each client is asked about by itself."""
    common: dict[str, Any] = {
        "audiences": frozenset({PHARMACY}),
        "scope": frozenset({READ}),
        "grant_types": CODE_GRANTS,
    }
    for client in (WEB, TWO):
        await both.here.client(client, redirect_uris=(CALLBACK,), **common)
    await both.comes(both.flow.stranger())
    for client in (WEB, TWO):
        browser = both.flow.stranger()
        begun = await both.flow.begin(browser, client, scope=READ)
        where = await both.comes(browser, at=begun.headers["location"])
        page = await both.flow.follow(browser, where)
        assert (page.status_code, await both.here.store.select(Code, "", "")) == (200, [])
        assert (await both.flow.says(browser, page, "deny")).error == "access_denied"


async def test_co_01_co_02_no_page_of_others_sends_anybody_there(both: Both) -> None:
    browser = both.flow.stranger()
    page = await browser.get("/sign-in")
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        sent = await browser.post("/sign-in/at/corp", data={"token": token_on(page)}, headers=headers)
        assert sent.status_code == 403
    assert (await browser.post("/sign-in/at/corp", data={"token": "x"}, headers=SAME_ORIGIN)).status_code == 403


async def test_a_provider_that_is_away_is_said_to_be(both: Both) -> None:
    browser = both.flow.stranger()
    end = await both.allowed(await both.sent(browser))
    both.wire.world = None
    answer = await both.back(browser, end)
    assert (answer.status_code, NOT_THERE in answer.text) == (403, True)
    both.wire.world = both.idp
    assert (await both.back(browser, end)).status_code == 303


def test_the_state_tells_nobody_the_verifier() -> None:
    """It stands in addresses, and the verifier must not follow from it."""
    one, other = Trip.of(BACK, "state", "a browser"), Trip.of(BACK, "state", "another")
    assert one.verifier.reveal() != other.verifier.reveal() != one.nonce.reveal()
    assert one.verifier.reveal() not in repr(replace(one))


async def test_endpoints_lie_with_the_issuer_or_where_the_settings_say() -> None:
    """A document that leads elsewhere would have the browser, the code and our secret go there."""
    told = {"issuer": f"{IDP}/", "token_endpoint": "https://login.example/t", "jwks_uri": "https://keys.example/j"}
    told["authorization_endpoint"] = "https://login.example/a"

    async def fetch(call: Call) -> Reply:
        assert call.url == f"{IDP}/.well-known/openid-configuration"
        return Reply(status=200, headers=Headers((("content-type", "application/json"),)), body=json_bytes(told))

    upstream = Upstream(key="corp", name="Corp", issuer=IssuerIdentifier(f"{IDP}/"), client_id=US)
    trip = Trip.of(BACK, "state", "a browser")
    async with a_world(fetch=fetch) as world:
        for elsewhere in ((), ("https://login.example",)):
            with pytest.raises(Fault, match="own origin"):
                await Provider(replace(upstream, elsewhere=elsewhere)).address(trip, world.env)
        known = replace(upstream, elsewhere=("https://login.example", "https://keys.example"))
        assert (await Provider(known).address(trip, world.env)).startswith("https://login.example/a?")
