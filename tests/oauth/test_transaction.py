"""A resource's signed challenge becomes a question to the person it names, and one token for the client that acted."""

from typing import Any

import anyio
import pytest

from deputize.core.wire import JsonObject
from deputize.jose.jwt import (
    ALGORITHM,
    BEGUN,
    BRIEF,
    CLAIMS,
    COMPACT,
    SIGNED,
    SOLE_AUDIENCE,
    TYPED,
    UNEXPIRED,
    peek,
)
from deputize.jose.keys import PrivateKey
from deputize.oauth import asking
from deputize.oauth import reading as readings
from deputize.oauth.asking import Ask
from deputize.oauth.challenge import DESCRIBED
from deputize.oauth.client import Client, Person, Resource
from deputize.oauth.details import DETAILS
from deputize.oauth.grants import transaction
from deputize.oauth.grants.transaction import (
    FOR_A_PERSON,
    KNOWN_RESOURCE,
    NAMES_THE_PRESENTER,
    ONE_OF_BOTH,
    REGISTERED,
    SAME_PRESENTER,
)
from deputize.oauth.tokens import TARGET_KNOWN
from tests.support.asgi import Answer
from tests.support.cast import (
    BASIC,
    BOT,
    DPOP_BOT,
    INSURER,
    ORDER,
    OTHER,
    PHARMACY,
    READ,
    a_call,
    a_purchase,
)
from tests.support.proofs import lets_through, stops
from tests.support.world import World, a_world

NO_GRANT = (400, "invalid_grant")
SENTENCE = "pharmacy-bot wants to order 30 × Ibuprofen 400 mg for €12.40 from Madrid Pharmacy, once, within 5 minutes."


async def collect(
    world: World, begun: Answer, *, by: str = BOT, key: PrivateKey | None = None, spends: str = "ask"
) -> Answer:
    form = {"transaction_authorization_id": begun["transaction_authorization_id"]}
    return await world.post("/transaction", form, by=by, key=key, spends={spends})


async def ask_of(world: World, begun: Answer) -> Ask:
    return await world.ask_of(begun["transaction_authorization_id"])


@lets_through(
    REGISTERED, KNOWN_RESOURCE, NAMES_THE_PRESENTER, FOR_A_PERSON, SAME_PRESENTER, ONE_OF_BOTH, DESCRIBED, DETAILS
)
async def test_a_challenge_is_asked_allowed_and_collected_once(world: World) -> None:
    begun = await world.present(world.challenge(txn="t-1", exp=world.now + 300))
    assert begun.header("cache-control") == "no-store"
    assert (begun.json["expires_in"], begun.json["interval"]) == (300, 2)
    ask = await ask_of(world, begun)
    assert begun["authorization_uri"] == f"https://as.example/asks/{ask.page}"
    reading = await readings.read_out(ask, world.env)
    assert reading.sentence == SENTENCE
    assert (reading.reason, reading.reason_by) == ("Orders are approved by the person they are for", "Madrid Pharmacy")
    assert (await collect(world, begun)).told == (400, "authorization_pending")
    await world.allow(ask)
    answer = await collect(world, begun)
    assert answer.status == 200
    claims = peek(answer["access_token"], "")[1]
    assert (claims["txn"], claims["aud"], claims["sub"]) == ("t-1", PHARMACY, "alice")
    assert claims["act"] == {"sub": BOT}
    assert claims["authorization_details"] == answer.json["authorization_details"] == [a_purchase(), a_call()]
    assert "scope" not in claims
    assert "id_token" not in answer.json
    assert claims["exp"] == world.now + 300
    assert (await collect(world, begun, spends="")).told == NO_GRANT


@stops(ONE_OF_BOTH)
async def test_either_a_challenge_or_an_identifier(world: World) -> None:
    for form in ({}, {"transaction_challenge": world.challenge(), "transaction_authorization_id": "x" * 20}):
        answer = await world.post("/transaction", form, by=BOT)
        assert answer.told == (400, "invalid_request")


