"""Write docs/rules.md and docs/specs.md from the code, or check that they are in step with it."""

import argparse
import re
import sys
from collections.abc import Iterable
from itertools import groupby

from deputize.core.specs import SPECS
from tools.rules import ROOT, Live, Proofs, live, proven

MADE = "<!-- Made by `make docs` from the code; changes by hand are lost. -->"


def rules_page(rules: Iterable[Live], proofs: Proofs) -> str:
    """All rules, by specification and section."""
    ordered = sorted(rules, key=_order)
    lines = [
        MADE,
        "# Rules",
        "",
        f"A MUST is an object here. These {len(ordered)} sentences are true of Deputize: each is enforced in its",
        "module, goes out as `error_description` where it is broken, and is proven by a test that lets the good",
        "through and by one that stops the bad. Exceptions stand in [divergences](divergences.md).",
    ]
    for spec, group in groupby(ordered, key=lambda each: each.rule.spec):
        lines += ["", f"## {_heading(spec)}", "", "| section | what is true | enforced in | lets through | stops |"]
        lines += ["|---|---|---|---|---|"]
        lines += [
            f"| {_cell(each.rule.section)} | {_cell(each.rule.says)} | {_module(each.module)}"
            f" | {_tests(proofs.lets_through.get(each.rule))} | {_tests(proofs.stops.get(each.rule))} |"
            for each in group
        ]
    return "\n".join(lines) + "\n"


def specs_page() -> str:
    """Which specifications, in which version, and where."""
    lines = [
        MADE,
        "# Specifications",
        "",
        "What Deputize implements, in which version, and in which modules. What is off by default is switched on by",
        "its name in `[drafts]` of the settings.",
        "",
        "| specification | title | status | name | by default | modules |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {_cell(spec.id)} | {_cell(spec.title)} | {spec.status.value} | `{spec.name}`"
        f" | {'on' if spec.status.on_by_default else 'off'}"
        f" | {', '.join(_module(f'deputize.{module}') for module in spec.modules)} |"
        for spec in SPECS
    ]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Each page that is made, by its path from the root of the repository."""
    return {"docs/rules.md": rules_page(live(), proven()), "docs/specs.md": specs_page()}


def out_of_step() -> list[str]:
    """The pages that differ from what the code says."""
    return [
        path
        for path, text in pages().items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text(encoding="utf-8") != text
    ]


def _heading(spec: str) -> str:
    for known in SPECS:
        if known.id == spec or known.id.rpartition("-")[0] == spec:
            return f"{spec}: {known.title}"
    return spec


def _order(each: Live) -> tuple[bool, list[tuple[int, str]], list[tuple[int, str]], str]:
    """RFCs first, then by number; within one by section."""
    rule = each.rule
    return not rule.spec.startswith("RFC "), _natural(rule.spec), _natural(rule.section), each.name


def _natural(text: str) -> list[tuple[int, str]]:
    """Order 4.2 before 4.10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", text) if part]


def _module(name: str) -> str:
    path = "src/" + name.replace(".", "/")
    file = f"{path}.py" if (ROOT / f"{path}.py").is_file() else f"{path}/__init__.py"
    return f"[{name.removeprefix('deputize.')}](../{file})"


def _tests(names: set[str] | None) -> str:
    return "<br>".join(_test(name) for name in sorted(names or ())) or "–"


def _test(name: str) -> str:
    """A link to the test's file: a module's name has no upper case, a test class's has."""
    parts = name.split(".")
    depth = next(i for i, part in enumerate(parts) if part.startswith("test_")) + 1
    return f"[{' '.join(parts[depth:]).removeprefix('test_')}](../{'/'.join(parts[:depth])}.py)"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> int:
    """Write the pages, or with `--check` only tell which are out of step."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is out of step")
    if parser.parse_args().check:
        stale = out_of_step()
        for path in stale:
            print(f"{path} is out of step with the code: run `make docs` and commit it")
        return 1 if stale else 0
    for path, text in pages().items():
        (ROOT / path).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
