"""How an unknown `client_id` becomes a `Client`: the first way that knows it."""

from typing import Final

from deputize.core.ports import Env
from deputize.oauth.client import Client
from deputize.oauth.clients import registered

WAYS: Final = (registered.find,)


async def find(client_id: str, env: Env) -> Client | None:
    """The client, if it is known by any way and enabled."""
    for way in WAYS:
        client = await way(client_id, env)
        if client is not None:
            return client if client.disabled_at is None else None
    return None
