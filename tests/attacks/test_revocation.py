"""Corpus IN and RV: who asks about tokens that are not theirs, and who wants them dead or alive."""

from dataclasses import replace

import pytest

from deputize.core.ports import Event
from deputize.jose.keys import PrivateKey
from deputize.oauth.client import Client, Person
from deputize.oauth.tokens import CLIENT_ENABLED, NOT_REVOKED, PERSON_ENABLED, STANDING_LIVE
from deputize.server.app import protocol_app
from tests.support.asgi import Answer, request
from tests.support.cast import BASIC, BOT, INSURER, OTHER, PHARMACY, ROAMING, BrokenStore
from tests.support.judge import kept
from tests.support.proofs import lets_through, stops
from tests.support.world import World, basic

DEAD = b'{"active":false}'


async def told_of(world: World, token: str, *, by: str = PHARMACY, **more: str) -> Answer:
    answer = await world.post("/introspect", {"token": token, **more}, by=by)
    assert answer.status == 200
    assert answer.header("cache-control") == "no-store"
    return answer


@lets_through(CLIENT_ENABLED, PERSON_ENABLED, STANDING_LIVE, NOT_REVOKED)
async def test_the_api_is_told_what_it_needs_and_no_more(world: World) -> None:
    told = (await told_of(world, await world.allowed())).json
    assert set(told) == {
        "active",
        "scope",
        "client_id",
        "exp",
        "iat",
        "sub",
        "aud",
        "iss",
        "jti",
        "act",
        "auth_time",
        "token_type",
    }
    assert (told["active"], told["sub"], told["act"], told["client_id"]) == (True, "alice", {"sub": BOT}, BOT)


async def test_in_01_nobody_is_told_without_authentication(world: World) -> None:
    token = await world.allowed()
    for path in ("/introspect", "/revoke"):
        assert (await world.post(path, {"token": token})).told == (401, "invalid_client")
        wrong = (("authorization", basic(BASIC, "wrong")),)
        assert (await world.post(path, {"token": token}, wrong)).told == (401, "invalid_client")
        assert (await world.post(path, {"token": token}, (("authorization", f"Bearer {token}"),))).status == 401
        assert (await world.post(path, {}, by=PHARMACY)).told == (400, "invalid_request")
    assert await world.is_active(token)


@pytest.mark.parametrize("who", [INSURER, OTHER, BASIC])
async def test_in_02_a_token_for_somebody_else(world: World, who: str) -> None:
    assert (await told_of(world, await world.allowed(), by=who)).body == DEAD


async def test_in_02_whose_token_it_is_may_ask_too(world: World) -> None:
    token = await world.allowed()
    assert (await told_of(world, token, by=BOT)).json["active"]
    assert (await told_of(world, world.minted(aud=[INSURER, PHARMACY]), by=INSURER)).json["active"]


@stops(NOT_REVOKED)
async def test_in_03_all_that_is_not_active_is_so_in_the_same_bytes(world: World) -> None:
    revoked = await world.allowed()
    assert (await world.post("/revoke", {"token": revoked}, by=BOT)).status == 200
    good = await world.allowed()
    answers = [
        await told_of(world, token)
        for token in (
            revoked,
            "unknown",
            "a.b.c",
            "x" * 16000,
            good[:-3] + "AAA",
            world.minted(exp=world.now),
            world.minted(exp=world.now - 5),
            world.minted(iss="https://other.example"),
            world.minted(key=PrivateKey.generate()),
            world.minted(header={"typ": "JWT"}),
            world.minted(header={"alg": "none"}),
            world.minted(sub="nobody"),
            world.minted(client_id="nobody"),
            world.minted(grant_id="5:alice:nobody"),
            world.minted(act=7),
            world.minted(authorization_details=[{"type": "x"}]),
            world.minted(scope=7),
            world.minted(roots=["x", revoked.split(".")[0]], jti=None),
            world.assertion(),
        )
    ]
    answers.append(await told_of(world, good, by=INSURER))
    assert {(answer.body, answer.headers) for answer in answers} == {(DEAD, answers[0].headers)}


