"""Fixtures for all tests."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
import structlog
from hypothesis import settings

from tests.support.flow import Flow, a_flow
from tests.support.world import World, a_world

LEGIBLE: Final = 60

# What is logged without a configuration shows each variable of a traceback, which takes seconds.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)
if settings.get_current_profile_name() == "default":  # `make fuzz` has loaded its own
    settings.register_profile("tests", deadline=None)  # a machine that is slow finds nothing wrong
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
