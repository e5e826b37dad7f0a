"""The protocol's application on a real port: uvicorn with its guard, spoken to in bytes."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import uvicorn

from deputize.server.http import Asgi, Receive, Scope, Send
from deputize.server.wire_guard import GuardedProtocol
from tests.support.world import World, a_world

PATIENCE: Final = 5.0  # how long a test waits for what should come at once


class Hasty(GuardedProtocol):
    """Waits a fraction of a second where the real one waits many."""

    head_seconds = 0.3
    body_seconds = 0.6


@dataclass
class Live:
    """A running server. `seen` are the scopes of the requests that reached the application, in order."""

    port: int
    world: World
    seen: list[Scope] = field(default_factory=list)

    def connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port))
        made.settimeout(PATIENCE)
        return made

    def exchange(self, *parts: bytes, half_close: bool = False) -> bytes:
        """Send these bytes on one connection, and read until the server closes it."""
        with self.connect() as connection:
            with suppress(ConnectionError):  # it may refuse before it has heard all
                for part in parts:
                    connection.sendall(part)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def is_alive(self) -> bool:
        """It answers others as if nothing had been."""
        return status(self.exchange(get("/jwks"))) == 200


def get(path: str, *headers: str) -> bytes:
    """A good request, the last of its connection."""
    lines = "".join(f"{line}\r\n" for line in headers)
    return f"GET {path} HTTP/1.1\r\nHost: as.example\r\nConnection: close\r\n{lines}\r\n".encode("latin-1")


def read_all(connection: socket.socket) -> bytes:
    told = b""
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            told += part
    return told


def status(answer: bytes) -> int:
    """The status of the first answer; 0 where the connection was closed without one."""
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


def statuses(answers: bytes) -> list[int]:
    """The statuses of all answers, by their own lengths: nothing stands between or after them."""
    found = []
    while answers:
        head, _, rest = answers.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")]
        found.append(status(head))
        answers = rest[int(lengths[0][16:]) if lengths else 0 :]
    return found


@contextmanager
def live(protocol: type[GuardedProtocol] = GuardedProtocol, app: Asgi | None = None) -> Iterator[Live]:
    """A server on a free port, in a thread with an event loop of its own: the world's, or of another application."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    ready, made = threading.Event(), dict[str, Any]()

    async def main() -> None:
        async with a_world() as world:
            running = made["live"] = Live(bound.getsockname()[1], world)
            config = uvicorn.Config(
                _noting(app or world.app, running.seen),
                http=protocol,
                ws="none",
                lifespan="off",
                proxy_headers=False,
                server_header=False,
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,
            )
            server = made["server"] = uvicorn.Server(config)
            server.config.load()
            async with anyio.create_task_group() as group:
                group.start_soon(server.serve, [bound])
                while not server.started:
                    await anyio.sleep(0.005)
                ready.set()

    def run() -> None:
        anyio.run(main, backend_options={"use_uvloop": True})

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield made["live"]
    finally:
        made["server"].should_exit = True
        thread.join(PATIENCE)
        bound.close()


def _noting(app: Asgi, seen: list[Scope]) -> Asgi:
    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await app(scope, receive, send)

    return noted


def client_hello() -> bytes:
    """How TLS begins."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    begun = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="as.example")
    with suppress(ssl.SSLWantReadError):
        begun.do_handshake()
    return outgoing.read()
