"""A client that somebody registered: found in the store."""

from deputize.core.ports import Env
from deputize.oauth.client import Client


async def find(client_id: str, env: Env) -> Client | None:
    return await env.store.read(Client, client_id) if 0 < len(client_id) <= 512 else None
