"""RC-01 to RC-04: a hundred thousand attempts of each kind, over four workers, and nothing is spent twice."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TypeVar

import pytest

from deputize.adapters.stores import open_store
from deputize.core.ports import Add, Event, Record, Store
from deputize.oauth.asking import Ask
from deputize.oauth.assertion import AssertionSeen
from deputize.oauth.families import Family
from tests.slow.conftest import Say
from tests.slow.racing import ATTEMPTS, EACH, FIRST, Code

R = TypeVar("R", bound=Record)

ROOT = Path(__file__).parents[2]
WORKERS = 4
ATTEMPTS_MAX = 100_000
AT_ONCE = 250  # things that all workers go for together
ITEMS = ATTEMPTS_MAX // (WORKERS * EACH)

pytestmark = pytest.mark.slow


def worker(place: str, kind: str, seed: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.slow.racing", place, kind, str(seed)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


@pytest.mark.parametrize("kind", ATTEMPTS)
async def test_nothing_is_spent_twice(place: str, kind: str, say: Say, request: pytest.FixtureRequest) -> None:
    store = open_store(place)
    await store.migrate((AssertionSeen, Family, Ask, Code, Event))
    if kind in FIRST:
        for start in range(0, ITEMS, 500):
            assert await store.commit(*(Add(FIRST[kind](f"item{n}")) for n in range(start, start + 500)))
    workers = [worker(place, kind, seed) for seed in range(WORKERS)]
    spent: dict[int, list[str]] = {}
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
                for item, by in won:
                    spent.setdefault(item, []).append(by)
    finally:
        for one in workers:
            one.communicate()
    twice = {item: by for item, by in spent.items() if len(by) > 1}
    say(
        f"{request.node.callspec.params['place']}, {kind}: {attempts:,} attempts at {ITEMS:,} by {WORKERS} workers:"
        f" {len(spent):,} spent, {len(twice)} twice, {ITEMS - len(spent)} never, {len(faults)} faults"
    )
    assert not twice
    assert len(spent) == ITEMS
    assert attempts == ATTEMPTS_MAX
    assert not faults, faults[:3]
    winners = {item: by for item, (by,) in spent.items()}
    events = await _all(Event, store)
    assert sorted((int(event.told["item"]), event.client) for event in events) == sorted(winners.items())
    if kind == "refresh":
        assert {family.key: family.sha256 for family in await _all(Family, store)} == _by_key(winners)
    if kind == "ask":
        assert {ask.key: ask.words for ask in await _all(Ask, store)} == _by_key(winners)
    if kind == "code":
        assert {code.key: code.client for code in await _all(Code, store)} == _by_key(winners)
    bought: dict[str, type[Record]] = {"refresh": AssertionSeen, "code": Family}
    if kind in bought:  # who lost has left nothing
        left = {record.key for record in await _all(bought[kind], store)}
        assert left == {f"{by} at {item}" for item, by in winners.items()}
    await store.close()


def _by_key(winners: dict[int, str]) -> dict[str, str]:
    return {f"item{item}": by for item, by in winners.items()}


async def _all(kind: type[R], store: Store) -> list[R]:
    found: list[R] = []
    while page := await store.select(kind, "", "", after=found[-1].key if found else "", limit=5000):
        found += page
    return found
