"""The official SDK's client with our SDK as its authentication, tokens bound to a key: `TOOLS DOCUMENT ISSUER`."""

import asyncio
import json
import os
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from deputize.adapters.guarded_fetch import Settings
from deputize.adapters.system import SystemClock, SystemRandom
from deputize.compose.client import guarded_fetch
from deputize.jose.keys import PrivateKey
from deputize.sdk import Access, Application, OAuth, Visit
from tests.interop.person import allows

tools, document, issuer = sys.argv[1:]
schemes: list[str] = []


async def visit(page: Visit) -> str:
    return await asyncio.to_thread(allows, page.url, "alice", os.environ["ALICE_PASSWORD"])


async def noted(request: httpx2.Request) -> None:
    if "authorization" in request.headers:
        schemes.append(request.headers["authorization"].partition(" ")[0])


async def main() -> None:
    application = Application(
        name="Desk",
        redirect_base="http://127.0.0.1:5093/callback",
        clock=SystemClock(),
        random=SystemRandom(),
        key=PrivateKey.generate(),
        document=document,
    )
    origin = tools.removesuffix("/mcp")
    async with guarded_fetch(origin, issuer, settings=Settings()) as fetch:
        auth = OAuth(Access(application=application), fetch=fetch, avisit=visit)
        async with (
            httpx2.AsyncClient(auth=auth, trust_env=False, timeout=30, event_hooks={"request": [noted]}) as http,
            Client(streamable_http_client(tools, http_client=http)) as client,
        ):
            read = await client.call_tool("prescriptions", {})
            ordered = await client.call_tool("order", {"medicine": "Loratadine 10 mg"})
    told = {"read": read.structured_content, "ordered": ordered.content[0].text, "schemes": schemes}
    print(json.dumps(told))


asyncio.run(main())
