"""Clients that publish what they are: a web that holds their documents, and a world whose server reads them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from deputize.core.rules import Fault
from deputize.core.wire import Call, Headers, JsonObject, Reply, json_bytes
from deputize.jose.keys import PrivateKey
from deputize.oauth.client import EVERY
from deputize.oauth.clients.document import Settings, way
from tests.support.asgi import Answer
from tests.support.cast import PHARMACY
from tests.support.world import CLIENT_CREDENTIALS, World, a_world

HOST = "app.example"
URL = f"https://{HOST}/client.json"
KEYS_URL = "https://keys.example/jwks.json"
KEY = PrivateKey.generate()

METHODS = frozenset({"private_key_jwt", "none"})
BACKCHANNEL = Settings(audiences=(EVERY,), grant_types=("client_credentials", "urn:openid:params:grant-type:ciba"))


def a_document(url: str = URL, **members: Any) -> JsonObject:
    """What a good client that signs says of itself; None takes a member out."""
    good = {
        "client_id": url,
        "client_name": "Trip Planner",
        "client_uri": "https://app.example/",
        "redirect_uris": ["https://app.example/callback"],
        "grant_types": ["authorization_code", "client_credentials", "urn:openid:params:grant-type:ciba"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "jwks": {"keys": [KEY.public_jwk()]},
    }
    return {name: value for name, value in {**good, **members}.items() if value is not None}


def a_reply(
    body: bytes | JsonObject,
    *,
    status: int = 200,
    kind: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    more = tuple((headers or {}).items())
    told = body if isinstance(body, bytes) else json_bytes(body)
    return Reply(status=status, headers=Headers((("content-type", kind), *more)), body=told)


@dataclass
class Web:
    """What lies where; what is not there is out of reach. `asked` is what was fetched, in its order.

    With `joins`, calls for what is under way join it, as they do at the real door.
    """

    pages: dict[str, Reply | JsonObject] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    joins: bool = False
    _flights: dict[str, asyncio.Task[Reply]] = field(default_factory=dict)

    async def __call__(self, call: Call) -> Reply:
        if not self.joins:
            return await self._exchange(call)
        if (flight := self._flights.get(call.url)) is None:
            flight = self._flights[call.url] = asyncio.create_task(self._exchange(call))
            flight.add_done_callback(lambda _: self._flights.pop(call.url))
        return await flight

    async def _exchange(self, call: Call) -> Reply:
        self.asked.append(call.url)
        await asyncio.sleep(0)  # others may come in between
        found = self.pages.get(call.url)
        if found is None:
            raise Fault("nobody there", retry=True)
        reply = found if isinstance(found, Reply) else a_reply(found)
        if len(reply.body) > call.bytes_max:
            raise Fault("too large")
        return reply


@dataclass
class Published:
    """A world whose server reads documents, and the web that they lie in."""

    world: World
    web: Web

    def publish(self, url: str = URL, **members: Any) -> None:
        self.web.pages[url] = a_document(url, **members)

    async def token(self, url: str = URL, *, key: PrivateKey = KEY, **assertion: Any) -> Answer:
        """POST /token for client_credentials, signed by the client at this URL."""
        compact = self.world.assertion(url, key=key, **assertion)
        form = {
            **CLIENT_CREDENTIALS,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": compact,
            "resource": PHARMACY,
        }
        return await self.world.post("/token", form, spends={"client"})


@asynccontextmanager
async def a_published_world(settings: Settings = BACKCHANNEL) -> AsyncIterator[Published]:
    web = Web({URL: a_document()})
    async with a_world(ways=(way(settings, METHODS),), fetch=web) as world:
        yield Published(world, web)
