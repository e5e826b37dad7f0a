"""The table of those that we met: a pytest plugin of `make interop`, which writes what the tests found, and no more.

A test's row is its marker `peer(client, what)`; `client` is a package's name, with its home in brackets. What
more is to be said is the test's `record_property("why", …)`. With `--table` the whole was run, and docs/interop.md is
written, too, unless something could not be run here.
"""

import importlib.metadata
import json
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
WHY_MAX: Final = 200
NOT_RUN: Final = "not run: "
HEAD: Final = """# Who reaches an API through us

Programs of others, met in `make interop`, which makes this page. The authorization server is ours, a person's part is
played by a script that reads the pages, and the tools and APIs are behind `deputize.resource` or are the server's own.

| client | version | what | ok | why |
|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one peer at one thing."""

    client: str
    version: str
    what: str
    ok: bool
    why: str


ROWS: Final[pytest.StashKey[dict[tuple[str, str], Row]]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", action="store_true", help="write docs/interop.md: all of tests/interop is run")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    for mark in item.iter_markers("peer"):
        client, what = mark.args
        rows = item.config.stash[ROWS]
        before = rows.get((client, what))
        if (before is not None and not before.ok) or (report.when == "teardown" and report.passed):
            continue  # where one of several fails, that is the row's word
        if report.when == "setup" and report.passed:
            continue
        rows[client, what] = Row(client, version_of(client), what, report.passed, _why(report))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    rows = sorted(session.config.stash[ROWS].values(), key=lambda row: (row.client.lower(), row.what))
    if not rows:
        return
    target = ROOT / "var" / "interop.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False) + "\n")
    if session.config.getoption("--table") and not any(row.why.startswith(NOT_RUN) for row in rows):
        (ROOT / "docs" / "interop.md").write_text(HEAD + "".join(map(_line, rows)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash[ROWS].values()
    for row in rows:
        if not row.ok:
            terminalreporter.write_line(f"not met: {row.client} {row.version}, {row.what}: {row.why}")
    terminalreporter.write_line(f"interop: {sum(row.ok for row in rows)} of {len(rows)} rows are well")


def version_of(client: str) -> str:
    """The version that is installed here."""
    name, _, place = client.partition(" ")
    if place == "(npm)":
        return next(_npm_versions(name), "")
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _npm_versions(name: str) -> Iterator[str]:
    for home in ("node", "node-mcp", "node-openid4vc"):
        path = ROOT / "var" / home / "node_modules" / name / "package.json"
        if path.exists():
            yield json.loads(path.read_text())["version"]


def _why(report: pytest.TestReport) -> str:
    said = [str(value) for name, value in report.user_properties if name == "why"]
    if report.passed:
        return "; ".join(said)
    if hasattr(report, "wasxfail"):
        return report.wasxfail.removeprefix("reason: ")
    if report.skipped and isinstance(report.longrepr, tuple):
        return f"{NOT_RUN}{report.longrepr[2].removeprefix('Skipped: ')}"[:WHY_MAX]
    crash = getattr(report.longrepr, "reprcrash", None)
    return " ".join(str(crash.message if crash else report.longrepr).split())[:WHY_MAX]


def _line(row: Row) -> str:
    cells = (row.client, row.version, row.what, "yes" if row.ok else "no", row.why)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"
