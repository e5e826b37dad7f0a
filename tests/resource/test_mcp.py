"""An MCP server behind the guard: what a stranger is told, what single tools need, and bodies with two readings."""

import json
from typing import Any

import httpx2
import pytest

from deputize.core.wire import PLAIN
from deputize.oauth import challenge
from deputize.oauth.caller import SCOPE_ENOUGH
from deputize.resource import guard_tools
from deputize.resource.asgi import BODY_SMALL
from deputize.resource.calls import SCOPE_READABLE
from deputize.resource.mcp import tool_scopes
from tests.resource.world import ORDER, READ, World, describe_order, error_of
from tests.support.proofs import lets_through, stops

MCP = "/mcp"


@pytest.fixture
def world() -> World:
    made = World()
    guard_tools(made.guard, scope=READ, tools={"order": ORDER}, path=MCP)
    return made


def message(method: str = "tools/call", **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


async def posted(world: World, body: bytes, *, scope: str | None = READ, **told: Any) -> httpx2.Response:
    return await world.call("POST", MCP, token=world.token(scope=scope), body=body, **told)


async def test_a_stranger_is_told_where_to_look_and_what_to_ask_for_whatever_the_path(world: World) -> None:
    for path in (MCP, "/prescriptions", "/nothing-there"):
        told = await world.call("POST", path)
        assert told.status_code == 401
        for line in told.headers.get_list("www-authenticate"):
            _, params = challenge.challenge_params(line)
            assert params["scope"] == READ
            assert params["resource_metadata"] == "https://api.example/.well-known/oauth-protected-resource"
            assert "error" not in params


async def test_who_comes_with_a_token_that_has_ended_is_told_the_scope_as_well(world: World) -> None:
    told = await world.call("POST", MCP, token=world.token(exp=world.clock() - 60), body=message("ping"))
    assert error_of(told) == (401, "invalid_token")
    assert f'scope="{READ}"' in told.headers["www-authenticate"]


@lets_through(SCOPE_READABLE)
@pytest.mark.parametrize(
    "body",
    [
        message("ping"),
        message("tools/list"),
        message(name="prescriptions", arguments={}),
        message(name="Order"),
        b'{"jsonrpc":"2.0","method":"notifications/initialized"}',
        b'{"jsonrpc":"2.0","id":1,"result":{}}',
        b' {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}\n',
    ],
)
async def test_a_message_goes_through_as_it_came(world: World, body: bytes) -> None:
    told = await posted(world, body)
    assert told.status_code == 200
    assert [seen for _, seen in world.api.seen] == [body]


async def test_streams_and_sessions_need_what_all_calls_need(world: World) -> None:
    for method in ("GET", "DELETE"):
        assert (await world.call(method, MCP, token=world.token(scope=READ))).status_code == 200
        assert error_of(await world.call(method, MCP, token=world.token(scope=ORDER))) == (403, "insufficient_scope")


@stops(SCOPE_ENOUGH)
async def test_a_tool_that_needs_more_says_all_that_it_needs(world: World) -> None:
    order = message(name="order", arguments={"medicine": "Loratadine 10 mg"})
    for scope in (READ, ORDER, None):
        told = await posted(world, order, scope=scope)
        assert error_of(told) == (403, "insufficient_scope")
        _, params = challenge.challenge_params(told.headers["www-authenticate"])
        assert params["scope"] == f"{ORDER} {READ}"
        assert "resource_metadata" in params
    assert not world.api.seen
    assert (await posted(world, order, scope=f"{READ} {ORDER}")).status_code == 200


@stops(SCOPE_READABLE)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no",
        b"[]",
        b"[" + message(name="order") + b"]",
        message(name="prescriptions") + message(name="order"),
        b'{"method":"ping","method":"tools/call","params":{"name":"order"}}',
        b'{"method":"tools/call","params":{"name":"prescriptions","name":"order"}}',
        b'{"method":"tools/call","params":{"name":"prescriptions"},"params":{"name":"order"}}',
        b'{"method":"tools/call"}',
        b'{"method":"tools/call","params":["order"]}',
        b'{"method":"tools/call","params":{"name":["order"]}}',
        message(name="order").decode().encode("utf-16"),
        b"\xef\xbb\xbf" + message(name="order"),
    ],
)
async def test_what_has_no_reading_or_two_goes_to_nobody(world: World, body: bytes) -> None:
    told = await posted(world, body)
    assert error_of(told) == (400, "invalid_request")
    assert told.json()["error_description"] == SCOPE_READABLE.says
    assert not world.api.seen


@pytest.mark.parametrize(
    "body", [b'{"method":"\\u0074ools/call","params":{"name":"\\u006frder"}}', message(name="order")]
)
async def test_a_tool_in_another_spelling_is_the_same_tool(world: World, body: bytes) -> None:
    assert error_of(await posted(world, body)) == (403, "insufficient_scope")


@stops(PLAIN, BODY_SMALL)
async def test_a_body_that_is_packed_or_too_large_is_not_read() -> None:
    world = World(body_max=1000)
    guard_tools(world.guard, scope=READ, path=MCP)
    packed = await posted(world, message("ping"), headers=[("content-encoding", "gzip")])
    assert packed.status_code == 415
    assert (await posted(world, message("ping", padding="x" * 1000))).status_code == 413
    assert not world.api.seen


def test_scopes_and_approvals_that_cannot_be_are_told_when_the_guard_is_made() -> None:
    with pytest.raises(ValueError, match="scope token"):
        tool_scopes({"order": 'a "scope"'})
    with pytest.raises(ValueError, match="covers all"):
        World().guard.needs("POST", "/x", scope=READ, approve=describe_order, scope_of=tool_scopes({}))


async def test_only_what_all_calls_need_is_listed_for_clients_to_ask_for() -> None:
    """What single tools need is asked for when they are called (MCP 2026-07-28, Scope Selection Strategy)."""
    world = World(key=None)
    guard_tools(world.guard, scope=READ, tools={"order": ORDER, "pay": "payments:make"}, path=MCP)
    told = (await world.send("GET", "/.well-known/oauth-protected-resource")).json()
    assert "payments:make" not in told["scopes_supported"]
