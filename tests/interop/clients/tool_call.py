"""A call of a tool as one HTTP request, for clients that know nothing of MCP."""

import json
from typing import Any

HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}


def message(tool: str, **arguments: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


def answered(text: str) -> Any:
    """What the tool said, in the last event of a stream or as JSON."""
    events = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")]
    return json.loads(events[-1] if events else text)["result"]["structuredContent"]
