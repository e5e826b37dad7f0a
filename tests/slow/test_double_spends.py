"""RC-01 to RC-04: a hundred thousand attempts of each kind, over four workers, and nothing is spent twice."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TypeVar

import pytest

from deputize.adapters.stores import open_store
from deputize.adapters.system import SystemClock
from deputize.compose.kinds import KINDS
from deputize.core.ports import Add, Event, Record, Store
from deputize.core.wire import json_bytes
from deputize.jose.keys import PrivateKey
from deputize.oauth.asking import Ask, Collected
from deputize.oauth.assertion import AssertionSeen
from deputize.oauth.families import Family
from deputize.oauth.grants.authorization_code import Code
from deputize.oauth.tokens import Revoked
from tests.slow.conftest import Say
from tests.slow.racing import EACH, FIRST, RACES, people

R = TypeVar("R", bound=Record)

ROOT = Path(__file__).parents[2]
WORKERS = 4
ATTEMPTS_MAX = 100_000
AT_ONCE = 250  # things that all workers go for together
ITEMS = ATTEMPTS_MAX // (WORKERS * EACH)

pytestmark = pytest.mark.slow


def worker(place: str, kind: str, seed: int, key: PrivateKey) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.slow.racing", place, kind, str(seed), json_bytes(key.to_jwk()).decode()],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


@pytest.mark.parametrize("kind", RACES)
async def test_nothing_is_spent_twice(place: str, kind: str, say: Say, request: pytest.FixtureRequest) -> None:
    store, key, now = open_store(place), PrivateKey.generate(), SystemClock()()
    await store.migrate(KINDS)
    assert await store.commit(*map(Add, people(key)))
    if kind in FIRST:
        for start in range(0, ITEMS, 500):
            assert await store.commit(*(Add(FIRST[kind](item, now)) for item in range(start, start + 500)))
    workers = [worker(place, kind, seed, key) for seed in range(WORKERS)]
    spent: dict[int, int] = {}
    attempts, faults = 0, []
    try:
        for one in workers:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        for start in range(0, ITEMS, AT_ONCE):
            for one in workers:
                assert one.stdin is not None
                one.stdin.write(f"{start} {start + AT_ONCE}\n")
            for one in workers:
                assert one.stdout is not None
                tried, won, failed = json.loads(one.stdout.readline())
                attempts += tried
                faults += failed
                for item in won:
                    spent[item] = spent.get(item, 0) + 1
    finally:
        for one in workers:
            one.communicate()
    twice = [item for item, times in spent.items() if times > 1]
    say(
        f"{request.node.callspec.params['place']}, {kind}: {attempts:,} attempts at {ITEMS:,} by {WORKERS} workers:"
        f" {len(spent):,} spent, {len(twice)} twice, {ITEMS - len(spent)} never, {len(faults)} faults"
    )
    assert not twice
    assert len(spent) == ITEMS
    assert attempts == ATTEMPTS_MAX
    assert not faults, faults[:3]
    if kind == "jti":
        assert len(await _all(AssertionSeen, store)) == ITEMS
    if kind == "refresh":  # whoever came second ended the family, once
        assert all(family.ended_at is not None for family in await _all(Family, store))
        assert len(await _all(Revoked, store)) == ITEMS
        assert [event.what for event in await _all(Event, store)] == ["refresh_reuse"] * ITEMS
    if kind == "ask":  # each began one family of refresh tokens, and no other
        assert all(isinstance(ask.state, Collected) for ask in await _all(Ask, store))
        assert [event.what for event in await _all(Event, store)] == ["ask_collected"] * ITEMS
        assert len(await _all(Family, store)) == ITEMS
    if kind == "code":  # the one that was used first began a family, and whoever came second ended all that came of it
        assert all(code.spent_at is not None for code in await _all(Code, store))
        told = [event.what for event in await _all(Event, store)]
        assert sorted(told) == ["code_replayed"] * ITEMS + ["code_used"] * ITEMS
        assert len(await _all(Family, store)) == len(await _all(Revoked, store)) == ITEMS
    await store.close()


async def _all(kind: type[R], store: Store) -> list[R]:
    found: list[R] = []
    while page := await store.select(kind, "", "", after=found[-1].key if found else "", limit=5000):
        found += page
    return found
