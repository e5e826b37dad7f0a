"""Corpus SL, the issuer's half, and RV where a list tells of it.

The attacker wants a revoked token to look alive, or to learn from the lists who got which token, and when.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deputize.adapters.sqlite import SqliteStore
from deputize.core.values import Instant
from deputize.core.wire import JsonObject
from deputize.jose.algorithms import ALL
from deputize.jose.jwt import peek
from deputize.jose.keys import KeySet
from deputize.oauth import statuses
from deputize.oauth.approval import ACCESS_TOKEN
from deputize.oauth.grants import token_exchange
from deputize.oauth.statuses import Settings, Statuses
from deputize.server.app import protocol_app
from deputize.vc.status_token import Form, read_token
from tests.support.asgi import request
from tests.support.cast import BOT, DPOP_BOT
from tests.support.variants import KEEPER, first_tokens, refresh, with_keeper
from tests.support.world import World, a_world

ON = Settings(tokens=True, size=2**14)


@pytest.fixture(params=["memory", "sqlite"])
async def told(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    path = tmp_path / "store.db" if request.param == "sqlite" else None
    async with a_world(path, status=ON) as world:
        yield await with_keeper(world)


def where(token: str) -> JsonObject:
    found: JsonObject = peek(token, "x")[1]["status"]["status_list"]
    return found


async def status(world: World, *tokens: str) -> list[int]:
    """What the lists say of these tokens a second later, as whoever fetches them reads it."""
    world.clock.forward(1)
    keys = KeySet.from_jwks({"keys": list(world.env.signer.keys())})
    found = []
    for token in tokens:
        told = where(token)
        answer = await request(world.app, "GET", told["uri"], ())
        read = read_token(answer.body, Form.JWT, keys, uri=told["uri"], algs=ALL, now=world.now)
        found.append(read.statuses.at(told["idx"]))
    return found


async def exchanged(world: World, token: str, **form: str) -> str:
    fields = {"grant_type": token_exchange.TYPE, "subject_token": token, "subject_token_type": ACCESS_TOKEN, **form}
    answer = await world.post("/token", fields, by=BOT)
    assert answer.status == 200, answer.body
    return answer["access_token"]


async def test_sl_11_no_two_tokens_have_one_index_and_no_order_is_seen(told: World) -> None:
    places = [where((await told.token())["access_token"]) for _ in range(60)]
    assert len({(place["uri"], place["idx"]) for place in places}) == 60
    assert len({place["uri"] for place in places}) == 2, "neighbours are spread over several lists"
    order = [place["idx"] for place in places]
    rising = sum(one < other for one, other in pairwise(order))
    assert 12 <= rising <= 48, "the order of issuing is not that of the indexes"
    assert max(order) - min(order) > 2**13


async def test_sl_11_what_is_drawn_comes_from_the_dice_alone() -> None:
    """Two servers with the same clock and the same clients, and other dice, give away other entries."""
    idxs = []
    for _ in range(2):
        async with a_world(status=ON) as world:
            world.env = replace(world.env, random=lambda bits: secrets.token_urlsafe((bits + 7) // 8))
            world.app = protocol_app(world.here, world.env)
            idxs.append([where((await world.token())["access_token"])["idx"] for _ in range(5)])
    assert idxs[0] != idxs[1]


async def test_sl_12_what_was_acknowledged_is_told_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with a_world(path, status=ON) as world:
        token = (await world.token())["access_token"]
        assert (await world.post("/revoke", {"token": token}, by=BOT)).status == 200
        # Nobody has asked for a list so far, and nobody says goodbye: another process opens the file.
        store = SqliteStore(path)
        world.env = replace(world.env, store=store)
        world.here = replace(world.here, statuses=Statuses(world.here.issuer, ON))
        world.app = protocol_app(world.here, world.env)
        assert await status(world, token) == [1]
        await store.close()


async def test_sl_13_of_a_hundred_revocations_at_once_none_is_lost(told: World) -> None:
    tokens = [(await told.token())["access_token"] for _ in range(100)]
    alive = (await told.token())["access_token"]
    answers = await asyncio.gather(*(told.post_quickly("/revoke", {"token": token}, by=BOT) for token in tokens))
    assert {answer.status for answer in answers} == {200}
    assert await status(told, *tokens, alive) == [1] * 100 + [0]


async def test_rv_03_a_revoked_refresh_token_ends_every_access_token_of_its_family(told: World) -> None:
    first = await first_tokens(told)
    second = await refresh(told, first["refresh_token"])
    tokens = [first["access_token"], second["access_token"]]
    assert await status(told, *tokens) == [0, 0]
    assert (await told.post("/revoke", {"token": second["refresh_token"]}, by=KEEPER)).status == 200
    assert await status(told, *tokens) == [1, 1]


async def test_a_replayed_refresh_token_ends_them_too(told: World) -> None:
    first = await first_tokens(told)
    second = await refresh(told, first["refresh_token"])
    fields = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    spends = ("family", "revoked", "status_entry")
    assert (await told.post("/token", fields, by=KEEPER, spends=spends)).told == (400, "invalid_grant")
    assert await status(told, first["access_token"], second["access_token"]) == [1, 1]


async def test_what_a_person_takes_back_is_told_of_all_that_rests_on_it(told: World) -> None:
    token, other = await told.allowed(), (await told.token())["access_token"]
    derived = await exchanged(told, token)
    assert await status(told, token, derived, other) == [0, 0, 0]
    await told.take_back()
    assert await status(told, token, derived, other) == [1, 1, 0]
    await told.welcome()
    assert await status(told, token, derived) == [1, 1]


async def test_a_revoked_token_takes_along_what_was_derived_from_it(told: World) -> None:
    token = await told.allowed()
    child = await exchanged(told, token)
    grandchild = await exchanged(told, child)
    sibling = await exchanged(told, token)
    assert (await told.post("/revoke", {"token": child}, by=BOT)).status == 200
    assert await status(told, token, child, grandchild, sibling) == [0, 1, 1, 0]


async def test_rv_01_nobody_ends_the_token_of_another(told: World) -> None:
    token = (await told.token())["access_token"]
    assert (await told.post("/revoke", {"token": token}, by=DPOP_BOT)).status == 200
    assert await status(told, token) == [0]


async def test_what_is_taken_back_while_a_token_is_made_is_not_got_around(told: World) -> None:
    """The standing ends after the token was checked and before its entry is there to be told of: no token comes out."""
    ask = await told.asked()
    await told.allow(ask)
    inner = told.store
    acted: list[bool] = []

    class Between:
        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        async def commit(self, *changes: Any) -> bool:
            if any(getattr(change, "record", None).__class__ is statuses.StatusEntry for change in changes):
                await told.take_back()
                acted.append(True)
            return await inner.commit(*changes)

    before = told.env
    told.app = protocol_app(told.here, replace(before, store=Between()))
    answer = await told.post_quickly(
        "/token", {"grant_type": "urn:openid:params:grant-type:ciba", "auth_req_id": ask.key}, by=BOT
    )
    assert acted
    assert answer.told == (400, "access_denied")


async def test_a_token_lives_no_longer_than_its_entry_is_told_of(told: World) -> None:
    token = (await told.token())["access_token"]
    claims = peek(token, "x")[1]
    await told.post("/revoke", {"token": token}, by=BOT)
    told.clock.now = Instant(claims["exp"] - 2)
    await told.store.sweep(told.now)
    assert await status(told, token) == [1]


async def test_switched_off_nothing_is_written_for_a_token() -> None:
    async with a_world(status=Settings(size=2**14)) as world:
        token = (await world.token())["access_token"]
        assert "status" not in peek(token, "x")[1]
        assert not await world.store.select(statuses.StatusEntry, "", "")
        assert not await world.store.select(statuses.StatusList, "", "")
