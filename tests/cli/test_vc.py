"""Credentials on the command line: from a key to claims that somebody else has checked."""

import json
import stat
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deputize.cli.main import app
from deputize.core.rules import Fault, Refusal

runner = CliRunner()
ISSUER, TYPE, VERIFIER = "https://uni.example", "https://uni.example/types/1", "https://verifier.example"
BOUND = ("--audience", VERIFIER, "--nonce", "n-123")
WANTED = ("--issuer", ISSUER, "--type", TYPE)


def run(*words: str | Path, text: str | None = None) -> str:
    told = runner.invoke(app, ["vc", *map(str, words)], input=text)
    if told.exception and not isinstance(told.exception, SystemExit):
        raise told.exception
    assert told.exit_code == 0, told.output
    return told.output.strip()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("issuer", "holder"):
        (tmp_path / f"{name}.pub").write_text(run("key", tmp_path / f"{name}.jwk"))
    now = int(time.time())
    claims = {"iss": ISSUER, "vct": TYPE, "iat": now, "exp": now + 600, "name": "Alice", "langs": ["es", "en"]}
    (tmp_path / "claims.json").write_text(json.dumps(claims))
    return tmp_path


def issued(place: Path, **changes: object) -> str:
    claims = json.loads((place / "claims.json").read_text()) | changes
    hidden = ("--hide", "name", "--hide", "langs.*", "--decoys", "2")
    return run(
        "issue", "--key", place / "issuer.jwk", "--holder", place / "holder.pub", *hidden, text=json.dumps(claims)
    )


def test_a_credential_goes_from_issuer_to_holder_to_verifier(place: Path) -> None:
    credential = issued(place)
    shown = run("present", "--show", "langs.1", "--key", place / "holder.jwk", *BOUND, text=credential)
    seen = json.loads(run("verify", *WANTED, "--jwks", place / "issuer.pub", *BOUND, text=shown))
    assert seen["langs"] == ["en"]
    assert "name" not in seen
    whole = json.loads(run("verify", *WANTED, "--jwks", place / "issuer.pub", text=credential))
    assert (whole["name"], whole["langs"]) == ("Alice", ["es", "en"])


def test_what_is_not_good_is_refused(place: Path) -> None:
    credential = issued(place)
    shown = run("present", "--show", "name", "--key", place / "holder.jwk", *BOUND, text=credential)
    keys = ("--jwks", place / "issuer.pub")
    for words, text in (
        (("verify", *WANTED, *keys, "--audience", VERIFIER, "--nonce", "another"), shown),
        (("verify", *WANTED, *keys), shown),
        (("verify", *WANTED, *keys, *BOUND), credential),
        (("verify", *WANTED, "--jwks", place / "holder.pub"), credential),
        (("verify", "--issuer", ISSUER, "--type", "urn:x", *keys), credential),
        (("verify", *WANTED, *keys), issued(place, status={"status_list": {"idx": 1, "uri": "https://a.example"}})),
    ):
        with pytest.raises(Refusal):
            run(*words, text=text)


def test_a_mistake_is_told_in_a_line(place: Path) -> None:
    credential = issued(place)
    for words, text in (
        (("key", place / "issuer.jwk"), None),
        (("key", place / "other.jwk", "--alg", "none"), None),
        (("issue", "--key", place / "issuer.pub"), "{}"),
        (("issue", "--key", place / "issuer.jwk"), "{"),
        (("issue", "--key", place / "issuer.jwk"), "{}"),
        (("issue", "--key", place / "issuer.jwk", "--hide", "exp", place / "claims.json"), None),
        (("issue", "--key", place / "issuer.jwk", "--holder", place / "holder.jwk", place / "claims.json"), None),
        (("issue", "--key", place / "nowhere", place / "claims.json"), None),
        (("present", "--show", "age"), credential),
        (("present", *BOUND), credential),
        (("present", "--key", place / "issuer.jwk", *BOUND), credential),
        (("verify", *WANTED, "--jwks", place / "issuer.pub", "--nonce", "n"), credential),
        (("verify", *WANTED, "--jwks", place / "claims.json"), credential),
    ):
        with pytest.raises(Fault):
            run(*words, text=text)


def test_a_private_key_is_its_owners_alone(place: Path) -> None:
    assert stat.S_IMODE((place / "issuer.jwk").stat().st_mode) == 0o600
    assert "d" not in json.loads((place / "issuer.pub").read_text())
