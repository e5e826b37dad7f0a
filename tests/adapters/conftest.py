"""The databases that the stores are tried on."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.postgres import CARRIED, OWN, Server, running

DURABLE = ("sqlite", f"postgres {CARRIED}", f"postgres {OWN}")
Servers = Callable[[str], Server]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """One PostgreSQL server a version, for all tests that do it no harm."""
    with ExitStack() as all_of_them:
        started: dict[str, Server] = {}

        def server(version: str) -> Server:
            if version not in started:
                started[version] = all_of_them.enter_context(running(version, deadlock_timeout="50ms"))
            return started[version]

        yield server


@pytest.fixture(params=DURABLE)
def place(request: pytest.FixtureRequest, tmp_path: Path, servers: Servers) -> str:
    """An empty place for a store: a path, or a DSN."""
    database, _, version = request.param.partition(" ")
    return str(tmp_path / "store.db") if database == "sqlite" else servers(version).fresh()
