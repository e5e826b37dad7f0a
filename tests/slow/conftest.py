"""The databases of the store's own tests, and a way to tell the counts."""

import sys
from collections.abc import Callable

import pytest

from tests.adapters.conftest import place, servers

__all__ = ["place", "say", "servers"]

Say = Callable[[str], None]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """What is said here is read by whoever runs the tests, passed or failed."""

    def said(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{text}")

    return said
