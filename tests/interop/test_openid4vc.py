"""npm @openid4vc: a foreign wallet takes our offer and answers our request; and ours does, from the command line."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.interop.conftest import free_port, running
from tests.jose.test_x509 import issue
from tests.support.pages import SAME_ORIGIN, text_of, token_on
from tests.vc.verifying import dns, signing
from tools.node import OPENID4VC, NotHere, ready

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]
SCRIPT = Path(__file__).with_name("openid4vc.mjs")
VCT = "https://uni.example/types/diploma/2"
SETTINGS = f"""
[credentials]
anonymous = true
request_key = "var/request.jwk"
certificate = "certificate.pem"
key = "certificate.jwk"
[credentials.issued.diploma]
vct = "{VCT}"
scope = "diploma"
hides = ["given_name", "degree.title", "degree.year"]
[credentials.asked.degree]
purpose = "The library wants to know that you have a degree."
[[credentials.asked.degree.query.credentials]]
id = "dip"
format = "dc+sd-jwt"
meta = {{ vct_values = ["{VCT}"] }}
claims = [{{ path = ["degree", "title"] }}]
"""


@dataclass(frozen=True)
class Issuer:
    """A server of its own that issues and asks, and the folder where it runs."""

    url: str
    folder: Path
    environment: dict[str, str]

    def run(self, *words: str) -> str:
        command = [sys.executable, "-m", "deputize.cli.main", "vc", *words]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def offer(self, *words: str) -> dict[str, str]:
        told: dict[str, str] = json.loads(
            self.run("offer", "diploma", "--claims", "claims.json", "--dev", "--json", *words)
        )
        return told


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    folder = tmp_path_factory.mktemp("issuer")
    now = datetime.now(UTC)
    life = {"since": now - timedelta(days=1), "until": now + timedelta(days=2)}
    root = issue("root", authority=True, **life)  # type: ignore[arg-type]  # two of its times
    leaf = issue("verifier", root, extra=(dns("verifier.example"),), **life)  # type: ignore[arg-type]  # the same
    chain = b"".join(one.certificate.public_bytes(Encoding.PEM) for one in (leaf, root))
    (folder / "certificate.pem").write_bytes(chain)
    (folder / "roots.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    (folder / "certificate.jwk").write_text(json.dumps(signing(leaf).to_jwk()))
    (folder / "claims.json").write_text('{"given_name": "Alice", "degree": {"title": "Physics", "year": 2025}}')
    (folder / "deputize.toml").write_text(SETTINGS)
    (folder / "var").mkdir()
    port, management = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "DEPUTIZE_SERVER__ISSUER": url,
        "DEPUTIZE_SERVER__PORT": str(port),
        "DEPUTIZE_SERVER__MANAGEMENT_PORT": str(management),
    }
    with running([sys.executable, "-m", "deputize.cli.main", "serve", "--dev"], f"{url}/jwks", folder, environment):
        yield Issuer(url, folder, environment)


def begun(browser: httpx2.Client) -> str:
    """The link on the page of a request that this browser has begun."""
    page = browser.get("/present/degree")
    fields = {"token": token_on(page), "device": "this"}
    page = browser.post("/present/degree", data=fields, headers=SAME_ORIGIN, follow_redirects=True)
    found = re.search(r'href="(openid4vp://[^"]*)"', page.text)
    assert found, page.text
    return unescape(found[1])


@pytest.mark.peer(
    "@openid4vc/openid4vci (npm)", "wallet: takes an offer with a transaction code, with DPoP, and notifies"
)
@pytest.mark.peer("@openid4vc/openid4vp (npm)", "wallet: answers a signed request (x509_hash) with an encrypted answer")
def test_a_foreign_wallet_takes_our_offer_and_answers_our_request(issuer: Issuer) -> None:
    try:
        node = ready(OPENID4VC)
    except NotHere as why:
        pytest.skip(f"no Node here, or no packages for it: {why}")
    offer = issuer.offer("--tx-code", "--by-reference")
    with httpx2.Client(base_url=issuer.url) as browser:
        told = {"offer": offer["link"], "tx_code": offer["tx_code"], "request": begun(browser), "show": "title"}
        done = subprocess.run(
            [node.program, node.script(SCRIPT), json.dumps(told)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        seen: dict[str, Any] = json.loads(done.stdout)
        assert seen["issuer"] == f"{issuer.url}/credentials"
        assert seen["token_type"] == "DPoP"
        assert (seen["client"], seen["encrypted"], seen["status"]) == ("x509_hash", True, 200)
        page = text_of(browser.get(seen["back"]["redirect_uri"]))
    assert "degree.title Physics" in page
    assert "Alice" not in page


def test_our_own_wallet_does_the_same_from_the_command_line(issuer: Issuer) -> None:
    offer = issuer.offer("--tx-code")
    kept = json.loads(issuer.run("accept", offer["link"], "--tx-code", offer["tx_code"], "--dev"))
    assert kept["given_name"] == "Alice"
    wallet = issuer.folder / "var" / "wallet.json"
    assert wallet.stat().st_mode & 0o777 == 0o600
    with httpx2.Client(base_url=issuer.url) as browser:
        said = issuer.run("present", begun(browser), "--dev", "--roots", "roots.pem", "--yes")
        back = re.search(r"began: (\S+)", said)
        assert back, said
        assert "degree.title Physics" in text_of(browser.get(back[1]))
