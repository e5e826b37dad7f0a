"""A token of ours that was verified once is not verified again; whatever can change is looked at each time."""

from dataclasses import replace

import pytest

from deputize.core.rules import Refusal
from deputize.core.wire import JsonObject
from deputize.jose import jwt
from deputize.jose.keys import KeySet, PrivateKey, PublicKey
from deputize.oauth import tokens
from tests.support.cast import BOT, KeySigner
from tests.support.world import World


class SteadySigner(KeySigner):
    """As the port's adapters do it: the same tuple, until the keys change."""

    def __init__(self, *keys: PrivateKey) -> None:
        super().__init__(*keys)
        self.shown = super().keys()

    def keys(self) -> tuple[JsonObject, ...]:
        return self.shown


@pytest.fixture
def steady(world: World) -> World:
    signer = SteadySigner(*world.signer.all)
    world.signer = signer
    world.env = replace(world.env, signer=signer)
    return world


def opened(world: World, token: str) -> tokens.Token:
    return tokens.opened(token, world.here.issuer, world.env, error="invalid_token")


async def test_a_signature_is_verified_once(steady: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token = (await steady.token())["access_token"]
    first = opened(steady, token)
    verified: list[str] = []
    monkeypatch.setattr(jwt, "verify", lambda compact, *_: verified.append(compact))
    assert opened(steady, token) is first
    assert verified == []


async def test_a_known_token_ends_when_it_expires(steady: World) -> None:
    token = (await steady.token())["access_token"]
    end = opened(steady, token).approval.authority.until
    steady.clock.now = end
    with pytest.raises(Refusal) as refused:
        opened(steady, token)
    assert refused.value.rule is jwt.UNEXPIRED


async def test_a_known_token_ends_with_the_key_that_signed_it(steady: World) -> None:
    token = (await steady.token())["access_token"]
    opened(steady, token)
    assert isinstance(steady.signer, SteadySigner)
    steady.signer.shown = (PrivateKey.generate().public_jwk(),)
    with pytest.raises(Refusal) as refused:
        opened(steady, token)
    assert refused.value.rule is jwt.SIGNED


async def test_nothing_but_the_very_token_is_known(steady: World) -> None:
    token = (await steady.token())["access_token"]
    opened(steady, token)
    head, body, signature = token.split(".")
    forged = PrivateKey.generate().sign(f"{head}.{body}".encode())
    for other in (
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{token}.",
        f"{head}.{body}.{forged.hex()}",
        "\udcff" + token,
    ):
        with pytest.raises(Refusal):
            opened(steady, other)


async def test_another_issuer_does_not_take_what_this_one_knows(steady: World) -> None:
    token = (await steady.token())["access_token"]
    opened(steady, token)
    with pytest.raises(Refusal) as refused:
        tokens.opened(
            token, replace(steady.here.issuer, text="https://other.example"), steady.env, error="invalid_token"
        )
    assert refused.value.rule is jwt.ISSUED_BY


async def test_a_known_token_that_is_revoked_is_dead_at_once(steady: World) -> None:
    token = (await steady.token())["access_token"]
    for alive in (True, False):
        found = opened(steady, token)
        if not alive:
            with pytest.raises(Refusal) as refused:
                await tokens.read(token, steady.here.issuer, steady.env, error="invalid_token")
            assert refused.value.rule is tokens.NOT_REVOKED
            return
        assert found.client == BOT
        answer = await steady.post("/revoke", {"token": token}, by=BOT)
        assert answer.status == 200


async def test_what_is_known_is_bounded(steady: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "KNOWN_MAX", 2)
    several = [(await steady.token())["access_token"] for _ in range(5)]
    assert [opened(steady, token).claims["jti"] for token in several] == [
        opened(steady, token).claims["jti"] for token in several
    ]
    reader = tokens._reader(steady.env)
    assert len(reader.known) <= 2


async def test_the_keys_are_those_that_the_signer_shows(world: World) -> None:
    shown = KeySet.of(*map(PublicKey.from_jwk, world.signer.keys()))
    assert [key.kid for key in tokens.own_keys(world.env).keys] == [key.kid for key in shown.keys]
