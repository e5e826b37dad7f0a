"""Every Rule of the package where it lives, and the tests that prove it."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

import deputize
from deputize.core.rules import Rule
from tests.support import proofs

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Live:
    """A rule, and the constant that holds it: `oauth.dpop.PROOF_ONCE`."""

    module: str
    constant: str
    rule: Rule

    @property
    def name(self) -> str:
        return f"{self.module.removeprefix('deputize.')}.{self.constant}"


@dataclass(frozen=True, slots=True)
class Proofs:
    """The tests that claim a rule, by what they show of it."""

    lets_through: dict[Rule, set[str]]
    stops: dict[Rule, set[str]]

    def claimed(self) -> dict[Rule, set[str]]:
        return {
            rule: self.lets_through.get(rule, set()) | self.stops.get(rule, set())
            for rule in self.lets_through | self.stops
        }


def live() -> tuple[Live, ...]:
    """All rules of the package, each in the module that makes it."""
    found = [
        Live(module.__name__, constant, value)
        for module in _modules()
        for constant in sorted(_made_here(module))
        if isinstance(value := getattr(module, constant, None), Rule)
    ]
    return tuple(sorted(found, key=lambda each: each.name))


def proven() -> Proofs:
    """What the tests claim; every test module is imported for it."""
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        try:
            importlib.import_module(name)
        except pytest.skip.Exception:
            continue  # it says so itself when pytest runs it
    return Proofs(proofs.LETS_THROUGH, proofs.STOPS)


def _modules() -> Iterator[ModuleType]:
    yield deputize
    for found in pkgutil.walk_packages(deputize.__path__, "deputize."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def _made_here(module: ModuleType) -> set[str]:
    """The names that the module assigns at its top: what it only imports lives elsewhere."""
    names: set[str] = set()
    for node in ast.parse(Path(module.__file__ or "").read_bytes()).body:
        match node:
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case _:
                pass
    return names
