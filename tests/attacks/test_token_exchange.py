"""Corpus TX: a client with somebody's token wants another one that is wider, longer, for someone else, or its own."""

from typing import Any

import pytest

from deputize.core.values import Seconds
from deputize.core.wire import JsonObject, json_bytes
from deputize.jose.jwt import peek
from deputize.jose.keys import PrivateKey
from deputize.oauth import delegation, tokens
from deputize.oauth.approval import ACCESS_TOKEN
from deputize.oauth.authority import NO_WIDER_DETAILS, NO_WIDER_SCOPE, NO_WIDER_TARGET
from deputize.oauth.client import Client, Person
from deputize.oauth.delegation import CHAIN
from deputize.oauth.grants import token_exchange
from deputize.oauth.grants.token_exchange import (
    ACTOR_ITSELF,
    ACTOR_TYPE,
    FOR_A_PERSON,
    KEY_SHOWN,
    PRESENTER,
    REQUESTED,
    ROOTS,
    SUBJECT_TYPE,
)
from deputize.oauth.tokens import CLIENT_ALLOWED, NOT_REVOKED, PERSON_ENABLED, STANDING_LIVE
from tests.support.asgi import Answer
from tests.support.cast import (
    BASIC,
    BOT,
    CLAIM,
    INSURER,
    ORDER,
    OTHER,
    PHARMACY,
    READ,
    ROAMING,
    a_call,
    a_purchase,
)
from tests.support.proofs import lets_through, stops
from tests.support.world import World, a_world

REFUSED = (400, "invalid_request")
ACTOR: JsonObject = {"actor_token_type": ACCESS_TOKEN}


async def exchanged(
    world: World, subject: str, *, by: str = BOT, key: PrivateKey | None = None, drop: str = "", **form: str
) -> Answer:
    good = {"grant_type": token_exchange.TYPE, "subject_token": subject, "subject_token_type": ACCESS_TOKEN}
    fields = {name: value for name, value in {**good, **form}.items() if name != drop}
    return await world.post("/token", fields, by=by, key=key)


def claims_of(answer: Answer) -> JsonObject:
    assert answer.status == 200, answer.body
    return peek(answer["access_token"], "")[1]


@lets_through(SUBJECT_TYPE, REQUESTED, PRESENTER, FOR_A_PERSON, NO_WIDER_SCOPE, NO_WIDER_TARGET, CLIENT_ALLOWED, ROOTS)
async def test_a_token_is_exchanged_for_a_narrower_one(world: World) -> None:
    subject = await world.allowed(scope=f"openid {READ} {ORDER}")
    world.clock.forward(100)
    answer = await exchanged(world, subject, scope=READ, resource=PHARMACY, requested_token_type=ACCESS_TOKEN)
    claims, before = claims_of(answer), peek(subject, "")[1]
    assert answer["issued_token_type"] == ACCESS_TOKEN
    assert answer.json["expires_in"] == 200
    assert claims["scope"] == READ
    for name in ("sub", "act", "aud", "client_id", "exp", "grant_id", "auth_time"):
        assert claims[name] == before[name]
    assert claims["roots"] == [before["jti"]]
    assert "refresh_token" not in answer.json
    assert "id_token" not in answer.json


@stops(SUBJECT_TYPE)
async def test_tx_01_no_subject_no_type_another_type(world: World) -> None:
    subject = await world.allowed()
    assert (await exchanged(world, subject, drop="subject_token")).told == REFUSED
    assert (await exchanged(world, subject, drop="subject_token_type")).told == REFUSED
    for name in ("refresh_token", "id_token", "jwt", "saml2", "x", "access_token2"):
        told = f"urn:ietf:params:oauth:token-type:{name}"
        assert (await exchanged(world, subject, subject_token_type=told)).told == REFUSED
    assert (await exchanged(world, subject, subject_token_type="access_token")).told == REFUSED


async def bad_subjects(world: World) -> dict[str, str]:
    ask = await world.asked()
    await world.allow(ask)
    told = await world.poll(ask)
    good: str = told["access_token"]
    head, body, signature = good.split(".")
    return {
        "of a stranger": world.minted(key=PrivateKey.generate(), header={"kid": world.signer.all[0].kid}),
        "of another issuer": world.minted(iss="https://other.example"),
        "of nobody": world.minted(iss=None),
        "expired": world.minted(exp=world.now),
        "expired within the skew": world.minted(exp=world.now - 5),
        "not yet": world.minted(nbf=world.now + 60),
        "unsigned": f"{head}.{body}.",
        "altered": f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        "an ID token": told["id_token"],
        "an assertion": world.assertion(),
        "typed JWT": world.minted(header={"typ": "JWT"}),
        "untyped": world.minted(header={"typ": None}),
        "without jti": world.minted(jti=None),
        "without client_id": world.minted(client_id=None),
        "without exp": world.minted(exp=None),
        "of an unknown detail": world.minted(authorization_details=[{"type": "x"}]),
        "text": "x",
        "of an unknown client": world.minted(client_id="nobody"),
        "of an unknown person": world.minted(sub="nobody"),
        "resting on nothing": world.minted(grant_id="5:alice:nobody"),
    }


