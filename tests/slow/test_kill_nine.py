"""Two hundred times kill -9 under load, and every change that was acknowledged is there."""

import asyncio
import random
import time

import pytest

from deputize.adapters.postgres import PostgresStore
from tests.adapters.kills import Killed, Load
from tests.slow.conftest import Say
from tests.support.postgres import CARRIED, OWN, running

TIMES = 200

pytestmark = pytest.mark.slow


async def test_the_process_that_commits_is_killed(place: str, say: Say, request: pytest.FixtureRequest) -> None:
    killed = Killed(place, 9)
    begun = time.monotonic()
    for _ in range(TIMES):
        await killed.once()
    say(
        f"{request.node.callspec.params['place']}, client killed {TIMES} times in {time.monotonic() - begun:.0f} s:"
        f" {killed.acknowledged:,} commits were acknowledged, all are there"
    )


@pytest.mark.parametrize("version", [CARRIED, OWN])
async def test_the_database_is_killed(version: str, say: Say) -> None:
    """All processes of the server at once, while one store commits and waits for it to come back."""
    dice = random.Random(9)
    begun = time.monotonic()
    with running(version) as server:
        store = PostgresStore(server.fresh(), dev=True)
        load = Load(store)
        for _ in range(TIMES):
            await load.until(dice.randrange(1, 150))
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        await load.until(1)
        await load.stop()
        await load.check()
        await store.close()
    say(
        f"postgres {version}, killed {TIMES} times in {time.monotonic() - begun:.0f} s:"
        f" {len(load.acknowledged):,} commits were acknowledged, all are there; {load.faults:,} were told to come again"
    )
