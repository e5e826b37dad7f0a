"""The official SDK's client calls both tools: `URL DOCUMENT`, or `URL -` to register. Prints what came back."""

import asyncio
import json
import os
import sys
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from tests.interop.person import allows

REDIRECT = "http://127.0.0.1:5097/callback"
url, document = sys.argv[1:]


class InMemory(TokenStorage):  # type: ignore[misc]  # its types are not there for everybody who checks
    """What the SDK wants to be kept."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


asked: list[dict[str, str]] = []
landed: list[str] = []


async def visit(page: str) -> None:
    asked.append({name: values[0] for name, values in parse_qs(urlsplit(page).query).items()})
    landed.append(await asyncio.to_thread(allows, page, "alice", os.environ["ALICE_PASSWORD"]))


async def arrived() -> AuthorizationCodeResult:
    told = parse_qs(urlsplit(landed[-1]).query)
    return AuthorizationCodeResult(code=told["code"][0], state=told["state"][0], iss=told["iss"][0])


async def main() -> None:
    storage = InMemory()
    auth = OAuthClientProvider(
        server_url=url,
        client_metadata=OAuthClientMetadata(
            client_name="SDK", redirect_uris=[REDIRECT], token_endpoint_auth_method="none"
        ),
        storage=storage,
        redirect_handler=visit,
        callback_handler=arrived,
        client_metadata_url=None if document == "-" else document,
    )
    async with (
        httpx2.AsyncClient(auth=auth, timeout=30, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        read = await client.call_tool("prescriptions", {})
        first = storage.tokens.scope if storage.tokens else None
        ordered = await client.call_tool("order", {"medicine": "Loratadine 10 mg"})
        told = {
            "tools": tools,
            "read": read.structured_content,
            "ordered": ordered.content[0].text,
            "scope": [first, storage.tokens.scope if storage.tokens else None],
            "client_id": storage.client.client_id if storage.client else None,
            "asked": asked,
        }
        print(json.dumps(told))


asyncio.run(main())