async def test_tx_02_a_subject_token_that_is_no_good(world: World) -> None:
    for what, subject in (await bad_subjects(world)).items():
        assert (await exchanged(world, subject)).told == REFUSED, what
        with_actor = await exchanged(world, subject, actor_token=(await world.token())["access_token"], **ACTOR)
        assert with_actor.told == REFUSED, what


@stops(NOT_REVOKED)
async def test_tx_02_a_revoked_subject_and_all_that_came_of_it(world: World) -> None:
    subject = await world.allowed()
    child = (await exchanged(world, subject))["access_token"]
    grandchild = (await exchanged(world, child))["access_token"]
    assert await world.is_active(grandchild)
    assert (await world.post("/revoke", {"token": subject}, by=BOT)).status == 200
    for dead in (subject, child, grandchild):
        assert (await exchanged(world, dead)).told == REFUSED
        assert not await world.is_active(dead)


@stops(PRESENTER)
async def test_tx_03_somebody_elses_token(world: World) -> None:
    subject = await world.allowed()
    answer = await exchanged(world, subject, by=OTHER)
    assert answer.told == REFUSED
    assert answer["error_description"] == PRESENTER.says
    actor = (await world.token(by=OTHER))["access_token"]
    assert (await exchanged(world, subject, by=OTHER, actor_token=actor, **ACTOR)).told == REFUSED


@stops(NO_WIDER_SCOPE)
async def test_tx_04_a_wider_scope(world: World) -> None:
    subject = await world.allowed(scope=f"openid {READ}")
    for scope in (ORDER, f"{READ} {ORDER}", "openid", "offline_access", "admin", 'a"b'):
        assert (await exchanged(world, subject, scope=scope)).told == (400, "invalid_scope")
    assert claims_of(await exchanged(world, subject))["scope"] == READ
    assert "scope" not in claims_of(await exchanged(world, subject, scope=" "))


@stops(CLIENT_ALLOWED)
async def test_tx_04_what_the_client_may_have_no_more(world: World) -> None:
    subject = await world.allowed(scope=f"openid {READ} {ORDER}")
    await world.change(Client, BOT, scope=frozenset({READ}))
    assert (await exchanged(world, subject)).told == (400, "invalid_scope")
    assert claims_of(await exchanged(world, subject, scope=READ))["scope"] == READ
    await world.change(Client, BOT, audiences=frozenset({INSURER}))
    assert (await exchanged(world, subject, scope=READ)).told == (400, "invalid_target")


@stops(NO_WIDER_TARGET)
async def test_tx_05_a_target_beyond_the_subjects(world: World) -> None:
    subject = await world.allowed(by=ROAMING, resource=PHARMACY)
    for name in ("resource", "audience"):
        for target in (INSURER, "https://unknown.example", "/relative", f"{PHARMACY}#x", f"{PHARMACY}/"):
            answer = await exchanged(world, subject, by=ROAMING, **dict[str, Any]({name: target}))
            assert answer.told == (400, "invalid_target")
    both = await exchanged(world, subject, by=ROAMING, resource=PHARMACY, audience=INSURER)
    assert both.told == (400, "invalid_target")
    assert claims_of(await exchanged(world, subject, by=ROAMING, audience=PHARMACY))["aud"] == PHARMACY


async def test_tx_05_of_two_targets_one(world: World) -> None:
    subject = world.minted(client_id=ROAMING, act={"sub": ROAMING}, aud=[INSURER, PHARMACY], scope=f"{READ} {CLAIM}")
    assert claims_of(await exchanged(world, subject, by=ROAMING, audience=INSURER))["aud"] == INSURER
    assert claims_of(await exchanged(world, subject, by=ROAMING))["aud"] == [INSURER, PHARMACY]


