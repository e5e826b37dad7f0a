"""Mandates: who gets one, what is in it, how long it lives, and what takes it back."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from deputize import vc
from deputize.core.ports import Add, Event
from deputize.core.rules import Refusal, Rule
from deputize.core.values import ClientId, Instant, Seconds, Subject
from deputize.core.wire import JsonObject, json_bytes
from deputize.jose import jwt
from deputize.jose.keys import PrivateKey
from deputize.oauth import mandates, statuses
from deputize.oauth import standing as standings
from deputize.oauth.approval import ACCESS_TOKEN, MANDATE
from deputize.oauth.client import Client
from deputize.oauth.details import details
from deputize.oauth.grants import token_exchange
from deputize.oauth.grants.token_exchange import FOR_A_PERSON, KEY_SHOWN, REQUESTED, STANDS
from deputize.oauth.mandates import HOLDER, TYPE_NAME, Settings
from deputize.oauth.standing import Standing
from deputize.oauth.statuses import StatusEntry
from deputize.oauth.tokens import CLIENT_ALLOWED, NOT_REVOKED, STANDING_LIVE, Revoked
from deputize.server.mandates import mint
from deputize.vc.sdjwt import HASHES, digest
from deputize.vc.status_list import IS_VALID
from tests.support.asgi import Answer
from tests.support.cast import BOT, DPOP_BOT, ORDER, PHARMACY, READ, a_purchase
from tests.support.judge import kept
from tests.support.proofs import lets_through, stops
from tests.support.reach import Reach
from tests.support.variants import KEEPER, first_tokens, remade, with_keeper
from tests.support.world import World, a_world

AGENT = PrivateKey.generate()
CLINIC = "https://clinic.example"
ISSUER = "https://as.example"
BOTH = f"openid {READ} {ORDER}"
LISTS = statuses.Settings(size=2**14, lists=1)


@pytest.fixture
async def giving() -> AsyncIterator[World]:
    async with a_world(status=LISTS, mandates=Settings()) as world:
        yield world


def fields(subject: str) -> dict[str, str]:
    return {
        "grant_type": token_exchange.TYPE,
        "subject_token": subject,
        "subject_token_type": ACCESS_TOKEN,
        "requested_token_type": MANDATE,
    }


async def asked_for(
    world: World, subject: str, *, by: str = DPOP_BOT, key: PrivateKey | None = AGENT, **form: str
) -> Answer:
    return await world.post("/token", {**fields(subject), **form}, by=by, key=key)


def why(answer: Answer) -> tuple[str, str]:
    return answer["error"], answer["error_description"]


async def given(world: World, **form: str) -> str:
    """A mandate for what Alice allowed just now, or for less where the form says so."""
    token = await world.allowed(by=DPOP_BOT, key=AGENT, scope=BOTH)
    answer = await world.post("/token", {**fields(token), **form}, by=DPOP_BOT, key=AGENT)
    assert answer.status == 200, answer.body
    return answer["access_token"]


# --- an API that has nothing to do with the server ------------------------------------------------------------------


class Clinic:
    """It trusts mandates of this issuer, fetches what that publishes, and keeps what it may."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.reach = Reach(world)
        way = vc.well_known()
        lists = vc.StatusLists()
        trusted = vc.TrustedIssuer(
            issuer=ISSUER,
            keys=way,
            types=frozenset({TYPE_NAME}),
            needs=frozenset({"exp", "cnf", "act", "may"}),
            status=vc.status_of_issuer(lists, way),
        )
        self.policy = vc.Policy(issuers=(trusted,), catalogue=vc.Catalogue(fetches=True))
        self.count = 0

    async def takes(self, mandate: str, *show: Any, key: PrivateKey = AGENT) -> JsonObject:
        self.count += 1
        asked = vc.Asked(audience=CLINIC, nonce=f"nonce-{self.count}")
        shown = vc.present(mandate, show, asked=asked, key=key, now=self.world.now)
        env = replace(self.world.env, fetch=self.reach)
        return (await vc.averify(shown, self.policy, asked=asked, env=env)).claims

    async def why_not(self, mandate: str) -> Rule | None:
        try:
            await self.takes(mandate)
        except Refusal as refusal:
            return refusal.rule
        return None


@pytest.fixture
def clinic(giving: World) -> Clinic:
    return Clinic(giving)


