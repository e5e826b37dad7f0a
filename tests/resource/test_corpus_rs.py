"""Corpus group RS: what a resource refuses. Step-up (RS-03) is not built; RS-10 stands in `test_guard`."""

import asyncio
from typing import Any

import pytest

from deputize.jose import jws, jwt
from deputize.jose.keys import KeySet, PrivateKey
from deputize.oauth.caller import ONE_METHOD, SCOPE_ENOUGH, THESE_DETAILS
from deputize.oauth.delegation import CHAIN
from deputize.oauth.details import DETAILS, http_call
from deputize.resource import Guard
from deputize.resource.trusted import STILL_STANDS
from tests.resource.world import ORDER, READ, RESOURCE, THIRTY, World, error_of, purchase
from tests.support.issuer import ISSUER
from tests.support.proofs import stops


def rule_of(told: Any) -> str:
    says: str = told.json()["error_description"]
    return says


# --- RS-01 the token itself ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "rule"),
    [
        ({"iss": "https://other.example"}, jwt.ISSUED_BY),
        ({"iss": f"{ISSUER}/"}, jwt.ISSUED_BY),
        ({"iss": None}, jwt.CLAIMS),
        ({"aud": "https://other.example"}, jwt.FOR_US),
        ({"aud": f"{RESOURCE}/"}, jwt.FOR_US),
        ({"aud": f"{RESOURCE}.evil.example"}, jwt.FOR_US),
        ({"aud": ["https://a.example", "https://b.example"]}, jwt.FOR_US),
        ({"aud": []}, jwt.CLAIMS),
        ({"aud": [RESOURCE, 7]}, jwt.CLAIMS),
        ({"aud": None}, jwt.CLAIMS),
        ({"typ": "JWT"}, jwt.TYPED),
        ({"typ": "dpop+jwt"}, jwt.TYPED),
        ({"typ": "client-authentication+jwt"}, jwt.TYPED),
        ({"exp": 1_800_000_000 - 11}, jwt.UNEXPIRED),
        ({"exp": "soon"}, jwt.CLAIMS),
        ({"exp": None}, jwt.CLAIMS),
        ({"iat": 1_800_000_000 + 60}, jwt.BEGUN),
        ({"nbf": 1_800_000_000 + 60}, jwt.BEGUN),
        ({"client_id": None}, jwt.CLAIMS),
        ({"client_id": ["pharmacy-bot"]}, jwt.CLAIMS),
        ({"sub": None}, jwt.CLAIMS),
        ({"sub": ""}, jwt.CLAIMS),
        ({"jti": None}, jwt.CLAIMS),
        ({"iat": None}, jwt.CLAIMS),
        ({"scope": ["prescriptions:read"]}, jwt.CLAIMS),
        ({"act": {"iss": "x"}}, CHAIN),
        ({"authorization_details": [{"type": "unheard-of"}]}, DETAILS),
    ],
)
async def test_rs_01_a_token_that_is_not_right_in_every_point(told: dict[str, Any], rule: Any) -> None:
    world = World()
    answer = await world.call(token=world.token(**told))
    assert error_of(answer) == (401, "invalid_token")
    assert rule_of(answer) == rule.says
    assert not world.api.seen


async def test_rs_01_within_the_clocks_tolerance() -> None:
    world = World()
    now = world.clock()
    for told in (
        {"exp": now - 9},
        {"iat": now + 9},
        {"aud": ["https://a.example", RESOURCE]},
        {"typ": "application/AT+JWT"},
    ):
        assert (await world.call(token=world.token(**told))).status_code == 200


