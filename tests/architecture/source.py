"""The source of the package as syntax trees: what the tests of this folder walk over."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tools.rules import ROOT

SRC = ROOT / "src"


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the package: its dotted name without `deputize.`, its text and its tree."""

    name: str
    text: str
    tree: ast.Module
    is_package: bool = False

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]

    def at(self, node: ast.AST) -> str:
        return f"{self.name}, line {getattr(node, 'lineno', '?')}"


def snippet(text: str, name: str = "oauth.elsewhere") -> Module:
    """A module that a test makes up."""
    return Module(name, text, ast.parse(text))


@cache
def modules() -> tuple[Module, ...]:
    """All modules of `deputize`, by name. The package itself is named `deputize`."""
    found = []
    for file in sorted((SRC / "deputize").rglob("*.py")):
        parts = file.relative_to(SRC / "deputize").with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts) or "deputize"
        text = file.read_text(encoding="utf-8")
        found.append(Module(name, text, ast.parse(text, filename=str(file)), is_package))
    return tuple(found)


def imports(module: Module, names: frozenset[str]) -> Iterator[str]:
    """The modules of the package, of those in `names`, that this one imports, wherever in its text.

    `from deputize.oauth.grants import ciba` imports `oauth.grants.ciba`, and not the table beside it.
    """
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=aliases):
                wanted = [alias.name for alias in aliases]
            case ast.ImportFrom(module=str(base), names=aliases, level=0):
                wanted = [
                    f"{base}.{alias.name}" if f"{base}.{alias.name}".removeprefix("deputize.") in names else base
                    for alias in aliases
                ]
            case _:
                continue
        for name in wanted:
            if (inside := name.removeprefix("deputize.")) in names and name.startswith("deputize"):
                yield inside
