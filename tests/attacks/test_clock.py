"""Corpus CK, as far as tokens, proofs and assertions go: clocks that differ, jump and step back."""

from pathlib import Path

import pytest

from deputize.adapters.system import ForgettingClock
from deputize.compose.settings import Mistakes, load
from deputize.core.values import Instant, Seconds
from deputize.jose.jwt import BEGUN, BRIEF, peek
from deputize.jose.keys import PrivateKey
from deputize.oauth import tokens
from deputize.resource.asgi import CALLER
from tests.resource.world import World as Api
from tests.support.cast import BOT
from tests.support.ports import FixedClock
from tests.support.proofs import lets_through, stops
from tests.support.world import CLIENT_CREDENTIALS, World, a_world

REFUSED = (401, "invalid_client")
YEAR_9999 = 253402300799


@pytest.mark.parametrize("jump", [3600, -3600, 24 * 3600, -24 * 3600])
async def test_ck_01_tokens_use_the_time_as_it_is_now(world: World, jump: int) -> None:
    before = (await world.token())["access_token"]
    ask = await world.asked()
    world.clock.forward(jump)
    claims = peek((await world.token())["access_token"], "")[1]
    assert (claims["iat"], claims["exp"]) == (world.now, world.now + 300)
    assert await world.is_active(before) == (jump < 0 and jump > -10)
    told = (await world.poll(ask)).json["error"]  # it ends at the time that was said when it was made
    assert told == ("expired_token" if jump > 0 else "slow_down")


@lets_through(BEGUN)
async def test_ck_02_workers_five_seconds_apart_take_each_others_tokens(world: World) -> None:
    token = (await world.token())["access_token"]
    assert "nbf" not in peek(token, "")[1]
    world.clock.forward(-5)
    assert await world.is_active(token)
    api = Api()
    compact = api.token(bearer=True)
    api.clock.forward(-5)
    answer = await api.call(token=compact, bearer=True)
    assert answer.status_code == 200
    assert CALLER in api.api.seen[0][0]


@lets_through(BEGUN, BRIEF)
@pytest.mark.parametrize("seconds", [-9, 9])
async def test_ck_03_a_client_nine_seconds_off(world: World, seconds: int) -> None:
    compact = world.assertion(iat=world.now + seconds, exp=world.now + seconds + 60, nbf=world.now + seconds)
    form = {**CLIENT_CREDENTIALS, **dict(world.logs_in(BOT)[1]), "client_assertion": compact}
    proof = world.proof(PrivateKey.generate(), iat=world.now + seconds)
    assert (await world.post("/token", form, (("dpop", proof),))).status == 200


@stops(BEGUN)
async def test_ck_04_a_client_a_minute_ahead_is_told_so(world: World) -> None:
    ahead = world.now + 61
    form = {**CLIENT_CREDENTIALS, **dict(world.logs_in(BOT)[1])}
    answer = await world.post("/token", {**form, "client_assertion": world.assertion(iat=ahead, exp=ahead + 60)})
    assert (answer.told, answer["error_description"]) == (REFUSED, BEGUN.says)
    proof = world.proof(PrivateKey.generate(), iat=ahead)
    answer = await world.post("/token", CLIENT_CREDENTIALS, (("dpop", proof),), by=BOT)
    assert (answer.told, answer["error_description"]) == ((400, "invalid_dpop_proof"), BEGUN.says)


@pytest.mark.parametrize("sqlite", [False, True], ids=["memory", "sqlite"])
async def test_ck_05_what_was_used_stays_used_when_the_clock_steps_back(tmp_path: Path, sqlite: bool) -> None:  # noqa: FBT001 (a column)
    async with a_world(tmp_path / "world.db" if sqlite else None) as world:
        compact, proof = world.assertion(), world.proof(PrivateKey.generate())
        form = {**CLIENT_CREDENTIALS, **dict(world.logs_in(BOT)[1])}
        assert (await world.post("/token", {**form, "client_assertion": compact})).status == 200
        assert (await world.post("/token", CLIENT_CREDENTIALS, (("dpop", proof),), by=BOT)).status == 200
        for seconds in (-5, -4, 30, -25):
            world.clock.forward(seconds)
            await world.store.sweep(world.now)
            assert (await world.post("/token", {**form, "client_assertion": compact})).told == REFUSED
            again = await world.post("/token", CLIENT_CREDENTIALS, (("dpop", proof),), by=BOT)
            assert again.told == (400, "invalid_dpop_proof")


@pytest.mark.parametrize("careful", [True, False])
async def test_ck_05_a_clock_that_leaps_ahead_and_back_lets_nothing_be_used_again(world: World, careful: bool) -> None:  # noqa: FBT001 (a column)
    """A sweep in between forgets nothing; one that went by the machine's clock alone would have."""
    steady = 0.0
    forgetting = ForgettingClock(world.clock, lambda: steady)
    form = {**CLIENT_CREDENTIALS, **dict(world.logs_in(BOT)[1])}
    assert (await world.post("/token", form)).status == 200
    steady += 30
    world.clock.forward(24 * 3600 + 30)
    await world.store.sweep(forgetting() if careful else world.now)
    world.clock.forward(-24 * 3600)
    assert (await world.post("/token", form)).status == (401 if careful else 200)


@pytest.mark.parametrize(
    ("wall", "steady", "told"),
    [
        (60, 60, 60),  # as it should be
        (119, 60, 119),  # put right
        (3600, 60, 60),  # leaped ahead
        (-3600, 60, -3600),  # put back
        (90_000, 3600, 90_000),  # leaped ahead, and nobody has put it back for an hour
        (0, 60, 0),  # stood still
    ],
)
def test_ck_05_a_leap_is_believed_when_it_lasts(wall: int, steady: int, told: int) -> None:
    clock, passed = FixedClock(), 5.0
    forgetting, begun = ForgettingClock(clock, lambda: passed), clock.now
    clock.forward(wall)
    passed += steady
    assert forgetting() - begun == told
    clock.forward(60)
    passed += 60
    assert forgetting() - begun == told + 60 or wall == 3600


@pytest.mark.parametrize("now", [2**31 - 5, 2**31, 2**32 + 1, YEAR_9999 - 4000])
async def test_ck_06_times_are_whole_seconds_however_late(world: World, now: int) -> None:
    world.clock.now = Instant(now)
    token = (await world.token())["access_token"]
    claims = peek(token, "")[1]
    assert (type(claims["iat"]), claims["iat"], claims["exp"]) == (int, now, now + 300)
    assert await world.is_active(token)
    world.clock.forward(300)
    assert not await world.is_active(token)


@pytest.mark.parametrize("life", [0, -1, 901, 86400])
def test_no_access_token_lives_for_more_than_a_quarter_of_an_hour(tmp_path: Path, life: int) -> None:
    with pytest.raises(ValueError, match="access token"):
        tokens.Settings(life=Seconds(life))
    file = tmp_path / "deputize.toml"
    file.write_text(f"[oauth.tokens]\nlife = {life}\n")
    with pytest.raises(Mistakes, match="access token"):
        load(file, dev=True)


async def test_an_access_token_may_live_for_a_quarter_of_an_hour() -> None:
    async with a_world(tokens=tokens.Settings(life=Seconds(900))) as world:
        assert (await world.token()).json["expires_in"] == 900
