"""The door at which clients register themselves, for tests: what they say, and what they are told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from deputize.core.wire import Headers, Inbound, JsonObject, json_bytes
from deputize.oauth import registration
from deputize.oauth.client import EVERY
from deputize.oauth.registering import Mode, Settings
from tests.support.asgi import Answer
from tests.support.cast import READ
from tests.support.flow import ISSUER, Flow, a_flow

CALLBACK = "https://trips.example/cb"
LOOPBACK = "http://127.0.0.1:3334/cb"


def a_newcomer(**changed: Any) -> JsonObject:
    """What a good client on the web says of itself; None takes a member out."""
    good = {
        "client_name": "Trip Planner",
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_basic",
        "scope": f"openid {READ}",
    }
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def an_mcp_client(**changed: Any) -> JsonObject:
    """What a program on a person's own machine says: it keeps no secret, and listens on loopback."""
    return a_newcomer(
        redirect_uris=[LOOPBACK], token_endpoint_auth_method="none", application_type="native", scope=None, **changed
    )


@dataclass
class Door:
    """A server at which clients register, with its browsers."""

    flow: Flow

    async def says(
        self, members: JsonObject | bytes, token: str = "", *, kind: str = "application/json", more: Any = ()
    ) -> Answer:
        """POST /register."""
        headers = (*_headers(token), ("content-type", kind), *more)
        body = members if isinstance(members, bytes) else json_bytes(members)
        return await self.flow.world.send("POST", "/register", headers, body)

    async def made(self, members: JsonObject | None = None, token: str = "") -> JsonObject:
        """The answer to a good registration; the client can be used in tests from now on."""
        answer = await self.says(members or a_newcomer(), token)
        assert answer.status == 201, answer.body
        made = answer.json
        if "client_secret" in made:
            self.flow.world.secrets[made["client_id"]] = made["client_secret"]
        elif made["token_endpoint_auth_method"] == "none":
            self.flow.world.public.add(made["client_id"])
        return made

    async def from_(self, source: str, members: JsonObject | None = None) -> JsonObject:
        """A registration from elsewhere. Raises Refusal."""
        headers = Headers((("content-type", "application/json"),))
        body = json_bytes(members or a_newcomer())
        request = Inbound(method="POST", url=f"{ISSUER}/register", headers=headers, body=body, source=source)
        return await registration.register(request, self.flow.world.here, self.flow.world.env)

    async def manages(
        self, made: JsonObject, method: str = "GET", members: JsonObject | None = None, *, token: str | None = None
    ) -> Answer:
        """GET, PUT or DELETE what was registered, with its own token unless another is given."""
        shown = made["registration_access_token"] if token is None else token
        kind = () if members is None else (("content-type", "application/json"),)
        body = b"" if members is None else json_bytes(members)
        path = urlsplit(made["registration_client_uri"]).path
        return await self.flow.world.send(method, path, (*_headers(shown), *kind), body)

    async def puts(self, made: JsonObject, **changed: Any) -> Answer:
        """PUT what a good newcomer says, changed."""
        return await self.manages(made, "PUT", a_newcomer(client_id=made["client_id"], **changed))


def _headers(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),) if token else ()


@asynccontextmanager
async def a_door(mode: Mode = "open", *, audiences: tuple[str, ...] = (EVERY,), **more: Any) -> AsyncIterator[Door]:
    """A world whose server lets clients register in this mode."""
    async with a_flow(registration=Settings(mode=mode, audiences=audiences, **more)) as flow:
        yield Door(flow)
