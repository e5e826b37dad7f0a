"""What the source does not do, anywhere: each line is a way in which others were broken into or misled."""

import ast
import re
from collections.abc import Callable, Iterator

import pytest

from tests.architecture.source import Module, modules, snippet

LINES_MAX = 400

Finding = Iterator[tuple[ast.AST, str]]


def _called(node: ast.Call) -> str:
    """What is called, as written: `re.match`, `print`."""
    return ast.unparse(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else ""


def no_assert(module: Module) -> Finding:
    """`python -O` drops them."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assert):
            yield node, "an assert is no check: raise"


def whole_text_is_matched(module: Module) -> Finding:
    """`$` lets a newline through, and `match` whatever follows (corpus PY-06)."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        if _called(node) in {"re.match", "re.search"} and not _looks_for_a_part(node):
            yield node, "fullmatch is what decides"
        if _called(node).startswith("re.") and any(_ends_with_dollar(text) for text in _texts(node.args[:1])):
            yield node, "$ lets a newline through: use fullmatch"


def _texts(nodes: list[ast.expr]) -> Iterator[str]:
    for part in (part for node in nodes for part in ast.walk(node)):
        if isinstance(part, ast.Constant) and isinstance(part.value, str | bytes):
            yield part.value if isinstance(part.value, str) else part.value.decode("latin-1")


def _looks_for_a_part(call: ast.Call) -> bool:
    """A search for what must not be there has no anchors, and is right."""
    return _called(call) == "re.search" and not any(
        "^" in _bare(text) or "$" in _bare(text) for text in _texts(call.args[:1])
    )


def _bare(pattern: str) -> str:
    """The pattern without escapes and character classes."""
    return re.sub(r"\[\^?\]?[^\]]*\]", "", re.sub(r"\\.", "", pattern))


def _ends_with_dollar(pattern: str) -> bool:
    return _bare(pattern).rstrip(")").endswith("$")


def no_print(module: Module) -> Finding:
    """A library says nothing; the command line does."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and _called(node) == "print" and module.room != "cli":
            yield node, "only cli prints"


_RUNS_DATA = {"eval", "exec", "compile", "__import__"}
_READS_CODE = {"pickle", "marshal", "shelve", "dill", "jsonpickle", "yaml"}


def data_is_not_run(module: Module) -> Finding:
    """Nothing that a peer or a disk holds becomes code."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Call() if _called(node) in _RUNS_DATA:
                yield node, f"{_called(node)} runs data"
            case ast.Import(names=aliases) if {alias.name.partition(".")[0] for alias in aliases} & _READS_CODE:
                yield node, "its loader runs what it reads"
            case ast.ImportFrom(module=str(name)) if name.partition(".")[0] in _READS_CODE:
                yield node, "its loader runs what it reads"
            case _:
                pass


def one_base64url(module: Module) -> Finding:
    """The standard decoders drop foreign characters (corpus PY-08): two texts would be one token."""
    if module.name == "core.wire":
        return
    for node in ast.walk(module.tree):
        match node:
            case ast.Attribute(attr="urlsafe_b64decode") | ast.alias(name="urlsafe_b64decode"):
                yield node, "core.wire.b64u_bytes is the strict one"
            case ast.Call(keywords=keywords) if _called(node) in {"binascii.a2b_base64", "a2b_base64"}:
                if not any(keyword.arg == "strict_mode" for keyword in keywords):
                    yield node, "strict_mode is off"
            case _:
                pass


def the_environment_is_read_once(module: Module) -> Finding:
    """Settings come as values; who reads the environment elsewhere hides one."""
    if module.room in {"cli", "compose"} or module.name.rpartition(".")[2] == "settings":
        return
    for node in ast.walk(module.tree):
        named = (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"}) or (
            isinstance(node, ast.alias) and node.name in {"environ", "environb", "getenv"}
        )
        if named:
            yield node, "only settings, compose and cli read the environment"


# Who may open a connection, and to whom. All else goes through the Fetch port, whose addresses are checked.
_REACHES_OUT = {
    "adapters.guarded_fetch": "the one door out",
    "adapters.dialling": "how it dials, and how it looks names up",
    "adapters.postgres_link": "the database that the operator named",
    "gateway.upstream": "the APIs that the gateway's own settings name",
    "sdk.agent": "an agent's way to its own gateway",
    "sdk.with_httpx2": "the program's own client calls its APIs; it is only told what to send along",
    "sdk.with_httpx": "the same",
    "cli.stage": "waits for the processes that it started",
    "cli.errand": "somebody who tries a stolen mandate, at the clinic that the demo started",
    "cli.thumb": "a person's browser at the server that the demo started",
    "cli.running": "finds a free port, and asks the processes that it started",
}
_CONNECTS = {"httpx2", "httpx", "httpcore2", "httpcore", "requests", "urllib3", "aiohttp", "websockets", "asyncpg"}
_CONNECTS |= {
    "socket",
    "http.client",
    "urllib.request",
    "ftplib",
    "smtplib",
    "telnetlib",
    "xmlrpc",
    "anyio.connect_tcp",
}
_CONNECTING = {
    "open_connection",
    "open_unix_connection",
    "create_connection",
    "connect_tcp",
    "connect_unix",
    "getaddrinfo",
}


def one_door_out(module: Module) -> Finding:
    """Whoever opens a connection to an address that a peer named does so through the guarded door (corpus SF)."""
    if module.name in _REACHES_OUT:
        return
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=aliases):
                names = {alias.name for alias in aliases}
            case ast.ImportFrom(module=str(base), names=aliases):
                names = {base, *(f"{base}.{alias.name}" for alias in aliases)}
            case ast.Attribute(attr=attr) if attr in _CONNECTING:
                names = {"socket"}
            case _:
                continue
        if any(name == one or name.startswith(f"{one}.") for name in names for one in _CONNECTS):
            yield node, "the Fetch port is the way out"


