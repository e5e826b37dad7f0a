"""OAuth clients that know nothing of MCP reach a tool through us, by a client's own document."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.interop.clients.tool_call import answered
from tests.interop.conftest import Served
from tests.interop.person import allows
from tests.interop.programs import Desk
from tools.node import ROOT, Node

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]
CLIENTS = ROOT / "tests" / "interop" / "clients"
REACHES = "code flow with PKCE, by its document; calls a tool, and is told what another needs"


@pytest.mark.parametrize(
    "package",
    [
        pytest.param(name, marks=pytest.mark.peer(f"{name} (PyPI)", REACHES))
        for name in ("authlib", "requests-oauthlib")
    ],
)
def test_a_python_library_reaches_a_tool(package: str, sdk_tools: str, served: Served, desk: Desk) -> None:
    module = package.replace("-", "_")
    pytest.importorskip(module)
    script = CLIENTS / f"{module}_client.py"
    told = json.loads(desk.printed(script, served.issuer, sdk_tools, served.document))
    assert told["read"]["patient"] == "alice"
    assert told["read"]["asked_by"] == served.document
    status, challenge = told["refused"]
    assert status == 403
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="prescriptions:order prescriptions:read"' in challenge


@pytest.mark.peer("openid-client (npm)", "PAR, PKCE, DPoP and iss, by its document; calls a tool with a proof")
def test_openid_client_reaches_a_tool(sdk_tools: str, served: Served, foreign: Node) -> None:
    assert sdk_tools == served.tools
    script = foreign.script(Path(__file__).with_name("openid_client_tool.mjs"))
    with subprocess.Popen(
        [foreign.program, script, json.dumps(served.told())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        found = _found(program, served)
    assert found["token_type"] == "dpop"
    assert found["iss"] == served.issuer
    assert answered(found["text"])["patient"] == "alice"
    assert found["refused"]["status"] == 403
    assert ["dpop", "insufficient_scope", "prescriptions:order prescriptions:read"] in found["refused"]["challenge"]


def _found(program: "subprocess.Popen[str]", served: Served) -> dict[str, Any]:
    assert program.stdin is not None
    assert program.stdout is not None
    for line in program.stdout:
        said = json.loads(line)
        if "found" in said:
            told: dict[str, Any] = said["found"]
            return told
        program.stdin.write(allows(said["open"], "alice", served.password) + "\n")
        program.stdin.flush()
    raise AssertionError("it ended without a word")


@pytest.mark.peer("mcp (PyPI)", "client: with deputize.sdk as its authentication, DPoP, steps up")
def test_the_sdks_client_with_ours_as_its_authentication(sdk_tools: str, served: Served, desk: Desk) -> None:
    pytest.importorskip("mcp")
    told = json.loads(desk.printed(CLIENTS / "mcp_with_dpop.py", sdk_tools, served.document, served.issuer))
    assert told["read"]["patient"] == "alice"
    assert told["ordered"] == "Loratadine 10 mg is ordered for alice"
    assert set(told["schemes"]) == {"DPoP"}
