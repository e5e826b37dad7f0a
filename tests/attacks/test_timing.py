"""Corpus CA-22: a stranger with a clock wants to know which clients there are."""

import asyncio
import http.client
import socket
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.support.cast import BASIC
from tests.support.serving import served
from tests.support.world import CLIENT_CREDENTIALS, World, a_world, basic

SAMPLES, ROUNDS = 1000, 5
UNKNOWN = "b" * len(BASIC)
BODY = urlencode(CLIENT_CREDENTIALS)


@pytest.fixture(params=["memory", "sqlite"])
async def either(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path / "world.db" if request.param == "sqlite" else None) as world:
        yield world


def measured(port: int) -> float:
    """The median for a wrong secret over that for an unknown client: interleaved, so noise strikes both alike."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    samples: dict[str, list[int]] = {BASIC: [], UNKNOWN: []}
    told: dict[str, set[tuple[int, bytes]]] = {BASIC: set(), UNKNOWN: set()}  # refused, and refused to look
    for number in range(SAMPLES):
        for client in (BASIC, UNKNOWN) if number % 2 else (UNKNOWN, BASIC):
            headers = {
                "content-type": "application/x-www-form-urlencoded",
                "authorization": basic(client, "A" * 43),
            }
            began = time.perf_counter_ns()
            link.request("POST", "/token", BODY, headers)
            answer = link.getresponse()
            told[client].add((answer.status, answer.read()))
            samples[client].append(time.perf_counter_ns() - began)
    link.close()
    assert told[BASIC] == told[UNKNOWN], "the answers are the same, letter for letter"
    return statistics.median(samples[BASIC]) / statistics.median(samples[UNKNOWN])


@pytest.mark.slow
async def test_ca_22_an_unknown_client_is_refused_as_fast_as_a_known_one(either: World) -> None:
    """As a client on the same machine sees it: nobody sees it better."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio lets answers wait
    bound.bind(("127.0.0.1", 0))
    bound.listen()  # who connects before the server is ready waits
    async with served(either.app, bound):
        ratios = [await asyncio.to_thread(measured, bound.getsockname()[1]) for _ in range(ROUNDS)]
    print(f"wrong secret / unknown client, medians of {SAMPLES}: {[round(ratio, 3) for ratio in ratios]}")  # noqa: T201 (asked for)
    assert abs(statistics.median(ratios) - 1) < 0.05
