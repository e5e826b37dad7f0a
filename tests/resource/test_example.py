"""The pharmacy of the examples: short, made of public names only, and never surprised by what it is sent."""

import ast
import json
import runpy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import deputize
from deputize import bff, resource
from deputize.jose.keys import PrivateKey
from deputize.oauth import details
from tests.support.issuer import ISSUER

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "pharmacy_api.py"


@pytest.fixture
async def pharmacy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, Any]]:
    """The example's names, as it would start in an empty folder."""
    key = PrivateKey.generate().to_jwk()
    own = {"resource": "http://127.0.0.1:9420", "issuer": ISSUER, "name": "Madrid Pharmacy", "key": key}
    (tmp_path / "pharmacy.json").write_text(json.dumps(own))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(EXAMPLE), "pharmacy.json"])
    names = runpy.run_path(str(EXAMPLE))
    yield names
    await names["guard"]._env.store.close()


@pytest.mark.parametrize(
    ("name", "lines"),
    [("pharmacy_api.py", 60), ("mcp_server.py", 40), ("fastmcp_server.py", 40), ("pharmacy_page.py", 40)],
)
def test_it_is_short_and_made_of_public_names(name: str, lines: int) -> None:
    """The two MCP servers meet their clients in tests/interop, and the page's backend Alice in tests/stories."""
    text = EXAMPLE.with_name(name).read_text()
    assert text.count("\n") < lines
    public = {"deputize": deputize.__all__, "deputize.resource": resource.__all__, "deputize.bff": bff.__all__}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("deputize"):
            assert {alias.name for alias in node.names} <= set(public[node.module or ""])


async def test_it_says_what_an_order_is(pharmacy: dict[str, Any]) -> None:
    told = pharmacy["describe_order"](b'{"medicine": "Ibuprofen 400 mg", "quantity": 30}')
    (bought,) = told.details
    assert details.says(bought).wants == "order 30 × Ibuprofen 400 mg for €12.40 from Madrid Pharmacy"


@pytest.mark.parametrize(
    "order",
    [
        b"",
        b"[]",
        b"7",
        b"{}",
        b"\xff",
        b"[" * 60_000,
        b'{"medicine": "Ibuprofen 400 mg"}',
        b'{"medicine": "Heroin", "quantity": 1}',
        b'{"medicine": ["Ibuprofen 400 mg"], "quantity": 1}',
        b'{"medicine": null, "quantity": 1}',
        b'{"medicine": "Ibuprofen 400 mg", "quantity": 0}',
        b'{"medicine": "Ibuprofen 400 mg", "quantity": -1}',
        b'{"medicine": "Ibuprofen 400 mg", "quantity": 1001}',
        b'{"medicine": "Ibuprofen 400 mg", "quantity": 1.5}',
        b'{"medicine": "Ibuprofen 400 mg", "quantity": "30"}',
        b'{"medicine": "Ibuprofen 400 mg", "quantity": true}',
        b'{"medicine": "Ibuprofen 400 mg", "quantity": NaN}',
        b'{"medicine": "Ibuprofen 400 mg", "quantity": 1e999}',
        b'{"medicine": "Ibuprofen 400 mg", "quantity": 3, "quantity": 300}',
        b'{"medicine": "Ibuprofen 400 mg", "quantity": 30, "deliver_to": "Mallory"}',
    ],
)
async def test_what_is_no_order_is_refused_as_such(pharmacy: dict[str, Any], order: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (several)
        pharmacy["describe_order"](order)
