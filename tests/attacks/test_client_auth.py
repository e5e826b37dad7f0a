"""Corpus CA: whoever holds an id, an old secret, another's key or a token wants to pass for a client."""

import base64
from typing import Any
from urllib.parse import quote_plus

import pytest

from deputize.core.values import Instant
from deputize.core.wire import JsonObject, json_bytes
from deputize.jose.jwt import (
    ALGORITHM,
    BEGUN,
    BRIEF,
    CLAIMS,
    COMPACT,
    ISSUED_BY,
    SIGNED,
    SOLE_AUDIENCE,
    TYPED,
    UNEXPIRED,
)
from deputize.jose.keys import PrivateKey
from deputize.oauth import assertion
from deputize.oauth.assertion import ASSERTED_ONCE, JTI, OF_ITSELF
from deputize.oauth.client import Client, SecretHash, secret_hash
from deputize.oauth.client_auth import AUTHENTICATED, ONE_METHOD, SAME_CLIENT
from deputize.oauth.client_auth.private_key_jwt import ASSERTION_TYPE
from deputize.oauth.client_auth.secret import BASIC as BASIC_FORM
from deputize.oauth.client_auth.secret import SECRET
from tests.support.asgi import Answer
from tests.support.cast import BASIC, BOT, OTHER, PHARMACY, POST, READ, jwks
from tests.support.proofs import lets_through, stops
from tests.support.world import CLIENT_CREDENTIALS, World, basic

ENDPOINTS = ("/token", "/introspect", "/revoke", "/backchannel", "/transaction")
REFUSED = (401, "invalid_client")


async def shows(world: World, compact: str, path: str = "/token", **more: str) -> Answer:
    """A request that is good in all but, perhaps, this assertion."""
    form = {**CLIENT_CREDENTIALS, "token": "x", "client_assertion_type": assertion.TYPE, "client_assertion": compact}
    return await world.post(path, {**form, **more})


async def shows_basic(world: World, credentials: str | bytes) -> Answer:
    raw = credentials.encode() if isinstance(credentials, str) else credentials
    header = "Basic " + base64.b64encode(raw).decode()
    return await world.post("/token", CLIENT_CREDENTIALS, (("authorization", header),))


@lets_through(SECRET, AUTHENTICATED, ONE_METHOD, SAME_CLIENT, BASIC_FORM)
@pytest.mark.parametrize("client", [BASIC, POST])
async def test_a_client_with_its_secret_is_let_in(world: World, client: str) -> None:
    assert (await world.token(by=client)).status == 200
    assert (await world.token({"client_id": client} if client == BASIC else {}, by=client)).status == 200


@stops(SECRET)
@pytest.mark.parametrize("client", [BASIC, POST, "nobody"])
async def test_ca_01_a_wrong_secret_says_the_same_as_an_unknown_client(world: World, client: str) -> None:
    right = world.secrets.get(client, "x")
    swapped = right[:-1] + ("A" if right[-1] != "A" else "B")
    answers = []
    for secret in ("wrong", world.secrets[BASIC if client == POST else POST], swapped, right.upper()):
        if client == POST:
            form = {**CLIENT_CREDENTIALS, "client_id": client, "client_secret": secret}
            answers.append(await world.post("/token", form))
        else:
            answers.append(await world.post("/token", CLIENT_CREDENTIALS, (("authorization", basic(client, secret)),)))
    assert {answer.told for answer in answers} == {REFUSED}
    assert {answer["error_description"] for answer in answers} == {SECRET.says}


@stops(AUTHENTICATED)
async def test_ca_02_another_method_than_the_registered_one(world: World) -> None:
    for client, secret in ((POST, world.secrets[POST]), (BOT, "x")):
        as_basic = await world.post("/token", CLIENT_CREDENTIALS, (("authorization", basic(client, secret)),))
        assert as_basic.told == REFUSED
    form = {**CLIENT_CREDENTIALS, "client_id": BASIC, "client_secret": world.secrets[BASIC]}
    assert (await world.post("/token", form)).told == REFUSED
    for nothing in ({}, {"client_id": BOT}, {"client_id": BASIC}, {"client_id": BOT, "client_secret": ""}):
        assert (await world.post("/token", {**CLIENT_CREDENTIALS, **nothing})).told == REFUSED
    await world.change(Client, BASIC, jwks=jwks(world.keys[BOT]))
    assert (await shows(world, world.assertion(BASIC, key=world.keys[BOT]))).told == REFUSED
    kept = (SecretHash(secret_hash("known")),)
    await world.change(Client, BOT, secrets=kept)
    assert (await world.post("/token", CLIENT_CREDENTIALS, (("authorization", basic(BOT, "known")),))).told == REFUSED


