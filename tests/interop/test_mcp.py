"""MCP clients of others reach tools through us, by their documents and by registering, and are led to more scope."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import SERVERS, Served, serving_tools
from tests.interop.programs import Desk
from tools.node import ROOT, Node

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]
CLIENTS = ROOT / "tests" / "interop" / "clients"
ORDERED = "Loratadine 10 mg is ordered for alice"
BY_DOCUMENT, BY_REGISTERING = "by its document (CIMD)", "by registering (DCR)"
WAYS = (BY_DOCUMENT, BY_REGISTERING)
INSPECTOR = "@modelcontextprotocol/inspector"


@pytest.fixture(scope="module", params=SERVERS)
def tools(request: pytest.FixtureRequest, served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an MCP server: one of the examples, as it is."""
    yield from serving_tools(request.param, served, tmp_path_factory.mktemp("tools"))


def row(client: str, way: str) -> Any:
    what = f"client: {way}, code flow, calls a tool, steps up for another"
    return pytest.param(client, way, marks=pytest.mark.peer(f"{client} (PyPI)", what))


@pytest.mark.peer("mcp (PyPI)", "server: behind the guard, under 40 lines (examples/mcp_server.py)")
@pytest.mark.peer("fastmcp (PyPI)", "server: behind the guard, under 40 lines (examples/fastmcp_server.py)")
@pytest.mark.parametrize(("client", "way"), [row(one, way) for one in SERVERS for way in WAYS])
def test_a_python_client_calls_tools(tools: str, client: str, way: str, served: Served, desk: Desk) -> None:
    """Each client at each server."""
    pytest.importorskip(client)
    document = served.document
    told = json.loads(desk.printed(CLIENTS / f"{client}_client.py", tools, document if way is BY_DOCUMENT else "-"))
    assert told["tools"] == ["prescriptions", "order"]
    assert told["read"]["patient"] == "alice"
    assert told["ordered"] == ORDERED
    assert told["read"]["asked_by"] == told["client_id"]
    assert (told["client_id"] == document) is (way is BY_DOCUMENT)
    if "asked" in told:
        scopes = ["prescriptions:read", "prescriptions:order prescriptions:read"]
        assert [" ".join(sorted(asked["scope"].split())) for asked in told["asked"]] == told["scope"] == scopes
        assert {asked["resource"] for asked in told["asked"]} == {tools}


# --- Node's ---------------------------------------------------------------------------------------------------------


INSPECTS = {way: pytest.mark.peer(f"{INSPECTOR} (npm)", f"CLI: {way}, code flow, calls a tool") for way in WAYS}
STEPS_UP = {way: pytest.mark.peer(f"{INSPECTOR} (npm)", f"CLI: {way}, steps up for another tool") for way in WAYS}
RENEWS = pytest.mark.xfail(reason="where it holds a refresh token, it renews that instead of asking for more, and ends")


@pytest.mark.parametrize("way", [pytest.param(way, marks=INSPECTS[way]) for way in WAYS])
def test_the_inspector_calls_a_tool(sdk_tools: str, way: str, served: Served, desk: Desk, mcp_node: Node) -> None:
    told = inspected(desk, mcp_node, sdk_tools, served, way, "prescriptions")
    assert told["patient"] == "alice"
    assert (told["asked_by"] == served.document) is (way is BY_DOCUMENT)


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(BY_DOCUMENT, marks=STEPS_UP[BY_DOCUMENT]),
        pytest.param(BY_REGISTERING, marks=[STEPS_UP[BY_REGISTERING], RENEWS]),
    ],
)
def test_the_inspector_steps_up(sdk_tools: str, way: str, served: Served, desk: Desk, mcp_node: Node) -> None:
    told = inspected(desk, mcp_node, sdk_tools, served, way, "order", "--tool-arg", "medicine=Loratadine 10 mg")
    assert told["result"] == ORDERED


def inspected(desk: Desk, node: Node, url: str, served: Served, way: str, tool: str, *more: str) -> dict[str, Any]:
    """What the tool answered to the inspector."""
    program: Path = node.home / "node_modules" / INSPECTOR / "clients" / "launcher" / "build" / "index.js"
    by = ["--client-metadata-url", served.document] if way is BY_DOCUMENT else []
    done = desk.ran(
        *(node.program, program),
        *("--cli", "--server-url", url, "--transport", "http", *by),
        *("--method", "tools/call", "--format", "json", "--tool-name", tool, *more),
        said="y\n",  # it asks whether to step up
        MCP_AUTO_OPEN_ENABLED="true",
        MCP_INSPECTOR_SECRET_STORE="memory",
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)["result"]["structuredContent"]
    return told


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(way, marks=pytest.mark.peer("mcp-remote (npm)", f"{way}, code flow, calls a tool, steps up"))
        for way in WAYS
    ],
)
def test_mcp_remote_calls_tools(sdk_tools: str, way: str, served: Served, desk: Desk, mcp_node: Node) -> None:
    """It is spoken to over standard input and output, as by a program that knows no other way."""
    program = mcp_node.home / "node_modules" / "mcp-remote" / "dist" / "proxy.js"
    by = ["--client-metadata-url", served.document] if way is BY_DOCUMENT else []
    log = desk.browser.parent / "remote.log"
    with log.open("w") as out, desk.started(mcp_node, program, sdk_tools, *by, log=out) as remote:
        try:
            _says(
                remote,
                "initialize",
                protocolVersion="2025-11-25",
                capabilities={},
                clientInfo={"name": "a", "version": "1"},
            )
            _says(remote, "notifications/initialized", number=None)
            read = _says(remote, "tools/call", name="prescriptions", arguments={})["structuredContent"]
            ordered = _says(remote, "tools/call", name="order", arguments={"medicine": "Loratadine 10 mg"})
        finally:
            remote.terminate()
    assert read["patient"] == "alice"
    assert (read["asked_by"] == served.document) is (way is BY_DOCUMENT)
    assert ordered["structuredContent"]["result"] == ORDERED


def _says(remote: Any, method: str, *, number: int | None = 1, **params: Any) -> dict[str, Any]:
    message = {"jsonrpc": "2.0", "method": method, "params": params} | ({} if number is None else {"id": number})
    remote.stdin.write(json.dumps(message) + "\n")
    remote.stdin.flush()
    if number is None:
        return {}
    answer = json.loads(remote.stdout.readline())
    result: dict[str, Any] = answer["result"]
    return result