@lets_through(ACTOR_TYPE, ACTOR_ITSELF)
async def test_the_client_proves_itself_as_the_actor(world: World) -> None:
    subject, actor = await world.allowed(), (await world.token())["access_token"]
    claims = claims_of(await exchanged(world, subject, actor_token=actor, **ACTOR))
    assert claims["act"] == {"sub": BOT}
    assert claims["roots"] == [peek(token, "")[1]["jti"] for token in (subject, actor)]
    derived = world.minted(sub=BOT, act=None, roots=["its root"], jti="its own")
    roots = claims_of(await exchanged(world, subject, actor_token=derived, **ACTOR))["roots"]
    assert roots == [peek(subject, "")[1]["jti"], "its root", "its own"]
    assert (await world.post("/revoke", {"token": actor}, by=BOT)).status == 200
    assert (await exchanged(world, subject, actor_token=actor, **ACTOR)).told == REFUSED


@stops(ACTOR_TYPE, ACTOR_ITSELF)
async def test_tx_06_an_actor_that_is_none(world: World) -> None:
    subject, actor = await world.allowed(), (await world.token())["access_token"]
    assert (await exchanged(world, subject, actor_token=actor)).told == REFUSED
    assert (await exchanged(world, subject, **ACTOR)).told == REFUSED
    jwt_type = "urn:ietf:params:oauth:token-type:jwt"
    assert (await exchanged(world, subject, actor_token=actor, actor_token_type=jwt_type)).told == REFUSED
    others = (await world.token(by=OTHER))["access_token"]
    for bad in ("x", subject, others, world.minted(exp=world.now, sub=BOT, act=None)):
        assert (await exchanged(world, subject, actor_token=bad, **ACTOR)).told == REFUSED


@lets_through(CHAIN)
async def test_tx_07_a_new_actor_stands_outermost(world: World) -> None:
    subject = world.minted(act={"sub": "first-bot", "act": {"sub": "zeroth-bot"}})
    actor = (await world.token())["access_token"]
    claims = claims_of(await exchanged(world, subject, actor_token=actor, **ACTOR))
    assert claims["act"] == {"sub": BOT, "act": {"sub": "first-bot", "act": {"sub": "zeroth-bot"}}}
    assert claims_of(await exchanged(world, subject))["act"]["sub"] == "first-bot"


def chain(depth: int) -> JsonObject:
    told: JsonObject = {"sub": "bot-0"}
    for nth in range(1, depth):
        told = {"sub": f"bot-{nth}", "act": told}
    return told


@stops(CHAIN)
async def test_tx_08_more_than_five_actors(world: World) -> None:
    actor = (await world.token())["access_token"]
    four, five = (world.minted(act=chain(depth)) for depth in (4, 5))
    assert claims_of(await exchanged(world, five))["act"] == chain(5)
    assert claims_of(await exchanged(world, four, actor_token=actor, **ACTOR))["act"]["sub"] == BOT
    assert (await exchanged(world, five, actor_token=actor, **ACTOR)).told == REFUSED
    crooked: list[Any] = ["bot", [], {}, {"sub": 7}, {"sub": ""}, {"sub": "a", "iss": 1}]
    for act in (chain(delegation.DEPTH_MAX + 1), chain(15), *crooked):
        assert (await exchanged(world, world.minted(act=act))).told == REFUSED


@stops(FOR_A_PERSON)
async def test_tx_09_the_clients_own_token_stays_its_own(world: World) -> None:
    own = (await world.token())["access_token"]
    assert (await exchanged(world, own)).told == REFUSED
    assert (await exchanged(world, own, actor_token=own, **ACTOR)).told == REFUSED
    subject = await world.allowed()
    forms: list[JsonObject] = [
        {},
        {"scope": " "},
        {"actor_token": own, **ACTOR},
        {"resource": PHARMACY, "scope": READ},
    ]
    for form in forms:
        claims = claims_of(await exchanged(world, subject, **form))
        assert (claims["sub"], claims["act"]["sub"], claims["grant_id"]) == ("alice", BOT, "5:alice:pharmacy-bot")


async def test_tx_10_a_client_without_the_grant_or_without_anything(world: World) -> None:
    subject = await world.allowed()
    assert (await exchanged(world, subject, by=BASIC)).told == (400, "unauthorized_client")
    form = {"grant_type": token_exchange.TYPE, "subject_token": subject, "subject_token_type": ACCESS_TOKEN}
    assert (await world.post("/token", {**form, "client_id": BOT})).told == (401, "invalid_client")


@lets_through(KEY_SHOWN)
@stops(KEY_SHOWN)
async def test_tx_11_a_bound_token_without_its_key(world: World) -> None:
    key = PrivateKey.generate()
    bound = await world.allowed(key=key)
    bound_actor = (await world.token(key=key))["access_token"]
    for wrong in (None, PrivateKey.generate()):
        assert (await exchanged(world, bound, key=wrong)).told == REFUSED
        unbound = await world.allowed()
        assert (await exchanged(world, unbound, key=wrong, actor_token=bound_actor, **ACTOR)).told == REFUSED
    answer = await exchanged(world, bound, key=key, actor_token=bound_actor, **ACTOR)
    assert claims_of(answer)["cnf"] == {"jkt": key.public().thumbprint}
    assert answer["token_type"] == "DPoP"


