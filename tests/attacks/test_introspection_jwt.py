"""Corpus IN-06: an introspection answer that can be shown to others, and by nobody as something else."""

import dataclasses
from typing import Any

import pytest

from deputize.core.rules import Refusal
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
from deputize.jose.jwt import Sole, peek
from deputize.jose.kinds import BY_NAME as KINDS
from deputize.oauth import metadata, tokens
from deputize.oauth.token_status import TYP
from tests.support.asgi import Answer
from tests.support.cast import BOT, INSURER, NOW, PHARMACY, READ
from tests.support.world import CLIENT_CREDENTIALS, World

SIGNED = f"application/{TYP}"
KIND = KINDS["introspection response"]


async def told(world: World, token: str, accept: str | None = SIGNED, *, by: str = PHARMACY) -> Answer:
    headers = () if accept is None else (("accept", accept),)
    return await world.post("/introspect", {"token": token}, headers, by=by)


def read(world: World, answer: Answer, *, audience: str = PHARMACY) -> Any:
    """The claims, as one reads them who knows the server's keys."""
    assert answer.header("content-type") == SIGNED
    assert answer.header("cache-control") == "no-store"
    assert answer.header("x-content-type-options") == "nosniff"
    issuer = world.here.issuer.text
    expected = KIND.expectation(
        algs=ALL, issuer=issuer, audience=Sole(audience), lifetime_max=None, age_max=None, error="invalid_token"
    )
    keys = tokens.own_keys(world.env)
    return KIND.held(jwt.verify(answer.body.decode(), keys, expected, world.now), "invalid_token").claims


async def test_in_06_the_answer_is_signed_for_who_asks(world: World) -> None:
    token = await world.allowed()
    plain = (await told(world, token, None)).json
    answer = await told(world, token)
    claims = read(world, answer)
    assert claims == {
        "iss": world.here.issuer.text,
        "aud": PHARMACY,
        "iat": world.now,
        "token_introspection": plain,
    }
    assert (plain["active"], plain["scope"], plain["sub"]) == (True, READ, "alice")
    assert peek(answer.body.decode(), "")[0].header["typ"] == TYP


async def test_in_06_who_it_is_not_for_learns_no_more_than_in_the_plain_answer(world: World) -> None:
    token = await world.allowed()
    for text, by in ((token, INSURER), ("x", PHARMACY), (world.minted(exp=NOW - 1), PHARMACY)):
        claims = read(world, await told(world, text, by=by), audience=by)
        assert claims["token_introspection"] == {"active": False}
    with pytest.raises(Refusal, match="aud"):
        read(world, await told(world, token), audience=INSURER)
    assert (await world.post("/introspect", {"token": token}, (("accept", SIGNED),))).told == (401, "invalid_client")


async def test_in_06_it_is_good_for_nothing_else(world: World) -> None:
    compact = (await told(world, await world.allowed())).body.decode()
    assert (await told(world, compact, None)).json == {"active": False}
    kind = "urn:ietf:params:oauth:token-type:access_token"
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token_type": kind}
    assert (await world.post("/token", {**form, "subject_token": compact}, by=BOT)).told == (400, "invalid_request")
    assertion = {**CLIENT_CREDENTIALS, **dict(world.logs_in(BOT)[1]), "client_assertion": compact}
    assert (await world.post("/token", assertion)).told == (401, "invalid_client")


@pytest.mark.parametrize(
    ("accept", "signed"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/*", False),
        (SIGNED, True),
        (SIGNED.upper(), True),
        (f"{SIGNED}, application/json", True),
        (f"application/json, {SIGNED}", True),
        (f"application/json;q=0.9, {SIGNED}", True),
        (f"application/json, {SIGNED};q=0.5", False),
        (f"application/json;q=0.1, {SIGNED} ; q=0.5, */*", True),
        (f"{SIGNED};q=0", False),
        (f"{SIGNED};q=0.000", False),
        (f"{SIGNED};q=x", False),
        (f"{SIGNED};q=1.5", False),
        (f"{SIGNED};v=1", True),
        (f"x{SIGNED}", False),
        ("application/jwt", False),
        (";;;,,,=;q=", False),
        ("," * 8000, False),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_in_06_the_signed_form_is_given_to_who_asks_for_it(
    world: World,
    accept: str | None,
    signed: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    answer = await told(world, "x", accept)
    assert answer.status == 200
    assert answer.header("content-type") == (SIGNED if signed else "application/json")


async def test_the_metadata_says_what_it_is_signed_with(world: World) -> None:
    document = (await world.app_get(metadata.OAUTH_WELL_KNOWN)).json
    assert document["introspection_signing_alg_values_supported"] == [world.signer.active()[1]]
    assert "introspection_encryption_alg_values_supported" not in document
    assert "introspection_signing_alg_values_supported" not in metadata.of_server(dataclasses.replace(world.here))
