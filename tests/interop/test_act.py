"""A tool of either example sees who acts for whom: the `act` of a token that an agent came by."""

import asyncio
import json
import runpy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deputize.resource.asgi import App, Message
from tests.interop.clients.tool_call import HEADERS, answered, message
from tests.interop.conftest import SERVERS
from tests.resource.world import READ, World
from tests.support.issuer import ISSUER
from tools.node import ROOT

# Their libraries warn of each other.
pytestmark = [pytest.mark.interop, pytest.mark.timeout(300), pytest.mark.filterwarnings("default")]
RESOURCE = "http://127.0.0.1:9430/mcp"


@asynccontextmanager
async def begun(app: App) -> AsyncIterator[None]:
    """The application between its start and its end."""
    told: asyncio.Queue[Message] = asyncio.Queue()
    said: asyncio.Queue[Message] = asyncio.Queue()
    running = asyncio.create_task(_lifespan(app, told, said))
    await told.put({"type": "lifespan.startup"})
    assert (await said.get())["type"] == "lifespan.startup.complete"
    try:
        yield
    finally:
        await told.put({"type": "lifespan.shutdown"})
        await running


async def _lifespan(app: App, told: "asyncio.Queue[Message]", said: "asyncio.Queue[Message]") -> None:
    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, told.get, said.put)


@pytest.mark.parametrize(
    "package",
    [
        pytest.param(
            name, marks=pytest.mark.peer(f"{name} (PyPI)", "server: a tool sees who acts for whom (act); DPoP")
        )
        for name in SERVERS
    ],
)
async def test_a_tool_sees_who_acts_for_whom(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(package)
    world = World(resource=RESOURCE)
    example = ROOT / "examples" / SERVERS[package]
    own = {"resource": RESOURCE, "issuer": ISSUER, "name": "Tools", "key": world.key.to_jwk()}
    (tmp_path / "tools.json").write_text(json.dumps(own))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(example), "tools.json"])
    names = runpy.run_path(str(example))
    guard, app = names["guard"], names["app"]
    await guard._env.store.close()
    guard._env = guard._server.env = world.env  # a server in this process, and its clock

    async def call(**claims: Any) -> httpx2.Response:
        token = world.token(**claims)
        headers = [*world.shown(token, "POST", ""), *HEADERS.items()]
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1:9430"
        ) as http:
            return await http.post("/mcp", json=message("prescriptions"), headers=headers)

    async with begun(app):
        told = await call(scope=READ, act={"sub": "pharmacy-bot"})
        assert told.status_code == 200, told.text
        assert answered(told.text) == {
            "patient": "alice",
            "asked_by": "pharmacy-bot",
            "medicines": ["Ibuprofen 400 mg", "Loratadine 10 mg"],
        }
        assert (await call(scope=READ, aud="http://127.0.0.1:9430")).status_code == 401
