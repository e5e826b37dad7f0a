"""Corpus RT: who holds a refresh token that is spent, another's, too old, or no longer what the person wants."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deputize.adapters.sqlite import SqliteStore
from deputize.core.ports import Event, Store
from deputize.core.values import Instant, Seconds
from deputize.jose.jwt import peek
from deputize.jose.keys import PrivateKey
from deputize.oauth import families
from deputize.oauth.authority import NO_WIDER_DETAILS, NO_WIDER_SCOPE, NO_WIDER_TARGET
from deputize.oauth.caller import TYP
from deputize.oauth.client import Client, Person, Resource
from deputize.oauth.families import KEY_SHOWN, LIVE, NO_REPLAY, Family
from deputize.oauth.grants import refresh_token, token_exchange
from deputize.oauth.tokens import CLIENT_ALLOWED, LIFE_MAX, MAY_ISSUE, Revoked
from tests.support.asgi import Answer
from tests.support.cast import BOT, INSURER, ORDER, PHARMACY, READ, a_purchase
from tests.support.proofs import lets_through, stops
from tests.support.variants import KEEPER, first_tokens, refresh, refreshing, remade, replay, with_keeper
from tests.support.world import World, a_world

NOT_GOOD = (400, "invalid_grant")
KEY = PrivateKey.generate()
DAY = 24 * 3600


@pytest.fixture
async def keeper(world: World) -> World:
    return await with_keeper(world)


@pytest.fixture(params=["memory", "sqlite"])
async def either(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path / "world.db" if request.param == "sqlite" else None) as world:
        yield await with_keeper(world)


def said(answer: Answer) -> tuple[int, str, object]:
    return (*answer.told, answer.json.get("error_description"))


async def family_of(world: World, client: str = KEEPER) -> Family:
    [found] = await world.store.select(Family, "client", client)
    return found


# --- what a refresh token is for ------------------------------------------------------------------------------------


@lets_through(LIVE, NO_REPLAY)
async def test_each_use_gives_new_tokens_and_spends_the_old(either: World) -> None:
    first = await first_tokens(either)
    token, seen = first["refresh_token"], {first["refresh_token"]}
    for _ in range(5):
        either.clock.forward(3600)
        answer = await refresh(either, token)
        assert answer.status == 200
        assert answer["scope"] == READ
        claims = peek(answer["access_token"], "")[1]
        assert (claims["sub"], claims["client_id"], claims["aud"]) == ("alice", KEEPER, PHARMACY)
        assert claims["act"] == {"sub": KEEPER}
        assert await either.is_active(answer["access_token"])
        token = answer["refresh_token"]
        assert token not in seen
        seen.add(token)
    assert len(await either.store.select(Family, "", "")) == 1


async def test_who_was_not_there_at_a_refresh_is_not_said_to_have_been(keeper: World) -> None:
    first = await first_tokens(keeper)
    keeper.clock.forward(1000)
    again = await refresh(keeper, first["refresh_token"])
    told, then = (peek(answer["id_token"], "")[1] for answer in (again, first))
    assert told["auth_time"] == then["auth_time"]
    assert told["iat"] == then["iat"] + 1000
    assert (told["iss"], told["sub"], told["aud"]) == (then["iss"], then["sub"], then["aud"])


async def test_rt_10_no_refresh_token_for_who_is_not_registered_or_for_what_is_not_remembered(keeper: World) -> None:
    bot = await first_tokens(keeper, by=BOT)
    assert "refresh_token" not in bot.json
    only_once = await first_tokens(keeper, scope="openid")  # to be recognised is for this once
    assert "refresh_token" not in only_once.json
    itself = await keeper.post("/token", {"grant_type": "client_credentials"}, by=KEEPER)
    assert "refresh_token" not in itself.json
    exchanged = await keeper.post("/token", exchange((await first_tokens(keeper))["access_token"]), by=KEEPER)
    assert exchanged.status == 200
    assert "refresh_token" not in exchanged.json


def exchange(token: str, **more: str) -> dict[str, str]:
    kind = "urn:ietf:params:oauth:token-type:access_token"
    return {"grant_type": token_exchange.TYPE, "subject_token": token, "subject_token_type": kind, **more}


async def test_a_client_that_is_no_longer_registered_for_it_is_refused(keeper: World) -> None:
    token = (await first_tokens(keeper))["refresh_token"]
    grants = frozenset({"client_credentials"})
    await keeper.change(Client, KEEPER, grant_types=grants)
    assert (await refresh(keeper, token)).told == (400, "unauthorized_client")


async def test_nothing_is_left_behind_where_the_token_is_refused_at_the_last_moment(keeper: World) -> None:
    ask = await keeper.asked(by=KEEPER)
    await keeper.allow(ask)
    keeper.policy.denied.add("issue")
    assert (await keeper.poll(ask, by=KEEPER)).told == (400, "access_denied")
    assert await keeper.store.select(Family, "", "") == []


# --- RT-01, RT-02, RT-08: used before -------------------------------------------------------------------------------


@stops(NO_REPLAY, LIVE)
async def test_rt_01_a_second_use_ends_the_family_and_all_that_came_of_it(either: World) -> None:
    first = await first_tokens(either)
    second = await refresh(either, first["refresh_token"])
    third = await refresh(either, second["refresh_token"])
    derived = await either.post("/token", exchange(third["access_token"], scope=READ), by=KEEPER)
    active = [answer["access_token"] for answer in (first, second, third, derived)]
    assert [await either.is_active(token) for token in active] == [True] * 4

    stolen = await replay(either, first["refresh_token"])
    assert said(stolen) == (*NOT_GOOD, NO_REPLAY.says)
    assert [await either.is_active(token) for token in active] == [False] * 4
    for token in (first, second, third):
        assert said(await refresh(either, token["refresh_token"])) == (*NOT_GOOD, LIVE.says)
    again = await either.post("/token", exchange(third["access_token"]), by=KEEPER)
    assert again.told == (400, "invalid_request")
    events = [event for event in await either.store.select(Event, "client", KEEPER) if event.what == "refresh_reuse"]
    assert [(event.person, event.at) for event in events] == [("alice", either.now)]


async def test_rt_01_the_newest_but_one_and_the_oldest_are_both_used_ones(keeper: World) -> None:
    for age in (1, 3):
        tokens = [(await first_tokens(keeper))["refresh_token"]]
        for _ in range(3):
            tokens.append((await refresh(keeper, tokens[-1]))["refresh_token"])
        assert said(await replay(keeper, tokens[-1 - age])) == (*NOT_GOOD, NO_REPLAY.says)
        assert (await refresh(keeper, tokens[-1])).told == NOT_GOOD


async def test_rt_01_another_family_of_the_same_client_and_person_lives_on(keeper: World) -> None:
    one, other = [await first_tokens(keeper) for _ in range(2)]
    await refresh(keeper, one["refresh_token"])
    await replay(keeper, one["refresh_token"])
    assert await keeper.is_active(other["access_token"])
    assert (await refresh(keeper, other["refresh_token"])).status == 200


async def test_what_an_api_reads_in_an_access_token_names_no_refresh_token(keeper: World) -> None:
    first = await first_tokens(keeper)
    name = first["refresh_token"].removeprefix(families.PREFIX).partition(".")[0]
    assert name not in str(peek(first["access_token"], "")[1])
    for made_up in (f"rt_{root}.x" for root in peek(first["access_token"], "")[1]["roots"]):
        assert (await refresh(keeper, made_up)).told == NOT_GOOD
    assert (await refresh(keeper, first["refresh_token"])).status == 200


async def test_rt_02_without_a_grace_a_lost_answer_is_a_lost_family(keeper: World) -> None:
    first = await first_tokens(keeper)
    await refresh(keeper, first["refresh_token"])
    assert (await replay(keeper, first["refresh_token"])).told == NOT_GOOD


@lets_through(NO_REPLAY)
async def test_rt_02_within_the_grace_the_same_request_again_gives_the_same_authority(keeper: World) -> None:
    refreshing(keeper, grace=Seconds(10))
    first = await first_tokens(keeper)
    lost = await refresh(keeper, first["refresh_token"])
    for _ in range(3):
        keeper.clock.forward(3)
        again = await refresh(keeper, first["refresh_token"])
        assert (again.status, again["scope"]) == (200, lost["scope"])
    await refresh(keeper, again["refresh_token"])
    assert await keeper.is_active(again["access_token"])


@stops(NO_REPLAY)
async def test_rt_02_the_grace_does_not_grow(keeper: World) -> None:
    """A thief who comes back within each grace would otherwise never meet the one he stole from."""
    refreshing(keeper, grace=Seconds(10))
    first = await first_tokens(keeper)
    mine = await refresh(keeper, first["refresh_token"])
    keeper.clock.forward(9)
    thiefs = await refresh(keeper, first["refresh_token"])
    keeper.clock.forward(1)
    assert said(await replay(keeper, first["refresh_token"])) == (*NOT_GOOD, NO_REPLAY.says)
    for answer in (mine, thiefs):
        assert (await refresh(keeper, answer["refresh_token"])).told == NOT_GOOD
        assert not await keeper.is_active(answer["access_token"])


@stops(NO_REPLAY)
async def test_rt_02_the_answer_that_was_not_lost_gives_the_thief_away(keeper: World) -> None:
    refreshing(keeper, grace=Seconds(10))
    first = await first_tokens(keeper)
    mine = await refresh(keeper, first["refresh_token"])
    await refresh(keeper, first["refresh_token"])  # the thief, in time
    assert said(await replay(keeper, mine["refresh_token"])) == (*NOT_GOOD, NO_REPLAY.says)


@stops(NO_REPLAY)
async def test_rt_02_an_older_token_has_no_grace(keeper: World) -> None:
    refreshing(keeper, grace=Seconds(10))
    first = await first_tokens(keeper)
    second = await refresh(keeper, first["refresh_token"])
    await refresh(keeper, second["refresh_token"])
    assert said(await replay(keeper, first["refresh_token"])) == (*NOT_GOOD, NO_REPLAY.says)


@stops(LIVE)
async def test_rt_02_rv_05_what_was_given_up_has_no_grace(keeper: World) -> None:
    refreshing(keeper, grace=Seconds(60))
    first = await first_tokens(keeper)
    second = await refresh(keeper, first["refresh_token"])
    await keeper.post("/revoke", {"token": second["refresh_token"]}, by=KEEPER)
    for answer in (first, second):
        assert said(await refresh(keeper, answer["refresh_token"])) == (*NOT_GOOD, LIVE.says)
        assert not await keeper.is_active(answer["access_token"])


@pytest.mark.parametrize("grace", [-1, 61, 3600])
def test_a_grace_is_short(grace: int) -> None:
    with pytest.raises(ValueError, match="grace"):
        families.Settings(grace=Seconds(grace))


@stops(NO_REPLAY)
async def test_rt_08_a_restart_forgets_nothing(tmp_path: Path) -> None:
    async with a_world(tmp_path / "world.db") as world:
        await with_keeper(world)
        first = await first_tokens(world)
        second = await refresh(world, first["refresh_token"])
        await world.store.close()
        remade(world, store=SqliteStore(tmp_path / "world.db"))
        assert await world.is_active(second["access_token"])
        assert said(await replay(world, first["refresh_token"])) == (*NOT_GOOD, NO_REPLAY.says)
        await world.store.close()
        remade(world, store=SqliteStore(tmp_path / "world.db"))
        assert said(await refresh(world, second["refresh_token"])) == (*NOT_GOOD, LIVE.says)
        assert not await world.is_active(second["access_token"])
        await world.store.close()


async def test_rt_09_after_a_backup_was_restored_what_came_before_is_dead(tmp_path: Path) -> None:
    """The backup knows a token as live that was used since; `oauth.refresh.not_before` ends them all."""
    async with a_world(tmp_path / "world.db") as world:
        await with_keeper(world)
        first = (await first_tokens(world))["refresh_token"]
        other = (await first_tokens(world))["refresh_token"]
        with sqlite3.connect(tmp_path / "world.db") as source, sqlite3.connect(tmp_path / "backup.db") as copy:
            source.backup(copy)
        source.close()
        copy.close()
        world.clock.forward(3600)
        assert (await refresh(world, first)).status == 200
        await world.store.close()
        remade(world, store=SqliteStore(tmp_path / "backup.db"))
        assert (await refresh(world, first)).status == 200, "without the setting, a token that was used lives again"
        refreshing(world, not_before=world.now)
        assert said(await refresh(world, other)) == (*NOT_GOOD, LIVE.says)
        since = (await first_tokens(world))["refresh_token"]
        assert (await refresh(world, since)).status == 200


async def test_ds_12_a_replay_costs_the_same_however_often_the_family_was_used(keeper: World) -> None:
    """DS-12: one record a family, so that there is nothing to walk through."""
    token = (await first_tokens(keeper))["refresh_token"]
    family = await family_of(keeper)
    name, _, secret = token.removeprefix(families.PREFIX).partition(".")
    used = [secret]
    for _ in range(2_000):  # as with ten thousand: each leaves one record
        change, fresh = families.rotated(family, used[-1], keeper.here.refresh, keeper.env)
        assert await keeper.store.commit(change)
        used.append(fresh.reveal().partition(".")[2])
        family = await family_of(keeper)
    counted = Counted(keeper.store)
    remade(keeper, store=counted)
    for attempt in range(3):
        before = counted.asked
        form = {"grant_type": refresh_token.TYPE, "refresh_token": f"{families.PREFIX}{name}.{used[attempt * 1000]}"}
        answer = await keeper.post_quickly("/token", form, by=KEEPER)
        assert answer.told == NOT_GOOD
        # the client, its assertion, the family, its end, and what rests on it: looked for before and after
        assert counted.asked - before <= 6


@dataclass
class Counted:
    """A store that counts what it is asked."""

    store: Store
    asked: int = 0

    def __getattr__(self, name: str) -> Any:
        self.asked += 1
        return getattr(self.store, name)


# --- RT-03: not yours -----------------------------------------------------------------------------------------------


@stops(LIVE)
async def test_rt_03_another_client_learns_nothing_and_harms_nothing(keeper: World) -> None:
    await with_keeper(keeper, "other-keeper")
    first = await first_tokens(keeper)
    second = await refresh(keeper, first["refresh_token"])
    invented = await refresh(keeper, "rt_AAAAAAAAAAAAAAAAAAAAAA.AAAA", by="other-keeper")
    for token in (first, second):
        stolen = await refresh(keeper, token["refresh_token"], by="other-keeper")
        assert (stolen.told, stolen.body) == (NOT_GOOD, invented.body)
        await keeper.post("/revoke", {"token": token["refresh_token"]}, by="other-keeper")
    assert (await refresh(keeper, second["refresh_token"])).status == 200


@lets_through(KEY_SHOWN)
async def test_rt_03_a_bound_token_goes_with_its_key(keeper: World) -> None:
    first = await first_tokens(keeper, key=KEY)
    assert first["token_type"] == "DPoP"
    again = await refresh(keeper, first["refresh_token"], key=KEY)
    assert again["token_type"] == "DPoP"
    assert peek(again["access_token"], "")[1]["cnf"] == {"jkt": KEY.public().thumbprint}


@stops(KEY_SHOWN)
async def test_rt_03_another_key_or_none(keeper: World) -> None:
    first = await first_tokens(keeper, key=KEY)
    for key in (PrivateKey.generate(), None):
        assert said(await refresh(keeper, first["refresh_token"], key=key)) == (*NOT_GOOD, KEY_SHOWN.says)
    second = await refresh(keeper, first["refresh_token"], key=KEY)
    # Who has not the key cannot end the family either: a token that leaked by itself is worth nothing.
    assert said(await refresh(keeper, first["refresh_token"])) == (*NOT_GOOD, KEY_SHOWN.says)
    assert (await refresh(keeper, second["refresh_token"], key=KEY)).status == 200


async def test_a_key_that_is_first_shown_at_a_refresh_binds_what_comes_of_it(keeper: World) -> None:
    first = await first_tokens(keeper)
    second = await refresh(keeper, first["refresh_token"], key=KEY)
    assert second["token_type"] == "DPoP"
    assert (await refresh(keeper, second["refresh_token"]))["token_type"] == "Bearer"


# --- RT-04: wider ---------------------------------------------------------------------------------------------------


@lets_through(NO_WIDER_SCOPE, NO_WIDER_TARGET)
async def test_a_refresh_may_narrow_what_it_gives_and_the_next_may_have_all_again(keeper: World) -> None:
    first = await first_tokens(keeper, scope=f"openid {READ} {ORDER}")
    narrow = await refresh(keeper, first["refresh_token"], scope=READ, resource=PHARMACY)
    assert narrow["scope"] == READ
    whole = await refresh(keeper, narrow["refresh_token"])
    assert set(whole["scope"].split()) == {READ, ORDER}


@stops(NO_WIDER_SCOPE, NO_WIDER_TARGET, NO_WIDER_DETAILS)
async def test_rt_04_wider_is_refused_and_spends_nothing(keeper: World) -> None:
    await keeper.change(Client, KEEPER, audiences=frozenset({PHARMACY, INSURER}))
    token = (await first_tokens(keeper, resource=PHARMACY))["refresh_token"]
    details = json.dumps([a_purchase()])
    wider: list[tuple[dict[str, Any], str]] = [
        ({"scope": f"{READ} {ORDER}"}, "invalid_scope"),
        ({"scope": ORDER}, "invalid_scope"),
        ({"scope": "nonsense:x"}, "invalid_scope"),
        ({"resource": INSURER}, "invalid_target"),
        ({"resource": "https://nowhere.example"}, "invalid_target"),
        ({"authorization_details": details}, "invalid_authorization_details"),
        ({"authorization_details": "[]]"}, "invalid_authorization_details"),
    ]
    for form, error in wider:
        assert (await refresh(keeper, token, **form)).told == (400, error), form
    both = [("grant_type", refresh_token.TYPE), ("refresh_token", token), ("resource", PHARMACY), ("resource", INSURER)]
    assert (await keeper.post("/token", both, by=KEEPER)).told == (400, "invalid_target")
    assert (await refresh(keeper, token)).status == 200


@stops(CLIENT_ALLOWED, MAY_ISSUE)
async def test_what_the_client_may_no_longer_have_is_refused_and_spends_nothing(keeper: World) -> None:
    token = (await first_tokens(keeper))["refresh_token"]
    for fields, error in (
        ({"scope": frozenset({ORDER})}, "invalid_scope"),
        ({"audiences": frozenset({INSURER})}, "invalid_target"),
    ):
        was: Any = await keeper.store.read(Client, KEEPER)
        await keeper.change(Client, KEEPER, **fields)
        assert (await refresh(keeper, token)).told == (400, error)
        await keeper.change(Client, KEEPER, **{name: getattr(was, name) for name in fields})
    keeper.policy.denied.add("issue")
    assert (await refresh(keeper, token)).told == (400, "access_denied")
    keeper.policy.denied.clear()
    await keeper.change(Client, KEEPER, dpop_bound=True)
    assert (await refresh(keeper, token)).told == (400, "invalid_dpop_proof")
    await keeper.change(Client, KEEPER, dpop_bound=False)
    assert (await refresh(keeper, token)).status == 200


# --- RT-05: too old -------------------------------------------------------------------------------------------------


@lets_through(LIVE)
@stops(LIVE)
async def test_rt_05_idle_for_too_long(keeper: World) -> None:
    refreshing(keeper, idle=Seconds(3600))
    token = (await first_tokens(keeper))["refresh_token"]
    for _ in range(3):
        keeper.clock.forward(3599)
        token = (await refresh(keeper, token))["refresh_token"]
    keeper.clock.forward(3600)
    assert said(await refresh(keeper, token)) == (*NOT_GOOD, LIVE.says)


@stops(LIVE)
async def test_rt_05_used_all_the_time_and_yet_at_its_end(keeper: World) -> None:
    refreshing(keeper, life=Seconds(1000), idle=Seconds(600))
    token = (await first_tokens(keeper))["refresh_token"]
    keeper.clock.forward(500)
    token = (await refresh(keeper, token))["refresh_token"]
    keeper.clock.forward(499)
    last = await refresh(keeper, token)
    assert last.json["expires_in"] == 1  # what it gives does not outlive it
    keeper.clock.forward(1)
    assert said(await refresh(keeper, last["refresh_token"])) == (*NOT_GOOD, LIVE.says)
    await keeper.store.sweep(keeper.now)
    assert said(await refresh(keeper, last["refresh_token"])) == (*NOT_GOOD, LIVE.says)


async def test_rt_05_a_family_does_not_outlive_what_the_person_allowed(keeper: World) -> None:
    refreshing(keeper, life=Seconds(365 * DAY))
    token = (await first_tokens(keeper))["refresh_token"]
    family = await family_of(keeper)
    assert family.lives_until == family.authority.until == keeper.now + 30 * DAY
    for _ in range(29):
        keeper.clock.forward(DAY)
        token = (await refresh(keeper, token))["refresh_token"]
    keeper.clock.forward(DAY)
    assert (await refresh(keeper, token)).told == NOT_GOOD


async def test_rt_05_an_earlier_yes_gives_no_more_time_than_it_had(keeper: World) -> None:
    await first_tokens(keeper)
    keeper.clock.forward(29 * DAY)
    await first_tokens(keeper)
    latest = max(await keeper.store.select(Family, "client", KEEPER), key=lambda one: one.rotated_at)
    assert latest.lives_until == keeper.now + DAY


# --- RT-06, RT-07, RT-12: what it rests on is no more ---------------------------------------------------------------


async def test_rt_06_a_person_who_is_disabled(keeper: World) -> None:
    token = (await first_tokens(keeper))["refresh_token"]
    await keeper.change(Person, "alice", disabled_at=keeper.now)
    assert (await refresh(keeper, token)).told == NOT_GOOD
    await keeper.change(Person, "alice", disabled_at=None)
    assert (await refresh(keeper, token)).status == 200  # refused without being spent


async def test_rt_06_what_is_taken_back_is_dead_and_stays_so(either: World) -> None:
    first = await first_tokens(either)
    await either.take_back(client=KEEPER)
    assert (await refresh(either, first["refresh_token"])).told == NOT_GOOD
    assert not await either.is_active(first["access_token"])
    await either.welcome(client=KEEPER)
    for seconds in (0, 1, 3600):
        either.clock.forward(seconds)
        assert (await refresh(either, first["refresh_token"])).told == NOT_GOOD
    fresh = await first_tokens(either)
    assert (await refresh(either, fresh["refresh_token"])).status == 200
    assert (await refresh(either, first["refresh_token"])).told == NOT_GOOD


async def test_rt_06_another_persons_taking_back_changes_nothing(keeper: World) -> None:
    alices = await first_tokens(keeper)
    bobs = await first_tokens(keeper, login_hint="bob")
    await keeper.take_back("bob", KEEPER)
    assert (await refresh(keeper, bobs["refresh_token"])).told == NOT_GOOD
    assert (await refresh(keeper, alices["refresh_token"])).status == 200


async def test_rt_07_the_resource_is_disabled(keeper: World) -> None:
    token = (await first_tokens(keeper))["refresh_token"]
    await keeper.change(Resource, PHARMACY, disabled_at=keeper.now)
    assert (await refresh(keeper, token)).told == (400, "invalid_target")
    await keeper.change(Resource, PHARMACY, disabled_at=None)
    assert (await refresh(keeper, token)).status == 200


async def test_rt_12_a_disabled_client_has_nothing_from_then_on(keeper: World) -> None:
    first = await first_tokens(keeper)
    await keeper.change(Client, KEEPER, disabled_at=keeper.now)
    assert not await keeper.is_active(first["access_token"])
    assert (await refresh(keeper, first["refresh_token"])).told == (401, "invalid_client")
    assert first.json["expires_in"] <= LIFE_MAX


# --- RT-13: one kind of token as another ----------------------------------------------------------------------------


async def test_rt_13_a_refresh_token_where_another_is_due(keeper: World) -> None:
    first = await first_tokens(keeper)
    token = first["refresh_token"]
    assert (await keeper.post("/introspect", {"token": token}, by=PHARMACY)).json == {"active": False}  # IN-07
    assert (await keeper.post("/introspect", {"token": token}, by=KEEPER)).json == {"active": False}
    assert (await keeper.post("/token", exchange(token), by=KEEPER)).told == (400, "invalid_request")
    actor = exchange(first["access_token"], actor_token=token, actor_token_type=exchange("")["subject_token_type"])
    assert (await keeper.post("/token", actor, by=KEEPER)).told == (400, "invalid_request")
    assert (await keeper.poll(token, by=KEEPER)).told == NOT_GOOD
    assert (await refresh(keeper, token)).status == 200


@stops(LIVE)
async def test_rt_13_another_token_where_a_refresh_token_is_due(keeper: World) -> None:
    first = await first_tokens(keeper)
    handle = (await keeper.asked(by=KEEPER)).key
    name = first["refresh_token"].partition(".")[0]
    for text in (
        first["access_token"],
        first["id_token"],
        keeper.minted(typ=TYP),
        handle,
        f"rt_{handle}",
        "rt_",
        "rt_.",
        name,
        f"{name}.",
        f"{name}.é",
        f"{name} .x",
        first["refresh_token"].removeprefix("rt_"),
        first["refresh_token"].upper(),
        f" {first['refresh_token']}",
        f"{first['refresh_token']}\n",
        f"rt_{'n' * 65}.x",
        f"{name}.{'x' * 129}",
    ):
        assert said(await refresh(keeper, text)) == (*NOT_GOOD, LIVE.says), text
    assert (await refresh(keeper, first["refresh_token"])).status == 200


# --- RV: given up ---------------------------------------------------------------------------------------------------


async def test_rv_03_a_refresh_token_given_up_takes_its_access_tokens_along(either: World) -> None:
    first = await first_tokens(either)
    second = await refresh(either, first["refresh_token"])
    gone = await either.post("/revoke", {"token": second["refresh_token"]}, by=KEEPER)
    assert (gone.status, gone.body) == (200, b"")
    for answer in (first, second):
        assert not await either.is_active(answer["access_token"])
        assert said(await refresh(either, answer["refresh_token"])) == (*NOT_GOOD, LIVE.says)
    assert (await either.post("/revoke", {"token": second["refresh_token"]}, by=KEEPER)).status == 200
    assert len(await either.store.select(Revoked, "", "")) == 1


async def test_rv_03_an_access_token_given_up_goes_alone(keeper: World) -> None:
    """RFC 7009, 2.1 leaves it open: the client that wants to be rid of all gives up the refresh token."""
    first = await first_tokens(keeper)
    await keeper.post("/revoke", {"token": first["access_token"]}, by=KEEPER)
    assert not await keeper.is_active(first["access_token"])
    second = await refresh(keeper, first["refresh_token"])
    assert await keeper.is_active(second["access_token"])


async def test_rv_03_the_token_before_gives_the_family_up_and_a_made_up_one_does_not(keeper: World) -> None:
    first = await first_tokens(keeper)
    second = await refresh(keeper, first["refresh_token"])
    name = second["refresh_token"].partition(".")[0]
    await keeper.post("/revoke", {"token": f"{name}.made-up"}, by=KEEPER)
    assert await keeper.is_active(second["access_token"])
    await keeper.post("/revoke", {"token": first["refresh_token"]}, by=KEEPER)  # the answer was lost, and never used
    assert not await keeper.is_active(second["access_token"])


# --- RC-02, RC-06: at once ------------------------------------------------------------------------------------------


def uses(world: World, token: str, times: int) -> list[Any]:
    form = {"grant_type": refresh_token.TYPE, "refresh_token": token}
    return [world.post_quickly("/token", form, by=KEEPER) for _ in range(times)]


async def test_rc_02_a_hundred_at_once_give_one_token_and_a_family_that_is_over(either: World) -> None:
    """Who was second used a spent token, however short the time between: the winner's tokens end with the family."""
    first = await first_tokens(either)
    answers = await asyncio.gather(*uses(either, first["refresh_token"], 100))
    [won] = [answer for answer in answers if answer.status == 200]
    assert {answer.told for answer in answers if answer is not won} == {NOT_GOOD}
    family = await family_of(either)
    assert family.ended_at == either.now
    assert not await either.is_active(won["access_token"])
    assert said(await refresh(either, won["refresh_token"])) == (*NOT_GOOD, LIVE.says)
    events = [event.what for event in await either.store.select(Event, "client", KEEPER)]
    assert events.count("refresh_reuse") == 1