@lets_through(HOLDER, STANDS, REQUESTED)
async def test_an_api_without_any_tie_learns_who_deputized_whom_for_what(giving: World, clinic: Clinic) -> None:
    mandate = await given(giving)
    seen = await clinic.takes(mandate, "sub", ("may", None))
    assert (seen["iss"], seen["sub"], seen["act"]) == (ISSUER, "alice", {"sub": DPOP_BOT})
    assert sorted(one["scope"] for one in seen["may"]) == [ORDER, READ]
    assert {one["resource"] for one in seen["may"]} == {PHARMACY}
    assert all(path.startswith("GET ") for path in clinic.reach.asked)
    assert len(clinic.reach.asked) == 3, "keys, type and list, and none of them tells who asks about whom"


async def test_the_agent_shows_what_it_wants_shown(giving: World, clinic: Clinic) -> None:
    mandate = await given(giving)
    seen = await clinic.takes(mandate)
    assert "sub" not in seen
    assert seen["may"] == []
    read = next(at for at, one in enumerate((await clinic.takes(mandate, "may"))["may"]) if one["scope"] == READ)
    issued = jwt.peek(mandate.partition("~")[0], "x")[1]
    assert len(issued["may"]) == 4, "nobody sees how much more there is"
    places = [at for at, hidden in enumerate(issued["may"]) if hidden["..."] in _digests(mandate)]
    seen = await clinic.takes(mandate, ("may", places[read]))
    assert [one["scope"] for one in seen["may"]] == [READ]


def _digests(mandate: str) -> list[str]:
    return [digest(one, HASHES["sha-256"]) for one in mandate.split("~")[1:-1]]


async def test_the_answer_says_that_it_opens_nothing(giving: World) -> None:
    token = await giving.allowed(by=DPOP_BOT, key=AGENT, scope=BOTH)
    answer = await asked_for(giving, token)
    told = {name: value for name, value in answer.json.items() if name != "access_token"}
    assert told == {"issued_token_type": MANDATE, "token_type": "N_A", "expires_in": 12 * 3600}
    again = await giving.post("/introspect", {"token": answer["access_token"]}, by=PHARMACY)
    assert again.json == {"active": False}
    assert (await asked_for(giving, answer["access_token"])).status == 400
    events = [one.what for one in await giving.store.select(Event, "client", DPOP_BOT, limit=100)]
    assert events.count("mandate_issued") == 1


async def test_it_may_be_narrower_than_the_token_and_never_wider(giving: World, clinic: Clinic) -> None:
    seen = await clinic.takes(await given(giving, scope=READ), "may")
    assert [one["scope"] for one in seen["may"]] == [READ]
    token = await giving.allowed(by=DPOP_BOT, key=AGENT, scope=f"openid {READ}")
    assert (await asked_for(giving, token, scope=BOTH.removeprefix("openid "))).told == (400, "invalid_scope")


async def test_neither_who_gives_nor_who_takes_keeps_it(giving: World, clinic: Clinic) -> None:
    mandate = await given(giving)
    await clinic.takes(mandate, "sub", "may")
    lying = repr(await kept(giving.store))
    for part in (*mandate.split("~")[:-1], mandate.split(".")[1]):
        assert part not in lying
    assert "alice" in lying


async def test_what_is_published_is_for_machines_to_read(giving: World) -> None:
    described = await giving.get("/types/agent-mandate/1")
    issuer = await giving.get("/.well-known/jwt-vc-issuer")
    assert described.json["vct"] == f"{ISSUER}/types/agent-mandate/1"
    assert issuer.json["issuer"] == ISSUER
    assert jwt.peek((await given(giving)).partition("~")[0], "x")[0].kid in {
        key["kid"] for key in issuer.json["jwks"]["keys"]
    }
    for told in (described, issuer):
        assert told.header("content-type") == "application/json"
        assert told.header("cache-control") == "public, max-age=60"
        assert told.header("x-content-type-options") == "nosniff"
        assert told.header("content-security-policy") == "default-src 'none'"


@pytest.mark.parametrize(("count", "shown"), [(1, 4), (4, 4), (5, 8), (9, 16)])
async def test_how_much_it_may_is_told_to_nobody(giving: World, count: int, shown: int) -> None:
    claims = {"vct": "urn:x", "sub": "alice", "may": [{"scope": str(number)} for number in range(count)]}
    text = await mint(claims, giving.env)
    assert len(jwt.peek(text.partition("~")[0], "x")[1]["may"]) == shown


