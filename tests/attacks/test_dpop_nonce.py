"""Corpus DP-07: a proof that was made long ago, or for another server, where proofs must have a nonce in them."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deputize.adapters.memory import MemoryStore
from deputize.adapters.sqlite import SqliteStore
from deputize.core.rules import Fault
from deputize.core.values import ClientId, Instant, Seconds, Secret
from deputize.core.wire import Call, Headers, Reply
from deputize.jose import jwt
from deputize.jose.keys import PrivateKey
from deputize.oauth import dpop, nonces
from deputize.oauth.challenge import challenge_params
from deputize.oauth.dpop import PROOF_ONCE
from deputize.oauth.nonces import FRESH, Nonces, NonceSecret
from deputize.sdk import Refused, obtain
from deputize.sdk.flow import arun
from deputize.sdk.login import ClientLogin, PrivateKeyJwt
from tests.resource.world import World as Api
from tests.sdk.served import SERVER, Served, token, told
from tests.support.asgi import Answer
from tests.support.cast import BOT, DPOP_BOT, BrokenStore
from tests.support.proofs import lets_through, stops
from tests.support.variants import remade
from tests.support.world import CLIENT_CREDENTIALS, World, a_world

KEY = PrivateKey.generate()
ON = nonces.Settings(nonces=True, nonce_life=Seconds(300))
WANTED = (400, "use_dpop_nonce")


@pytest.fixture
async def strict(world: World) -> World:
    assert await nonces.at(world.here.issuer.text, ON, world.env)  # the first request of all would make the secret
    return remade(world, dpop=ON)


async def shows(world: World, nonce: Any = None, *, key: PrivateKey = KEY, **claims: Any) -> Answer:
    proof = world.proof(key, nonce=nonce, **claims)
    return await world.post("/token", CLIENT_CREDENTIALS, (("dpop", proof),), by=BOT)


def given(answer: Answer) -> str:
    nonce = answer.header(nonces.HEADER)
    assert nonce is not None
    return nonce


# --- at the server --------------------------------------------------------------------------------------------------


async def test_off_by_default(world: World) -> None:
    answer = await shows(world)
    assert (answer.status, answer.header(nonces.HEADER)) == (200, None)
    assert (await shows(world, "whatever")).status == 200
    assert await world.store.select(NonceSecret, "", "") == []


@lets_through(FRESH)
@stops(FRESH)
async def test_dp_07_no_nonce_then_the_one_that_was_given(strict: World) -> None:
    refused = await shows(strict)
    assert refused.told == WANTED
    assert refused["error_description"] == FRESH.says
    answer = await shows(strict, given(refused))
    assert answer["token_type"] == "DPoP"
    assert given(answer) == given(refused)


async def test_dp_07_who_shows_no_proof_needs_no_nonce(strict: World) -> None:
    answer = await strict.token()
    assert answer["token_type"] == "Bearer"
    assert given(answer)
    assert (await strict.token(by=DPOP_BOT)).told == (400, "invalid_dpop_proof")


async def test_dp_07_the_nonce_comes_with_every_answer(strict: World) -> None:
    for path in ("/token", "/introspect", "/revoke", "/backchannel"):
        assert given(await strict.post(path, {}))
        assert given(await strict.post(path, {"token": "x"}, by=BOT))


@stops(FRESH)
@pytest.mark.parametrize(
    "nonce", ["", "x", "A" * 22, 7, 7.5, True, [], {}, "é", "x" * 5000, "0"], ids=lambda nonce: repr(nonce)[:20]
)
async def test_dp_07_a_nonce_that_was_never_given(strict: World, nonce: object) -> None:
    good = given(await shows(strict))
    assert (await shows(strict, nonce)).told == WANTED
    assert (await shows(strict, [good])).told == WANTED
    for near in (good[:-1], f"{good} ", good.swapcase(), good + "A"):
        assert (await shows(strict, near)).told == WANTED


@lets_through(FRESH)
@stops(FRESH)
async def test_dp_07_an_old_nonce(strict: World) -> None:
    strict.clock.now = Instant(strict.now // 300 * 300)
    old = given(await shows(strict))
    strict.clock.forward(300)
    newer = await shows(strict, old)  # the one before is taken, and the newer comes along
    assert newer.status == 200
    assert given(newer) != old
    strict.clock.forward(299)
    assert (await shows(strict, old)).status == 200
    strict.clock.forward(1)
    assert (await shows(strict, old)).told == WANTED
    assert (await shows(strict, given(newer))).status == 200


async def test_dp_07_a_nonce_of_another_server(strict: World) -> None:
    async with a_world() as elsewhere:
        await elsewhere.add(NonceSecret(key="dpop", secret="another"))
        remade(elsewhere, dpop=ON)
        assert (await shows(strict, given(await shows(elsewhere)))).told == WANTED
    async with a_world(issuer="https://as.example/tenants/one") as tenant:  # one store, two issuers
        mine = given(await shows(strict))
        shared = await strict.store.read(NonceSecret, "dpop")
        assert shared is not None
        await tenant.add(shared)
        remade(tenant, dpop=ON)
        assert (await shows(tenant, mine)).told == WANTED


async def test_dp_07_a_nonce_does_not_stand_in_for_anything_else(strict: World) -> None:
    nonce = given(await shows(strict))
    for claims in ({"iat": strict.now - 120}, {"htm": "GET"}, {"jti": None}):
        assert (await shows(strict, nonce, **claims)).told == (400, "invalid_dpop_proof")
    assert (await shows(strict, nonce, jti="one")).status == 200
    again = await shows(strict, nonce, jti="one")
    assert again["error_description"] == PROOF_ONCE.says


async def test_who_is_told_to_come_again_has_spent_nothing(strict: World) -> None:
    assertion = strict.assertion()
    form = {**CLIENT_CREDENTIALS, **dict(strict.logs_in(BOT)[1]), "client_assertion": assertion}
    refused = await strict.post("/token", form, (("dpop", strict.proof(KEY, jti="one")),))
    assert refused.told == WANTED
    proof = strict.proof(KEY, jti="one", nonce=given(refused))
    assert (await strict.post("/token", form, (("dpop", proof),))).status == 200


async def test_who_does_not_authenticate_is_not_told_whether_the_nonce_was_good(strict: World) -> None:
    for nonce in (None, "x"):
        answer = await strict.post("/token", CLIENT_CREDENTIALS, (("dpop", strict.proof(KEY, nonce=nonce)),))
        assert answer.told == (401, "invalid_client")


async def test_all_workers_know_all_nonces(tmp_path: Path) -> None:
    """Two workers that start at once on one store agree on one secret; a restart keeps it."""
    path = tmp_path / "world.db"
    async with a_world(path) as world:
        stores = [SqliteStore(path) for _ in range(4)]
        envs = [replace(world.env, store=store) for store in stores]
        made = await asyncio.gather(*(nonces.at("https://as.example", ON, env) for env in envs))
        assert len({one.fresh(world.now) for one in made if one}) == 1
        assert len(await world.store.select(NonceSecret, "", "")) == 1
        for store in stores:
            await store.close()
        remade(world, dpop=ON)
        assert (await shows(world, made[0].fresh(world.now) if made[0] else None)).status == 200


def test_a_host_whose_clock_is_a_little_ahead_gives_nonces_that_are_taken() -> None:
    here = Nonces(place="https://as.example", life=Seconds(300), secret="s")
    edge = Instant(600)
    assert here.accepts(here.fresh(Instant(edge + 5)), Instant(edge - 5))
    assert not here.accepts(here.fresh(Instant(edge + 600)), edge)
    assert "secret" not in repr(here)
    assert "'s'" not in repr(here)


@pytest.mark.parametrize("life", [0, 9, 3601])
def test_a_nonce_is_given_out_neither_for_no_time_nor_for_ever(life: int) -> None:
    with pytest.raises(ValueError, match="nonce"):
        nonces.Settings(nonce_life=Seconds(life))


async def test_without_a_store_there_is_no_nonce_and_no_token(strict: World) -> None:
    remade(strict, store=BrokenStore(strict.store, frozenset({"nonce_secret"})))
    answer = await strict.send("POST", "/token", (("content-type", "application/x-www-form-urlencoded"),), b"x=y")
    assert (answer.status, answer.header(nonces.HEADER)) == (401, None)
    body = "&".join(f"{name}={value}" for name, value in (*CLIENT_CREDENTIALS.items(), *strict.logs_in(BOT)[1]))
    headers = (("content-type", "application/x-www-form-urlencoded"), ("dpop", strict.proof(KEY)))
    assert (await strict.send("POST", "/token", headers, body.encode())).status == 503


# --- at an API ------------------------------------------------------------------------------------------------------


async def calls(api: Api, compact: str, nonce: str | None) -> Any:
    api._proofs += 1
    proof = dpop.prove(
        api.agent,
        method="GET",
        url=f"{api.resource}/prescriptions",
        jti=f"nonce-{api._proofs}",
        now=api.clock(),
        access_token=compact,
        nonce=nonce,
    )
    headers = [("authorization", f"DPoP {compact}"), ("dpop", proof)]
    return await api.send("GET", "/prescriptions", headers=headers)


@lets_through(FRESH)
@stops(FRESH)
async def test_dp_07_an_api_wants_its_own_nonce() -> None:
    api = Api(proofs=ON)
    compact = api.token()
    refused = await calls(api, compact, None)
    assert refused.status_code == 401
    named = dict(challenge_params(line) for line in refused.headers.get_list("www-authenticate"))
    assert named["DPoP"]["error"] == "use_dpop_nonce"
    [nonce] = refused.headers.get_list("dpop-nonce")
    answer = await calls(api, compact, nonce)
    assert (answer.status_code, answer.headers.get_list("dpop-nonce")) == (200, [nonce])
    api.clock.forward(250)
    for wrong in ("x", nonce[:-1]):
        assert (await calls(api, compact, wrong)).status_code == 401
    other = Api(proofs=ON, resource="https://other.example", store=api.env.store)
    given_there = (await calls(other, other.token(), None)).headers["dpop-nonce"]
    assert (await calls(api, compact, given_there)).status_code == 401
    api.clock.forward(600)
    fresh = api.token()
    assert (await calls(api, fresh, nonce)).json()["error"] == "use_dpop_nonce"


async def test_an_api_gives_none_by_default_and_a_bearer_token_needs_none() -> None:
    api = Api()
    assert "dpop-nonce" not in (await calls(api, api.token(), None)).headers
    strict = Api(proofs=ON)
    answer = await strict.call("GET", "/prescriptions", token=strict.token(bearer=True), bearer=True)
    assert answer.status_code == 200
    broken = Api(proofs=ON, store=BrokenStore(MemoryStore(), frozenset({"nonce_secret"})))
    assert (await calls(broken, broken.token(), None)).status_code == 503


# --- with our own client --------------------------------------------------------------------------------------------


def nonce_of(call: Call) -> object:
    return jwt.peek(dict(call.headers)["dpop"], "")[1].get("nonce")


def wants(nonce: str, error: str = "use_dpop_nonce") -> Reply:
    headers = Headers((("content-type", "application/json"), ("dpop-nonce", nonce)))
    return Reply(status=400, headers=headers, body=b'{"error": "%s"}' % error.encode())


def flow(served: Served) -> Any:
    return obtain.client_credentials(SERVER, served.login, scope=frozenset({"a"}))


def test_our_client_comes_again_once_with_the_nonce() -> None:
    served = Served()
    served.run(flow(served), [wants("n-1"), token(scope="a")])
    assert [nonce_of(call) for call in served.calls] == [None, "n-1"]
    first, second = served.forms()
    assert first["client_assertion"] != second["client_assertion"]
    assert served.calls[0].headers != served.calls[1].headers


def test_our_client_keeps_the_newest_nonce() -> None:
    served = Served()
    login = served.login
    newer = token(scope="a")
    newer = Reply(status=200, headers=Headers((*newer.headers.items, ("dpop-nonce", "n-2"))), body=newer.body)
    for answers in ([wants("n-1"), newer], [token(scope="a")]):
        served.run(obtain.client_credentials(SERVER, login, scope=frozenset({"a"})), answers)
    assert [nonce_of(call) for call in served.calls] == [None, "n-1", "n-2"]


@pytest.mark.parametrize(
    "answer",
    [wants("n-1", "invalid_request"), wants("not one"), told({"error": "use_dpop_nonce"}, 400), wants("x" * 300)],
)
def test_our_client_does_not_come_again_without_a_reason(answer: Reply) -> None:
    served = Served()
    with pytest.raises(Refused):
        served.run(flow(served), [answer])


def test_our_client_does_not_come_again_for_ever() -> None:
    served = Served()
    with pytest.raises(Refused, match="use_dpop_nonce"):
        served.run(flow(served), [wants("n-1"), wants("n-2")])
    without = Served(dpop_key=None)
    with pytest.raises(Refused, match="use_dpop_nonce"):
        without.run(flow(without), [wants("n-1")])


async def test_our_client_and_our_server(strict: World) -> None:
    async def fetch(call: Call) -> Reply:
        if not call.url.startswith(strict.here.issuer.text):
            raise Fault("elsewhere")
        path = call.url.removeprefix(strict.here.issuer.text)
        answer = await strict.send(call.method, path, call.headers, call.body)
        return Reply(status=answer.status, headers=Headers(answer.headers), body=answer.body)

    env = replace(strict.env, fetch=fetch)
    login = ClientLogin(
        client_id=ClientId(BOT),
        issuer=strict.here.issuer,
        method=PrivateKeyJwt(strict.keys[BOT]),
        clock=strict.clock,
        random=strict.env.random,
        dpop_key=KEY,
    )
    got = await arun(obtain.client_credentials(SERVER, login), env)
    assert isinstance(got.access_token, Secret)