@stops(ONE_METHOD)
async def test_ca_03_two_methods_at_once(world: World) -> None:
    header = (("authorization", basic(BASIC, world.secrets[BASIC])),)
    secret = {"client_id": BASIC, "client_secret": world.secrets[BASIC]}
    signed = {"client_assertion_type": assertion.TYPE, "client_assertion": world.assertion()}
    for headers, form in (
        (header, secret),
        (header, signed),
        ((), {**secret, **signed}),
        (header, {**secret, **signed}),
    ):
        answer = await world.post("/token", {**CLIENT_CREDENTIALS, **form}, headers)
        assert answer.told == (400, "invalid_request")
        assert answer["error_description"] == ONE_METHOD.says
    twice = await world.post("/token", CLIENT_CREDENTIALS, (*header, *header))
    assert twice.told == (400, "invalid_request")


@lets_through(BASIC_FORM)
@pytest.mark.parametrize("text", ["a:b", "100%", "a+b", "a b", "naïve", "a/b=c&d", "日本"])
async def test_ca_04_form_encoded_credentials_of_any_letters(world: World, text: str) -> None:
    world.secrets[text] = f"{text} canary {text}"
    await world.client(text, auth_method="client_secret_basic")
    assert (await world.token(by=text)).status == 200


@stops(BASIC_FORM)
async def test_ca_04_raw_credentials_only_where_decoding_leaves_them_alone(world: World) -> None:
    world.secrets["plain"] = "s:a/b=c~canary"
    await world.client("plain", auth_method="client_secret_basic")
    assert (await shows_basic(world, f"plain:{world.secrets['plain']}")).status == 200
    world.secrets["odd"] = "50%+canary"
    await world.client("odd", auth_method="client_secret_basic")
    assert (await shows_basic(world, f"odd:{quote_plus('50%+canary')}")).status == 200
    for raw in ("odd:50%+canary", "odd:50%25+canary", "odd", "", ":", "odd:%FF", b"odd:\xff", "odd:%zz", "%6fdd"):
        assert (await shows_basic(world, raw)).told == REFUSED


@stops(BASIC_FORM)
@pytest.mark.parametrize(
    "value", ["Basic", "Basic ", "Basic !!!!", "Basic YQ", "Basic é", "basic YTpi YTpi", "BASIC Og=="]
)
async def test_ca_04_what_is_no_basic_at_all(world: World, value: str) -> None:
    answer = await world.post("/token", CLIENT_CREDENTIALS, (("authorization", value),))
    assert answer.told == REFUSED


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\x7f", "x" * 513, "\u202e"])
async def test_an_id_that_no_client_can_have_is_not_looked_for(world: World, text: str) -> None:
    assert (await shows_basic(world, f"{quote_plus(text)}:x")).told == REFUSED
    assert (await shows(world, world.assertion(key=world.keys[BOT], iss=text, sub=text))).told == REFUSED


@lets_through(SECRET)
@stops(SECRET)
async def test_ca_05_a_secret_works_until_its_time_has_come(world: World) -> None:
    old, new = secret_hash("the old canary"), secret_hash("the new canary")
    await world.change(Client, POST, secrets=(SecretHash(old, until=Instant(world.now + 60)), SecretHash(new)))
    for secret in ("the old canary", "the new canary"):
        world.secrets[POST] = secret
        assert (await world.token(by=POST)).status == 200
    world.clock.forward(60)
    assert (await world.token(by=POST)).status == 200
    world.secrets[POST] = "the old canary"
    assert (await world.token(by=POST)).told == REFUSED


@lets_through(SIGNED, COMPACT, CLAIMS, ASSERTION_TYPE, OF_ITSELF, JTI, SAME_CLIENT)
async def test_a_client_with_its_key_is_let_in(world: World) -> None:
    assert (await shows(world, world.assertion())).status == 200
    assert (await shows(world, world.assertion(), client_id=BOT)).status == 200
    assert (await shows(world, world.assertion(iat=None, jti="j" * assertion.JTI_MAX))).status == 200


@stops(SIGNED)
async def test_ca_07_a_key_that_is_not_the_clients(world: World) -> None:
    mallory = PrivateKey.generate()
    for compact in (
        world.assertion(key=mallory),
        world.assertion(key=mallory, header={"kid": world.keys[BOT].kid}),
        world.assertion(key=mallory, header={"kid": None}),
        world.assertion(key=mallory, header={"jwk": mallory.public_jwk()}),
        world.assertion(header={"kid": "another"}),
        world.assertion(key=world.keys[OTHER]),
    ):
        assert (await shows(world, compact)).told == REFUSED


