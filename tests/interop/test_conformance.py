"""MCP's conformance suite: our server is the authorization server, and our SDK the client in each `auth/*` scenario."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.interop.conftest import Served, free_port
from tests.interop.person import allows
from tests.interop.programs import Desk
from tools.node import ROOT, Node

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

SUITE = "@modelcontextprotocol/conformance"
CLIENT = ROOT / "tests" / "interop" / "clients" / "conformance.py"
CHAINING = pytest.mark.xfail(strict=True, reason="needs ID-JAG, which the SDK does not have yet")
WORKLOADS = pytest.mark.xfail(strict=True, reason="needs the jwt-bearer grant, which the SDK does not have yet")
LATER = {"enterprise-managed-authorization": CHAINING, "wif-jwt-bearer": WORKLOADS}
SCENARIOS = (
    "metadata-default",
    "metadata-var1",
    "metadata-var2",
    "metadata-var3",
    "basic-cimd",
    "scope-from-www-authenticate",
    "scope-from-scopes-supported",
    "scope-omitted-when-undefined",
    "scope-step-up",
    "scope-retry-limit",
    "token-endpoint-auth-basic",
    "token-endpoint-auth-post",
    "token-endpoint-auth-none",
    "pre-registration",
    "2025-03-26-oauth-metadata-backcompat",
    "2025-03-26-oauth-endpoint-fallback",
    "resource-mismatch",
    "offline-access-scope",
    "offline-access-not-supported",
    "authorization-server-migration",
    "iss-supported",
    "iss-not-advertised",
    "iss-supported-missing",
    "iss-wrong-issuer",
    "iss-unexpected",
    "iss-normalized",
    "metadata-issuer-mismatch",
    "client-credentials-jwt",
    "client-credentials-basic",
    "enterprise-managed-authorization",
    "dpop",
    "dpop-nonce",
    "wif-jwt-bearer",
)
SERVER_SCENARIOS = ("authorization-server-metadata-endpoint", "authorization-code-grant")


def program(node: Node) -> Path:
    return node.home / "node_modules" / SUITE / "dist" / "index.js"


def of_server(scenario: str) -> Any:
    return pytest.param(scenario, marks=pytest.mark.peer(f"{SUITE} (npm)", f"authorization server: {scenario}"))


def of_client(scenario: str) -> Any:
    marks = [pytest.mark.peer(f"{SUITE} (npm)", f"client: auth/{scenario}")]
    if scenario in LATER:
        marks.append(LATER[scenario])
    return pytest.param(scenario, marks=marks)


def test_these_are_all_its_scenarios(mcp_node: Node, desk: Desk) -> None:
    told = desk.ran(mcp_node.program, program(mcp_node), "list").stdout
    assert set(re.findall(r"^  - auth/(\S+)", told, re.MULTILINE)) == set(SCENARIOS)
    _, _, of_servers = told.partition("Authorization server scenarios")
    assert set(re.findall(r"^  - (\S+)", of_servers, re.MULTILINE)) == set(SERVER_SCENARIOS)


# --- our server -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server_checks(served: Served, mcp_node: Node, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What the suite found at our server, by scenario; Alice went to the page that it printed."""
    out = tmp_path_factory.mktemp("server")
    command = [mcp_node.program, program(mcp_node), "authorization", "--url", served.issuer, "-o", out]
    command += ["--client-id", served.app_client, "--resource", served.resource, "--port", str(free_port())]
    with subprocess.Popen([str(part) for part in command], cwd=out, stdout=subprocess.PIPE, text=True) as suite:
        assert suite.stdout is not None
        for line in suite.stdout:
            if line.startswith(f"{served.issuer}/authorize?"):
                httpx2.get(allows(line.strip(), "alice", served.password), trust_env=False)
    return {scenario: checks_in(out, scenario) for scenario in SERVER_SCENARIOS}


@pytest.mark.parametrize("scenario", [of_server(each) for each in SERVER_SCENARIOS])
def test_our_server(
    server_checks: dict[str, list[Any]], scenario: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("why", all_good(server_checks[scenario]))


# --- our SDK --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", [of_client(each) for each in SCENARIOS])
def test_our_client(
    scenario: str, desk: Desk, mcp_node: Node, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    out = tmp_path / "out"
    command = (mcp_node.program, program(mcp_node), "client", "--command", f"{sys.executable} {CLIENT}")
    done = desk.ran(*command, "--scenario", f"auth/{scenario}", "-o", out)
    record_property("why", all_good(checks_in(out, scenario)))
    assert done.returncode == 0, done.stdout[-2000:]


def checks_in(out: Path, scenario: str) -> list[Any]:
    """The checks that the suite wrote down for a scenario."""
    (found,) = (path for path in out.rglob("checks.json") if scenario in str(path.parent))
    checks: list[Any] = json.loads(found.read_text())
    return checks


def all_good(checks: list[Any]) -> str:
    """That no check failed or warned, in words."""
    bad = [(check["id"], check.get("errorMessage")) for check in checks if check["status"] not in {"SUCCESS", "INFO"}]
    assert not bad, bad
    return f"checks: {sum(check['status'] == 'SUCCESS' for check in checks)}"
