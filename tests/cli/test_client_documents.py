"""Who publishes a client's document makes it, puts it on the web, and sees what a server would say of it."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deputize.cli.main import app
from deputize.jose.keys import PrivateKey
from deputize.oauth.client_document import CACHED
from tests.support.documents import KEY, URL, a_document
from tests.support.proofs import lets_through, stops
from tests.support.site import Site, a_site

runner = CliRunner()


def said(*words: str) -> tuple[int, dict[str, Any]]:
    told = runner.invoke(app, ["client", *words, "--json"])
    return told.exit_code, json.loads(told.stdout) if told.stdout.startswith("{") else {}


def a_file(tmp_path: Path, document: Any) -> str:
    file = tmp_path / "client.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(file)


# --- lint a file ----------------------------------------------------------------------------------------------------


def test_a_good_file_is_good(tmp_path: Path) -> None:
    assert said("lint", a_file(tmp_path, a_document())) == (0, {"client_id": URL, "ok": True, "findings": []})
    told = runner.invoke(app, ["client", "lint", a_file(tmp_path, a_document())])
    assert told.stdout == f"{URL} is a good client id\n"


def test_each_finding_comes_with_its_clause(tmp_path: Path) -> None:
    document = a_document(client_secret="hush", client_name=None, redirect_uris=["http://app.example/"])
    code, told = said("lint", a_file(tmp_path, document))
    assert code == 1
    assert [(one["must"], one["where"]) for one in told["findings"]] == [
        (True, "client_secret"),
        (True, "redirect_uris"),
        (False, "client_name"),
    ]
    assert told["findings"][0]["section"] == "Client ID Metadata Document"
    lines = runner.invoke(app, ["client", "lint", a_file(tmp_path, document)]).stdout.splitlines()
    assert lines[0].startswith("refused  client_secret: The document holds no secret")
    assert lines[0].endswith("(draft-ietf-oauth-client-id-metadata-document-03, Client ID Metadata Document)")
    assert lines[2].startswith("note  client_name:")
    assert "hush" not in "".join(lines)


def test_what_is_only_noted_is_no_reason_to_fail(tmp_path: Path) -> None:
    code, told = said("lint", a_file(tmp_path, a_document(client_name=None)))
    assert (code, told["ok"], len(told["findings"])) == (0, True, 1)


def test_a_file_is_for_a_place(tmp_path: Path) -> None:
    code, told = said("lint", a_file(tmp_path, a_document()), "--at", "https://other.example/c")
    assert (code, [one["where"] for one in told["findings"]]) == (1, ["client_id"])


@pytest.mark.parametrize("text", ["", "[]", "{", '{"client_id": "a", "client_id": "b"}', '{"a": "' + "x" * 6000 + '"}'])
def test_what_is_no_document_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    assert said("lint", a_file(tmp_path, text))[0] == 1


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    told = runner.invoke(app, ["client", "lint", str(tmp_path / "none.json")])
    assert told.exit_code == 1


@pytest.mark.parametrize(
    "url", ["http://app.example/c", "https://app.example/../c", "https://10.0.0.1/c", "file:///etc/passwd"]
)
def test_a_url_that_is_none_is_not_asked(url: str) -> None:
    code, told = said("lint", url)
    assert (code, told["ok"]) == (1, False)


# --- lint at a URL --------------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with a_site(tmp_path) as made:
        yield made


def lint(site: Site, url: str) -> tuple[int, dict[str, Any]]:
    return said("lint", url, "--allow", site.origin, "--ca-file", site.ca_file)


@lets_through(CACHED)
def test_a_document_on_the_web_is_good(site: Site) -> None:
    url = site.put("/c.json", a_document(site.origin + "/c.json"), Cache_Control="max-age=3600")
    assert lint(site, url) == (0, {"client_id": url, "ok": True, "findings": []})


@stops(CACHED)
def test_what_the_web_server_does_is_looked_at_too(site: Site) -> None:
    url = site.origin + "/c.json"
    site.put("/c.json", a_document(url))
    code, told = lint(site, url)
    assert (code, [one["section"] for one in told["findings"]]) == (0, ["Metadata Caching"])
    for status, kind in ((301, "application/json"), (404, "application/json"), (200, "text/html")):
        site.put("/c.json", a_document(url), status=status, Content_Type=kind, Location="/d.json")
        code, told = lint(site, url)
        assert (code, [one["section"] for one in told["findings"]]) == (1, ["Metadata Discovery Errors"])


def test_keys_that_lie_elsewhere_are_looked_at(site: Site) -> None:
    url = site.origin + "/c.json"
    document = a_document(url, jwks=None, jwks_uri=site.origin + "/keys")
    site.put("/c.json", document, Cache_Control="max-age=3600")
    assert lint(site, url)[0] == 1
    site.put("/keys", {"keys": [KEY.to_jwk()]})
    code, told = lint(site, url)
    assert code == 1
    assert "not public" in told["findings"][0]["where"]
    site.put("/keys", {"keys": [KEY.public_jwk()]})
    assert lint(site, url)[0] == 0


# --- publish --------------------------------------------------------------------------------------------------------

MADE = ["publish", URL, "--name", "Trip Planner", "--redirect-uri", "https://app.example/cb"]


def test_what_is_published_is_good_and_its_key_is_its_owner_s(tmp_path: Path) -> None:
    code, told = said(*MADE, "--folder", str(tmp_path / "public"), "--scope", "a b")
    assert code == 0
    assert said("lint", told["document"])[1] == {"client_id": URL, "ok": True, "findings": []}
    key = Path(told["key"])
    assert key.parent == tmp_path  # beside what goes to the web, and not in it
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert PrivateKey.from_jwk(json.loads(key.read_text())).public_jwk() == told["members"]["jwks"]["keys"][0]
    assert told["members"]["grant_types"] == ["authorization_code", "refresh_token"]
    assert json.loads(Path(told["document"]).read_text()) == told["members"]
    again = said(*MADE, "--folder", str(tmp_path / "public"))[1]
    assert again["members"]["jwks"] == told["members"]["jwks"]
    assert "scope" not in again["members"]


def test_a_public_client_has_no_key(tmp_path: Path) -> None:
    words = ["publish", URL, "--name", "Tool", "--redirect-uri", "http://127.0.0.1/cb", "--public"]
    code, told = said(*words, "--folder", str(tmp_path / "public"))
    assert (code, told["key"], told["members"]["token_endpoint_auth_method"]) == (0, None, "none")
    assert told["members"]["application_type"] == "native"
    assert [file.name for file in tmp_path.rglob("*.json")] == ["client.json"]


@pytest.mark.parametrize(
    "words",
    [
        ["publish", "http://app.example/c", "--name", "A", "--redirect-uri", "https://app.example/cb"],
        ["publish", URL, "--name", "A"],
        ["publish", URL, "--name", "A", "--redirect-uri", "http://app.example/cb"],
        ["publish", URL, "--name", "A" * 6000, "--redirect-uri", "https://app.example/cb"],
    ],
)
def test_what_would_be_refused_is_not_written(tmp_path: Path, words: list[str]) -> None:
    for more in ([], ["--public"]):
        assert said(*words, "--folder", str(tmp_path / "public"), *more)[0] == 1
    assert list(tmp_path.iterdir()) == []


def test_a_document_is_not_written_over_a_key(tmp_path: Path) -> None:
    assert said(*MADE, "--folder", str(tmp_path / "public"))[0] == 0
    before = (tmp_path / "client.key.json").read_text()
    words = [
        "publish",
        "https://app.example/client.key.json",
        "--name",
        "A",
        "--redirect-uri",
        "https://app.example/cb",
    ]
    assert said(*words, "--public", "--folder", str(tmp_path / "public"))[0] == 1
    assert (tmp_path / "client.key.json").read_text() == before


def test_another_file_is_not_taken_for_a_key(tmp_path: Path) -> None:
    (tmp_path / "client.key.json").write_text("{}")
    assert said(*MADE, "--folder", str(tmp_path / "public"))[0] == 1
    assert (tmp_path / "client.key.json").read_text() == "{}"
