"""Fixtures for all tests."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from tests.support.flow import Flow, a_flow
from tests.support.logs import plainly
from tests.support.world import World, a_world

LEGIBLE: Final = 60

plainly()
if settings.get_current_profile_name() == "default":  # `make fuzz` has loaded its own
    # A machine that is slow finds nothing wrong.
    settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("tests")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A server with people, APIs and agents, over a store in memory."""
    async with a_world() as made:
        yield made


@pytest.fixture
async def flow() -> AsyncIterator[Flow]:
    """The same with pages, and with clients that people use in a browser."""
    async with a_flow() as made:
        yield made


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case by its argument where its value is long, and often made anew: tests on several cores agree on it."""
    return argname if isinstance(val, str | bytes) and len(val) > LEGIBLE else None
