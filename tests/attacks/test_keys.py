"""Corpus KR and MD-05: keys that are followed, stolen, lost, put back, and read by those who should not.

Mallory has copied a signing key, or an old key file, or can write where keys lie, or answers in place of the server.
Where a case is about a file or a record alone, it stands in `tests/adapters/test_key_file.py` and `test_keys_store.py`.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from deputize.adapters.key_file import FileSigner
from deputize.adapters.keys_ring import CACHED_MAX, Plan, State
from deputize.core.published import Published
from deputize.core.rules import Fault, Refusal
from deputize.core.values import Seconds
from deputize.core.wire import Call, Headers, JsonObject, Reply, json_bytes
from deputize.jose import jwt
from deputize.jose.keys import KeySet, PrivateKey
from deputize.oauth import tokens
from deputize.oauth.approval import ACCESS_TOKEN
from deputize.oauth.grants import token_exchange
from deputize.oauth.nonces import Nonces
from deputize.resource.trusted import TrustedServer
from deputize.sdk import discover
from deputize.server.app import protocol_app
from deputize.server.session import check_form, form_token
from tests.adapters.keys import kids, states
from tests.support.cast import BOT
from tests.support.ports import FixedClock
from tests.support.world import World

PLAN = Plan(lead=Seconds(600), overlap=Seconds(960))
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "k", "priv"}


def worker(world: World, path: Path, clock: FixedClock) -> World:
    """One of several processes of the same server: the records are shared, and the key file."""
    env = replace(world.env, clock=clock, signer=FileSigner.open(path, PLAN, clock=clock))
    return replace(world, env=env, clock=clock, app=protocol_app(world.here, env))


def keys_of(world: World) -> FileSigner:
    signer = world.env.signer
    assert isinstance(signer, FileSigner)
    return signer


async def jwks(world: World) -> JsonObject:
    return (await world.get("/jwks")).json


# --- a key is followed by the next ------------------------------------------------------------------------------------


@dataclass
class Verifier:
    """An API that keeps the keys for as long as it was told to, or as it likes, and never looks again before."""

    at: World
    keeps: int | None
    first_look: int
    keys: KeySet = field(default_factory=KeySet)
    until: int = 0
    refused: int = 0

    async def verify(self, token: str, now: int) -> None:
        if now >= self.until:
            answer = await self.at.get("/jwks")
            told = int(str(answer.header("cache-control")).partition("max-age=")[2])
            self.keys = KeySet.from_jwks(answer.json)
            self.until = (now if self.until else self.first_look) + (told if self.keeps is None else self.keeps)
        expected = jwt.Expectation(
            typ=frozenset({tokens.TYP}),
            algs=frozenset({"ES256"}),
            issuer=self.at.here.issuer.text,
            audience=None,
            lifetime_max=Seconds(300),
            age_max=None,
            needs=frozenset({"exp", "iat"}),
            error="invalid_token",
        )
        try:
            jwt.verify(token, self.keys, expected, FixedClock(now).now)
        except Refusal:
            self.refused += 1


@dataclass
class Run:
    """What became of the tokens."""

    refused: int
    signed_by: list[str]
    states: list[tuple[str, State]]


async def tokens_across_the_switch(world: World, path: Path, *, count: int, at_once: bool) -> Run:
    """One token every two seconds, by two workers whose clocks are 5 s apart; verified as it begins and as it ends."""
    ahead = FixedClock(world.now + 5)
    workers = [worker(world, path, world.clock), worker(world, path, ahead)]
    dice = random.Random(7)  # when somebody happens to look
    verifiers = [
        Verifier(workers[number % 2], keeps, world.now - dice.randrange(60))
        for number in range(2)
        for keeps in (None, CACHED_MAX)
    ]
    alive: deque[tuple[int, str]] = deque()
    signed_by = []
    for number in range(count):
        if number == 100:
            await keys_of(workers[number % 2]).rotate(at_once=at_once)
        if number % 30 == 0:
            await asyncio.gather(*(keys_of(one).tend() for one in workers))
        token = (await workers[number % 2].token())["access_token"]
        signed_by.append(str(jwt.peek(token, "")[0].kid))
        alive.append((world.now + 290, token))
        due = [alive.popleft()[1] for _ in range(len(alive)) if alive[0][0] <= world.now]
        for verifier in verifiers:
            for one in (token, *due):
                await verifier.verify(one, world.now)
        world.clock.forward(2)
        ahead.forward(2)
    return Run(sum(verifier.refused for verifier in verifiers), signed_by, states(keys_of(workers[0])))


async def test_kr_01_ck_02_no_token_is_refused_when_a_key_follows_another(world: World, tmp_path: Path) -> None:
    run = await tokens_across_the_switch(world, tmp_path / "keys.json", count=1000, at_once=False)
    assert run.refused == 0
    first, second = dict.fromkeys(run.signed_by)
    switch = run.signed_by.index(second)
    assert first not in run.signed_by[switch + 6 :]  # within the seconds in which their clocks differ, both sign
    assert run.states == [(second, State.ACTIVE)]


async def test_kr_01_the_same_without_the_lead_would_refuse_some(world: World, tmp_path: Path) -> None:
    """So the test above can fail; and this is why `--now` says aloud what it does."""
    run = await tokens_across_the_switch(world, tmp_path / "keys.json", count=300, at_once=True)
    assert run.refused > 0


async def test_kr_01_keys_change_while_a_thousand_requests_sign(world: World, tmp_path: Path) -> None:
    here = worker(world, tmp_path / "keys.json", world.clock)
    there = keys_of(worker(world, tmp_path / "keys.json", world.clock))

    async def signed() -> str:
        compact = await tokens.mint({"iss": "x", "n": 1}, tokens.TYP, here.env)
        world.clock.forward(1)
        await asyncio.sleep(0)
        return compact

    async def changes() -> None:
        for _ in range(5):
            await there.rotate(at_once=True)

    minted, _ = await asyncio.gather(asyncio.gather(*(signed() for _ in range(1000))), changes())
    signers = [str(jwt.peek(compact, "")[0].kid) for compact in minted]
    keys_of(here).told()
    assert set(signers) <= kids(keys_of(here))
    assert keys_of(here).active() == there.active()


# --- what is published ------------------------------------------------------------------------------------------------


async def test_md_05_the_key_set_shows_the_next_key_in_time_and_the_last_for_long_enough(
    world: World, tmp_path: Path
) -> None:
    here = worker(world, tmp_path / "keys.json", world.clock)
    signer = keys_of(here)
    first = signer.active()[0]
    seen: dict[str, list[int]] = {}
    start = world.now
    await signer.rotate()
    for _ in range(0, 3000, 10):
        told = await jwks(here)
        for jwk in told["keys"]:
            assert not PRIVATE & set(jwk)
            assert (jwk["use"], jwk["alg"]) == ("sig", "ES256")
            seen.setdefault(jwk["kid"], []).append(world.now - start)
        world.clock.forward(10)
    second = next(kid for kid in seen if kid != first)
    assert seen[second][0] == 0
    assert signer.active()[0] == second
    switch = PLAN.lead
    assert switch >= 2 * CACHED_MAX  # it could be seen by everybody before it signed
    assert switch + 300 <= seen[first][-1] < switch + PLAN.overlap  # until the last token that it signed has ended


async def test_md_05_nobody_of_ours_keeps_a_key_set_for_longer_than_the_lead_allows_for(world: World) -> None:
    told = str((await world.get("/jwks")).header("cache-control")).partition("max-age=")[2]
    assert int(told) <= 60  # so a retired key is gone from fresh copies within a minute (KR-02)
    assert {of_the_guard(world).keep, of_the_client(world).keep} <= set(range(CACHED_MAX + 1))


# --- a key was stolen -------------------------------------------------------------------------------------------------


async def test_kr_02_what_a_retired_key_signed_is_refused_at_once(world: World, tmp_path: Path) -> None:
    """Mallory has copied the key that signs. The operator retires it, in another process."""
    here = worker(world, tmp_path / "keys.json", world.clock)
    operator = FileSigner.open(tmp_path / "keys.json", PLAN, clock=world.clock)
    stolen = operator._ring.keys[0].private
    assert stolen is not None
    honest = await here.allowed()
    forged = here.minted(key=stolen)
    assert await here.is_active(honest)
    assert await here.is_active(forged)

    await operator.retire(stolen.kid)
    world.clock.forward(1)

    assert not await here.is_active(honest)
    assert not await here.is_active(forged)
    assert not await here.is_active(here.minted(key=stolen))
    assert stolen.kid not in {jwk["kid"] for jwk in (await jwks(here))["keys"]}
    for token in (honest, forged):
        answer = await here.post(
            "/token",
            {
                "grant_type": token_exchange.TYPE,
                "subject_token": token,
                "subject_token_type": ACCESS_TOKEN,
            },
            by=BOT,
        )
        assert answer.told == (400, "invalid_request")
    anew = (await here.token())["access_token"]
    assert await here.is_active(anew)
    assert jwt.peek(anew, "")[0].kid != stolen.kid


async def test_kr_02_with_a_next_key_published_nobody_else_notices(world: World, tmp_path: Path) -> None:
    here = worker(world, tmp_path / "keys.json", world.clock)
    signer = keys_of(here)
    await signer.rotate()
    before = KeySet.from_jwks(await jwks(here))
    await signer.retire(signer.active()[0])
    token = (await here.token())["access_token"]
    signed, _ = jwt.peek(token, "")
    assert before.candidates(signed.kid, signed.alg)


@pytest.mark.parametrize("state", [State.NEXT, State.RETIRING])
async def test_kr_02_a_key_that_does_not_sign_is_retired_like_any(world: World, tmp_path: Path, state: State) -> None:
    here = worker(world, tmp_path / "keys.json", world.clock)
    signer = keys_of(here)
    await signer.rotate(at_once=state is State.RETIRING)
    (kid,) = [kid for kid, now in states(signer) if now is state]
    private = next(key.private for key in signer._ring.keys if key.kid == kid)
    forged = here.minted(key=private)
    assert await here.is_active(forged)
    active = signer.active()
    await signer.retire(kid)
    assert not await here.is_active(forged)
    assert signer.active() == active
    assert kid not in (tmp_path / "keys.json").read_text()


# --- secrets that are no keys -----------------------------------------------------------------------------------------


def test_kr_06_what_was_made_from_a_secret_ends_with_its_window() -> None:
    """Nothing else is made from a secret that several requests share: a cookie is the name of a record."""
    nonces = Nonces(place="https://as.example", life=Seconds(300), secret="s" * 43)
    clock = FixedClock(1_800_000_000)
    nonce = nonces.fresh(clock.now)
    assert nonces.accepts(nonce, clock.forward(300))
    assert not nonces.accepts(nonce, clock.forward(300))


async def test_kr_06_a_form_s_secret_ends_with_its_session(world: World) -> None:
    before, after = "a" * 43, "b" * 43
    headers = Headers((("sec-fetch-site", "same-origin"),))
    check_form(headers, world.here.issuer, before, form_token(before))
    with pytest.raises(Refusal):
        check_form(headers, world.here.issuer, after, form_token(before))


# --- somebody answers in place of the server --------------------------------------------------------------------------

GOOD = {"keys": [PrivateKey.generate().public_jwk()]}
POISON: dict[str, Reply] = {
    "an error": Reply(status=500, body=json_bytes(GOOD)),
    "a page": Reply(status=200, body=b"<html>sign in to the hotel's network</html>"),
    "nothing": Reply(status=200),
    "no keys": Reply(status=200, body=b'{"keys": []}'),
    "no set": Reply(status=200, body=b"{}"),
    "keys that are none": Reply(status=200, body=b'{"keys": [{"kty": "EC"}, {"kty": "oct", "k": "AAAA"}]}'),
    "too many": Reply(status=200, body=json_bytes({"keys": GOOD["keys"] * 101})),
    "another place": Reply(status=302, headers=Headers((("location", "https://mallory.example/jwks"),))),
    "a doubled name": Reply(status=200, body=b'{"keys": [], "keys": []}'),
}


class Line:
    """The way to the server, on which Mallory sits."""

    def __init__(self) -> None:
        self.reply = Reply(status=200, body=json_bytes(GOOD))

    async def __call__(self, call: Call) -> Reply:
        del call
        return replace(self.reply, headers=Headers((*self.reply.headers.items, ("content-type", "application/json"))))


def of_the_guard(world: World) -> Published[KeySet]:
    return TrustedServer(issuer=world.here.issuer.text, env=world.env)._key_sets


def of_the_client(_: World) -> Published[KeySet]:
    return discover._keys()


@pytest.mark.parametrize("what", POISON)
@pytest.mark.parametrize("published", [of_the_guard, of_the_client])
async def test_kr_07_a_bad_answer_leaves_the_last_good_keys(
    world: World, what: str, published: Callable[[World], Published[KeySet]]
) -> None:
    line = Line()
    env, kept = replace(world.env, fetch=line), published(world)
    good = await kept.get("https://as.example/jwks", env)
    line.reply = POISON[what]
    for _ in range(5):
        world.clock.forward(301)
        assert await kept.get("https://as.example/jwks", env) is good
        assert await kept.get("https://as.example/jwks", env, fresher=True) is good
    with pytest.raises(Fault):
        await published(world).get("https://as.example/jwks", env)