@lets_through(SIGNED)
async def test_ca_07_without_a_kid_each_key_that_fits_is_tried(world: World) -> None:
    first, second, edwards = PrivateKey.generate(), PrivateKey.generate(), PrivateKey.generate("Ed25519")
    await world.change(Client, BOT, jwks=jwks(edwards, first, second))
    for key in (first, second, edwards):
        assert (await shows(world, world.assertion(key=key, header={"kid": None}))).status == 200
    public_encryption = {**PrivateKey.generate().public_jwk(), "use": "enc"}
    await world.change(Client, BOT, jwks=json_bytes({"keys": [public_encryption]}).decode())
    assert (await shows(world, world.assertion(key=first, header={"kid": None}))).told == REFUSED


@stops(ALGORITHM, SIGNED, COMPACT)
@pytest.mark.parametrize("alg", ["none", "HS256", "HS512", "es256", "ES512", "RS256", "EdDSA", "", "ES256K"])
async def test_ca_08_another_algorithm(world: World, alg: str) -> None:
    signed = world.assertion(header={"alg": alg})
    assert (await shows(world, signed)).told == REFUSED
    head, body, _ = signed.split(".")
    assert (await shows(world, f"{head}.{body}.")).told == REFUSED


@lets_through(SOLE_AUDIENCE)
async def test_ca_09_our_issuer_alone_as_text_or_in_a_list(world: World) -> None:
    assert (await shows(world, world.assertion())).status == 200
    assert (await shows(world, world.assertion(aud=[world.here.issuer.text]))).status == 200


@stops(SOLE_AUDIENCE, CLAIMS)
@pytest.mark.parametrize(
    "aud",
    [
        None,
        "",
        7,
        [],
        [7],
        "https://other.example",
        "https://as.example/token",
        "https://as.example/",
        "https://AS.example",
        "https://as.example:443",
        ["https://as.example", "https://as.example/token"],
        ["https://as.example", "https://other.example"],
        ["https://as.example", "https://as.example"],
        {"iss": "https://as.example"},
    ],
)
async def test_ca_09_any_other_audience(world: World, aud: object) -> None:
    assert (await shows(world, world.assertion(aud=aud))).told == REFUSED


@lets_through(UNEXPIRED, BEGUN, BRIEF)
@pytest.mark.parametrize("times", [{"exp": 300}, {"exp": -9}, {"iat": 10, "nbf": 10}, {"iat": -290}])
async def test_ca_10_times_within_what_clocks_may_differ_by(world: World, times: dict[str, int]) -> None:
    assert (await shows(world, world.assertion(**shifted(world, times)))).status == 200


@stops(UNEXPIRED, BEGUN, BRIEF, CLAIMS)
@pytest.mark.parametrize(
    "times",
    [
        {"exp": None},
        {"exp": -10},
        {"exp": -3600},
        {"exp": 311},
        {"exp": 86400},
        {"iat": 11},
        {"iat": 60},
        {"nbf": 11},
        {"iat": -311},
    ],
)
async def test_ca_10_times_beyond(world: World, times: dict[str, int | None]) -> None:
    assert (await shows(world, world.assertion(**shifted(world, times)))).told == REFUSED


@stops(CLAIMS)
@pytest.mark.parametrize("exp", ["1764000060", True, 10**20, -1, {}, [1764000060]])
async def test_ca_10_an_exp_that_is_no_time(world: World, exp: object) -> None:
    assert (await shows(world, world.assertion(exp=exp))).told == REFUSED


def shifted(world: World, times: Any) -> JsonObject:
    return {name: None if shift is None else world.now + shift for name, shift in times.items()}


@lets_through(ASSERTED_ONCE)
@stops(ASSERTED_ONCE, CLAIMS, JTI)
async def test_ca_11_a_jti_is_there_and_is_used_once_for_as_long_as_it_could_be(world: World) -> None:
    for jti in (None, "", 7, "j" * (assertion.JTI_MAX + 1)):
        assert (await shows(world, world.assertion(jti=jti))).told == REFUSED
    compact = world.assertion(exp=world.now + 300)
    assert (await shows(world, compact)).status == 200
    again = await shows(world, compact)
    assert again.told == REFUSED
    assert again["error_description"] == ASSERTED_ONCE.says
    for seconds in (299, 10):  # the last moment at which the clocks' difference lets it pass
        world.clock.forward(seconds)
        await world.store.sweep(world.now)
        assert (await shows(world, compact)).told == REFUSED


