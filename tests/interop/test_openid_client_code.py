"""npm openid-client goes through our code flow: plain, pushed, signed, bound to a key, with a signed answer."""

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
    pytest.mark.peer("openid-client (npm)", "code flow: PAR, JAR, JARM, DPoP; ID token, UserInfo, refresh"),
]

SCRIPT = Path(__file__).with_name("openid_client_code.mjs")
WAYS = ("plain", "pushed_and_bound", "public_and_bound", "signed", "signed_and_pushed", "signed_answer")


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


@pytest.mark.parametrize("way", WAYS)
def test_it_learns_who_the_person_is(found: dict[str, Any], served: Served, way: str) -> None:
    told = found[way]
    assert told["scope"] == f"openid {served.scope} profile"
    assert told["who"] == {"sub": "alice", "name": "Alice"}
    assert told["claims"]["iss"] == served.issuer
    assert told["claims"]["auth_time"]
    bound = "bound" in way or way == "signed_and_pushed"
    assert (told["token_type"], told["fresh"]) == (("dpop", "dpop") if bound else ("bearer", "bearer"))


def test_what_was_pushed_does_not_travel_through_the_browser(found: dict[str, Any]) -> None:
    for way in ("pushed_and_bound", "public_and_bound", "signed_and_pushed"):
        assert sorted(found[way]["parameters"]) == ["client_id", "request_uri"]
    assert sorted(found["signed"]["parameters"]) == ["client_id", "request"]


def test_an_answer_comes_signed_where_the_client_wants_that(found: dict[str, Any]) -> None:
    assert [way for way in WAYS if found[way]["response"]] == ["signed_answer"]
