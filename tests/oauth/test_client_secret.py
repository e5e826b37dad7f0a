"""A secret is changed without a moment at which the client has none, and without one that lives for ever."""

import pytest

from deputize.core.ports import Add, Change, Event
from deputize.core.rules import Fault
from deputize.core.values import ClientId, Instant, Seconds
from deputize.oauth import client_secret
from deputize.oauth.client import Client, SecretHash, secret_hash
from tests.support.cast import BOT, POST, BrokenStore
from tests.support.variants import remade
from tests.support.world import World

HOUR = Seconds(3600)


async def lets_in(world: World, secret: str) -> bool:
    form = {"grant_type": "client_credentials", "client_id": POST, "client_secret": secret}
    return (await world.post("/token", form)).status == 200


async def live(world: World) -> int:
    client = await world.store.read(Client, POST)
    assert client is not None
    return sum(kept.until is None or world.now < kept.until for kept in client.secrets)


async def test_ca_05_the_old_secret_works_for_a_while_beside_the_new(world: World) -> None:
    old = world.secrets[POST]
    new = (await client_secret.rotate(ClientId(POST), world.env, overlap=HOUR)).reveal()
    assert len(new) >= 43
    for seconds in (0, 3599):
        world.clock.forward(seconds)
        assert await lets_in(world, old)
        assert await lets_in(world, new)
    world.clock.forward(1)
    assert not await lets_in(world, old)
    assert await lets_in(world, new)
    [event] = [one for one in await world.store.select(Event, "client", POST) if one.what == "secret_rotated"]
    assert new not in str(event)


async def test_two_secrets_live_at_most(world: World) -> None:
    secrets = [world.secrets[POST]]
    for _ in range(3):
        secrets.append((await client_secret.rotate(ClientId(POST), world.env, overlap=HOUR)).reveal())
        assert await live(world) == 2
    assert [await lets_in(world, secret) for secret in secrets] == [False, False, True, True]


async def test_a_secret_that_was_to_end_sooner_does_not_gain_time(world: World) -> None:
    text = world.secrets[POST]
    soon = SecretHash(secret_hash(text), until=Instant(world.now + 60))
    await world.change(Client, POST, secrets=(soon,))
    await client_secret.rotate(ClientId(POST), world.env, overlap=HOUR)
    world.clock.forward(60)
    assert not await lets_in(world, text)


async def test_a_secret_that_leaked_ends_at_once(world: World) -> None:
    old = world.secrets[POST]
    new = await client_secret.rotate(ClientId(POST), world.env, overlap=Seconds(0))
    assert not await lets_in(world, old)
    assert await lets_in(world, new.reveal())
    assert await live(world) == 1


@pytest.mark.parametrize("client", [BOT, "nobody"])
async def test_only_a_client_that_has_a_secret_gets_one(world: World, client: str) -> None:
    with pytest.raises(Fault, match="no client"):
        await client_secret.rotate(ClientId(client), world.env)


class Faster(BrokenStore):
    """Somebody else changes what is to be changed, just before."""

    async def commit(self, *changes: Change) -> bool:
        return await super().commit(*changes, Add(await self.any_record()))

    async def any_record(self) -> Client:
        found = await self.store.read(Client, POST)
        assert found is not None
        return found


async def test_of_two_who_change_it_at_once_one_is_told_to_come_again(world: World) -> None:
    """RC-09."""
    remade(world, store=Faster(world.store, frozenset()))
    with pytest.raises(Fault) as told:
        await client_secret.rotate(ClientId(POST), world.env)
    assert told.value.retry
