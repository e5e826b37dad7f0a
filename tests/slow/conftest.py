"""The databases of the store's own tests, and a way to tell the counts."""

import sys
from collections.abc import Callable
from typing import Final

import pytest

from tests.adapters.conftest import place, servers

__all__ = ["place", "say", "servers"]

Say = Callable[[str], None]
SAID: Final = pytest.StashKey[list[str]]()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], pytestconfig: pytest.Config) -> Say:
    """What is said here is read by whoever runs the tests, passed or failed: at once, and all of it in the end."""

    def said(text: str) -> None:
        pytestconfig.stash.setdefault(SAID, []).append(text)
        with capsys.disabled():
            sys.stdout.write(f"\n{text}\n")
            sys.stdout.flush()

    return said


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The counts, together."""
    if lines := config.stash.get(SAID, []):
        terminalreporter.section("counts")
        for line in lines:
            terminalreporter.write_line(line)
