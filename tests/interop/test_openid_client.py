"""npm openid-client and oauth4webapi, certified clients of somebody else's, against our server."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import Served
from tools.node import Node

pytestmark = [
    pytest.mark.timeout(400),  # the first run installs the packages
    pytest.mark.peer("openid-client (npm)", "client credentials: key, secret, DPoP; introspects and revokes"),
    pytest.mark.peer("oauth4webapi (npm)", "an API: holds our tokens, and the proofs of bound ones"),
]

SCRIPT = Path(__file__).with_name("openid_client.mjs")


@pytest.fixture(scope="module")
def found(served: Served, foreign: Node) -> dict[str, Any]:
    """What the script saw."""
    done = subprocess.run(
        [foreign.program, foreign.script(SCRIPT), json.dumps(served.told())],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("way", ["key", "key_by_oauth_metadata", "basic", "post"])
def test_it_obtains_a_token_and_an_api_accepts_it(found: dict[str, Any], served: Served, way: str) -> None:
    told = found[way]
    assert told["token_type"] == "bearer"
    assert told["claims"]["iss"] == served.issuer
    assert told["claims"]["aud"] == served.resource
    assert told["claims"]["scope"] == told["scope"] == served.scope


def test_with_dpop_the_token_is_bound_and_an_api_holds_the_proof(found: dict[str, Any]) -> None:
    told = found["key_bound"]
    assert told["token_type"] == "dpop"
    assert told["claims"]["cnf"]["jkt"]


def test_a_secret_that_signs_is_no_proof(found: dict[str, Any]) -> None:
    """client_secret_jwt: docs/divergences.md."""
    assert found["secret_jwt"] == "invalid_client"


def test_it_introspects_and_revokes(found: dict[str, Any]) -> None:
    assert found["introspected"]["active"] is True
    assert found["introspected_after_revocation"] == {"active": False}
