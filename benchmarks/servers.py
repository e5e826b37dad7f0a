"""The servers that are measured, each a process of its own on the one core that is theirs."""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from deputize.jose.keys import PrivateKey
from tools import node

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "var" / "bench"
START_SECONDS_MAX: Final = 120
# What `make serve` runs, without make.
OURS: Final = (sys.executable, "-m", "deputize.cli.main", "serve", "--dev")


class CannotStart(Exception):
    """A server did not come up; says what it told last."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Where things run: servers on one core, the load generator on another; None where the machine has only one."""

    server: frozenset[int] | None
    generator: frozenset[int] | None

    @classmethod
    def of_machine(cls) -> "Cores":
        if not hasattr(os, "sched_setaffinity"):
            return cls(None, None)
        mine = sorted(os.sched_getaffinity(0))
        return cls(frozenset(mine[:1]), frozenset(mine[1:2])) if len(mine) > 1 else cls(None, None)

    @contextlib.contextmanager
    def on_server_core(self) -> Iterator[None]:
        """What is done or started in here happens where the servers run."""
        if self.server is None or self.generator is None:
            yield
            return
        os.sched_setaffinity(0, self.server)
        try:
            yield
        finally:
            os.sched_setaffinity(0, self.generator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """The same two clients at every server."""

    key_id: str
    key: PrivateKey
    secret_id: str
    secret: str
    scope: str = "prescriptions:read"

    @property
    def basic(self) -> str:
        """The header that shows the secret."""
        return f"Basic {base64.b64encode(f'{self.secret_id}:{self.secret}'.encode()).decode()}"


@dataclass(slots=True, kw_only=True)
class Server:
    """One server: how it is started, and where its doors are."""

    name: str
    port: int
    command: Sequence[str | Path]
    cores: Cores
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    introspection: str = "/introspect"
    introspected: str = ""  # the resource whose tokens can be introspected, where not every one's can
    process: subprocess.Popen[bytes] | None = None

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, first_request: bytes) -> float:
        """Start, and say how many seconds it took until this request was answered well."""
        self.folder.mkdir(parents=True, exist_ok=True)
        begun = time.perf_counter()
        with (self.folder / "log").open("wb") as log, self.cores.on_server_core():
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env={**os.environ, **self.environment}, stdout=log, stderr=log
            )
        while not (answer := self._answer(first_request)).startswith(b"HTTP/1.1 200"):
            if answer or self.process.poll() is not None or time.perf_counter() - begun > START_SECONDS_MAX:
                self.stop()
                told = (self.folder / "log").read_text(errors="replace")[-1500:]
                raise CannotStart(f"{self.name} did not come up:\n{answer.decode('latin-1')}\n{told}")
            time.sleep(0.002)
        return time.perf_counter() - begun

    def _answer(self, request: bytes) -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(request)
                return connection.recv(4096)
        except OSError:
            return b""

    def resident_mib(self) -> float | None:
        """The memory that it occupies now."""
        if self.process is None:
            return None
        try:
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024
        except OSError:
            pass
        return None

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def ours(cores: Cores, command: Sequence[str]) -> Server:
    """Deputize as `serve --dev` runs it: durable SQLite, `synchronous=FULL`, each assertion's jti kept in it."""
    port = free_port()
    return Server(
        name="Deputize",
        port=port,
        command=command,
        cores=cores,
        folder=FOLDER / "ours",
        environment={
            "DEPUTIZE_SERVER__ISSUER": f"http://127.0.0.1:{port}",
            "DEPUTIZE_SERVER__PORT": str(port),
            "DEPUTIZE_SERVER__MANAGEMENT_PORT": str(free_port()),
            "PYTHONDONTWRITEBYTECODE": "",  # where it is set, each start compiles some 800 modules
        },
    )


def clients_of(ours: Server) -> Clients:
    """The clients that `serve --dev` made for trying things."""
    told = json.loads((ours.folder / "var" / "dev" / "try.json").read_text())
    key, secret = told["private_key_jwt"], told["client_secret_basic"]
    return Clients(
        key_id=key["client_id"],
        key=PrivateKey.from_jwk(key["key"]),
        secret_id=secret["client_id"],
        secret=secret["secret"],
    )


def oidc_provider(cores: Cores, clients: Clients, *, refreshing: tuple[str, str, int] | None = None) -> Server:
    """The peer, as npm has it, with its own store in memory. Raises tools.node.NotHere.

    `refreshing` is a client, its secret, and how many refresh tokens it has from the start, in `refresh.json`.
    """
    there = node.ready()
    port = free_port()
    folder = FOLDER / ("peer" if refreshing is None else "peer-refreshing")
    folder.mkdir(parents=True, exist_ok=True)
    resource, opaque = "https://api.example/jwt", "https://api.example/opaque"
    told: dict[str, Any] = {
        "issuer": f"http://127.0.0.1:{port}",
        "port": port,
        "resource": resource,
        "opaque_resource": opaque,
        "scope": clients.scope,
        "secret_client": clients.secret_id,
        "secret": clients.secret,
        "key_client": clients.key_id,
        "client_jwks": {"keys": [clients.key.public_jwk()]},
        "signing_key": PrivateKey.generate().to_jwk(),
    }
    if refreshing is not None:
        told |= dict(zip(("refresh_client", "refresh_secret", "refresh_count"), refreshing, strict=True))
        told["refresh_tokens"] = str(folder / "refresh.json")
    config = folder / "config.json"
    config.write_text(json.dumps(told))
    return Server(
        name=f"oidc-provider {there.package_version('oidc-provider')}",
        port=port,
        command=(there.program, there.script(Path(__file__).with_name("peer.mjs")), config),
        cores=cores,
        folder=folder,
        environment={"NODE_ENV": "production"},
        introspection="/token/introspection",
        introspected=opaque,
    )


def bare(cores: Cores) -> tuple[Server, Server]:
    """What does nothing: a bare loop, and the HTTP stack with an application of two lines. One process is both."""
    port, stack_port = free_port(), free_port()
    command = (sys.executable, "-m", "benchmarks.bare", str(port), str(stack_port))
    folder = FOLDER / "bare"
    environment = {"PYTHONPATH": str(ROOT)}
    loop = Server(name="bare loop", port=port, command=command, cores=cores, folder=folder, environment=environment)
    stack = Server(name="bare ASGI", port=stack_port, command=command, cores=cores, folder=folder)
    return loop, stack