@stops(PERSON_ENABLED, CLIENT_ENABLED, STANDING_LIVE)
async def test_in_04_person_or_client_disabled_or_all_taken_back(world: World) -> None:
    token = await world.allowed()
    for kind, key in ((Person, "alice"), (Client, BOT)):
        await world.change(kind, key, disabled_at=world.now)
        assert (await told_of(world, token)).body == DEAD
        await world.change(kind, key, disabled_at=None)
        assert (await told_of(world, token)).json["active"]
    await world.take_back()
    assert (await told_of(world, token)).body == DEAD
    await world.welcome()
    assert (await told_of(world, token)).body == DEAD
    world.clock.forward(2)
    assert (await told_of(world, token)).body == DEAD


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense", "x" * 4000, "é"])
async def test_in_05_a_hint_is_only_a_hint(world: World, hint: str) -> None:
    token = await world.allowed()
    assert (await told_of(world, token, token_type_hint=hint)).json["active"]
    assert (await world.post("/revoke", {"token": token, "token_type_hint": hint}, by=BOT)).status == 200
    assert (await told_of(world, token)).body == DEAD


async def test_in_08_what_begins_and_ends_like_a_good_token_is_not_taken_for_it(world: World) -> None:
    """A token that was looked at is remembered, by a hash of all of it."""
    token = await world.allowed()
    assert (await told_of(world, token)).json["active"]
    middle = len(token) // 2
    altered = token[: middle - 8] + token[middle - 8 : middle + 8].swapcase() + token[middle + 8 :]
    assert altered != token
    assert (await told_of(world, altered)).body == DEAD
    assert (await told_of(world, token)).json["active"]


@pytest.mark.parametrize("who", [OTHER, BASIC, PHARMACY, ROAMING])
async def test_rv_01_somebody_elses_token_stays_alive(world: World, who: str) -> None:
    token = await world.allowed()
    before = await kept(world.store)
    answer = await world.post("/revoke", {"token": token}, by=who)
    assert (answer.status, answer.body) == (200, b"")
    assert (await kept(world.store))["revoked"] == before["revoked"]
    assert (await told_of(world, token)).json["active"]


async def test_rv_02_a_store_that_cannot_is_never_a_success(world: World) -> None:
    token = (await world.token(by=BASIC))["access_token"]
    app = protocol_app(world.here, replace(world.env, store=BrokenStore(world.store, frozenset({"revoked"}))))
    headers = (("content-type", "application/x-www-form-urlencoded"), *world.logs_in(BASIC)[0])
    answer = await request(app, "POST", "https://as.example/revoke", headers, [f"token={token}".encode()])
    assert (answer.status, answer.header("retry-after")) == (503, "1")
    assert answer.json["error"] == "temporarily_unavailable"
    assert b"canary" not in answer.body
    assert (await told_of(world, token)).json["active"]


@stops(NOT_REVOKED)
async def test_rv_03_what_is_revoked_is_so_at_once_and_for_good(world: World) -> None:
    token = await world.allowed()
    for _ in range(2):
        answer = await world.post("/revoke", {"token": token}, by=BOT)
        assert (answer.status, answer.body, answer.header("cache-control")) == (200, b"", "no-store")
        assert (await told_of(world, token)).body == DEAD
    assert [row.what for row in await world.store.select(Event, "client", BOT)].count("token_revoked") == 1
    for seconds in (100, 199):
        world.clock.forward(seconds)
        await world.store.sweep(world.now)
        assert (await told_of(world, token)).body == DEAD


async def test_rv_03_revoked_while_it_was_dead_for_another_reason(world: World) -> None:
    """Else a token that its client has revoked would rise with its person."""
    token = await world.allowed()
    await world.change(Person, "alice", disabled_at=world.now)
    assert (await world.post("/revoke", {"token": token}, by=BOT)).status == 200
    await world.change(Person, "alice", disabled_at=None)
    assert (await told_of(world, token)).body == DEAD


async def test_rv_04_an_unknown_token_is_a_success(world: World) -> None:
    before = await kept(world.store)
    for token in ("unknown", "a.b.c", world.minted(exp=world.now - 60), world.minted(key=PrivateKey.generate())):
        answer = await world.post("/revoke", {"token": token}, by=BOT)
        assert (answer.status, answer.body) == (200, b"")
    assert (await kept(world.store))["revoked"] == before["revoked"]


async def test_what_was_taken_back_stays_dead_also_where_it_is_collected_later(world: World) -> None:
    ask = await world.asked()
    await world.allow(ask)
    await world.take_back()
    await world.welcome()
    world.clock.forward(5)
    assert (await world.poll(ask)).told == (400, "access_denied")
    assert (await world.ask_of((await world.asked()).key)).open_for == "alice"  # and nothing is remembered
