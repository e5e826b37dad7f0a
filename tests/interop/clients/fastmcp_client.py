"""FastMCP's client calls both tools: `URL DOCUMENT`, or `URL -` to register. Prints what came back.

It opens the browser that $BROWSER names, and listens itself for what comes back.
"""

import asyncio
import json
import sys
import warnings

from fastmcp import Client
from fastmcp.client.auth import OAuth

warnings.filterwarnings("ignore", message="Using in-memory token storage")
url, document = sys.argv[1:]


async def main() -> None:
    auth = OAuth(client_name="FastMCP", client_metadata_url=None if document == "-" else document)
    async with Client(url, auth=auth) as client:
        tools = [tool.name for tool in await client.list_tools()]
        read = await client.call_tool("prescriptions", {})
        ordered = await client.call_tool("order", {"medicine": "Loratadine 10 mg"})
        kept = await auth.token_storage_adapter.get_client_info()
        told = {
            "tools": tools,
            "read": read.structured_content,
            "ordered": ordered.content[0].text,
            "client_id": kept.client_id if kept else None,
        }
        print(json.dumps(told))


asyncio.run(main())
