"""An operator says which clients may use the device flow, and why."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deputize.adapters.stores import open_store
from deputize.cli.main import app
from deputize.compose.kinds import KINDS

runner = CliRunner()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)

    async def made() -> None:
        store = open_store(str(tmp_path / "store.db"))
        await store.migrate(KINDS)
        await store.close()

    asyncio.run(made())
    file = tmp_path / "deputize.toml"
    file.write_text(f'[server]\nissuer = "https://as.example"\n[store]\npath = "{tmp_path}/store.db"\n')
    return file


def say(config: Path, *words: str) -> tuple[int, str]:
    told = runner.invoke(app, ["client", "device", *words, "-c", str(config)])
    return told.exit_code, told.stdout


def test_a_client_is_allowed_with_a_reason_and_withdrawn(config: Path) -> None:
    assert say(config, "list") == (0, "No client may use the device flow.\n")
    assert say(config, "allow", "light", "--risk", "it only reads")[0] == 0
    assert say(config, "allow", "light", "--risk", "it reads, and nothing else")[0] == 0
    [one] = json.loads(say(config, "list", "--json")[1])
    assert (one["client_id"], one["risk"]) == ("light", "it reads, and nothing else")
    assert say(config, "withdraw", "light")[0] == 0
    assert say(config, "withdraw", "light")[0] == 1
    assert json.loads(say(config, "list", "--json")[1]) == []
    assert say(config, "allow", "light", "--risk", "again")[0] == 0
    assert say(config, "list") == (0, "light: again\n")


def test_without_a_reason_nothing_is_allowed(config: Path) -> None:
    assert say(config, "allow", "light")[0] == 2
    assert say(config, "allow", "light", "--risk", " ")[0] == 1
