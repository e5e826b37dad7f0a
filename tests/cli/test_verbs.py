"""The verbs that answer at once."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deputize import vc
from deputize.adapters.system import SystemRandom
from deputize.cli.main import app
from deputize.core.rules import Fault
from deputize.core.specs import SPECS
from deputize.core.values import Instant
from deputize.jose import jwt
from deputize.jose.keys import PrivateKey

runner = CliRunner()


def test_help_lists_the_verbs() -> None:
    told = runner.invoke(app, ["--help"])
    assert told.exit_code == 0
    for verb in ("demo", "serve", "gateway", "keys", "try", "ask", "explain", "specs", "config", "person"):
        assert verb in told.output


def test_specs_are_told_to_machines_too() -> None:
    told = json.loads(runner.invoke(app, ["specs", "--json"]).output)
    assert [row["name"] for row in told] == [spec.name for spec in SPECS]
    assert {row["name"] for row in told if not row["on_by_default"]} == {
        "txn-challenge",
        "agent-mandate",
        "did-issuers",
        "call-bound",
    }


def test_config_show_prints_what_is_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = json.loads(runner.invoke(app, ["config", "show", "--dev", "--json"]).output)
    assert told["server.issuer"] == {"value": "http://127.0.0.1:9400", "origin": "default"}
    assert told["dev"]["origin"] == "--dev"


def test_explain_says_in_words_what_is_in_a_token() -> None:
    claims = {
        "iss": "https://as.example",
        "sub": "alice",
        "act": {"sub": "pharmacy-bot"},
        "aud": "https://api.example",
        "client_id": "pharmacy-bot",
        "scope": "prescriptions:read",
        "cnf": {"jkt": "a-thumbprint"},
        "iat": Instant(1_764_000_000),
        "exp": Instant(1_764_000_300),
    }
    token = jwt.sign(claims, PrivateKey.generate(), typ="at+jwt")
    told = runner.invoke(app, ["explain"], input=token)
    assert told.exit_code == 0
    for words in (
        "an access token (RFC 9068)",
        "About alice.",
        "pharmacy-bot acts on that person's behalf",
        "a-thumbprint",
    ):
        assert words in told.output
    assert "was not checked here" in told.output


def test_explain_says_what_a_credential_shows() -> None:
    agent, issuer = PrivateKey.generate(), PrivateKey.generate()
    claims = {
        "iss": "https://as.example",
        "vct": "https://as.example/types/agent-mandate/1",
        "sub": "alice",
        "act": {"sub": "errand-bot"},
        "may": [
            {"resource": "https://api.example", "scope": "read"},
            {"resource": "https://api.example", "scope": "x"},
        ],
        "cnf": {"jwk": agent.public_jwk()},
        "status": {"status_list": {"idx": 7, "uri": "https://as.example/status/1"}},
    }
    credential = vc.issue(claims, vc.Frame.of("sub", ("may", None)), key=issuer, random=SystemRandom())
    asked = vc.Asked(audience="https://clinic.example", nonce="n")
    told = runner.invoke(
        app, ["explain"], input=vc.present(credential, [("may", 0)], asked=asked, key=agent, now=Instant(1_764_000_000))
    )
    assert told.exit_code == 0, told.output
    for line in (
        "This is a credential (SD-JWT VC)",
        "Of the type https://as.example/types/agent-mandate/1.",
        "errand-bot acts on that person's behalf.",
        "Allows read at https://api.example.",
        f"Worth something only with the key {agent.public().thumbprint}",
        "Whether it still stands is told by entry 7 of https://as.example/status/1.",
        "Parts of it that can be hidden, and are shown here: 1.",
        "Its holder signed it for one verifier.",
    ):
        assert line in told.output
    assert "alice" not in told.output
    assert "Allows x" not in told.output
    whole = runner.invoke(app, ["explain"], input=credential).output
    assert "About alice." in whole
    assert "No holder has signed it" in whole
    broken = runner.invoke(app, ["explain"], input=credential.replace("~", "~~", 1))
    assert isinstance(broken.exception, Fault)


@pytest.mark.parametrize("nothing", ["", "not a token", "a.b.c", "eyJ9.e30.", "~", "a.b.c~", "eyJ9.e30.AA~WyJhIl0~"])
def test_explain_says_so_where_there_is_nothing_to_explain(nothing: str) -> None:
    told = runner.invoke(app, ["explain"], input=nothing)
    assert told.exit_code == 1
    assert "Traceback" not in told.output