@lets_through(ASSERTED_ONCE)
async def test_ca_12_the_same_jti_from_another_client(world: World) -> None:
    assert (await shows(world, world.assertion(jti="one"))).status == 200
    assert (await shows(world, world.assertion(OTHER, jti="one"))).status == 200


@stops(ASSERTED_ONCE)
@pytest.mark.parametrize("path", ENDPOINTS)
async def test_ca_13_an_assertion_of_one_endpoint_at_another(world: World, path: str) -> None:
    compact = world.assertion()
    assert (await shows(world, compact, path="/introspect")).status == 200
    assert (await shows(world, compact, path=path)).told == REFUSED


@stops(ISSUED_BY, SAME_CLIENT)
async def test_ca_14_issuer_subject_and_client_id_differ(world: World) -> None:
    for compact in (
        world.assertion(iss=OTHER),
        world.assertion(iss=None),
        world.assertion(sub=None),
        world.assertion(sub=7),
        world.assertion(sub=OTHER),
        world.assertion(sub=OTHER, key=world.keys[OTHER]),
    ):
        assert (await shows(world, compact)).told == REFUSED
    answer = await shows(world, world.assertion(), client_id=OTHER)
    assert answer.told == REFUSED
    assert answer["error_description"] == SAME_CLIENT.says


@lets_through(TYPED)
@pytest.mark.parametrize(
    "typ",
    [
        None,
        "JWT",
        "jwt",
        "client-authentication+jwt",
        "application/client-authentication+jwt",
        "Client-Authentication+JWT",
        "oauth-client-auth+jwt",
    ],
)
async def test_ca_15_typed_as_an_assertion_or_not_at_all(world: World, typ: str | None) -> None:
    assert (await shows(world, world.assertion(header={"typ": typ}))).status == 200


@stops(TYPED)
@pytest.mark.parametrize(
    "typ",
    [
        "at+jwt",
        "application/at+jwt",
        "dpop+jwt",
        "oauth-id-jag+jwt",
        "logout+jwt",
        "oauth-authz-req+jwt",
        "txn-authz-challenge+jwt",
        "token-introspection+jwt",
        "",
        "JWT ",
        "client-authentication+jwt;x=y",
    ],
)
async def test_ca_15_typed_as_something_else(world: World, typ: str) -> None:
    assert (await shows(world, world.assertion(header={"typ": typ}))).told == REFUSED


async def test_ca_16_our_own_tokens_as_assertions(world: World) -> None:
    ask = await world.asked()
    await world.allow(ask)
    answer = await world.poll(ask)
    for compact in (answer["access_token"], answer["id_token"], (await world.token())["access_token"]):
        assert (await shows(world, compact)).told == REFUSED
        assert (await shows(world, compact, client_id=BOT)).told == REFUSED


@pytest.mark.parametrize("path", ENDPOINTS)
async def test_ca_21_the_audience_of_another_endpoint(world: World, path: str) -> None:
    for aud in (world.here.issuer.at("/token"), world.here.issuer.at(path), [world.here.issuer.text, "x"]):
        assert (await shows(world, world.assertion(aud=aud), path=path)).told == REFUSED
    assert (await shows(world, "not.a.jwt", path=path)).told == REFUSED


@stops(ASSERTION_TYPE)
async def test_an_assertion_without_its_type_or_of_another(world: World) -> None:
    compact = world.assertion()
    for form in (
        {"client_assertion": compact},
        {"client_assertion_type": assertion.TYPE},
        {
            "client_assertion": compact,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer",
        },
    ):
        answer = await world.post("/token", {**CLIENT_CREDENTIALS, **form})
        assert answer.told == REFUSED
        assert answer["error_description"] == ASSERTION_TYPE.says


async def test_a_disabled_client_is_as_one_that_never_was(world: World) -> None:
    world.keys["nobody"] = PrivateKey.generate()
    for client in (BOT, BASIC, POST):
        await world.change(Client, client, disabled_at=world.now)
        assert (await world.token(by=client)).told == REFUSED
    assert (await world.token(by=BOT)).json == (await world.token(by="nobody")).json


async def test_the_resource_itself_has_no_grants(world: World) -> None:
    assert (await world.token({"scope": READ}, by=PHARMACY)).told == (400, "unauthorized_client")
