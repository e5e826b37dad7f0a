"""How a `client_id` becomes a `Client`: the first way that knows it, and the store's own before all others."""

from deputize.core.ports import Env
from deputize.oauth.client import Client, Way
from deputize.oauth.clients import registered


async def find(client_id: str, ways: tuple[Way, ...], env: Env) -> Client | None:
    """The client, if it is known by any way and enabled. Refuses with `invalid_client` one whose document is bad."""
    for way in (registered.WAY, *ways):
        client = await way.find(client_id, env)
        if client is not None:
            return client if client.disabled_at is None else None
    return None
