"""npm openid-client at a server that ends TLS itself: a certificate is the client's proof."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from deputize.adapters.sqlite import SqliteStore
from deputize.core.ports import Add
from deputize.jose.x509 import thumbprint
from deputize.oauth.client import Client
from deputize.oauth.client_auth import mtls
from tests.interop.conftest import free_port, running
from tests.jose.test_x509 import issue
from tools.node import Node

pytestmark = [
    pytest.mark.timeout(400),  # the first run installs the packages
    pytest.mark.peer("openid-client (npm)", "client credentials: a certificate of an authority, and one of its own"),
]

SCRIPT = Path(__file__).with_name("openid_client_tls.mjs")
WAYS = {"ca_issued": "ca-bot", "self_signed": "pinned-bot", "another_s": "ca-bot", "none": "pinned-bot"}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, foreign: Node) -> Iterator[dict[str, Any]]:
    """What the script saw."""
    folder = tmp_path_factory.mktemp("tls")
    x5t = _certificates(folder)
    port, management_port = free_port(), free_port()
    issuer = f"https://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "DEPUTIZE_SERVER__ISSUER": issuer,
        "DEPUTIZE_SERVER__PORT": str(port),
        "DEPUTIZE_SERVER__MANAGEMENT_PORT": str(management_port),
        "DEPUTIZE_SERVER__TLS_CERTIFICATE": str(folder / "server.pem"),
        "DEPUTIZE_SERVER__TLS_KEY": str(folder / "server.pem"),
        "DEPUTIZE_SERVER__CLIENT_AUTHORITIES": str(folder / "clients.pem"),
    }
    serve = [sys.executable, "-m", "deputize.cli.main", "serve", "--dev"]
    with running(serve, f"http://127.0.0.1:{management_port}/readyz", folder, environment):
        told = json.loads((folder / "var" / "dev" / "try.json").read_text())
        asyncio.run(_add_clients(folder / "var" / "deputize.db", told["resource"], x5t))
        pems = {way: {"cert": f"{folder}/{way}.pem", "key": f"{folder}/{way}.pem"} for way in WAYS if way != "none"}
        asked = {
            "issuer": issuer,
            "resource": told["resource"],
            "scope": "prescriptions:read",
            "ca_file": str(folder / "ca.pem"),
            "ways": [{"way": way, "client_id": name, "certificate": pems.get(way)} for way, name in WAYS.items()],
        }
        done = subprocess.run(
            [foreign.program, foreign.script(SCRIPT), json.dumps(asked)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        yield json.loads(done.stdout)


def _certificates(folder: Path) -> str:
    """The files of one authority, of the server, and of three clients; the thumbprint of the one that is pinned."""
    ca, now = trustme.CA(), datetime.now(UTC)
    pinned = issue("pinned-bot", since=now - timedelta(hours=1), until=now + timedelta(days=1))
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, made in (
        ("server", ca.issue_cert("127.0.0.1")),
        ("ca_issued", ca.issue_cert("bot.example")),
        ("another_s", ca.issue_cert("other.example")),
    ):
        made.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}.pem"))
    certificate = pinned.certificate.public_bytes(Encoding.PEM)
    key = pinned.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "self_signed.pem").write_bytes(key + certificate)
    (folder / "clients.pem").write_bytes(ca.cert_pem.bytes() + certificate)
    return thumbprint(pinned.der)


async def _add_clients(path: Path, resource: str, x5t: str) -> None:
    told: dict[str, Any] = {
        "grant_types": frozenset({"client_credentials"}),
        "audiences": frozenset({resource}),
        "scope": frozenset({"prescriptions:read"}),
    }
    store = SqliteStore(path)
    try:
        assert await store.commit(
            Add(
                Client(
                    key="ca-bot",
                    name="A",
                    auth_method=mtls.CA_ISSUED,
                    certificate_subject="san_dns:bot.example",
                    **told,
                )
            ),
            Add(
                Client(key="pinned-bot", name="B", auth_method=mtls.SELF_SIGNED, certificates=frozenset({x5t}), **told)
            ),
        )
    finally:
        await store.close()


@pytest.mark.parametrize("way", ["ca_issued", "self_signed"])
def test_the_certificate_lets_it_in_and_its_token_is_bound_to_it(found: dict[str, Any], way: str) -> None:
    assert found[way]["claims"]["client_id"] == WAYS[way]
    assert found[way]["claims"]["cnf"].keys() == {"x5t#S256"}


@pytest.mark.parametrize("way", ["another_s", "none"])
def test_another_certificate_or_none_does_not(found: dict[str, Any], way: str) -> None:
    assert found[way] == {"error": "invalid_client"}
