"""LK: no secret survives the one step through which every line of the log goes."""

import json

import pytest
import structlog

from deputize.compose import observe
from deputize.core.specs import SPECS
from deputize.jose import jwt
from deputize.jose.keys import PrivateKey

TOKEN = jwt.sign({"sub": "alice"}, PrivateKey.generate(), typ="at+jwt")
SECRET = "Zk3VbT0u9sXq1LrY7mWc2NhJ5dPfG8aEoKiQvRxUy4A"


@pytest.mark.parametrize(
    "name", ["authorization", "client_secret", "password", "dpop", "cookie", "refresh_token", "code"]
)
def test_lk_01_what_is_named_as_a_secret_is_struck_out(name: str) -> None:
    assert observe.redact(None, "info", {name: "plain"})[name] == observe.STRUCK


@pytest.mark.parametrize("text", [TOKEN, f"Bearer {TOKEN}", f"it said {SECRET} aloud"])
def test_lk_01_what_looks_like_a_secret_is_struck_out_wherever_it_stands(text: str) -> None:
    line = observe.redact(None, "info", {"what": text, "deep": {"list": [text], "token": "x"}})
    assert TOKEN not in str(line)
    assert SECRET not in str(line)
    assert line["deep"]["token"] == observe.STRUCK


def test_what_is_no_secret_is_left() -> None:
    for spec in ("RFC 6749", *(spec.id for spec in SPECS)):
        line = {"event": "refused", "error": "invalid_grant", "path": "/token", "rule": f"{spec} 5.2"}
        assert observe.redact(None, "info", dict(line)) == line
    for near in (f"{SPECS[-1].id}-{SECRET}", f"{SECRET}{SPECS[-1].id}"):
        assert SECRET not in str(observe.redact(None, "info", {"rule": near}))


def test_lk_02_an_exception_with_a_secret_in_it_is_logged_without(capsys: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    try:
        observe.configure(json=True)
        try:
            raise ValueError(f"could not use {TOKEN}")
        except ValueError:
            structlog.get_logger("test").exception("failed")
    finally:
        structlog.configure(**before)
    said = capsys.readouterr().err
    assert TOKEN not in said
    assert json.loads(said)["event"] == "failed"
