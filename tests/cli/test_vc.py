"""Credentials on the command line: from a key to claims that somebody else has checked."""

import json
import stat
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deputize import vc
from deputize.adapters.system import SystemRandom
from deputize.cli.main import app
from deputize.core.rules import Fault, Refusal
from deputize.core.values import Instant, Seconds
from deputize.core.wire import b64u, json_bytes
from deputize.jose.keys import PrivateKey
from deputize.vc.status_list import StatusList
from deputize.vc.status_token import Content, Form, signed
from tests.support.site import a_site

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


# --- status -------------------------------------------------------------------------------------------------------

GOOD, REVOKED, SUSPENDED = 7, 8, 9


def a_list(place: Path, uri: str, form: Form = Form.JWT) -> bytes:
    now = Instant(int(time.time()))
    told = StatusList.of(2, 1024, {REVOKED: 1, SUSPENDED: 2})
    content = Content.of(told, uri=uri, issued_at=now, until=Instant(now + 600), ttl=Seconds(60))
    return signed(content, form, PrivateKey.from_jwk(json.loads((place / "issuer.jwk").read_text())))


def at(idx: int, uri: str) -> dict[str, object]:
    return {"status_list": {"idx": idx, "uri": uri}}


def test_a_status_is_looked_up_where_it_stands(place: Path) -> None:
    with a_site(place) as site:
        uri = f"{site.origin}/1"
        site.put("/1", a_list(place, uri), Content_Type=Form.JWT.media_type)
        words = ("verify", *WANTED, "--jwks", place / "issuer.pub", "--ca-file", site.ca_file, "--allow", site.origin)
        assert json.loads(run(*words, text=issued(place, status=at(GOOD, uri))))["name"] == "Alice"
        for idx, why in ((REVOKED, "its status is invalid"), (SUSPENDED, "its status is suspended")):
            with pytest.raises(Fault, match=why):
                run(*words, text=issued(place, status=at(idx, uri)))
        with pytest.raises(Refusal):
            run(*words, text=issued(place, status={"another": {}}))
        for elsewhere in (f"{site.origin}/2", "https://127.0.0.1/1", "http://lists.example/1"):
            with pytest.raises((Fault, Refusal)):
                run(*words, text=issued(place, status=at(GOOD, elsewhere)))
        with pytest.raises(Fault, match=r"nobody knows whether it still stands: .* is not an allowed origin"):
            run(*words[:-2], text=issued(place, status=at(GOOD, uri)))
        assert run(*words[:-4], "--ignore-status", text=issued(place, status=at(REVOKED, uri)))


@pytest.mark.parametrize("form", Form)
def test_a_list_may_be_at_hand(place: Path, form: Form) -> None:
    uri = "https://lists.example/1"
    (place / "list").write_bytes(a_list(place, uri, form))
    words = ("verify", *WANTED, "--jwks", place / "issuer.pub", "--status", place / "list")
    assert run(*words, text=issued(place, status=at(GOOD, uri)))
    with pytest.raises(Fault, match="its status is invalid"):
        run(*words, text=issued(place, status=at(REVOKED, uri)))
    with pytest.raises(Refusal):
        run(*words, text=issued(place, status=at(GOOD, uri + "/")))
    for other in (("--ignore-status",), ("--status", place / "nowhere")):
        with pytest.raises(Fault):
            run(*words, *other, text=issued(place, status=at(GOOD, uri)))


def test_an_issuer_may_be_a_did_where_that_is_said(place: Path) -> None:
    key = json.loads((place / "issuer.pub").read_text())
    did = f"did:jwk:{b64u(json_bytes({name: key[name] for name in ('kty', 'crv', 'x', 'y')}))}"
    claims = json.loads((place / "claims.json").read_text()) | {"iss": did}
    private = PrivateKey.from_jwk(json.loads((place / "issuer.jwk").read_text()))
    text = vc.issue(claims, vc.Frame(), key=private, random=SystemRandom(), header={"kid": f"{did}#0"})
    words = ("verify", "--issuer", did, "--type", TYPE)
    assert json.loads(run(*words, "--did", text=text))["name"] == "Alice"
    with pytest.raises(Refusal):
        run(*words, text=text)
    with pytest.raises(Fault):
        run(*words, "--did", "--jwks", place / "issuer.pub", text=text)
