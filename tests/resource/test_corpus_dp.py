"""Corpus group DP at a resource: a proof is for one request, one token, one key, one time; nonces are not built."""

from typing import Any

import pytest

from deputize.jose import jws, jwt
from deputize.jose.keys import PrivateKey
from deputize.oauth import dpop
from deputize.oauth.caller import KEY_SHOWN, SCHEME
from tests.resource.world import RESOURCE, World, error_of

URL = f"{RESOURCE}/prescriptions"


async def told(
    world: World, token: str, *proofs: str, path: str = "/prescriptions", scheme: str = "DPoP"
) -> tuple[int, Any]:
    headers = [("authorization", f"{scheme} {token}"), *(("dpop", proof) for proof in proofs)]
    answer = await world.send("GET", path, headers=headers)
    return answer.status_code, answer.json().get("error")


def crafted(
    world: World, token: str, *, key: PrivateKey | None = None, header: Any = None, typ: str = dpop.TYP, **claims: Any
) -> str:
    """A proof with other claims; None leaves one out."""
    key = key or world.agent
    good = {"jti": "crafted", "htm": "GET", "htu": URL, "iat": world.clock(), "ath": dpop.token_hash(token)}
    whole = {name: value for name, value in {**good, **claims}.items() if value is not None}
    jwk = {name: key.public_jwk()[name] for name in ("kty", "crv", "x", "y")}
    return jwt.sign(whole, key, typ=typ, header={"jwk": jwk} if header is None else header)


async def test_dp_01_no_proof() -> None:
    world = World()
    answer = await world.send("GET", "/prescriptions", headers=[("authorization", f"DPoP {world.token()}")])
    assert error_of(answer) == (401, "invalid_token")
    assert answer.json()["error_description"] == KEY_SHOWN.says


async def test_dp_02_two_proofs_or_no_jws() -> None:
    world = World()
    token = world.token()
    first, second = (world.proof(token, "GET", "/prescriptions") for _ in range(2))
    assert await told(world, token, first, second) == (401, "invalid_dpop_proof")
    for crooked in ("", "x", "a.b.c", f"{first}.x", f"{first}, {second}", first + "=", first.replace(".", "..")):
        assert await told(world, token, crooked) == (401, "invalid_dpop_proof")
    assert await told(world, token, first) == (200, None)


async def test_dp_03_what_is_no_proof() -> None:
    world = World()
    token = world.token()
    jwk = {name: world.agent.public_jwk()[name] for name in ("kty", "crv", "x", "y")}
    other = PrivateKey.generate()
    for typ in ("JWT", "at+jwt", "dpop"):
        assert await told(world, token, crafted(world, token, typ=typ)) == (401, "invalid_dpop_proof")
    for header in (
        {"kid": "x"},
        {"jwk": world.agent.to_jwk()},
        {"jwk": {**jwk, "d": "AA"}},
        {"jwk": {**jwk, "y": jwk["x"]}},
        {"jwk": {"kty": "oct", "k": "AA"}},
        {"jwk": "x"},
    ):
        assert await told(world, token, crafted(world, token, header=header)) == (401, "invalid_dpop_proof")
    assert await told(world, token, crafted(world, token, key=other, header={"jwk": jwk})) == (
        401,
        "invalid_dpop_proof",
    )
    claims = {"jti": "x", "htm": "GET", "htu": URL, "iat": world.clock(), "ath": dpop.token_hash(token)}
    for alg in ("none", "HS256", "ES384", "RS256"):
        data = jws.signing_input(claims, alg=alg, typ=dpop.TYP, kid=None, header={"jwk": jwk})
        assert await told(world, token, jws.compact(data, world.agent.sign(data))) == (401, "invalid_dpop_proof")


