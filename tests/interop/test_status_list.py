"""npm @owf/token-status-list: it reads our lists in both forms, and we read its."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deputize.core.wire import b64u, b64u_bytes
from deputize.jose import jwt
from deputize.vc.status_list import Reference
from deputize.vc.status_token import Form
from tests.vc.lists import GOOD, KEY, NOW, ODD, REVOKED, SIZE, SUSPENDED, TOLD, URI, a_token, reading
from tools.node import Node

pytestmark = pytest.mark.peer("@owf/token-status-list (npm)", "status lists: reads ours, JWT and CWT, and we read its")

SCRIPT = Path(__file__).with_name("status_list.mjs")
LOOKED_AT = (REVOKED, SUSPENDED, ODD, GOOD, SIZE - 1)
STATUSES = [1, 2, 3, 0, 1]
REFERENCE = Reference(REVOKED, URI)
AGGREGATION = "https://status.example/lists"


@pytest.fixture(scope="module")
def npm(foreign: Node) -> dict[str, Any]:
    """What npm's library makes, and what it sees in ours."""
    told = {
        "key": KEY.to_jwk(),
        "public_key": KEY.public_jwk(),
        "now": NOW,
        "uri": URI,
        "bits": 2,
        "size": SIZE,
        "statuses": TOLD,
        "looked_at": LOOKED_AT,
        "jwt": a_token(Form.JWT, aggregation_uri=AGGREGATION).decode(),
        "cwt": b64u(a_token(Form.CWT, aggregation_uri=AGGREGATION)),
        "jwt_alone": a_token(Form.JWT).decode(),
        "cwt_alone": b64u(a_token(Form.CWT)),
        "referring": jwt.sign({"status": REFERENCE.claim()}, KEY, typ="at+jwt"),
    }
    done = subprocess.run(
        [foreign.program, foreign.script(SCRIPT), json.dumps(told)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.timeout(400)  # the first run installs the packages
def test_npm_reads_ours(npm: dict[str, Any]) -> None:
    assert npm["jwt"] == {"holds": True, "typ": "statuslist+jwt", "statuses": STATUSES}
    assert npm["cwt"] == {
        "holds": True,
        "typ": "application/statuslist+cwt",
        "sub": URI,
        "ttl": 60,
        "statuses": STATUSES,
    }
    assert npm["entry"] == {"idx": REVOKED, "uri": URI}


@pytest.mark.timeout(400)  # the same
def test_we_read_npms(npm: dict[str, Any]) -> None:
    for made, form in ((npm["made_jwt"].encode(), Form.JWT), (b64u_bytes(npm["made_cwt"]), Form.CWT)):
        read = reading(made, form)
        assert [read.statuses.at(idx) for idx in LOOKED_AT] == STATUSES
        assert (read.uri, read.issued_at, read.until, read.ttl) == (URI, NOW, NOW + 600, 60)


@pytest.mark.timeout(400)  # the same
def test_npm_wants_an_aggregation_uri_in_a_cwt(npm: dict[str, Any]) -> None:
    """The draft (Status List in CBOR Format) has it as optional in both forms; npm's reader of CWTs misses it.

    Our server tells it in every list, so npm reads all of ours; whoever makes a CWT for npm by `vc` alone does so, too.
    """
    assert npm["jwt_alone"]["statuses"] == STATUSES
    assert "aggregation_uri" in npm["cwt_alone"]