async def test_rs_01_signatures_that_prove_nothing() -> None:
    """Another's key under our server's key id, no algorithm, HMAC over the public key, a proof as a token."""
    world = World()
    claims = world.issuer.claims(aud=RESOURCE, scope=READ)
    stranger = PrivateKey.generate()
    kid = world.issuer.key.kid
    data = jws.signing_input(claims, alg="ES256", typ="at+jwt", kid=kid)
    forged = jws.compact(data, stranger.sign(data))
    unsigned = [
        jws.compact(jws.signing_input(claims, alg=alg, typ="at+jwt", kid=kid), b"\x00" * 64)
        for alg in ("none", "None", "HS256", "ES256K", "EdDSA", "ES256")
    ]
    own_key = jwt.sign(claims, stranger, typ="at+jwt", header={"jwk": stranger.public_jwk()})
    for token in (forged, *unsigned, own_key, world.proof("x", "GET", "/prescriptions"), "a.b.c", "a", f"{forged}=="):
        assert error_of(await world.call(token=token, bearer=True)) == (401, "invalid_token")
    assert not world.api.seen


# --- RS-02 what it allows -----------------------------------------------------------------------------------------


@stops(SCOPE_ENOUGH)
@pytest.mark.parametrize("scope", [None, ORDER, "prescriptions", "prescriptions:read-all", "PRESCRIPTIONS:READ"])
async def test_rs_02_scope_is_not_enough(scope: str | None) -> None:
    world = World()
    answer = await world.call(token=world.token(scope=scope))
    assert error_of(answer) == (403, "insufficient_scope")
    assert rule_of(answer) == SCOPE_ENOUGH.says
    assert f'scope="{READ}"' in answer.headers["www-authenticate"]


@stops(THESE_DETAILS)
async def test_rs_02_details_are_not_enough() -> None:
    world = World()
    call = http_call("POST", f"{RESOURCE}/orders", THIRTY).members
    for wanted in ([call], [call, purchase(31)]):
        answer = await world.order(world.approved(authorization_details=wanted))
        assert error_of(answer) == (401, "invalid_token")
        assert rule_of(answer) == THESE_DETAILS.says


async def test_rs_02_details_without_a_call_approve_none() -> None:
    """A mandate for purchases is no approval of this one: it is brought before the person."""
    world = World()
    told = await world.order(world.token(authorization_details=[purchase(30)]))
    assert error_of(told) == (401, "transaction_authorization_required")


# --- RS-04 one method -----------------------------------------------------------------------------------------------


@stops(ONE_METHOD)
async def test_rs_04_two_ways_at_once() -> None:
    world = World()
    token = world.token(bearer=True)
    one = ("authorization", f"Bearer {token}")
    for headers, path in (
        ([one, one], "/prescriptions"),
        ([one, ("authorization", f"DPoP {token}")], "/prescriptions"),
        ([("authorization", f"Bearer {token}, DPoP {token}")], "/prescriptions"),
        ([one], f"/prescriptions?access_token={token}"),
        ([one], f"/prescriptions?a=b&access_token={token}"),
    ):
        answer = await world.send("GET", path, headers=headers)
        assert error_of(answer) == (400, "invalid_request")
        assert rule_of(answer) == ONE_METHOD.says
    assert (await world.send("GET", "/prescriptions?my_access_token=x", headers=[one])).status_code == 200


async def test_rs_04_a_token_in_the_query_or_the_body_is_not_looked_at() -> None:
    world = World()
    token = world.token(bearer=True)
    form = f"access_token={token}".encode()
    kind = ("content-type", "application/x-www-form-urlencoded")
    assert error_of(await world.send("GET", f"/prescriptions?access_token={token}")) == (401, None)
    assert error_of(await world.send("PUT", "/prescriptions", headers=[kind], body=form)) == (401, None)
    reader = world.token(bearer=True, scope=READ)  # the header decides, whatever the body holds
    answer = await world.send("PUT", "/prescriptions", headers=[("authorization", f"Bearer {reader}"), kind], body=form)
    assert error_of(answer) == (403, "insufficient_scope")


# --- RS-05 no guard without an audience -----------------------------------------------------------------------------


@pytest.mark.parametrize("told", [{"resource": ""}, {"issuer": ""}, {"resource": "api"}, {"issuer": "https://"}])
def test_rs_05_without_audience_or_issuer_it_does_not_start(told: dict[str, Any]) -> None:
    good: dict[str, Any] = {"resource": RESOURCE, "issuer": ISSUER, "env": World().env}
    with pytest.raises(ValueError):  # noqa: PT011 (several)
        Guard(**{**good, **told})