async def test_rc_02_a_hundred_at_once_within_a_grace_leave_one_that_lives(either: World) -> None:
    refreshing(either, grace=Seconds(10))
    first = await first_tokens(either)
    answers = await asyncio.gather(*uses(either, first["refresh_token"], 100))
    assert {answer.status for answer in answers} <= {200, 503}
    given = [answer["refresh_token"] for answer in answers if answer.status == 200]
    assert given
    family = await family_of(either)
    assert family.ended_at is None
    assert [families._is_live(family, token.partition(".")[2]) for token in given].count(True) == 1


async def test_rc_06_after_a_revocation_was_acknowledged_nothing_new_succeeds(either: World) -> None:
    for _ in range(5):
        first = await first_tokens(either)
        gone, *answers = await asyncio.gather(
            either.post_quickly("/revoke", {"token": first["refresh_token"]}, by=KEEPER),
            *uses(either, first["refresh_token"], 2),
        )
        assert gone.status == 200
        for answer in (first, *answers):
            if answer.status == 200:
                assert not await either.is_active(answer["access_token"])
                assert (await refresh(either, answer["refresh_token"])).told == NOT_GOOD


async def test_ck_01_a_clock_that_jumps_crashes_nothing(keeper: World) -> None:
    token = (await first_tokens(keeper))["refresh_token"]
    for seconds in (3600, -3600, -3600, DAY):
        keeper.clock.forward(seconds)
        answer = await refresh(keeper, token)
        claims = peek(answer["access_token"], "")[1]
        assert (claims["iat"], claims["exp"]) == (keeper.now, keeper.now + 300)
        token = answer["refresh_token"]
    keeper.clock.now = Instant(2**31 + 1)  # CK-06
    assert (await refresh(keeper, token)).told == NOT_GOOD
    assert (await first_tokens(keeper)).status == 200
