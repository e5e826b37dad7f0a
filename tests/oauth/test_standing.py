"""What a person allowed, for how long it answers for them, and how it ends."""

from dataclasses import replace

import pytest

from deputize.core.ports import Event
from deputize.core.rules import Refusal
from deputize.core.values import ClientId, Seconds, Subject
from deputize.jose.jwt import peek
from deputize.oauth import asking
from deputize.oauth import standing as standings
from deputize.oauth.asking import MAY_ASK, NEVER_WIDER, Answered, Waiting, answered
from deputize.oauth.authority import Authority
from deputize.oauth.client import Client
from deputize.oauth.standing import NOT_TAKEN_BACK
from tests.support.cast import BOT, CLAIM, INSURER, NOW, ORDER, OTHER, PHARMACY, READ, ROAMING, an_ask
from tests.support.proofs import lets_through, stops
from tests.support.world import World, a_world

BOTH = f"openid {READ} {ORDER}"
ALICE = Subject("alice")


async def test_a_yes_to_scopes_answers_for_them_and_for_less_until_it_ends() -> None:
    async with a_world(asks=asking.Settings(standing_life=Seconds(1000))) as world:
        await world.allowed(scope=BOTH)
        for scope in (BOTH, f"openid {READ}"):
            ask = await world.asked(scope=scope)
            assert isinstance(ask.state, Answered)
            assert (await world.poll(ask)).status == 200
        assert len(world.notify.told) == 1
        events = [row.what for row in await world.store.select(Event, "client", BOT)]
        assert events[-2:] == ["ask_covered", "ask_collected"]
        world.clock.forward(1000)
        assert isinstance((await world.asked()).state, Waiting)


async def test_a_yes_answers_for_nobody_and_nothing_else(world: World) -> None:
    await world.allowed(by=ROAMING, scope=f"openid {READ}", resource=PHARMACY)
    for other in (
        await world.asked(by=ROAMING, scope=BOTH, resource=PHARMACY),
        await world.asked(by=ROAMING, scope=f"openid {CLAIM}", resource=INSURER),
        await world.asked(by=ROAMING, scope=f"openid {READ}", resource=PHARMACY, login_hint="bob"),
        await world.asked(by=ROAMING, scope="openid", resource=PHARMACY),
        await world.asked(by=OTHER, scope=f"openid {READ}"),
    ):
        assert isinstance(other.state, Waiting)


async def test_where_nobody_was_asked_no_token_says_that_somebody_was_there(world: World) -> None:
    assert peek(await world.allowed(), "")[1]["auth_time"] == world.now
    world.clock.forward(1000)
    ask = await world.asked()
    answer = await world.poll(ask)
    assert "auth_time" not in peek(answer["access_token"], "")[1]
    assert "auth_time" not in peek(answer["id_token"], "")[1]


async def test_a_yes_that_runs_out_before_it_is_collected_is_none() -> None:
    async with a_world(asks=asking.Settings(standing_life=Seconds(100))) as world:
        await world.allowed()
        world.clock.forward(98)
        in_time, too_late = await world.asked(), await world.asked()
        answer = await world.poll(in_time)
        assert answer.json["expires_in"] == 2
        world.clock.forward(2)
        assert (await world.poll(too_late, spends=())).told == (400, "expired_token")


@lets_through(NOT_TAKEN_BACK)
@stops(NOT_TAKEN_BACK)
async def test_who_was_sent_away_does_not_ask_before_it_is_welcome(world: World) -> None:
    waiting = await world.asked(scope="openid")
    await world.allowed()
    await world.take_back()
    answer = await world.ask()
    assert answer.told == (403, "access_denied")
    assert answer["error_description"] == NOT_TAKEN_BACK.says
    assert (await world.present(world.challenge())).told == (400, "access_denied")
    with pytest.raises(Refusal) as stopped:
        await world.allow(waiting)
    assert stopped.value.rule is NOT_TAKEN_BACK
    await world.deny(waiting)
    await world.welcome()
    world.clock.forward(2)
    assert isinstance((await world.asked()).state, Waiting)
    assert await world.is_active(await world.allowed())


async def test_what_one_person_takes_back_from_one_client_is_all_that_ends(world: World) -> None:
    alices, bobs, others = await world.allowed(), await world.allowed(login_hint="bob"), await world.allowed(by=OTHER)
    own = (await world.token())["access_token"]
    await world.take_back()
    alive = [await world.is_active(token) for token in (alices, bobs, others, own)]
    assert alive == [False, True, True, True]


@lets_through(MAY_ASK)
@stops(MAY_ASK)
async def test_the_operators_policy_is_asked_before_the_person(world: World) -> None:
    world.policy.denied = {OTHER}
    assert (await world.ask()).status == 200
    answer = await world.ask(by=OTHER)
    assert answer.told == (403, "access_denied")
    assert answer["error_description"] == MAY_ASK.says
    assert len(world.notify.told) == 1


@lets_through(NEVER_WIDER)
@stops(NEVER_WIDER)
def test_an_answer_allows_what_was_asked_or_less() -> None:
    ask = an_ask()
    for less in (ask.wanted, ask.wanted.narrowed(scope=frozenset()), ask.wanted.narrowed(until=NOW + 10)):  # type: ignore[arg-type]
        allowed = answered(ask, by=ALICE, allowed=less, now=ask.created_at)
        assert allowed.state == Answered(ask.created_at, less, "alice", standings.key_of(ALICE, ClientId(BOT)))
        assert (allowed.open_for, allowed.open_by) == ("", "")
    wider = (
        Authority(audience=frozenset({PHARMACY}), scope=frozenset({READ, ORDER}), until=ask.wanted.until),
        Authority(audience=frozenset({PHARMACY, INSURER}), scope=frozenset({READ}), until=ask.wanted.until),
        Authority(audience=frozenset({PHARMACY}), scope=frozenset({READ}), until=ask.wanted.until + 1),  # type: ignore[arg-type]
    )
    for more in wider:
        with pytest.raises(Refusal) as stopped:
            answered(ask, by=ALICE, allowed=more, now=ask.created_at)
        assert stopped.value.rule is NEVER_WIDER


async def test_what_is_remembered_is_bounded_and_what_is_covered_is_not_kept_twice(world: World) -> None:
    for _ in range(3):
        world.clock.forward(31 * 24 * 3600)
        await world.allowed(scope=f"openid {READ}")
        await world.allowed(scope=BOTH)
    found = await standings.find(ALICE, ClientId(BOT), world.env)
    assert found is not None
    assert [sorted(once.scope) for once in found.allowed] == [[ORDER, READ]]
    assert found.since == NOW + 31 * 24 * 3600


async def test_a_standing_that_was_taken_back_covers_nothing(world: World) -> None:
    await world.allowed()
    found = await standings.find(ALICE, ClientId(BOT), world.env)
    assert found is not None
    wanted = found.allowed[0]
    bot = await world.store.read(Client, BOT)
    assert found.covering(wanted, bot, world.now) == wanted
    assert replace(found, taken_back_at=world.now).covering(wanted, bot, world.now) is None
    assert found.covering(wanted, None, world.now) is None  # nobody knows that client any more


def test_two_names_never_make_the_key_of_two_others() -> None:
    pairs = [("a", "b:c"), ("a:b", "c"), ("1:a", "b"), ("", "1:a:b"), ("a", "b")]
    assert len({standings.key_of(Subject(person), ClientId(client)) for person, client in pairs}) == len(pairs)
