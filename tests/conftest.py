"""Fixtures for all tests."""

from collections.abc import AsyncIterator

import pytest

from tests.support.world import World, a_world


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A server with people, APIs and agents, over a store in memory."""
    async with a_world() as made:
        yield made
