"""A real `deputize serve --dev` process on loopback, for clients that others wrote."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deputize.adapters.sqlite import SqliteStore
from deputize.core.ports import Add
from deputize.oauth.client import Client, SecretHash, secret_hash
from tests.interop.programs import Desk
from tests.support.site import Site, a_site
from tools import node

SERVERS = {"mcp": "mcp_server.py", "fastmcp": "fastmcp_server.py"}
START_SECONDS_MAX = 60
POST_CLIENT = "try-secret-in-the-body"


# Clients that nobody registered may come: by a document on our own site, or by registering themselves.
SETTINGS = """
[oauth.clients.document]
audiences = ["*"]

[oauth.registration]
mode = "open"
audiences = ["*"]
step_up = true

[adapters.fetch]
allowed_origins = ["{origin}"]
ca_file = "{ca_file}"
"""
LOOPBACK = tuple(
    f"http://{host}{path}" for host in ("127.0.0.1", "localhost") for path in ("/callback", "/oauth/callback")
)


@dataclass(frozen=True, slots=True)
class Served:
    """The server, and the clients that it made for trying things.

    `tools` is what an MCP server is called that it knows, `tools_file` what such a server has to be told. `document` is
    a client's metadata document, on a `site` with an authority of its own.
    """

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
    tools: str
    tools_file: Path
    site: Site
    document: str

    @property
    def token_endpoint(self) -> str:
        return f"{self.issuer}/token"

    def told(self) -> dict[str, Any]:
        """As the scripts read it."""
        return {name: value for name in self.__slots__ if isinstance(value := getattr(self, name), str | dict)}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with a_site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    port, management_port, tools_port = (free_port() for _ in range(3))
    issuer = f"http://127.0.0.1:{port}"
    tools_url = f"http://127.0.0.1:{tools_port}/mcp"
    settings = SETTINGS.format(origin=site.origin, ca_file=site.ca_file)
    (folder / "deputize.toml").write_text(settings)
    environment = {
        **os.environ,
        "DEPUTIZE_SERVER__ISSUER": issuer,
        "DEPUTIZE_SERVER__PORT": str(port),
        "DEPUTIZE_SERVER__MANAGEMENT_PORT": str(management_port),
        "DEPUTIZE_DEV_TOOLS": tools_url,
    }
    with running([sys.executable, "-m", "deputize.cli.main", "serve", "--dev"], f"{issuer}/jwks", folder, environment):
        told, apps, people, tools = (
            json.loads((folder / "var" / "dev" / f"{name}.json").read_text())
            for name in ("try", "apps", "people", "tools")
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
            tools=tools["resource"],
            tools_file=folder / "var" / "dev" / "tools.json",
            site=site,
            document=_document(site),
        )


def _document(site: Site) -> str:
    """The metadata document of a program on a person's own machine."""
    url = f"{site.origin}/desk.json"
    told = {
        "client_id": url,
        "client_name": "Desk",
        "redirect_uris": LOOPBACK,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    }
    return site.put("/desk.json", told)


@contextmanager
def running(command: list[str], ready: str, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """A process of ours, from when it answers at `ready` until this is left."""
    log = folder / f"log-{time.monotonic_ns()}"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out)
    try:
        _wait(process, ready, log)
        yield
    finally:
        process.terminate()
        process.wait(15)


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def _wait(process: "subprocess.Popen[bytes]", ready: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            if httpx2.get(ready).status_code < 500:
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


def serving_tools(package: str, served: Served, folder: Path) -> Iterator[str]:
    """The URL of an MCP server made with this package: one of the examples, as it is."""
    pytest.importorskip(package)
    command = [sys.executable, str(node.ROOT / "examples" / SERVERS[package]), str(served.tools_file)]
    with running(command, served.tools, folder, dict(os.environ)):
        yield served.tools


@pytest.fixture(scope="module")
def sdk_tools(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from serving_tools("mcp", served, tmp_path_factory.mktemp("tools"))


@pytest.fixture
def desk(tmp_path: Path, served: Served) -> Desk:
    """Alice's machine; the browser there is a program that returns at once."""
    program = tmp_path / "browser"
    module = f'cd "{node.ROOT}" && exec "{sys.executable}" -m tests.interop.browser "$1"'
    program.write_text(f"#!/bin/sh\n({module}) >>{tmp_path}/browser.log 2>&1 &\n")
    program.chmod(0o700)
    return Desk(program, served.password, served.site.ca_file)


@pytest.fixture(scope="session")
def foreign() -> node.Node:
    """Node with the packages of foreign clients; where they cannot be had, what needs them is skipped out loud."""
    return _node(node.PEERS)


@pytest.fixture(scope="session")
def mcp_node() -> node.Node:
    """The same, with MCP's."""
    return _node(node.MCP)


def _node(packages: str) -> node.Node:
    try:
        return node.ready(packages)
    except node.NotHere as why:
        pytest.skip(f"no Node here, or no packages for it: {why}")