async def test_what_was_allowed_in_detail_is_shown_in_detail(giving: World, clinic: Clinic) -> None:
    """Such a yes is remembered where a person gave it at the consent page."""
    await giving.allowed(by=DPOP_BOT, key=AGENT, scope=BOTH)
    standing = await standings.find(Subject("alice"), ClientId(DPOP_BOT), giving.env)
    assert standing
    told = details([a_purchase()], error="x")
    whole = replace(standing.allowed[-1], details=told)
    await giving.change(Standing, standing.key, allowed=(whole,))
    good: dict[str, Any] = {"client_id": DPOP_BOT, "act": {"sub": DPOP_BOT}, "grant_id": standing.key}
    token = giving.minted(**good, cnf={"jkt": AGENT.public().thumbprint}, authorization_details=[a_purchase()])
    answer = await asked_for(giving, token)
    seen = await clinic.takes(answer["access_token"], "authorization_details")
    assert [one["type"] for one in seen["authorization_details"]] == ["purchase"]


class Taken:
    """A store in which somebody else always has the entry first, for so many times."""

    def __init__(self, world: World, times: int) -> None:
        self.store, self.times = world.store, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def commit(self, *changes: Any) -> bool:
        if self.times and any(isinstance(one, Add) and isinstance(one.record, StatusEntry) for one in changes):
            self.times -= 1
            return False
        return await self.store.commit(*changes)


async def test_an_entry_that_somebody_else_has_is_drawn_again(giving: World, clinic: Clinic) -> None:
    token = await giving.allowed(by=DPOP_BOT, key=AGENT, scope=BOTH)
    remade(giving, store=Taken(giving, 3))
    assert await clinic.why_not((await asked_for(giving, token))["access_token"]) is None
    remade(giving, store=Taken(giving, 1000))
    answer = await giving.post_quickly("/token", fields(token), by=DPOP_BOT, key=AGENT)
    assert answer.status == 503


# --- who gets none --------------------------------------------------------------------------------------------------


@stops(HOLDER)
async def test_without_the_agents_key_there_is_none(giving: World) -> None:
    token = await giving.allowed(scope=BOTH)
    assert why(await asked_for(giving, token, by=BOT, key=None)) == ("invalid_request", HOLDER.says)
    other = PrivateKey.generate()
    bound = await giving.allowed(by=DPOP_BOT, key=AGENT, scope=BOTH)
    assert why(await asked_for(giving, bound, key=other)) == ("invalid_request", KEY_SHOWN.says)


@stops(STANDS)
async def test_what_was_approved_once_makes_no_mandate(giving: World) -> None:
    once = await giving.allowed(
        by=DPOP_BOT, key=AGENT, scope="openid", authorization_details=json_bytes([a_purchase()]).decode()
    )
    assert why(await asked_for(giving, once)) == ("invalid_request", STANDS.says)
    both = await giving.allowed(
        by=DPOP_BOT, key=AGENT, scope=BOTH, authorization_details=json_bytes([a_purchase()]).decode()
    )
    assert why(await asked_for(giving, both)) == ("invalid_request", STANDS.says)


async def test_a_client_for_itself_has_nobody_who_deputized_it(giving: World) -> None:
    token = (await giving.token(by=DPOP_BOT, key=AGENT))["access_token"]
    assert why(await asked_for(giving, token)) == ("invalid_request", FOR_A_PERSON.says)


@stops(REQUESTED)
async def test_a_server_that_gives_none_says_so() -> None:
    for settings in ({}, {"status": LISTS}, {"mandates": Settings()}):
        async with a_world(**settings) as world:
            token = await world.allowed(by=DPOP_BOT, key=AGENT, scope=BOTH)
            assert why(await asked_for(world, token)) == ("invalid_request", REQUESTED.says)
    async with a_world(status=LISTS) as world:
        for path in ("/.well-known/jwt-vc-issuer", "/types/agent-mandate/1"):
            assert (await world.get(path)).status == 404


async def test_a_client_that_may_less_by_now_gets_none(giving: World) -> None:
    token = await giving.allowed(by=DPOP_BOT, key=AGENT, scope=BOTH)
    await giving.change(Client, DPOP_BOT, scope=frozenset({READ}))
    assert why(await asked_for(giving, token)) == ("invalid_scope", CLIENT_ALLOWED.says)


# --- how long it lives ----------------------------------------------------------------------------------------------


