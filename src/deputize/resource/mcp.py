"""An MCP server behind the guard: one address for all tools, and what single tools need beyond."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from deputize.core import values
from deputize.core.wire import Malformed, json_object
from deputize.resource.calls import ScopeOf
from deputize.resource.guard import Guard

CALL: Final = "tools/call"
NO_TOOLS: Final[Mapping[str, str]] = MappingProxyType({})


def guard_tools(guard: Guard, *, scope: str, tools: Mapping[str, str] = NO_TOOLS, path: str = "") -> None:
    """Name the calls of an MCP server (Streamable HTTP): all need `scope`, the `tools` named need theirs as well.

    A token without is answered with 403 and all the scope that the call needs, so that a client asks its person for
    more. The body is read before the server reads it: what could be read in two ways goes to neither.
    """
    guard.tells(scope)
    guard.needs("POST", path, scope=scope, scope_of=tool_scopes(tools))
    for method in ("GET", "DELETE"):  # the streams and sessions of revisions before 2026-07-28
        guard.needs(method, path, scope=scope)


def tool_scopes(tools: Mapping[str, str]) -> ScopeOf:
    """What a message to an MCP server needs, by the tool that it calls. Raises ValueError where a scope is none."""
    for scope in tools.values():
        values.scope(scope)
    named = dict(tools)

    def needed(body: bytes) -> str:
        message = json_object(body, bytes_max=len(body))  # a batch (2025-03-26) is none: its servers are no more
        if message.get("method") != CALL:
            return ""
        params = message.get("params")
        name = params.get("name") if isinstance(params, dict) else None
        if not isinstance(name, str):
            raise Malformed("the call of a tool names the tool")
        return named.get(name, "")

    return needed
