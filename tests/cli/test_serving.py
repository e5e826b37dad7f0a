"""`deputize serve` as a process: one, several, killed, told to stop; and the verbs that work beside it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

DEPUTIZE = [sys.executable, "-m", "deputize.cli.main"]


def a_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Running:
    folder: Path
    process: subprocess.Popen[str]
    environment: dict[str, str]
    issuer: str
    management: str

    def verb(self, *words: str, said: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*DEPUTIZE, *words],
            cwd=self.folder,
            env=self.environment,
            input=said,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def obtain(self) -> "subprocess.CompletedProcess[str]":
        return self.verb("try", "client-credentials", "--issuer", self.issuer, "--json")

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        if not children.exists():
            pytest.skip("the children of a process are not told here")
        return [int(pid) for pid in children.read_text().split()]

    def ready(self) -> bool:
        with contextlib.suppress(httpx2.HTTPError):
            return httpx2.get(f"{self.management}/readyz", trust_env=False).status_code == 200
        return False


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[Running]:
    ports = a_port(), a_port()
    issuer = f"http://127.0.0.1:{ports[0]}"
    environment = {
        **os.environ,
        "DEPUTIZE_SERVER__ISSUER": issuer,
        "DEPUTIZE_SERVER__PORT": str(ports[0]),
        "DEPUTIZE_SERVER__MANAGEMENT_PORT": str(ports[1]),
    }
    process = subprocess.Popen(
        [*DEPUTIZE, "serve", "--dev", *options],
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    running = Running(folder, process, environment, issuer, f"http://127.0.0.1:{ports[1]}")
    try:
        until(running.ready)
        until((folder / "var/dev/try.json").exists)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=15)
        process.kill()


def until(happened: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("served")) as one:
        yield one


def test_a_server_in_dev_is_tried_and_shows_its_public_keys(running: Running) -> None:
    told = json.loads(running.obtain().stdout)
    assert told["token_type"] == "DPoP"
    assert "access_token" not in told
    kid = json.loads(running.verb("keys", "list", "--dev", "--json").stdout)[0]["kid"]
    jwks = httpx2.get(f"{running.issuer}/jwks", trust_env=False).json()
    assert kid in [jwk["kid"] for jwk in jwks["keys"]]
    assert not any("d" in jwk for jwk in jwks["keys"])


def test_no_secret_file_of_dev_is_readable_by_others(running: Running) -> None:
    var = running.folder / "var"
    files = [*(var / "dev").iterdir(), *var.glob("*.json"), *var.glob("*.db*")]
    assert files
    assert not [path for path in files if path.stat().st_mode & 0o077]


def test_the_command_line_is_no_way_around_the_person(running: Running) -> None:
    assert json.loads(running.verb("ask", "list", "--as", "alice", "--dev", "--json").stdout) == []
    people = running.folder / "var/dev/people.json"
    kept = people.read_text()
    people.unlink()
    try:
        wrong = running.verb("ask", "list", "--as", "alice", "--dev", said="not her password\n")
    finally:
        people.write_text(kept)
    assert wrong.returncode == 1
    assert "access_denied" in wrong.stderr


def test_a_port_that_is_taken_is_told_in_a_line(running: Running) -> None:
    again = running.verb("serve", "--dev")
    assert again.returncode != 0
    assert "already in use" in again.stderr
    assert "Traceback" not in again.stderr


@pytest.mark.parametrize("trouble", ["a store that is none", "a port that is taken"])
def test_what_keeps_workers_from_beginning_is_told_once_in_a_line(tmp_path: Path, trouble: str) -> None:
    (tmp_path / "none.db").write_text("This is no database, and longer than the head of one would be. " * 20)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        more = {
            "a store that is none": {"DEPUTIZE_STORE__PATH": "none.db"},
            "a port that is taken": {"DEPUTIZE_SERVER__PORT": str(taken.getsockname()[1])},
        }
        told = subprocess.run(
            [*DEPUTIZE, "serve", "--dev", "--workers", "3"],
            cwd=tmp_path,
            env={**os.environ, "DEPUTIZE_SERVER__MANAGEMENT_PORT": str(a_port()), **more[trouble]},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert told.returncode == 1
    cause = {"a store that is none": "SQLITE_NOTADB", "a port that is taken": "already in use"}[trouble]
    lines = [line for line in told.stderr.splitlines() if "This cannot be done" in line]
    assert len(lines) == 1
    assert cause in lines[0]
    assert "Traceback" not in told.stderr
    assert "worker fell" not in told.stderr


def test_several_workers_serve_and_one_that_is_killed_comes_back(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2") as running:
        before = running.workers()
        assert len(before) == 2
        os.kill(before[1], signal.SIGKILL)
        until(lambda: len(running.workers()) == 2 and before[1] not in running.workers())
        until(running.ready)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(15) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in before)
