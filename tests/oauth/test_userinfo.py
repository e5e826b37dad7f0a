"""Corpus UI: who a person is, told to the bearer of a token that is for that; and what ID tokens say."""

import pytest

from deputize.jose import jwt
from deputize.jose.keys import PrivateKey
from deputize.oauth.caller import SCOPE_ENOUGH, TOKEN_NEEDED
from deputize.oauth.client import Client
from deputize.oauth.dpop import PROOF_ONCE, token_hash
from deputize.oauth.userinfo import OF_A_PERSON
from tests.support.asgi import Answer
from tests.support.cast import PHARMACY, READ
from tests.support.flow import APP, ISSUER, WEB, Flow
from tests.support.proofs import lets_through, stops

KEY = PrivateKey.generate()


async def told(flow: Flow, *headers: tuple[str, str], method: str = "GET") -> Answer:
    return await flow.world.send(method, "/userinfo", headers)


def challenged(answer: Answer) -> list[str]:
    return [value for name, value in answer.headers if name == "www-authenticate"]


@lets_through(OF_A_PERSON, SCOPE_ENOUGH, TOKEN_NEEDED)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_ui_03_what_the_scope_tells_and_no_more(flow: Flow, method: str) -> None:
    named = await flow.tokens(scope="openid profile")
    answer = await told(flow, ("authorization", f"Bearer {named['access_token']}"), method=method)
    assert answer.json == {"sub": "alice", "name": "Alice"}
    assert answer.header("cache-control") == "no-store"
    bare = await flow.tokens(scope=f"openid {READ}")
    answer = await told(flow, ("authorization", f"Bearer {bare['access_token']}"), method=method)
    assert answer.json == {"sub": "alice"}
    _, claims = jwt.peek(named["id_token"], "x")
    assert claims["sub"] == "alice"


@stops(TOKEN_NEEDED, OF_A_PERSON)
async def test_ui_01_no_token_a_bad_one_one_for_another_place(flow: Flow) -> None:
    nothing = await told(flow)
    assert nothing.status == 401
    assert nothing.body == b"{}"
    assert challenged(nothing)[0] == "Bearer"
    elsewhere = await flow.tokens(scope=READ)  # for the pharmacy
    named = await flow.tokens(scope=f"openid {READ}", resource=PHARMACY)  # who names a resource has a token for that
    made_up = flow.world.minted(aud=ISSUER, sub="nobody", scope="openid")
    itself = flow.world.minted(aud=ISSUER, sub=APP, client_id=APP, act=None, scope="openid")
    for token in (
        "x",
        "a.b.c",
        elsewhere["access_token"],
        named["access_token"],
        elsewhere.get("id_token", "x"),
        made_up,
        itself,
    ):
        answer = await told(flow, ("authorization", f"Bearer {token}"))
        assert answer.told == (401, "invalid_token")
        assert 'error="invalid_token"' in challenged(answer)[0]
    twice = await told(flow, ("authorization", "Bearer x"), ("authorization", "Bearer y"))
    assert twice.told == (400, "invalid_request")
    token = (await flow.tokens(scope="openid"))["access_token"]
    flow.world.clock.forward(300)
    assert (await told(flow, ("authorization", f"Bearer {token}"))).told == (401, "invalid_token")


@stops(SCOPE_ENOUGH)
async def test_ui_01_a_token_without_openid(flow: Flow) -> None:
    answer = await told(flow, ("authorization", f"Bearer {(await flow.tokens(scope='profile'))['access_token']}"))
    assert answer.told == (403, "insufficient_scope")
    assert 'scope="openid"' in challenged(answer)[0]


async def test_ui_01_an_id_token_is_no_access_token(flow: Flow) -> None:
    token = (await flow.tokens(scope="openid"))["id_token"]
    assert (await told(flow, ("authorization", f"Bearer {token}"))).told == (401, "invalid_token")


async def test_ui_02_a_token_in_the_query_is_not_looked_at(flow: Flow) -> None:
    token = (await flow.tokens(scope="openid"))["access_token"]
    assert (await flow.world.send("GET", f"/userinfo?access_token={token}", ())).status == 401


async def test_ui_04_a_clients_own_token(flow: Flow) -> None:
    await flow.world.change(Client, WEB, grant_types=frozenset({"client_credentials"}))
    for form in ({"scope": "openid", "resource": ISSUER}, {"resource": ISSUER}):
        assert (await flow.world.token(form, by=WEB)).told == (400, "invalid_target")
    assert (await flow.world.token({"scope": f"openid {READ}"}, by=WEB)).told == (400, "invalid_scope")


@stops(PROOF_ONCE)
async def test_ui_05_a_bound_token_comes_with_its_proof(flow: Flow) -> None:
    code = await flow.code(scope="openid")
    token = (await flow.redeem(code, key=KEY))["access_token"]
    proof = flow.world.proof(KEY, "/userinfo", htm="GET", ath=token_hash(token))
    for headers in (
        (("authorization", f"DPoP {token}"),),
        (("authorization", f"Bearer {token}"),),
        (("authorization", f"Bearer {token}"), ("dpop", proof)),
        (("authorization", f"DPoP {token}"), ("dpop", flow.world.proof(KEY, "/userinfo", htm="GET"))),
    ):
        answer = await told(flow, *headers)
        assert answer.status == 401
        assert challenged(answer)[1].startswith("DPoP ")
    good = (("authorization", f"DPoP {token}"), ("dpop", proof))
    assert (await told(flow, *good)).json == {"sub": "alice"}
    assert (await told(flow, *good)).told == (401, "invalid_token")


async def test_it_ends_with_what_the_person_takes_back(flow: Flow) -> None:
    token = (await flow.tokens(scope="openid"))["access_token"]
    await flow.world.take_back(client=APP)
    assert (await told(flow, ("authorization", f"Bearer {token}"))).told == (401, "invalid_token")


async def test_tk_17_what_an_id_token_says(flow: Flow) -> None:
    answer = await flow.tokens(WEB, scope="openid", nonce="n" * 64)
    parsed, claims = jwt.peek(answer["id_token"], "x")
    assert parsed.alg == "ES256"
    assert claims["nonce"] == "n" * 64
    assert (claims["aud"], claims["iss"], claims["sub"]) == (WEB, ISSUER, "alice")
    assert claims["exp"] > claims["iat"] == flow.world.now
    assert claims["auth_time"] == flow.world.now
    assert answer["scope"] == "openid"
    form = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
    flow.world.clock.forward(60)
    fresh = await flow.world.post("/token", form, by=WEB)
    _, later = jwt.peek(fresh["id_token"], "x")
    assert "nonce" not in later
    assert {name: later[name] for name in ("iss", "sub", "aud", "auth_time")} == {
        name: claims[name] for name in ("iss", "sub", "aud", "auth_time")
    }
    assert later["iat"] > claims["iat"]


async def test_without_openid_there_is_no_id_token(flow: Flow) -> None:
    assert "id_token" not in await flow.tokens(scope=READ)
    await flow.world.change(Client, APP, scope=frozenset({READ}))
    assert "id_token" not in await flow.tokens(scope=f"openid {READ}")  # it is not registered for it