async def test_it_outlives_the_token_but_not_the_persons_word(giving: World, clinic: Clinic) -> None:
    mandate = await given(giving)
    giving.clock.forward(12 * 3600 - 1)
    assert await clinic.why_not(mandate) is None
    giving.clock.forward(100)
    assert await clinic.why_not(mandate) is jwt.UNEXPIRED
    giving.clock.forward(30 * 24 * 3600 - 13 * 3600)  # what Alice allowed runs for half an hour more
    token = await giving.allowed(by=DPOP_BOT, key=AGENT, scope=BOTH)
    assert 0 < (await asked_for(giving, token)).json["expires_in"] < 3600


@pytest.mark.parametrize("life", [0, 59, 31 * 24 * 3600 + 1])
def test_a_life_has_bounds(life: int) -> None:
    with pytest.raises(ValueError, match="a mandate lives for"):
        Settings(life=Seconds(life))


# --- what takes it back ---------------------------------------------------------------------------------------------


async def test_alice_takes_back_what_she_allowed(giving: World, clinic: Clinic) -> None:
    mandate, other = await given(giving), await given(giving)
    assert await clinic.why_not(mandate) is None
    await giving.take_back("alice", DPOP_BOT)
    giving.clock.forward(30)
    assert await clinic.why_not(mandate) is IS_VALID
    assert await clinic.why_not(other) is IS_VALID
    await giving.welcome("alice", DPOP_BOT)
    giving.clock.forward(60)
    assert await clinic.why_not(mandate) is IS_VALID
    assert await clinic.why_not(await given(giving)) is None


async def test_alice_sees_that_one_is_out_until_it_is_not(giving: World) -> None:
    async def seen() -> Instant | None:
        found = await standings.find(Subject("alice"), ClientId(DPOP_BOT), giving.env)
        assert found
        return await mandates.out_until(found, giving.env)

    await giving.allowed(by=DPOP_BOT, key=AGENT, scope=BOTH)
    assert await seen() is None
    await given(giving)
    giving.clock.forward(3600)
    await given(giving)
    assert await seen() == giving.now + 12 * 3600
    await giving.take_back("alice", DPOP_BOT)
    assert await seen() is None
    await giving.welcome("alice", DPOP_BOT)
    giving.clock.forward(2)
    assert await seen() is None
    await given(giving)
    assert await seen() == giving.now + 12 * 3600
    giving.clock.forward(12 * 3600)
    assert await seen() is None


async def test_it_ends_with_the_token_that_it_came_of(giving: World, clinic: Clinic) -> None:
    token = await giving.allowed(by=DPOP_BOT, key=AGENT, scope=BOTH)
    mandate = (await asked_for(giving, token))["access_token"]
    assert (await giving.post("/revoke", {"token": token}, by=DPOP_BOT)).status == 200
    giving.clock.forward(30)
    assert await clinic.why_not(mandate) is IS_VALID


async def test_it_ends_with_the_refresh_tokens_that_it_came_of(giving: World, clinic: Clinic) -> None:
    await with_keeper(giving)
    told = await first_tokens(giving, key=AGENT, scope=BOTH)
    mandate = (await asked_for(giving, told["access_token"], by=KEEPER))["access_token"]
    assert await clinic.why_not(mandate) is None
    assert (await giving.post("/revoke", {"token": told["refresh_token"]}, by=KEEPER)).status == 200
    giving.clock.forward(30)
    assert await clinic.why_not(mandate) is IS_VALID


@pytest.mark.parametrize("ends", ["standing", "token"])
async def test_what_is_taken_back_in_that_very_moment_is_not_given(giving: World, ends: str) -> None:
    """It ends between the look at what it rests on and the writing of its entry."""
    token = await giving.allowed(by=DPOP_BOT, key=AGENT, scope=BOTH)
    jti = jwt.peek(token, "x")[1]["jti"]
    minted = giving.here.mandates
    assert minted

    async def slow(claims: JsonObject, env: Any) -> str:
        if ends == "standing":
            await giving.take_back("alice", DPOP_BOT)
        else:
            assert await statuses.commit((Add(Revoked(key=jti, expires_at=Instant(giving.now + 600))),), env, ends=jti)
        return await minted.mint(claims, env)

    remade(giving, mandates=mandates.Mandates(slow))
    rule = STANDING_LIVE if ends == "standing" else NOT_REVOKED
    refused = await giving.post_quickly("/token", fields(token), by=DPOP_BOT, key=AGENT)
    assert why(refused) == ("access_denied", rule.says)
