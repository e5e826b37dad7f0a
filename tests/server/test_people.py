"""Enrolling, and the one door through which every way to sign in leads."""

from dataclasses import replace

import anyio
import pytest

from deputize.adapters.memory import MemoryStore
from deputize.core.ports import Replace
from deputize.core.rules import Fault, Refusal
from deputize.core.values import Instant, Seconds
from deputize.oauth.client import Person
from deputize.oauth.throttle import NOT_TOO_FAST, Meter, Throttle, counted
from deputize.server import people
from deputize.server.people import (
    FIT_LOGIN,
    FIT_PASSWORD,
    RIGHT_PASSWORD,
    Hashing,
    Password,
    Settings,
    Source,
    check_password,
    enrol,
    login_of,
)
from tests.support.pages import PASSWORDS, QUICK, World
from tests.support.proofs import lets_through, stops

RIGHT = PASSWORDS["alice"]


async def _enters(world: World, login: str, password: str, *, address: str = "192.0.2.1") -> Person:
    return await check_password(world.env, login, password, Source(address), QUICK)


async def _refused(world: World, login: str, password: str, *, address: str = "192.0.2.1") -> Refusal:
    with pytest.raises(Refusal) as told:
        await _enters(world, login, password, address=address)
    return told.value


@lets_through(RIGHT_PASSWORD, NOT_TOO_FAST)
@pytest.mark.parametrize("typed", ["alice", "Alice", " ALICE ", "ａｌｉｃｅ"])
async def test_whoever_types_login_and_password_enters(typed: str) -> None:
    world = await World().with_people()
    assert (await _enters(world, typed, RIGHT)).key == "alice"


@stops(RIGHT_PASSWORD)
@pytest.mark.parametrize(
    ("login", "password"),
    [
        ("alice", "eight green bottle"),
        ("alice", PASSWORDS["bob"]),
        ("alice", RIGHT + "\0"),
        ("alice", ""),
        ("alice", "x" * 5000),
        ("alice", RIGHT + " " * 2000),
        ("carol", RIGHT),
        ("", RIGHT),
        ("x" * 16000, RIGHT),
        ("\ud800", "\ud800"),
    ],
)
async def test_nobody_else_does(login: str, password: str) -> None:
    world = await World().with_people()
    assert (await _refused(world, login, password)).rule is RIGHT_PASSWORD


async def test_a_person_who_was_disabled_is_told_what_a_stranger_is_told() -> None:
    world = await World().with_people()
    alice = await world.person("alice")
    assert await world.env.store.commit(Replace(alice, replace(alice, disabled_at=world.env.clock())))
    disabled, stranger = await _refused(world, "alice", RIGHT), await _refused(world, "carol", RIGHT)
    assert (disabled.error, disabled.rule, disabled.params) == (stranger.error, stranger.rule, stranger.params)


async def test_letters_that_look_the_same_are_the_same_password() -> None:
    """One keyboard sends an é, another an e and an accent."""
    world = World()
    await enrol(world.env, login="bob", name="Bob", password="caf\u00e9 au lait, deux", settings=QUICK)
    assert (await _enters(world, "bob", "cafe\u0301 au lait, deux")).key == "bob"


async def test_a_password_is_kept_as_argon2id_and_does_not_show_itself() -> None:
    world = await World().with_people()
    kept = await world.env.store.read(Password, "alice")
    assert kept is not None
    assert kept.argon2id.startswith("$argon2id$v=19$")
    assert kept.argon2id not in repr(kept)


async def test_the_defaults_are_one_of_owasps_sets() -> None:
    kept = await Hashing(Settings()).hashed("eight green bottles")
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_a_password_that_was_hashed_otherwise_is_hashed_anew_when_it_is_used() -> None:
    world = await World().with_people()
    stronger = replace(QUICK, time_cost=2)
    await check_password(world.env, "alice", RIGHT, Source("192.0.2.1"), stronger)
    kept = await world.env.store.read(Password, "alice")
    assert kept is not None
    assert "t=2" in kept.argon2id
    assert (await check_password(world.env, "alice", RIGHT, Source("192.0.2.1"), stronger)).key == "alice"


# --- enrolling ------------------------------------------------------------------------------------------------------


@lets_through(FIT_PASSWORD, FIT_LOGIN)
async def test_a_person_is_enrolled_under_one_login() -> None:
    world = World()
    made = await enrol(world.env, login=" Alice ", name="Alice", password=RIGHT, settings=QUICK)
    assert (made.key, made.login, made.name) == ("alice", "alice", "Alice")


@stops(FIT_PASSWORD)
@pytest.mark.parametrize("password", ["", "x", "1234567", "x" * 1025, "é" * 513, "eight green\0bottles"])
async def test_a_password_that_is_too_short_or_too_long_is_refused(password: str) -> None:
    world = World()
    with pytest.raises(Refusal) as told:
        await enrol(world.env, login="alice", name="Alice", password=password, settings=QUICK)
    assert told.value.rule is FIT_PASSWORD


@stops(FIT_LOGIN)
@pytest.mark.parametrize("login", ["alice", "ALICE", "ａｌｉｃｅ", "", "  ", "x" * 201, "al\nice", "a\u202elice"])
async def test_a_login_that_is_taken_or_cannot_be_shown_is_refused(login: str) -> None:
    world = await World().with_people()
    with pytest.raises(Refusal) as told:
        await enrol(world.env, login=login, name="Alice", password=RIGHT, settings=QUICK)
    assert told.value.rule is FIT_LOGIN