@pytest.mark.parametrize("left_out", ["resource", "issuer"])
def test_rs_05_and_neither_has_a_default(left_out: str) -> None:
    told: dict[str, Any] = {"resource": RESOURCE, "issuer": ISSUER, "env": World().env}
    del told[left_out]
    with pytest.raises(TypeError):
        Guard(**told)


# --- RS-06 the server is out of reach -------------------------------------------------------------------------------


async def test_rs_06_down_at_the_start() -> None:
    world = World(key=None)
    world.fetch.apps.clear()
    told = await world.call(token=world.token())
    assert error_of(told) == (503, "temporarily_unavailable")
    assert told.headers["retry-after"] == "30"
    world.fetch.apps[ISSUER] = world.issuer
    assert (await world.call(token=world.token())).status_code == 503  # it is not hammered either
    world.clock.forward(30)
    assert (await world.call(token=world.token())).status_code == 200
    assert len(world.api.seen) == 1


async def test_rs_06_down_later() -> None:
    world = World(key=None)
    assert (await world.call(token=world.token())).status_code == 200
    world.fetch.apps.clear()
    for seconds, status in ((299, 200), (2, 200), (3200, 200), (100, 503), (1, 503), (31, 503), (1, 503)):
        world.clock.forward(seconds)
        assert (await world.call(token=world.token())).status_code == status
    world.fetch.apps[ISSUER] = world.issuer
    world.clock.forward(30)
    assert (await world.call(token=world.token())).status_code == 200


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/jwks", (500, {})),
        ("/jwks", (200, {})),
        ("/jwks", (200, {"keys": []})),
        ("/jwks", (302, {"keys": []})),
        ("/.well-known/oauth-authorization-server", (404, {})),
        ("/.well-known/oauth-authorization-server", (200, {"issuer": "https://other.example"})),
        (
            "/.well-known/oauth-authorization-server",
            (200, {"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token", "jwks_uri": "https://evil.example/jwks"}),
        ),
    ],
)
async def test_rs_06_a_server_that_answers_nonsense_is_as_good_as_down(path: str, answer: tuple[int, Any]) -> None:
    world = World()
    world.issuer.answers[path] = answer
    assert error_of(await world.call(token=world.token())) == (503, "temporarily_unavailable")
    assert not world.api.seen


async def test_rs_06_a_new_key_is_looked_for_once_in_a_minute() -> None:
    world = World(key=None)
    assert (await world.call(token=world.token())).status_code == 200
    world.clock.forward(60)
    world.issuer.rotate()
    assert (await world.call(token=world.token())).status_code == 200
    assert world.issuer.fetched["/jwks"] == 2
    world.issuer.published.remove(world.issuer.key)
    world.issuer.rotate()
    world.issuer.published.remove(world.issuer.key)
    for _ in range(20):
        assert error_of(await world.call(token=world.token())) == (401, "invalid_token")
    assert world.issuer.fetched["/jwks"] == 2
    world.clock.forward(60)
    for _ in range(20):
        assert (await world.call(token=world.token())).status_code == 401
    assert world.issuer.fetched["/jwks"] == 3


async def test_rs_06_many_calls_at_the_start_are_all_answered() -> None:
    world = World()
    told = await asyncio.gather(*(world.call(token=world.token()) for _ in range(20)))
    assert {one.status_code for one in told} == {200}


# --- RS-07, RS-08 which call it is ----------------------------------------------------------------------------------


async def test_rs_07_a_resource_ends_at_a_segment() -> None:
    world = World(resource="https://rs.example/api")
    token = world.token(bearer=True)
    assert await world.raw("/api/prescriptions", b"/api/prescriptions", token=token) == 200
    for path in (
        "/api-v2/prescriptions",
        "/apiprescriptions",
        "/prescriptions",
        "/API/prescriptions",
        "/x/api/prescriptions",
    ):
        assert await world.raw(path, path.encode(), token=token) == 403
    assert len(world.api.seen) == 1


