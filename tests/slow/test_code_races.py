"""RC-01: a hundred exchanges of one code at once, over four workers: one wins, and then nobody has it."""

import json
import socket
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx2
import pytest

from tests.cli.test_serving import Running, serving, until
from tests.interop.person import allows
from tests.slow.conftest import Say
from tests.support.flow import VERIFIER, challenge_of, query_of

pytestmark = pytest.mark.slow

CONNECTIONS, WORKERS, ROUNDS = 100, 4, 3
REDIRECT_URI = "http://127.0.0.1:5097/callback"


def a_code(running: Running, password: str) -> str:
    asked = {
        "response_type": "code",
        "client_id": "demo-app",
        "redirect_uri": REDIRECT_URI,
        "scope": "openid prescriptions:read",
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
    }
    return query_of(allows(f"{running.issuer}/authorize?{urlencode(asked)}", "alice", password))["code"]


def exchanged(running: Running, code: str) -> list[tuple[int, dict[str, str]]]:
    """The answers to as many exchanges as there are connections: all are open, and only then is the last byte sent."""
    form = {
        "grant_type": "authorization_code",
        "client_id": "demo-app",
        "code": code,
        "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
    }
    body, where = urlencode(form).encode(), urlsplit(running.issuer)
    head = (
        f"POST /token HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode()
    connections = [socket.create_connection((where.hostname or "", where.port or 0), 20) for _ in range(CONNECTIONS)]
    for connection in connections:
        connection.sendall(head + body[:-1])
    for connection in connections:
        connection.sendall(body[-1:])
    return [_read(connection) for connection in connections]


def _read(connection: socket.socket) -> tuple[int, dict[str, str]]:
    told = b""
    with connection:
        while part := connection.recv(65536):
            told += part
    head, _, body = told.partition(b"\r\n\r\n")
    return int(head[9:12]), json.loads(body)


def test_one_wins_and_the_family_is_revoked(
    place: str, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("DEPUTIZE_STORE__PATH", place)
    with serving(tmp_path, "--workers", str(WORKERS)) as running:
        until((tmp_path / "var/dev/apps.json").exists)
        password = json.loads((tmp_path / "var/dev/people.json").read_text())["alice"]["password"]
        for _ in range(ROUNDS):
            answers = exchanged(running, a_code(running, password))
            won = [told for status, told in answers if status == 200]
            lost = [told for status, told in answers if status == 400]
            assert (len(won), len(lost)) == (1, CONNECTIONS - 1)
            assert {told["error"] for told in lost} == {"invalid_grant"}
            headers = {"authorization": f"Bearer {won[0]['access_token']}"}
            assert httpx2.get(f"{running.issuer}/userinfo", headers=headers, trust_env=False).status_code == 401
            form = {"grant_type": "refresh_token", "refresh_token": won[0]["refresh_token"], "client_id": "demo-app"}
            again = httpx2.post(f"{running.issuer}/token", data=form, trust_env=False)
            assert again.json()["error"] == "invalid_grant"
        say(
            f"{request.node.callspec.params['place']}: {ROUNDS} codes, each exchanged on {CONNECTIONS} connections"
            f" over {WORKERS} workers: one won each, and had nothing after"
        )
