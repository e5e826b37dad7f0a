"""MCP clients of others reach a tool through us: at a server of the official SDK, and at one of FastMCP."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import ROOT, Served, running

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
CLIENTS = ROOT / "tests" / "interop" / "clients"
EXAMPLES = ROOT / "examples"
SERVERS = {"mcp": "mcp_server.py", "fastmcp": "fastmcp_server.py"}


@pytest.fixture(scope="module", params=SERVERS)
def tools(request: pytest.FixtureRequest, served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an MCP server: one of the examples, as it is."""
    pytest.importorskip(request.param)
    command = [sys.executable, str(EXAMPLES / SERVERS[request.param]), str(served.tools_file)]
    with running(command, served.tools, tmp_path_factory.mktemp("tools"), dict(os.environ)):
        yield served.tools


def told_by(script: str, served: Served, browser: Path, *arguments: str) -> dict[str, Any]:
    """What a client's program printed."""
    done = subprocess.run(
        [sys.executable, CLIENTS / script, *arguments],
        cwd=browser.parent,
        env={
            **os.environ,
            "ALICE_PASSWORD": served.password,
            "BROWSER": str(browser),
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_the_sdks_client_by_its_document(tools: str, served: Served, browser: Path) -> None:
    told = told_by("mcp_client.py", served, browser, tools, served.document)
    assert told["tools"] == ["prescriptions", "order"]
    assert told["read"]["patient"] == "alice"
    assert told["ordered"] == "Loratadine 10 mg is ordered for alice"
    assert told["client_id"] == served.document
    assert told["scope"] == ["prescriptions:read", "prescriptions:order prescriptions:read"]
    assert [set(asked["scope"].split()) for asked in told["asked"]] == [set(scope.split()) for scope in told["scope"]]
    assert {asked["resource"] for asked in told["asked"]} == {served.tools}
    print(told['read'])


def test_fastmcps_client_by_its_document(tools: str, served: Served, browser: Path) -> None:
    told = told_by("fastmcp_client.py", served, browser, tools, served.document)
    assert told["tools"] == ["prescriptions", "order"]
    assert told["read"]["patient"] == "alice"
    assert told["ordered"] == "Loratadine 10 mg is ordered for alice"
    assert told["client_id"] == served.document