def one_idea(module: Module) -> Finding:
    """Beyond this length there is a second idea that wants a name."""
    if (lines := module.text.count("\n")) > LINES_MAX:
        yield module.tree, f"{lines} lines, at most {LINES_MAX}"


CHECKS: tuple[Callable[[Module], Finding], ...] = (
    no_assert,
    whole_text_is_matched,
    no_print,
    data_is_not_run,
    one_base64url,
    the_environment_is_read_once,
    one_door_out,
    one_idea,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_source_keeps_clear_of_it(check: Callable[[Module], Finding]) -> None:
    found = [f"{module.at(node)}: {why}" for module in modules() for node, why in check(module)]
    assert not found, "\n  ".join(["", *found])


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (no_assert, "assert x"),
        (whole_text_is_matched, "re.match('a+', x)"),
        (whole_text_is_matched, "re.search('^a+', x)"),
        (whole_text_is_matched, "re.compile(r'[a-z]+$')"),
        (whole_text_is_matched, "re.compile(rb'^[a$]+$')"),
        (no_print, "print(1)"),
        (data_is_not_run, "eval(x)"),
        (data_is_not_run, "import pickle"),
        (data_is_not_run, "from marshal import loads"),
        (one_base64url, "base64.urlsafe_b64decode(x)"),
        (one_base64url, "binascii.a2b_base64(x)"),
        (one_base64url, "from base64 import urlsafe_b64decode"),
        (the_environment_is_read_once, "os.environ['X']"),
        (the_environment_is_read_once, "from os import getenv"),
        (one_door_out, "import httpx2"),
        (one_door_out, "import urllib.request"),
        (one_door_out, "from urllib import request"),
        (one_door_out, "from http.client import HTTPSConnection"),
        (one_door_out, "import socket"),
        (one_door_out, "async def f(): await asyncio.open_connection('a', 1)"),
        (one_idea, "\n" * (LINES_MAX + 1)),
    ],
)
def test_each_check_finds_what_it_looks_for(check: Callable[[Module], Finding], text: str) -> None:
    assert list(check(snippet(text)))


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (whole_text_is_matched, r"re.compile(r'[a-z$]+\$')"),
        (whole_text_is_matched, "re.search(rb'%(?![0-9A-F]{2})', x)"),
        (whole_text_is_matched, "re.compile('a+').fullmatch(x)"),
        (data_is_not_run, "re.compile('a')"),
        (whole_text_is_matched, "re.compile('(?:^|_)token(?:$|_)')"),
        (one_door_out, "from urllib.parse import urlsplit"),
        (one_base64url, "base64.urlsafe_b64encode(x)"),
        (one_base64url, "binascii.a2b_base64(x, strict_mode=True)"),
    ],
)
def test_no_check_is_overzealous(check: Callable[[Module], Finding], text: str) -> None:
    assert not list(check(snippet(text)))