@stops(REGISTERED)
async def test_a_client_that_may_not_present(world: World) -> None:
    assert (await world.present(world.challenge(), by=BASIC)).told == (400, "unauthorized_client")
    begun = await world.present(world.challenge())
    await world.allow(await ask_of(world, begun))
    await world.change(Client, BOT, grant_types=frozenset({"client_credentials"}))
    assert (await collect(world, begun, spends="")).told == (400, "unauthorized_client")
    await world.change(Client, BOT, grant_types=frozenset({transaction.DOOR}))
    assert (await collect(world, begun)).status == 200


@stops(KNOWN_RESOURCE)
async def test_a_resource_that_is_not_known_or_not_for_this_client(world: World) -> None:
    for iss in ("https://unknown.example", INSURER, None):
        told = world.challenge(iss=iss, key=world.keys[INSURER])
        assert (await world.present(told)).told == NO_GRANT
    await world.change(Client, BOT, audiences=frozenset({INSURER}))
    assert (await world.present(world.challenge())).told == NO_GRANT


async def test_a_resource_that_is_not_served_any_more(world: World) -> None:
    await world.change(Resource, PHARMACY, disabled_at=world.now)
    answer = await world.present(world.challenge())
    assert answer.told == (400, "invalid_target")
    assert answer["error_description"] == TARGET_KNOWN.says


@stops(NAMES_THE_PRESENTER)
@pytest.mark.parametrize(
    "act", [{"sub": OTHER}, {"sub": OTHER, "act": {"sub": BOT}}, {"sub": BOT, "iss": "https://other.example"}]
)
async def test_a_challenge_for_another_agent(world: World, act: JsonObject) -> None:
    assert (await world.present(world.challenge(act=act))).told == NO_GRANT


async def test_who_acted_before_is_kept_in_the_chain(world: World) -> None:
    act = {"sub": BOT, "act": {"sub": "first-bot"}}
    begun = await world.present(world.challenge(act=act))
    await world.allow(await ask_of(world, begun))
    assert peek((await collect(world, begun))["access_token"], "")[1]["act"] == act


@stops(FOR_A_PERSON)
async def test_nobody_to_ask(world: World) -> None:
    await world.change(Person, "bob", disabled_at=world.now)
    for sub in ("bob", "nobody", "Alice", BOT):
        assert (await world.present(world.challenge(sub=sub))).told == NO_GRANT


@stops(SAME_PRESENTER)
async def test_the_same_challenge_again(world: World) -> None:
    told = world.challenge(act=None)
    first = await world.present(told)
    world.clock.forward(10)
    again = await world.present(told)
    assert again["transaction_authorization_id"] == first["transaction_authorization_id"]
    assert again.json["expires_in"] == 290
    answer = await world.present(told, by=OTHER)
    assert answer.told == NO_GRANT
    assert answer["error_description"] == SAME_PRESENTER.says
    assert len(world.notify.told) == 1


async def test_the_same_challenge_twice_at_once_is_asked_once(tmp_path: Any) -> None:
    async with a_world(tmp_path / "asks.db") as world:
        form = {"transaction_challenge": world.challenge()}
        answers: list[Answer] = []

        async def present() -> None:
            answers.append(await world.post_quickly("/transaction", form, by=BOT))

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(present)
        assert {answer.status for answer in answers} == {200}
        assert len({answer["transaction_authorization_id"] for answer in answers}) == 1
        assert len(await world.store.select(Ask, "open_for", "alice")) == 1


@stops(SIGNED, TYPED, ALGORITHM, COMPACT)
async def test_a_challenge_that_the_resource_did_not_sign(world: World) -> None:
    mallory = PrivateKey.generate()
    for told in (
        world.challenge(key=mallory),
        world.challenge(key=mallory, header={"kid": world.keys[PHARMACY].kid}),
        world.challenge(key=world.keys[INSURER]),
        world.challenge(header={"typ": "JWT"}),
        world.challenge(header={"typ": None}),
        world.challenge(header={"typ": "at+jwt"}),
        world.challenge(header={"alg": "HS256"}),
        world.challenge(header={"alg": "none"}),
    ):
        assert (await world.present(told)).told == NO_GRANT
    for told in ("x", "a.b.c", "", world.challenge() + ".x", world.challenge(reason="r" * 9000)):
        assert (await world.present(told)).told == (400, "invalid_request")