async def test_of_two_who_want_one_login_at_once_one_has_it() -> None:
    """RC-08."""
    world = World()
    told: list[str] = []

    async def want(name: str) -> None:
        try:
            await enrol(world.env, login="alice", name=name, password=RIGHT, settings=QUICK)
            told.append(name)
        except Refusal as refusal:
            told.append(f"refused: {refusal.rule.says}")

    async with anyio.create_task_group() as both:
        both.start_soon(want, "Alice")
        both.start_soon(want, "Bob")
    winner, loser = sorted(told)
    assert loser == f"refused: {FIT_LOGIN.says}"
    assert (await world.person("alice")).name == winner


# --- how fast -------------------------------------------------------------------------------------------------------


def _after(failures: int, settings: Settings = QUICK) -> list[int]:
    """The pause after each failure, where each next attempt comes as soon as it may."""
    now, kept, pauses = Instant(1000), None, []
    for _ in range(failures):
        kept = counted(kept, Meter("key", settings.login_free), settings.throttle, now, "slow_down")
        pauses.append(kept.not_before - now)
        now = kept.not_before
    return pauses


def test_some_failures_are_free_then_each_pause_is_twice_as_long_and_none_is_for_ever() -> None:
    assert _after(16) == [0, 0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert _after(2000)[-1] == 300


@stops(NOT_TOO_FAST)
async def test_who_does_not_wait_is_refused_and_told_how_long() -> None:
    world = await World().with_people()
    for _ in range(6):
        assert (await _refused(world, "alice", "wrong")).rule is RIGHT_PASSWORD
    early = await _refused(world, "alice", RIGHT)
    assert (early.error, early.rule, dict(early.params)) == ("slow_down", NOT_TOO_FAST, {"retry_after": "2"})
    world.fixed.forward(2)
    assert (await _enters(world, "alice", RIGHT)).key == "alice"


async def test_success_makes_the_login_begin_anew() -> None:
    world = await World().with_people()
    for _ in range(5):
        await _refused(world, "alice", "wrong")
    await _enters(world, "alice", RIGHT)
    for _ in range(5):
        assert (await _refused(world, "alice", "wrong")).rule is RIGHT_PASSWORD
    assert (await _enters(world, "alice", RIGHT)).key == "alice"


async def test_a_day_without_an_attempt_is_forgotten() -> None:
    world = await World().with_people()
    for _ in range(6):
        await _refused(world, "alice", "wrong")
    world.fixed.forward(QUICK.failures_remembered + 10)
    for _ in range(5):
        assert (await _refused(world, "alice", "wrong")).rule is RIGHT_PASSWORD
    assert (await _enters(world, "alice", RIGHT)).key == "alice"


async def test_what_is_forgotten_may_be_swept() -> None:
    world = await World().with_people()
    await _refused(world, "alice", "wrong")
    world.fixed.forward(QUICK.failures_remembered)
    await world.env.store.sweep(world.env.clock())
    assert await world.env.store.select(Throttle, "", "") == []


# --- hashing --------------------------------------------------------------------------------------------------------


async def test_a_crowd_is_asked_to_come_again() -> None:
    """DS-06: one is hashed, two wait, the fourth is told to come again: nothing else of the server waits for them."""
    slow = replace(QUICK, hashing_queue=2, memory_kib=8192, time_cost=4)
    hashing, told = Hashing(slow), []

    async def hash_one() -> None:
        try:
            await hashing.hashed("eight green bottles")
            told.append("hashed")
        except Fault as fault:
            told.append("come again" if fault.retry else "broken")

    async with anyio.create_task_group() as crowd:
        for _ in range(5):
            crowd.start_soon(hash_one)
    assert sorted(told) == ["come again", "come again", "hashed", "hashed", "hashed"]


async def test_many_attempts_at_once_are_each_counted() -> None:
    """Guesses that are made at once count one by one: parallel is no faster."""
    world = await World().with_people()
    told: list[object] = []

    async def guess() -> None:
        told.append((await _refused(world, "alice", "wrong")).rule)

    async with anyio.create_task_group() as crowd:
        for _ in range(20):
            crowd.start_soon(guess)
    assert told.count(RIGHT_PASSWORD) == QUICK.login_free + 1
    assert told.count(NOT_TOO_FAST) == 20 - QUICK.login_free - 1


async def test_a_store_that_always_loses_the_race_ends_in_a_fault_and_not_in_a_free_guess() -> None:
    class Busy(MemoryStore):
        async def commit(self, *changes: object) -> bool:
            del changes
            return False

    world = World(store=Busy())
    with pytest.raises(Fault) as told:
        await check_password(world.env, "alice", RIGHT, Source("192.0.2.1"), QUICK)
    assert told.value.retry


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "no address", True),
    ],
)
async def test_a_household_counts_as_one_address(one: str, other: str, *, same: bool) -> None:
    few = replace(QUICK, address_free=1, pause_max=Seconds(60))
    world = await World().with_people()
    for _ in range(2):
        with pytest.raises(Refusal):
            await check_password(world.env, "nobody", "wrong", Source(one), few)
    with pytest.raises(Refusal) as told:
        await check_password(world.env, "carol", "wrong", Source(other), few)
    assert (told.value.rule is NOT_TOO_FAST) == same


def test_a_login_has_one_form() -> None:
    assert login_of("  Ａlice\u00a0") == "alice"
    assert people.LOGIN_LENGTH_MAX == 200
