"""npm openid-client registers itself here, holds what it is told to be well made, and people allow it what it asks."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import Served
from tests.interop.person import allows
from tools.node import Node

pytestmark = [
    pytest.mark.timeout(400),  # the first run installs the packages
    pytest.mark.peer("openid-client (npm)", "registers itself (RFC 7591), and is allowed what it asks"),
]

SCRIPT = Path(__file__).with_name("openid_client_register.mjs")


@pytest.fixture(scope="module")
def found(served: Served, foreign: Node) -> dict[str, Any]:
    """What the script saw, while Alice went to each page that it opened."""
    with subprocess.Popen(
        [foreign.program, foreign.script(SCRIPT), json.dumps(served.told())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as script:
        assert script.stdin is not None
        assert script.stdout is not None
        assert script.stderr is not None
        for line in script.stdout:
            said = json.loads(line)
            if "found" in said:
                told: dict[str, Any] = said["found"]
                return told
            script.stdin.write(allows(said["open"], "alice", served.password) + "\n")
            script.stdin.flush()
        raise AssertionError(script.stderr.read())


@pytest.mark.parametrize(
    ("way", "method", "secret"),
    [
        ("public", "none", "undefined"),
        ("secret", "client_secret_post", "string"),
        ("signs", "private_key_jwt", "undefined"),
    ],
)
def test_it_becomes_a_client_and_is_allowed_what_it_asks(
    found: dict[str, Any], served: Served, way: str, method: str, secret: str
) -> None:
    told = found[way]
    assert told["secrets"] == ["string", secret, "string"]
    assert told["said"]["token_endpoint_auth_method"] == method
    assert told["said"]["registration_client_uri"].startswith(f"{served.issuer}/register/")
    assert told["scope"] == f"openid {served.scope}"
    assert (told["sub"], told["fresh"]) == ("alice", "bearer")
