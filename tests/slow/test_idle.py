"""DS-05: ten thousand who connect and say nothing cost some memory, and nobody else their answer."""

import resource
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from tests.cli.test_serving import serving
from tests.slow.conftest import Say

IDLE = 10_000
ASKED = 300
MIB_MAX = 400
SECONDS_MAX = 1.0

pytestmark = pytest.mark.slow


def resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(pid)


def test_idle_connections_cost_little(tmp_path: Path, say: Say) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("how much memory a process has is not told here")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + 1000:
        pytest.skip(f"a process may have {hard} files open here, and this needs {IDLE + 1000}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (IDLE + 1000, hard))
    try:
        with serving(tmp_path) as running, ExitStack() as idle:
            place = ("127.0.0.1", int(running.issuer.rpartition(":")[2]))
            before = resident_mib(running.process.pid)
            begun = time.monotonic()
            for _ in range(IDLE):
                idle.enter_context(socket.create_connection(place, timeout=30))
            took = time.monotonic() - begun
            most = resident_mib(running.process.pid)
            waits = []
            for _ in range(ASKED):
                asked = time.perf_counter()
                assert httpx2.get(f"{running.issuer}/jwks", trust_env=False, timeout=30).status_code == 200
                waits.append(time.perf_counter() - asked)
            more = max(most, resident_mib(running.process.pid)) - before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    p99 = sorted(waits)[ASKED * 99 // 100]
    say(f"{IDLE:,} idle connections, made in {took:.1f} s: {more:.0f} MiB more, p99 of others {p99 * 1000:.0f} ms")
    assert more < MIB_MAX
    assert p99 < SECONDS_MAX
