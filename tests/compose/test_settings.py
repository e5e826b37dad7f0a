"""One file, all mistakes at once, nothing unknown, nothing that contradicts itself."""

from pathlib import Path

import pytest

from deputize.adapters.stores import open_store
from deputize.compose.kinds import KINDS
from deputize.compose.parts import server_parts
from deputize.compose.settings import Mistakes, load, origins
from deputize.compose.upstreams import upstreams_of
from deputize.core.rules import Refusal
from deputize.core.wire import Headers, Inbound, json_bytes
from deputize.oauth import metadata, registration
from deputize.oauth.registering import METHOD


def a_registration(method: str) -> Inbound:
    body = json_bytes({"redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": method})
    headers = Headers((("content-type", "application/json"),))
    return Inbound(method="POST", url="http://127.0.0.1:9400/register", headers=headers, body=body)


def a_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "deputize.toml"
    path.write_text(text)
    return path


def test_without_a_file_the_defaults_hold_in_dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(dev=True)
    assert settings.server.issuer == "http://127.0.0.1:9400"
    assert settings.server.host == "127.0.0.1"


def test_the_file_mirrors_the_modules(tmp_path: Path) -> None:
    path = a_file(tmp_path, '[server]\nissuer = "https://as.example"\n[oauth.asking]\ninterval = 5\n')
    settings = load(path)
    assert (settings.server.issuer, settings.oauth.asking.interval) == ("https://as.example", 5)


def test_the_environment_has_the_last_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPUTIZE_OAUTH__ASKING__INTERVAL", "7")
    path = a_file(tmp_path, '[server]\nissuer = "https://as.example"\n[oauth.asking]\ninterval = 5\n')
    assert load(path).oauth.asking.interval == 7


