"""Corpus DP at the authorization server: who holds a proof, a token or neither, and not the key."""

from typing import Any

import pytest

from deputize.core.wire import JsonObject
from deputize.jose.jwt import BEGUN, BRIEF, CLAIMS, COMPACT, SIGNED, TYPED, UNEXPIRED, peek
from deputize.jose.keys import PrivateKey
from deputize.oauth import dpop
from deputize.oauth.dpop import METHOD, ONE_PROOF, PROOF_ID, PROOF_KEY, PROOF_ONCE
from deputize.oauth.tokens import BOUND
from tests.support.asgi import Answer
from tests.support.cast import BOT, DPOP_BOT, PHARMACY
from tests.support.proofs import lets_through, stops
from tests.support.world import CLIENT_CREDENTIALS, World, a_world

REFUSED = (400, "invalid_dpop_proof")
KEY = PrivateKey.generate()


async def shows(world: World, *proofs: str, path: str = "/token") -> Answer:
    headers = tuple(("dpop", proof) for proof in proofs)
    return await world.post(path, {**CLIENT_CREDENTIALS, "token": "x"}, headers, by=BOT)


@lets_through(ONE_PROOF, PROOF_KEY, PROOF_ID, METHOD, PROOF_ONCE, BOUND)
@pytest.mark.parametrize("alg", ["ES256", "ES384", "Ed25519", "PS256", "RS256"])
async def test_a_token_is_bound_to_the_key_that_was_shown(world: World, alg: str) -> None:
    key = PrivateKey.generate(alg)
    answer = await world.token(by=DPOP_BOT, key=key)
    assert answer["token_type"] == "DPoP"
    assert peek(answer["access_token"], "")[1]["cnf"] == {"jkt": key.public().thumbprint}
    assert (await shows(world, world.proof(key, jti="j" * dpop.JTI_MAX))).status == 200


@stops(BOUND)
async def test_dp_01_no_proof_where_one_is_due(world: World) -> None:
    answer = await world.token(by=DPOP_BOT)
    assert answer.told == REFUSED
    assert answer["error_description"] == BOUND.says


@stops(ONE_PROOF, COMPACT)
async def test_dp_02_two_proofs_or_none_that_is_one(world: World) -> None:
    good = world.proof(KEY)
    assert (await shows(world, good, world.proof(KEY))).told == REFUSED
    assert (await shows(world, good, good)).told == REFUSED
    for bad in ("", "x", "a.b", f"{good}.x", f"{good}, {good}", f" {good}x", f"{good}=", "{}", good.replace(".", "..")):
        assert (await shows(world, bad)).told == REFUSED


def jwk(**members: Any) -> JsonObject:
    good = {name: value for name, value in KEY.public_jwk().items() if name in {"kty", "crv", "x", "y"}}
    return {"jwk": {name: value for name, value in {**good, **members}.items() if value is not None}}


@stops(TYPED, PROOF_KEY, SIGNED)
@pytest.mark.parametrize(
    "header",
    [
        {"typ": "jwt"},
        {"typ": "at+jwt"},
        {"typ": None},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "ES384"},
        {"alg": "RS256"},
        {"alg": "es256"},
        {"jwk": None},
        {"jwk": "x"},
        {"jwk": []},
        {"jwk": {}},
        {"jwk": KEY.to_jwk()},
        jwk(d="AA"),
        jwk(k="AA"),
        jwk(kty="oct"),
        jwk(kty=["EC"]),
        jwk(crv="P-521"),
        jwk(x=None),
        jwk(x="AAAA"),
        jwk(y=7),
        jwk(use="enc"),
        jwk(key_ops=["sign"]),
        jwk(alg="ES384"),
        jwk(alg=["ES256"]),
        {"jwk": PrivateKey.generate().public_jwk()},
        {"crit": ["exp"]},
        {"b64": False},
        {"kid": 7},
        {"kid": "somebody-elses"},
        {"jku": "https://evil.example/jwks", "jwk": None},
    ],
    ids=lambda header: next(iter(header)),
)
async def test_dp_03_a_header_that_is_no_proofs(world: World, header: JsonObject) -> None:
    answer = await shows(world, world.proof(KEY, header=header))
    if header == {"kid": "somebody-elses"}:  # the key stands in the proof itself; its name says nothing
        assert answer.status == 200
    else:
        assert answer.told == REFUSED


@stops(SIGNED)
async def test_dp_03_the_key_shown_is_not_the_one_that_signed(world: World) -> None:
    assert (await shows(world, world.proof(KEY, by=PrivateKey.generate()))).told == REFUSED


@lets_through(METHOD)
@pytest.mark.parametrize("more", ["", "?x=y", "#z", "?grant_type=a#b"])
async def test_dp_04_query_and_fragment_are_left_out(world: World, more: str) -> None:
    assert (await shows(world, world.proof(KEY, htu=f"https://as.example/token{more}"))).status == 200


@stops(METHOD, CLAIMS)
@pytest.mark.parametrize(
    "claims",
    [
        {"htm": "GET"},
        {"htm": "post"},
        {"htm": None},
        {"htm": ["POST"]},
        {"htm": ""},
        {"htu": None},
        {"htu": ""},
        {"htu": 7},
        {"htu": "https://as.example/introspect"},
        {"htu": "https://as.example/token/"},
        {"htu": "https://as.example//token"},
        {"htu": "http://as.example/token"},
        {"htu": "https://evil.example/token"},
        {"htu": "https://as.example@evil.example/token"},
        {"htu": "https://as.example:8443/token"},
        {"htu": "https://user@as.example/token"},
        {"htu": "https://[/token"},
        {"htu": "https://[::1"},
        {"htu": "https://as.exa\tmple/token"},
        {"htu": "https://as.example/to\nken"},
        {"htu": " https://as.example/token"},
        {"htu": "https://as.example/token\u00e9"},
        {"htu": "//as.example/token"},
        {"htu": "/token"},
        {"htu": "https://as.example\\token"},
        {"htu": "https://as.example/%74oken"},
        {"htu": "x" * 5000},
    ],
    ids=str,
)
async def test_dp_04_a_proof_for_another_place(world: World, claims: JsonObject) -> None:
    assert (await shows(world, world.proof(KEY, **claims))).told == REFUSED


