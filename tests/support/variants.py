"""A world made anew with other settings or another store, and its people, keys and records kept."""

from dataclasses import replace
from typing import Any

from deputize.core.ports import Store
from deputize.jose.keys import PrivateKey
from deputize.oauth import families
from deputize.oauth.certificate import CERTIFICATE_SCOPE, Edge
from deputize.oauth.grants import refresh_token, table
from deputize.server.app import protocol_app
from deputize.server.http import Asgi, Receive, Scope, Send
from tests.support.asgi import Answer
from tests.support.cast import ALL_GRANTS, READ
from tests.support.world import World

KEEPER = "keeper-bot"


def remade(world: World, *, store: Store | None = None, edge: Edge | None = None, **here: Any) -> World:
    """The same world after a restart: `here` are fields of the server, `store` where its records lie now."""
    world.here = replace(world.here, **here)
    if store is not None:
        world.env = replace(world.env, store=store)
    world.app = protocol_app(world.here, world.env, None, edge)
    return world


def refreshing(world: World, **settings: Any) -> World:
    """With these settings of refresh families."""
    chosen = families.Settings(**settings)
    return remade(world, refresh=chosen, grants=table(chosen))


async def with_keeper(world: World, key: str = KEEPER, **fields: Any) -> World:
    """With a client that is registered for refresh tokens."""
    await world.client(key, **{"grant_types": ALL_GRANTS | {refresh_token.TYPE}, **fields})
    return world


def showing(app: Asgi, certificate: bytes | None) -> Asgi:
    """The application as one reaches it whose certificate TLS has proven."""

    async def shown(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope if certificate is None else {**scope, CERTIFICATE_SCOPE: certificate}, receive, send)

    return shown


async def first_tokens(
    world: World, *, by: str = KEEPER, key: PrivateKey | None = None, scope: str = f"openid {READ}", **form: str
) -> Answer:
    """What comes of a new ask that its person (Alice) allows, refresh token included."""
    ask = await world.asked(by=by, key=key, scope=scope, **form)
    if ask.open_for:
        await world.allow(ask)
    answer = await world.poll(ask, by=by, key=key)
    assert answer.status == 200, answer.body
    return answer


async def refresh(world: World, token: str, *, by: str = KEEPER, key: PrivateKey | None = None, **form: str) -> Answer:
    """POST /token with a refresh token; a refusal leaves its family as it was."""
    fields = {"grant_type": refresh_token.TYPE, "refresh_token": token, **form}
    return await world.post("/token", fields, by=by, key=key)


async def replay(world: World, token: str, *, by: str = KEEPER, key: PrivateKey | None = None, **form: str) -> Answer:
    """The same where the refusal ends the family."""
    fields = {"grant_type": refresh_token.TYPE, "refresh_token": token, **form}
    return await world.post("/token", fields, by=by, key=key, spends=("family", "revoked"))
