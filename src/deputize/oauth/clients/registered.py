"""A client that somebody registered: found in the store."""

from typing import Final

from deputize.core.ports import Env
from deputize.oauth.client import Client, Way

ID_MAX: Final = 512


async def find(client_id: str, env: Env) -> Client | None:
    fits = 0 < len(client_id) <= ID_MAX and client_id.isprintable()  # a NUL is text that not every store can look for
    client = await env.store.read(Client, client_id) if fits else None
    if client is None or client.document is not None:
        return None
    return None if client.expires_at is not None and client.expires_at <= env.clock() else client


WAY: Final = Way(name="registered", find=find)