async def test_rs_08_only_the_routed_path_counts() -> None:
    """PY-15, HT-04: `Host` and forwarding headers cannot move a call to another row."""
    world = World()
    reader = world.token(bearer=True, scope=READ)
    headers = [
        (b"host", b"api.example/prescriptions?"),
        (b"x-forwarded-host", b"api.example"),
        (b"x-forwarded-prefix", b"/prescriptions"),
        (b"x-forwarded-uri", b"/prescriptions"),
        (b"forwarded", b"host=api.example;proto=https"),
    ]
    for path, method in (("/orders", "POST"), ("/admin", "GET"), ("/prescriptions", "PUT")):
        assert await world.raw(path, path.encode(), token=reader, method=method, headers=headers) == 403
    assert not world.api.seen


# --- RS-09 taken back -----------------------------------------------------------------------------------------------


@stops(STILL_STANDS)
async def test_rs_09_what_was_taken_back_is_refused_at_once() -> None:
    world = World()
    token, approved = world.token(), world.approved()
    assert (await world.call(token=token)).status_code == 200
    for one in (token, approved):
        world.issuer.take_back(one)
    answer = await world.call(token=token)
    assert error_of(answer) == (401, "invalid_token")
    assert rule_of(answer) == STILL_STANDS.says
    assert error_of(await world.order(approved)) == (401, "invalid_token")
    assert error_of(await world.order(token)) == (401, "invalid_token")  # and no challenge is signed for it
    assert len(world.api.seen) == 1


async def test_rs_09_a_yes_is_not_kept() -> None:
    world = World()
    token = world.token()
    for count in (1, 2, 3):
        await world.call(token=token)
        assert world.issuer.fetched["/introspect"] == count


async def test_rs_09_without_asking_the_token_lives_until_its_end() -> None:
    world = World(live=False)
    token = world.token()
    world.issuer.take_back(token)
    assert (await world.call(token=token)).status_code == 200
    assert world.issuer.fetched["/introspect"] == 0
    world.clock.forward(311)
    assert (await world.call(token=token)).status_code == 401


@pytest.mark.parametrize(
    "answer",
    [(500, {}), (401, {"error": "invalid_client"}), (200, {}), (200, {"active": "true"}), (200, {"active": 1})],
)
async def test_rs_09_without_an_answer_nobody_passes(answer: tuple[int, Any]) -> None:
    world = World()
    world.issuer.answers["/introspect"] = answer
    approved = world.approved()
    for told in (await world.call(token=world.token()), await world.order(approved)):
        assert error_of(told) == (503, "temporarily_unavailable")
    assert not world.api.seen
    world.issuer.answers.clear()
    assert (await world.order(approved)).status_code == 200  # and what could not be judged was not spent


async def test_rs_09_a_server_that_cannot_be_asked_lets_nobody_pass() -> None:
    world = World()
    world.fetch.out_of_reach.add(f"{ISSUER}/introspect")
    assert error_of(await world.call(token=world.token())) == (503, "temporarily_unavailable")
    document = {"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token", "jwks_uri": f"{ISSUER}/jwks"}
    other = World()
    other.issuer.answers["/.well-known/oauth-authorization-server"] = (200, document)
    assert error_of(await other.call(token=other.token())) == (503, "temporarily_unavailable")


async def test_rs_09_the_guard_asks_with_an_assertion_of_its_own() -> None:
    """A guard whose key the server does not know learns nothing, and so lets nobody pass."""
    world = World()
    world.issuer.clients = {RESOURCE: KeySet.of(PrivateKey.generate().public())}
    assert (await world.call(token=world.token())).status_code == 503
    world.issuer.clients = {RESOURCE: KeySet.of(world.key.public())}
    assert (await world.call(token=world.token())).status_code == 200
    assert (await world.order(world.approved(THIRTY))).status_code == 200
    assert len(world.issuer.asserted) == 2  # each of them new