@stops(REQUESTED)
@pytest.mark.parametrize("kind", ["refresh_token", "id_token", "jwt", "id-jag", "saml2", "txn_token", "x"])
async def test_tx_12_another_kind_of_token(world: World, kind: str) -> None:
    wanted = f"urn:ietf:params:oauth:token-type:{kind}"
    assert (await exchanged(world, await world.allowed(), requested_token_type=wanted)).told == REFUSED


async def test_tx_13_the_end_never_moves(world: World) -> None:
    subject = await world.allowed()
    end = peek(subject, "")[1]["exp"]
    for _ in range(3):
        world.clock.forward(90)
        answer = await exchanged(world, subject)
        assert claims_of(answer)["exp"] == end
        assert answer.json["expires_in"] == end - world.now
        subject = answer["access_token"]
    world.clock.forward(30)
    assert (await exchanged(world, subject)).told == REFUSED


@lets_through(PERSON_ENABLED, STANDING_LIVE, NOT_REVOKED)
@stops(PERSON_ENABLED, STANDING_LIVE)
async def test_tx_14_a_person_who_is_locked_or_took_it_back(world: World) -> None:
    subject = await world.allowed()
    await world.change(Person, "alice", disabled_at=world.now)
    assert (await exchanged(world, subject)).told == REFUSED
    await world.change(Person, "alice", disabled_at=None)
    assert (await exchanged(world, subject)).status == 200
    await world.take_back()
    assert (await exchanged(world, subject)).told == REFUSED
    await world.welcome()
    world.clock.forward(5)
    assert (await exchanged(world, subject)).told == REFUSED  # what was taken back stays so


@stops(ROOTS)
async def test_a_token_is_derived_in_eight_steps_at_most(world: World) -> None:
    subject = await world.allowed()
    for _ in range(token_exchange.ROOTS_MAX):
        subject = (await exchanged(world, subject))["access_token"]
    answer = await exchanged(world, subject)
    assert answer.told == REFUSED
    assert answer["error_description"] == ROOTS.says


DETAILS = [a_purchase(), a_call()]


@lets_through(NO_WIDER_DETAILS)
@stops(NO_WIDER_DETAILS)
async def test_details_are_kept_or_left_out_and_never_altered(world: World) -> None:
    subject = await world.allowed(authorization_details=json_bytes([a_purchase(), a_purchase(3)]).decode())
    for details in ([a_purchase(30)], []):
        told = claims_of(await exchanged(world, subject, authorization_details=json_bytes(details).decode()))
        assert told.get("authorization_details", []) == details
    for other in ([a_purchase(31)], [a_purchase(), a_purchase(4)], [a_call()]):
        answer = await exchanged(world, subject, authorization_details=json_bytes(other).decode())
        assert answer.told == (400, "invalid_authorization_details")


@stops(NO_WIDER_DETAILS)
@pytest.mark.parametrize("left", [[], [a_purchase()]])
async def test_a_token_for_one_call_is_not_exchanged_for_one_that_is_not(world: World, left: list[Any]) -> None:
    """Without the detail that ties it to the call, it would open every call that needs no more than a scope."""
    subject = await world.allowed(scope=f"openid {ORDER}", authorization_details=json_bytes(DETAILS).decode())
    answer = await exchanged(world, subject, authorization_details=json_bytes(left).decode())
    assert answer.told == (400, "invalid_authorization_details")
    kept = await exchanged(world, subject, authorization_details=json_bytes([a_call()]).decode())
    assert claims_of(kept)["authorization_details"] == [a_call()]


async def test_the_transaction_goes_along(world: World) -> None:
    """Single use is by transaction: a second token for it spends the same."""
    begun = await world.present(world.challenge(txn="t-1"))
    handle = {"transaction_authorization_id": begun["transaction_authorization_id"]}
    await world.allow(await world.ask_of(handle["transaction_authorization_id"]))
    subject = (await world.post("/transaction", handle, by=BOT))["access_token"]
    assert claims_of(await exchanged(world, subject))["txn"] == "t-1"


async def test_an_exchange_never_outlives_a_shorter_setting() -> None:
    async with a_world(tokens=tokens.Settings(life=Seconds(60))) as world:
        subject = world.minted(exp=world.now + 4000)
        assert claims_of(await exchanged(world, subject))["exp"] == world.now + 60
