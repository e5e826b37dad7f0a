"""Where a story plays: real processes on loopback, each with files of its own, and an act that says how it went."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from deputize.core.rules import Fault

PORTS: Final = {"server": 9400, "management": 9401, "gateway": 9410, "pharmacy": 9420, "clinic": 9440}
READY_SECONDS: Final = 20
PERSON_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Act:
    """One act: what was told, the status that decided it, and whether it went as it should."""

    act: int
    told: str
    status: int
    ok: bool


@dataclass(slots=True)
class Stage:
    """Where the story plays: addresses, processes, files."""

    folder: Path
    ports: dict[str, int]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def at(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    @property
    def environment(self) -> dict[str, str]:
        told = {
            "DEPUTIZE_SERVER__ISSUER": self.at("server"),
            "DEPUTIZE_SERVER__PORT": str(self.ports["server"]),
            "DEPUTIZE_SERVER__MANAGEMENT_PORT": str(self.ports["management"]),
            "DEPUTIZE_OAUTH__ASKING__INTERVAL": "1",
            "DEPUTIZE_DEV_PHARMACY": self.at("pharmacy"),
            "DEPUTIZE_DEV_GATEWAY": self.at("gateway"),
            "DEPUTIZE_DEV_CLINIC": self.at("clinic"),
            "DEPUTIZE_OAUTH__STATUS__TTL": "1",
            "PYTHONUNBUFFERED": "1",
        }
        return {**os.environ, **told}

    def begin(self, name: str, *command: str) -> None:
        """Start a process."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(  # noqa: S603 (our own program)
                [sys.executable, *command], cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )

    def wait_for(self, name: str, healthy: str) -> None:
        """Wait until a process answers."""
        end = time.monotonic() + READY_SECONDS
        with httpx2.Client(trust_env=False) as http:
            while time.monotonic() < end and self.processes[name].poll() is None:
                with contextlib.suppress(httpx2.HTTPError):
                    if http.get(healthy).status_code < 500:
                        return
                time.sleep(0.02)
        raise Fault(f"the {name} did not start; it said:\n{(self.folder / f'{name}.log').read_text()[-2000:]}")

    def bot(self, *words: str, name: str = "pharmacy-bot") -> "subprocess.Popen[str]":
        """Let an agent do something, as a process of its own that has only its own file."""
        return self.example("pharmacy_bot.py", f"var/dev/{name}.json", *words)

    def example(self, *command: str) -> "subprocess.Popen[str]":
        """Run one of the examples: what it prints is its answer."""
        told = [sys.executable, str(examples() / command[0]), *command[1:]]
        return subprocess.Popen(told, cwd=self.folder, stdout=subprocess.PIPE, text=True)  # noqa: S603 (our own program)

    def close(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def examples() -> Path:
    """The folder of the examples: beside the sources, or in the installed package."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_examples", package.parent.parent / "examples"):
        if folder.is_dir():
            return folder
    raise Fault("the examples are not there")


def answer_of(bot: "subprocess.Popen[str]") -> dict[str, Any]:
    said, _ = bot.communicate(timeout=PERSON_SECONDS)
    if bot.returncode:
        raise Fault("the bot did not come back with an answer")
    told: dict[str, Any] = json.loads(said)
    return told


def how(answer: dict[str, Any]) -> str:
    """An answer in a few letters: its status, and what was wrong."""
    body = answer["body"]
    return f"{answer['status']} {body.get('error', '') if isinstance(body, dict) else ''}".strip()


@contextlib.contextmanager
def staged(*others: str) -> Iterator[Stage]:
    """The server and these others started; everything stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="deputize-demo-"))
    stage = Stage(folder, {name: _free(port) for name, port in PORTS.items()})
    try:
        stage.begin("server", "-m", "deputize.cli.main", "serve", "--dev")
        stage.wait_for("server", f"{stage.at('management')}/readyz")
        for name in others:
            stage.begin(name, *_commands()[name])
        for name in others:
            stage.wait_for(name, stage.at(name) + _HEALTHY[name])
        yield stage
    finally:
        stage.close()


_HEALTHY: Final = {
    "pharmacy": "/.well-known/oauth-protected-resource",
    "gateway": "/healthz",
    "clinic": "/healthz",
}


def _commands() -> dict[str, tuple[str, ...]]:
    return {
        "gateway": ("-m", "deputize.cli.main", "gateway"),
        "pharmacy": (str(examples() / "pharmacy_api.py"), "var/dev/pharmacy.json"),
        "clinic": (str(examples() / "clinic_api.py"), "var/dev/clinic.json"),
    }


def _free(port: int) -> int:
    """The usual port; another one where that is taken."""
    for wanted in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", wanted))
                found: int = probe.getsockname()[1]
                return found
    raise Fault("no port is free")
