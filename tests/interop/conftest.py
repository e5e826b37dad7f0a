"""A real `deputize serve --dev` process on loopback, for clients that others wrote."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deputize.adapters.sqlite import SqliteStore
from deputize.core.ports import Add
from deputize.oauth.client import Client, SecretHash, secret_hash
from tools import node

START_SECONDS_MAX = 30
POST_CLIENT = "try-secret-in-the-body"


@dataclass(frozen=True, slots=True)
class Served:
    """The server, and the clients that it made for trying things."""

    issuer: str
    resource: str
    scope: str
    key_client: str
    key: dict[str, Any]
    secret_client: str
    post_client: str
    secret: str
    app_client: str
    web_client: str
    web_key: dict[str, Any]
    password: str

    @property
    def token_endpoint(self) -> str:
        return f"{self.issuer}/token"

    def told(self) -> dict[str, Any]:
        """As the scripts read it."""
        return {name: getattr(self, name) for name in self.__slots__}


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    port, management_port = (_free_port() for _ in range(2))
    issuer = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "DEPUTIZE_SERVER__ISSUER": issuer,
        "DEPUTIZE_SERVER__PORT": str(port),
        "DEPUTIZE_SERVER__MANAGEMENT_PORT": str(management_port),
        "DEPUTIZE_OAUTH__REGISTRATION__MODE": "open",
        "DEPUTIZE_OAUTH__REGISTRATION__AUDIENCES": '["*"]',
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deputize.cli.main", "serve", "--dev"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        _wait(process, issuer, folder / "log")
        told, apps, people = (
            json.loads((folder / "var" / "dev" / f"{name}.json").read_text()) for name in ("try", "apps", "people")
        )
        asyncio.run(_add_post_client(folder / "var" / "deputize.db", told))
        yield Served(
            issuer=issuer,
            resource=told["resource"],
            scope="prescriptions:read",
            key_client=told["private_key_jwt"]["client_id"],
            key=told["private_key_jwt"]["key"],
            secret_client=told["client_secret_basic"]["client_id"],
            post_client=POST_CLIENT,
            secret=told["client_secret_basic"]["secret"],
            app_client=apps["native"],
            web_client=apps["web"]["client_id"],
            web_key=apps["web"]["key"],
            password=people["alice"]["password"],
        )
    finally:
        process.terminate()
        process.wait(15)


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def _wait(process: "subprocess.Popen[bytes]", issuer: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            if httpx2.get(f"{issuer}/jwks").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)


async def _add_post_client(path: Path, told: dict[str, Any]) -> None:
    """What `serve --dev` has not made: a client that sends its secret in the body. Written past the server."""
    store = SqliteStore(path)
    try:
        added = await store.commit(
            Add(
                Client(
                    key=POST_CLIENT,
                    name="Try it, with a secret in the body",
                    auth_method="client_secret_post",
                    grant_types=frozenset({"client_credentials"}),
                    audiences=frozenset({told["resource"]}),
                    scope=frozenset({"prescriptions:read"}),
                    secrets=(SecretHash(secret_hash(told["client_secret_basic"]["secret"])),),
                )
            )
        )
    finally:
        await store.close()
    assert added


@pytest.fixture(scope="session")
def foreign() -> node.Node:
    """Node with the packages of foreign clients; where they cannot be had, what needs them is skipped out loud."""
    try:
        return node.ready()
    except node.NotHere as why:
        pytest.skip(f"no Node here, or no packages for it: {why}")
