"""Who can sign in, from the command line: the first person comes in by a link, and nobody has a default password."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deputize.cli.main import app

runner = CliRunner()


@pytest.fixture
def _records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert runner.invoke(app, ["db", "migrate", "--dev"]).exit_code == 0


@pytest.mark.usefixtures("_records")
def test_the_first_person_is_invited_by_a_link_that_is_told_once() -> None:
    nobody = runner.invoke(app, ["person", "list", "--dev"])
    assert "There is nobody yet" in nobody.output
    told = runner.invoke(app, ["person", "invite", "Alice", "--name", "Alice", "--dev"])
    assert told.exit_code == 0, told.output
    assert told.output.startswith("http://127.0.0.1:9400/welcome/")
    (row,) = json.loads(runner.invoke(app, ["person", "list", "--dev", "--json"]).output)
    assert row.pop("invited_until") > 0
    assert row == {
        "login": "alice",
        "name": "Alice",
        "password": False,
        "authenticator": False,
        "passkeys": 0,
        "disabled": False,
    }
    assert "alice  Alice: invited" in runner.invoke(app, ["person", "list", "--dev"]).output


@pytest.mark.usefixtures("_records")
def test_a_login_that_cannot_be_shown_is_refused_in_a_line() -> None:
    told = runner.invoke(app, ["person", "invite", "al\nice", "--dev"])
    assert told.exit_code == 1
