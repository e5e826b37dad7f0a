"""Which test proves which rule: one that it lets the good through, and one that it stops the bad.

`tests/rules/test_rules.py` holds every Rule of the package against these two tables.
"""

from collections.abc import Callable
from typing import TypeVar

from deputize.core.rules import Rule

F = TypeVar("F", bound=Callable[..., object])

LETS_THROUGH: dict[Rule, set[str]] = {}
STOPS: dict[Rule, set[str]] = {}


def lets_through(*rules: Rule) -> Callable[[F], F]:
    """This test shows that what keeps these rules is accepted."""
    return _noted(LETS_THROUGH, rules)


def stops(*rules: Rule) -> Callable[[F], F]:
    """This test shows that what breaks these rules is refused."""
    return _noted(STOPS, rules)


def _noted(table: dict[Rule, set[str]], rules: tuple[Rule, ...]) -> Callable[[F], F]:
    def note(test: F) -> F:
        for rule in rules:
            table.setdefault(rule, set()).add(f"{test.__module__}.{test.__qualname__}")
        return test

    return note
