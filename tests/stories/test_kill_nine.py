"""The server is killed without warning: what it acknowledged is there, and nothing is granted twice."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx2
import pytest

from deputize.core.values import Instant
from deputize.oauth.grants import ciba
from tests.support.cast import BOT, PHARMACY
from tests.support.world import World, a_world

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 4
ASKS = 6


@dataclass
class Server:
    """A process that is killed and started again over the same file. `world` holds the clients' keys, and looks on."""

    world: World
    file: Path
    key: Path
    process: subprocess.Popen[bytes] | None = None
    http: httpx2.AsyncClient = field(default_factory=lambda: httpx2.AsyncClient(trust_env=False))

    async def start(self) -> None:
        command = [sys.executable, "-m", "tests.support.serve", str(self.file), str(self.key)]
        self.process = await anyio.to_thread.run_sync(
            lambda: subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        )
        assert self.process.stdout is not None
        port = int(await anyio.to_thread.run_sync(self.process.stdout.readline))
        await self.http.aclose()
        self.http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False)

    async def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        status = await anyio.to_thread.run_sync(self.process.wait)
        assert status == -signal.SIGKILL, "it had ended by itself"
        assert self.process.stdout is not None
        self.process.stdout.close()

    async def restart(self) -> None:
        await self.kill()
        await self.start()

    async def post(self, path: str, form: dict[str, str], *, by: str | None = BOT) -> httpx2.Response:
        self.world.clock.now = Instant(int(time.time()))
        fields = {**form, **(dict(self.world.logs_in(by)[1]) if by else {})}
        return await self.http.post(path, data=fields, headers={"host": "as.example"})

    async def ask(self) -> str:
        reply = await self.post("/backchannel", {"scope": "openid", "login_hint": "alice"})
        assert reply.status_code == 200, reply.text
        return str(reply.json()["auth_req_id"])

    async def poll(self, ask: str) -> str:
        """The token, or the error."""
        reply = await self.post("/token", {"grant_type": ciba.TYPE, "auth_req_id": ask})
        assert reply.status_code < 500, reply.text
        told = reply.json()
        return str(told["access_token"] if reply.status_code == 200 else told["error"])

    async def answer(self, ask: str, *, allow: bool) -> int:
        return (await self.post("/answer", {"ask": ask, "allow": "1" if allow else "0"}, by=None)).status_code

    async def is_active(self, token: str) -> bool:
        return bool((await self.post("/introspect", {"token": token}, by=PHARMACY)).json()["active"])


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    file, key = tmp_path / "asks.db", tmp_path / "key.json"
    async with a_world(file) as world:
        key.write_text(json.dumps(world.signer.all[0].to_jwk()))
        made = Server(world, file, key)
        await made.start()
        try:
            yield made
        finally:
            await made.kill()
            await made.http.aclose()


def is_token(told: str) -> bool:
    return told.count(".") == 2


async def test_killed_after_each_step_of_one_ask(server: Server) -> None:
    yes, no = await server.ask(), await server.ask()
    await server.restart()  # between ask and answer
    assert await server.poll(yes) == "authorization_pending"
    assert await server.answer(yes, allow=True) == 200
    assert await server.answer(no, allow=False) == 200
    await server.restart()  # between answer and collection
    assert await server.answer(yes, allow=False) == 400
    token = await server.poll(yes)
    assert is_token(token)
    assert await server.poll(no) == "access_denied"
    await server.restart()  # after collection
    assert await server.poll(yes) == "invalid_grant"
    assert await server.poll(no) == "access_denied"
    assert await server.is_active(token)


@dataclass
class Acknowledged:
    """What the server has said in so many words, to clients and to the person."""

    asks: list[str] = field(default_factory=list)
    answers: dict[str, bool] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)
    tokens: list[tuple[str, str]] = field(default_factory=list)

    def note(self, ask: str, told: str) -> None:
        if is_token(told):
            self.tokens.append((ask, told))


async def asks_and_answers(server: Server, said: Acknowledged, dice: random.Random) -> None:
    """One after another, until the server is gone."""
    for _ in range(ASKS):
        ask = await server.ask()
        said.asks.append(ask)
        await anyio.sleep(dice.uniform(0, 0.01))
        allow = dice.random() < 0.8
        said.tried.add(ask)
        while (status := await server.answer(ask, allow=allow)) == 503:
            pass  # polls were faster too often: the person presses again
        assert status == 200
        said.answers[ask] = allow


async def polls(server: Server, said: Acknowledged, dice: random.Random) -> None:
    """Like a client that does not wait, until the server is gone."""
    while True:
        await anyio.sleep(dice.uniform(0, 0.004))
        if said.asks:
            ask = dice.choice(said.asks)
            said.note(ask, await server.poll(ask))


@pytest.mark.timeout(120)
async def test_killed_at_any_moment_under_concurrent_polls(server: Server) -> None:
    collected = 0
    for nth in range(ROUNDS):
        dice, said = random.Random(nth), Acknowledged()

        async def until_it_is_gone(do: object, said: Acknowledged = said, dice: random.Random = dice) -> None:
            with suppress(httpx2.TransportError):
                await do(server, said, dice)  # type: ignore[operator]

        async with anyio.create_task_group() as group:
            group.start_soon(until_it_is_gone, asks_and_answers)
            for _ in range(4):
                group.start_soon(until_it_is_gone, polls)
            while not said.asks:  # from here on, any moment is as good as any other
                await anyio.sleep(0.001)
            await anyio.sleep(dice.uniform(0, 0.15))
            await server.kill()
        await server.start()
        await _holds(server, said)
        collected += len(said.tokens)
    assert collected, "nothing was ever collected: this proves nothing"


async def _holds(server: Server, said: Acknowledged) -> None:
    before = {ask for ask, _ in said.tokens}
    for ask in said.asks:
        told = await server.poll(ask)
        said.note(ask, told)
        answer = said.answers.get(ask)
        if ask in before:
            assert told == "invalid_grant"  # it has its token, and gets no other
        elif answer is True:
            assert is_token(told) or told == "invalid_grant"  # or it went out, and did not arrive
        elif answer is False:
            assert told == "access_denied"
        elif ask not in said.tried:
            assert told in {"authorization_pending", "slow_down"}  # nobody has answered it
        else:
            assert is_token(told) or told in {"authorization_pending", "slow_down", "access_denied", "invalid_grant"}
    for ask, times in Counter(ask for ask, _ in said.tokens).items():
        assert times == 1, f"{ask} was granted {times} times"
        assert await server.poll(ask) == "invalid_grant"
    for _, token in said.tokens:
        assert await server.is_active(token)