async def test_dp_04_a_proof_for_one_endpoint_at_another(world: World) -> None:
    for path in ("/introspect", "/revoke", "/backchannel", "/transaction"):
        assert (await shows(world, world.proof(KEY), path=path)).told == REFUSED
        assert (await shows(world, world.proof(KEY, path), path="/token")).told == REFUSED


@lets_through(BEGUN, BRIEF, UNEXPIRED)
@pytest.mark.parametrize("times", [{"iat": -60}, {"iat": -70}, {"iat": 10}, {"exp": 1}, {"exp": -9}, {"nbf": 10}])
async def test_dp_05_times_within_the_window(world: World, times: dict[str, int]) -> None:
    shifted: JsonObject = {name: world.now + shift for name, shift in times.items()}
    assert (await shows(world, world.proof(KEY, **shifted))).status == 200


@stops(BEGUN, BRIEF, UNEXPIRED, CLAIMS)
@pytest.mark.parametrize(
    "times",
    [{"iat": -120}, {"iat": -71}, {"iat": 11}, {"iat": 90}, {"exp": -10}, {"exp": -3600}, {"nbf": 11}, {"nbf": 3600}],
    ids=str,
)
async def test_dp_05_times_beyond_the_window(world: World, times: dict[str, int]) -> None:
    shifted: JsonObject = {name: world.now + shift for name, shift in times.items()}
    assert (await shows(world, world.proof(KEY, **shifted))).told == REFUSED
    for iat in (None, "now", True):
        assert (await shows(world, world.proof(KEY, iat=iat))).told == REFUSED


@stops(PROOF_ONCE, PROOF_ID, CLAIMS)
async def test_dp_06_a_proof_is_used_once_for_as_long_as_it_could_be(world: World) -> None:
    for jti in (None, "", 7, "j" * (dpop.JTI_MAX + 1)):
        assert (await shows(world, world.proof(KEY, jti=jti))).told == REFUSED
    proof = world.proof(KEY, iat=world.now + 10)
    assert (await shows(world, proof)).status == 200
    for seconds in (0, 40, 40):  # until the last moment at which it is not too old
        world.clock.forward(seconds)
        await world.store.sweep(world.now)
        again = await shows(world, proof)
        assert again.told == REFUSED
        assert again["error_description"] == PROOF_ONCE.says
    world.clock.forward(1)
    assert (await shows(world, proof)).told == REFUSED


@lets_through(PROOF_ONCE)
async def test_dp_06_the_same_jti_of_another_key_or_for_another_place(world: World) -> None:
    assert (await shows(world, world.proof(KEY, jti="one"))).status == 200
    assert (await shows(world, world.proof(PrivateKey.generate(), jti="one"))).status == 200
    assert (await shows(world, world.proof(KEY, "/introspect", jti="one"), path="/introspect")).status == 200


async def test_dp_06_what_is_remembered_is_forgotten_when_it_cannot_come_again(world: World) -> None:
    for _ in range(5):
        await shows(world, world.proof(KEY))
    assert len(await world.store.select(dpop.ProofSeen, "", "")) == 5
    world.clock.forward(dpop.SEEN_FOR)
    await world.store.sweep(world.now)
    assert await world.store.select(dpop.ProofSeen, "", "") == []


async def test_dp_06_a_replayed_proof_does_not_burn_the_assertion(world: World) -> None:
    """What is used once is written in one commit: all of it, or nothing."""
    proof, compact = world.proof(KEY), world.assertion()
    form = dict(world.logs_in(BOT)[1]) | {"client_assertion": compact, **CLIENT_CREDENTIALS}
    assert (await shows(world, proof)).status == 200
    assert (await world.post("/token", form, (("dpop", proof),))).told == REFUSED
    assert (await world.post("/token", form, (("dpop", world.proof(KEY)),))).status == 200


async def test_dp_08_a_bound_token_says_so_to_who_asks(world: World) -> None:
    token = (await world.token(by=DPOP_BOT, key=KEY))["access_token"]
    told = (await world.post("/introspect", {"token": token}, by=PHARMACY)).json
    assert told["token_type"] == "DPoP"
    assert told["cnf"] == {"jkt": KEY.public().thumbprint}
    bearer = (await world.token())["access_token"]
    assert (await world.post("/introspect", {"token": bearer}, by=PHARMACY)).json["token_type"] == "Bearer"


async def test_dp_10_the_public_url_comes_from_configuration() -> None:
    async with a_world(issuer="https://as.example/tenants/one") as world:
        assert (await shows(world, world.proof(KEY))).status == 200
        for htu in (
            "http://127.0.0.1:9400/token",
            "https://as.example/token",
            "https://evil.example/tenants/one/token",
        ):
            forwarded = (
                ("dpop", world.proof(KEY, htu=htu)),
                ("host", htu.split("/")[2]),
                ("x-forwarded-host", htu.split("/")[2]),
                ("x-forwarded-proto", htu.split(":")[0]),
                ("forwarded", f"host={htu.split('/')[2]};proto=https"),
            )
            assert (await world.post("/token", CLIENT_CREDENTIALS, forwarded, by=BOT)).told == REFUSED