def test_the_environment_says_lists_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "DEPUTIZE_OAUTH__REGISTRATION__AUDIENCES"
    path = a_file(tmp_path, '[server]\nissuer = "https://as.example"\n[oauth.registration]\nmode = "open"\n')
    monkeypatch.setenv(name, '["https://api.example"]')
    assert load(path).oauth.registration.audiences == ("https://api.example",)
    assert load(path).oauth.registration.mode == "open"
    monkeypatch.setenv(name, "[https://api.example")
    with pytest.raises(Mistakes, match="audiences"):
        load(path)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = '[server]\nport = "many"\nprot = 1\n[oauth.tokens]\nlief = 3\n[nowhere]\nx = 1\n'
    with pytest.raises(Mistakes) as told:
        load(a_file(tmp_path, text))
    lines = "\n".join(told.value.lines)
    assert "server.port:" in lines
    for unknown in ("server.prot", "oauth.tokens.lief", "nowhere"):
        assert f"{unknown}: no such setting" in lines


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[server]\nissuer = "http://127.0.0.1:9400"', "server.issuer: http is for --dev only"),
        ('[server]\nissuer = "https://as.example/"', "server.issuer:"),
        ('[server]\nissuer = "https://as.example"\n[oauth.tokens]\nlife = 0', "oauth.tokens"),
        ('[server]\nissuer = "https://as.example"\n[drafts]\nnix = true', "drafts.nix: no such specification"),
        ('[oauth.registration]\nmode = "open"', "oauth.registration.audiences: name what"),
        ('[oauth]\nprofile = "fapi1"', "oauth.profile"),
        ('[oauth]\nprofile = "fapi2"\n[oauth.registration]\nmode = "open"', "oauth.registration.mode: with"),
        ('[oauth]\nprofile = "fapi2"\n[keys]\nalg = "RS256"', "keys: with oauth.profile fapi2"),
        ('[oauth]\nprofile = "fapi2"\n[keys]\nalso = ["ES384"]', "keys: with oauth.profile fapi2"),
        ('[oauth.registration]\nmode = "everybody"', "oauth.registration.mode"),
        ("[oauth.registration]\nper_source = 0", "oauth.registration.per_source: at least 1"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(Mistakes) as told:
        load(a_file(tmp_path, text))
    assert any(one.startswith(line) for one in told.value.lines)


def test_dev_is_refused_for_a_plain_address_of_the_world(tmp_path: Path) -> None:
    with pytest.raises(Mistakes):
        load(a_file(tmp_path, '[server]\nissuer = "http://as.example"'), dev=True)


def test_a_file_that_is_named_and_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(Mistakes):
        load(tmp_path / "nowhere.toml")


def test_a_file_that_is_no_toml_is_a_mistake_and_not_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(Mistakes):
        load(a_file(tmp_path, "[server"))


def test_individual_drafts_and_house_profiles_are_off_until_named(tmp_path: Path) -> None:
    path = a_file(tmp_path, '[server]\nissuer = "https://as.example"')
    assert "txn-challenge" not in load(path).drafts_on
    assert "rfc7523bis" in load(path).drafts_on
    named = a_file(tmp_path, '[server]\nissuer = "https://as.example"\n[drafts]\ntxn-challenge = true\n')
    assert "txn-challenge" in load(named).drafts_on


def test_it_is_told_where_each_value_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPUTIZE_SERVER__PORT", "9500")
    path = a_file(tmp_path, '[server]\nissuer = "https://as.example"')
    told = {name: (value, place) for name, value, place in origins(path, load(path))}
    assert told["server.issuer"] == ("https://as.example", str(path))
    assert told["server.port"] == (9500, "environment")
    assert told["keys.alg"] == ("ES256", "default")


@pytest.mark.parametrize(
    ("fetch", "told"),
    [
        ('allowed_origins = ["https://a.example/"]', "an allowed origin is a scheme"),
        ('allowed_origins = ["http://a.example"]', "http is for loopback"),
        ('ca_file = "/nowhere/ca.pem"', "nowhere/ca.pem cannot be read: No such file"),
        ('ca_file = "/dev/null"', "/dev/null cannot be read: no certificates in it"),
        ("seconds = 0", "more than 0"),
        ('allowed_origins = ["https://127.0.0.1:8443"]', "is loopback, which is for --dev only"),
        ('allowed_origins = ["http://localhost:8080"]', "is loopback, which is for --dev only"),
    ],
)
def test_what_may_be_fetched_is_told_whole(tmp_path: Path, fetch: str, told: str) -> None:
    """SF-16: loopback is for who is there itself."""
    file = tmp_path / "deputize.toml"
    file.write_text(f'[server]\nissuer = "https://as.example"\n[adapters.fetch]\n{fetch}\n')
    with pytest.raises(Mistakes, match=told):
        load(file)


def test_a_lab_may_name_its_own(tmp_path: Path) -> None:
    file = tmp_path / "deputize.toml"
    file.write_text('[adapters.fetch]\nallowed_origins = ["https://127.0.0.1:8443", "https://login.lab.example"]\n')
    assert len(load(file, dev=True).adapters.fetch.allowed_origins) == 2
    assert load(file, dev=True).adapters.fetch.strangers


@pytest.mark.parametrize(
    ("text", "dev", "ways"),
    [
        ("", False, []),
        ('[oauth.clients.document]\naudiences = ["https://api.example"]\n', False, ["document"]),
        (
            '[oauth.clients.document]\naudiences = ["*"]\nothers = "blocked"\nallowed = ["*.example"]\n',
            False,
            ["document"],
        ),
        (
            '[oauth.clients.document]\naudiences = ["*"]\n[drafts]\nclient-id-metadata-document = false\n',
            False,
            [],
        ),
        ("", True, ["document"]),
        ("[drafts]\nclient-id-metadata-document = false\n", True, []),
    ],
)
async def test_clients_that_nobody_registered_are_let_in_by_name(
    tmp_path: Path, text: str, *, dev: bool, ways: list[str]
) -> None:
    """MD-04: what is off is neither there nor told of."""
    file = tmp_path / "deputize.toml"
    kept = f'[store]\npath = "{tmp_path}/deputize.db"\n[keys]\npath = "{tmp_path}/keys.json"\n'
    issuer = "" if dev else '[server]\nissuer = "https://as.example"\n'
    file.write_text(f"{issuer}{kept}{text}")
    settings = load(file, dev=dev)
    if not dev:
        store = open_store(settings.store.path)
        await store.migrate(KINDS)
        await store.close()
    parts = await server_parts(settings)
    try:
        assert [way.name for way in parts.here.ways] == ways
        told = metadata.of_server(parts.here)
        assert told.get("client_id_metadata_document_supported", False) is bool(ways)
    finally:
        await parts.env.store.close()


async def test_one_setting_narrows_the_server_to_fapi2(tmp_path: Path) -> None:
    text = '[oauth]\nprofile = "fapi2"\n[oauth.registration]\nmode = "approval"\naudiences = ["*"]\n'
    kept = f'[store]\npath = "{tmp_path}/deputize.db"\n[keys]\npath = "{tmp_path}/keys.json"\n'
    settings = load(a_file(tmp_path, f'[server]\nissuer = "http://127.0.0.1:9400"\n{kept}{text}'), dev=True)
    parts = await server_parts(settings)
    try:
        told = metadata.of_server(parts.here)
        assert told["require_pushed_authorization_requests"] is True
        assert told["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
        with pytest.raises(Refusal) as no:
            await registration.register(a_registration("none"), parts.here, parts.env)
        assert no.value.rule is METHOD
    finally:
        await parts.env.store.close()


@pytest.mark.parametrize(
    "text", ['others = "maybe"', 'audiences = "*"', "fresh_min = 0", "fresh_max = 10", 'tiers = "x"']
)
def test_a_policy_for_documents_says_what_it_means(tmp_path: Path, text: str) -> None:
    file = tmp_path / "deputize.toml"
    file.write_text(f'[server]\nissuer = "https://as.example"\n[oauth.clients.document]\n{text}\n')
    with pytest.raises(Mistakes, match=r"oauth\.clients\.document"):
        load(file)


GOOD = 'issuer = "https://idp.example"\nclient_id = "us"\nname = "Corp"\n'


def test_providers_are_named_in_the_file_and_their_secrets_are_not(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret of ours\n")
    file = (
        f'[server]\nissuer = "https://as.example"\n[upstreams.corp]\n{GOOD}client_secret_file = "{tmp_path}/secret"\n'
    )
    [one] = upstreams_of(load(a_file(tmp_path, file)).upstreams)
    assert (one.key, one.name, one.issuer.text, one.enrols) == ("corp", "Corp", "https://idp.example", False)
    assert one.secret is not None
    assert one.secret.reveal() == "a secret of ours"
    assert "a secret" not in repr(one)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"[upstreams.Corp]\n{GOOD}", "upstreams.Corp: a name has small letters"),
        (f"[upstreams.corp]\n{GOOD.replace('https', 'http')}", "upstreams.corp.issuer: http is for loopback"),
        (f"[upstreams.corp]\n{GOOD.replace('https://idp.example', 'http://127.0.0.1:1')}", "loopback is for --dev"),
        (f'[upstreams.corp]\n{GOOD}scope = "profile"\n', "upstreams.corp.scope: openid is in it"),
        (f'[upstreams.corp]\n{GOOD}client_secret_file = "/nowhere"\n', "upstreams.corp: its secret cannot be read"),
        (f'[upstreams.corp]\n{GOOD}client_secret_env = "NOT_THERE_AT_ALL"\n', "its secret cannot be read"),
        (f"[upstreams.corp]\n{GOOD.replace('Corp', ' ')}", "upstreams.corp: it has a name"),
        (
            f'[upstreams.corp]\n{GOOD}elsewhere = ["https://a.example/x"]\n',
            "upstreams.corp.elsewhere: each is an origin",
        ),
        (f"[upstreams.one]\n{GOOD}[upstreams.two]\n{GOOD}", "upstreams: each issuer is there once"),
        ('[upstreams.corp]\nissuer = "https://idp.example"\n', "upstreams.corp"),
    ],
)
def test_a_provider_that_is_not_whole_is_refused(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(Mistakes) as told:
        load(a_file(tmp_path, f'[server]\nissuer = "https://as.example"\n{text}'))
    assert any(line in one for one in told.value.lines), told.value.lines