@pytest.mark.parametrize(
    "claims",
    [
        {"htm": "POST"},
        {"htm": "get"},
        {"htm": None},
        {"htu": None},
        {"htu": f"{RESOURCE}/orders"},
        {"htu": f"{URL}/"},
        {"htu": f"{URL}/7"},
        {"htu": "https://evil.example/prescriptions"},
        {"htu": "http://api.example/prescriptions"},
        {"htu": "/prescriptions"},
        {"htu": ["x"]},
        {"jti": None},
        {"jti": ""},
        {"jti": "x" * 257},
    ],
)
async def test_dp_04_a_proof_of_another_request(claims: dict[str, Any]) -> None:
    world = World()
    token = world.token()
    assert await told(world, token, crafted(world, token, **claims)) == (401, "invalid_dpop_proof")


@pytest.mark.parametrize("htu", [URL, f"{URL}?page=2", f"{URL}?other=1", f"{URL}#x"])
async def test_dp_04_query_and_fragment_do_not_count(htu: str) -> None:
    world = World()
    token = world.token()
    assert await told(world, token, crafted(world, token, htu=htu), path="/prescriptions?page=1") == (200, None)


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"iat": -120}, 401),
        ({"iat": 90}, 401),
        ({"iat": -60}, 200),
        ({"iat": 9}, 200),
        ({"exp": -11}, 401),
        ({"exp": 5}, 200),
        ({"nbf": 60}, 401),
        ({"nbf": -5}, 200),
    ],
)
async def test_dp_05_times(claims: dict[str, int], status: int) -> None:
    world = World()
    token = world.token()
    times: dict[str, Any] = {name: world.clock() + seconds for name, seconds in claims.items()}
    proof = crafted(world, token, **times)
    assert (await told(world, token, proof))[0] == status


async def test_dp_06_a_proof_is_used_once() -> None:
    world = World()
    token = world.token()
    proof = world.proof(token, "GET", "/prescriptions")
    assert await told(world, token, proof) == (200, None)
    assert await told(world, token, proof) == (401, "invalid_dpop_proof")
    world.clock.forward(69)
    assert await told(world, token, proof) == (401, "invalid_dpop_proof")
    world.clock.forward(2)  # past the sweep's horizon it is too old
    assert await told(world, token, proof) == (401, "invalid_dpop_proof")
    assert len(world.api.seen) == 1


async def test_dp_06_a_jti_is_of_one_key_and_one_target() -> None:
    world = World()
    token = world.token()
    assert await told(world, token, crafted(world, token)) == (200, None)
    again = crafted(world, token, htu=f"{URL}/7")
    assert await told(world, token, again, path="/prescriptions/7") == (200, None)


async def test_dp_08_a_bound_token_stays_bound() -> None:
    world = World()
    token, other = world.token(), PrivateKey.generate()
    proof = world.proof(token, "GET", "/prescriptions")
    answer = await world.send("GET", "/prescriptions", headers=[("authorization", f"Bearer {token}"), ("dpop", proof)])
    assert error_of(answer) == (401, "invalid_token")
    assert answer.json()["error_description"] == SCHEME.says
    assert await told(world, token, scheme="Bearer") == (401, "invalid_token")
    for ath in (None, dpop.token_hash("x"), token, 7):
        assert await told(world, token, crafted(world, token, ath=ath)) == (401, "invalid_dpop_proof")
    assert await told(world, token, world.proof(token, "GET", "/prescriptions", key=other)) == (401, "invalid_token")
    assert not world.api.seen


async def test_dp_10_behind_a_proxy_the_configured_url_counts() -> None:
    world = World()
    token = world.token()
    seen_inside = "http://10.0.0.7:8000/prescriptions"
    headers = [("host", "10.0.0.7:8000"), ("x-forwarded-host", "evil.example"), ("x-forwarded-proto", "http")]
    for proof, status in (
        (world.proof(token, "GET", "/prescriptions"), 200),
        (crafted(world, token, htu=seen_inside), 401),
    ):
        shown = [("authorization", f"DPoP {token}"), ("dpop", proof), *headers]
        assert (await world.send("GET", "/prescriptions", headers=shown)).status_code == status
