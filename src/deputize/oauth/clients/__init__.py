"""How an unknown `client_id` becomes a `Client`: the first way that knows it."""

from typing import Final

from deputize.core.ports import Env
from deputize.oauth.client import Client, Way
from deputize.oauth.clients import document, registered

WAYS: Final[tuple[Way, ...]] = (registered.WAY,)


def with_documents(settings: document.Settings, methods: frozenset[str]) -> tuple[Way, ...]:
    """The table where clients may tell of themselves at their own ids; `methods` are those of `oauth.client_auth`."""
    return (*WAYS, document.way(settings, methods))


async def find(client_id: str, ways: tuple[Way, ...], env: Env) -> Client | None:
    """The client, if it is known by any way and enabled. Refuses with `invalid_client` one whose document is bad."""
    for way in ways:
        client = await way.find(client_id, env)
        if client is not None:
            return client if client.disabled_at is None else None
    return None