@stops(SOLE_AUDIENCE, CLAIMS, UNEXPIRED, BEGUN, BRIEF, DESCRIBED, DETAILS)
@pytest.mark.parametrize(
    "claims",
    [
        {"aud": None},
        {"aud": ["https://as.example", "https://evil.example"]},
        {"aud": "https://other.example"},
        {"aud": "https://as.example/transaction"},
        {"exp": None},
        {"exp": -1},
        {"exp": 0},
        {"exp": -5},
        {"exp": 400},
        {"exp": 86400},
        {"iat": None},
        {"iat": 60},
        {"iat": -400},
        {"nbf": 60},
        {"jti": None},
        {"txn": None},
        {"txn": 7},
        {"txn": ""},
        {"txn": "t" * 300},
        {"txn": "t\n"},
        {"sub": None},
        {"reason": None},
        {"reason": ""},
        {"reason": "two\nlines"},
        {"reason": "\u202eesrever"},
        {"reason": "r" * 281},
        {"authorization_details": None},
        {"authorization_details": []},
        {"authorization_details": {}},
        {"authorization_details": [{"type": "x"}]},
        {"authorization_details": [{**a_purchase(), "more": 1}]},
        {"authorization_details": [{**a_purchase(), "payee": "\u202e"}]},
        {"authorization_details": [{**a_call(), "url": "http://api.pharmacy.example/orders"}]},
        {"act": "x"},
        {"act": {}},
    ],
    ids=str,
)
async def test_a_challenge_that_is_not_for_us_now_or_does_not_describe_what_it_is_for(
    world: World, claims: JsonObject
) -> None:
    timed: JsonObject = {
        name: world.now + value if name in {"exp", "iat", "nbf"} and value is not None else value
        for name, value in claims.items()
    }
    assert (await world.present(world.challenge(**timed))).told == NO_GRANT


async def test_a_challenge_ends_when_it_says(world: World) -> None:
    begun = await world.present(world.challenge(exp=world.now + 60))
    ask = await ask_of(world, begun)
    assert begun.json["expires_in"] == 60
    world.clock.forward(60)
    assert not ask.is_waiting(world.now)
    assert (await collect(world, begun, spends="")).told == (400, "expired_token")


async def test_of_another_client_nothing_is_learned(world: World) -> None:
    begun = await world.present(world.challenge())
    await world.allow(await ask_of(world, begun))
    invented = {"transaction_authorization_id": "no-such-identifier"}
    stolen = await collect(world, begun, by=OTHER, spends="")
    assert stolen.told == NO_GRANT
    assert stolen.json == (await world.post("/transaction", invented, by=OTHER)).json
    at_the_other_door = await world.poll(begun["transaction_authorization_id"], spends=())
    assert at_the_other_door.json == stolen.json


async def test_a_bound_client_shows_its_key_before_anything_is_spent(world: World) -> None:
    key = PrivateKey.generate()
    begun = await world.present(world.challenge(act={"sub": DPOP_BOT}), by=DPOP_BOT, key=key)
    await world.allow(await ask_of(world, begun))
    assert (await collect(world, begun, by=DPOP_BOT, spends="")).told == (400, "invalid_dpop_proof")
    assert (await collect(world, begun, by=DPOP_BOT, key=key)).json["token_type"] == "DPoP"


async def test_it_is_off_unless_switched_on() -> None:
    async with a_world(drafts=frozenset()) as world:
        assert (await world.post("/transaction", {"transaction_challenge": world.challenge()}, by=BOT)).status == 404
        described = (await world.get("/.well-known/oauth-authorization-server")).json
        assert "transaction_authorization_endpoint" not in described


async def test_a_yes_to_one_thing_is_for_this_once(world: World) -> None:
    """It stands for nothing later: neither for the same again, nor for a scope."""
    for _ in range(2):
        begun = await world.present(world.challenge())
        ask = await ask_of(world, begun)
        assert isinstance(ask.state, asking.Waiting)
        await world.allow(ask)
    assert isinstance((await world.asked(scope=f"openid {READ} {ORDER}")).state, asking.Waiting)
