"""An operator makes clients and resources by hand; what is made so passes the same checks as what registers itself."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from deputize.adapters.stores import open_store
from deputize.cli.hand import WantedClient, add_client, add_resource, client_made, jwks_file, switch_resource
from deputize.cli.main import app
from deputize.cli.serving import with_records
from deputize.compose.kinds import KINDS
from deputize.compose.parts import ServerParts
from deputize.core.rules import Fault, Refusal
from deputize.core.wire import Headers, Inbound, JsonObject, form_bytes
from deputize.jose.keys import PrivateKey
from deputize.oauth.client import Client
from deputize.oauth.token_endpoint import token

runner = CliRunner()
API = "https://api.example"
READ, WRITE = "orders:read", "orders:write"


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of a server outside --dev, with one API."""
    folder = tmp_path_factory.mktemp("server")

    async def made() -> None:
        store = open_store(str(folder / "store.db"))
        await store.migrate(KINDS)
        await store.close()

    asyncio.run(made())
    file = folder / "deputize.toml"
    places = f'[store]\npath = "{folder}/store.db"\n[keys]\npath = "{folder}/keys.json"\n'
    file.write_text(f'[server]\nissuer = "https://as.example"\n{places}')
    says(file, "resource", "add", API, *words_of_api())
    return folder


@pytest.fixture
def config(made_once: Path, tmp_path: Path) -> Path:
    for file in made_once.iterdir():
        shutil.copy(file, tmp_path)
    file = tmp_path / "deputize.toml"
    file.write_text(file.read_text().replace(str(made_once), str(tmp_path)))
    return file


def words_of_api() -> tuple[str, ...]:
    scopes = (f"{READ}=read your orders", f"{WRITE}=order for you")
    return ("--name", "Orders", *(word for one in scopes for word in ("--scope", one)), "--default-scope", READ)


def says(config: Path, *words: str) -> str:
    told = runner.invoke(app, [*words, "-c", str(config)])
    assert told.exit_code == 0, (told.output, told.exception)
    return told.stdout


def public_key(folder: Path) -> Path:
    file = folder / "bot.jwk"
    file.write_text(json.dumps(PrivateKey.generate().public_jwk()))
    return file


def kept(config: Path, client_id: str) -> Client:
    found = with_records(config, lambda parts: parts.env.store.read(Client, client_id), dev=False)
    assert found is not None
    return found


def gets_a_token(config: Path, client_id: str, secret: str) -> JsonObject:
    fields = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret, "resource": API}
    headers = Headers((("content-type", "application/x-www-form-urlencoded"),))
    body = form_bytes(tuple(fields.items()))
    request = Inbound(method="POST", url="https://as.example/token", headers=headers, body=body)
    return with_records(config, lambda parts: token(request, parts.here, parts.env), dev=False)


def test_a_client_with_a_secret_is_made_told_its_secret_once_and_gets_tokens(config: Path) -> None:
    words = ("--method", "client_secret_post", "--grant", "client_credentials", "--resource", API, "--scope", READ)
    told = json.loads(says(config, "client", "add", "shop", *words, "--json"))
    assert (told["client_id"], told["resources"], told["scope"]) == ("shop", [API], READ)
    assert told["client_secret"].encode() not in (config.parent / "store.db").read_bytes()
    assert gets_a_token(config, "shop", told["client_secret"])["scope"] == READ
    secret = says(config, "client", "add", "shop-2", *words).strip()
    assert secret != told["client_secret"]
    assert gets_a_token(config, "shop-2", secret)["token_type"] == "Bearer"


def test_a_client_with_a_key_is_made_from_its_public_half(config: Path) -> None:
    words = ("--method", "private_key_jwt", "--jwks", str(public_key(config.parent)), "--resource", API)
    uris = ("--redirect-uri", "https://shop.example/callback", "--scope", f"{READ} openid")
    assert says(config, "client", "add", "shop", *words, *uris, "--name", "Shop") == ""
    made = kept(config, "shop")
    assert (made.name, made.application_type, made.said) == ("Shop", "web", "")
    assert made.grant_types == {"authorization_code", "refresh_token"}
    assert made.audiences == {API, "https://as.example"}
    assert made.scope == {READ, "openid"}
    assert len(made.keys.keys) == 1
    assert "shop  Shop: enabled, known by hand" in says(config, "client", "list")


def test_further_members_come_from_a_file(config: Path) -> None:
    file = config.parent / "more.json"
    file.write_text('{"dpop_bound_access_tokens": true, "post_logout_redirect_uris": ["https://a.example/bye"]}')
    words = ("--method", "none", "--redirect-uri", "http://127.0.0.1/cb", "--resource", API)
    says(config, "client", "add", "app", *words, "--metadata", str(file))
    made = kept(config, "app")
    assert (made.dpop_bound, made.application_type, made.secrets) == (True, "native", ())
    file.write_text('{"post_logout_redirect_uris": ["javascript:1"]}')
    told = runner.invoke(app, ["client", "add", "b", *words, "--metadata", str(file), "-c", str(config)])
    assert "after logout" in str(told.exception)


WRONG_CLIENTS: Final[list[tuple[JsonObject, str]]] = [
    ({"client_id": "https://app.example/c.json"}, "no client_id"),
    ({"client_id": "-c"}, "no client_id"),
    ({"method": "client_secret_jwt"}, "no method of this server: client_secret_basic"),
    ({"method": "private_key_jwt"}, "jwks"),
    ({"grant_types": ("password",)}, "no grant of this server: authorization_code"),
    ({"grant_types": ()}, "name a grant"),
    ({"grant_types": ("refresh_token",)}, "At least one of the grant types"),
    ({"grant_types": ("authorization_code",)}, r"redirect URIs: https, loopback.*\(redirect_uris\)"),
    ({"redirect_uris": ("http://shop.example/cb",)}, r"\(redirect_uris\)"),
    ({"redirect_uris": ("https://*.shop.example/cb",)}, r"\(redirect_uris\)"),
    ({"method": "none"}, "is for clients that authenticate"),
    ({"resources": ("https://other.example",)}, "no resource here"),
    ({"resources": ()}, "name a resource"),
    ({"scope": "orders:burn"}, "has the scope orders:burn"),
    ({"scope": 'a"b'}, "the scope"),
    ({"method": "tls_client_auth"}, "no method of this server"),
    ({"certificate_subject": "san_dns:a.example"}, "goes with the method tls_client_auth"),
    ({"certificate": "PEM"}, "goes with the method self_signed_tls_client_auth"),
]


def test_what_is_wrong_is_said_and_nothing_is_made(config: Path) -> None:
    good: JsonObject = {
        "client_id": "shop",
        "method": "client_secret_basic",
        "grant_types": ("client_credentials",),
        "resources": (API,),
    }

    async def work(parts: ServerParts) -> None:
        for change, why in WRONG_CLIENTS:
            with pytest.raises(Fault, match=why):
                await client_made(WantedClient(**{**good, **change}), parts)

    with_records(config, work, dev=False)
    assert "shop" not in says(config, "client", "list")


def test_a_private_key_is_not_taken(config: Path) -> None:
    key = {"keys": [PrivateKey.generate().to_jwk()]}
    wanted = WantedClient(
        client_id="bot", method="private_key_jwt", grant_types=("client_credentials",), resources=(API,), jwks=key
    )
    with pytest.raises(Fault, match=r"no private or symmetric key.*\(jwks\)"):
        add_client(config, wanted, dev=False)
    with pytest.raises(Fault, match="private key"):
        add_resource(config, "https://b.example", name="B", scopes=("b=see b",), jwks=key, dev=False)


def test_who_is_there_is_not_made_anew(config: Path) -> None:
    words = ("--method", "client_secret_basic", "--grant", "client_credentials", "--resource", API)
    says(config, "client", "add", "shop", *words)
    before = kept(config, "shop")
    told = runner.invoke(app, ["client", "add", "shop", *words, "-c", str(config)])
    assert (told.exit_code, str(told.exception)) == (1, "there is a client shop already")
    assert kept(config, "shop") == before
    told = runner.invoke(app, ["resource", "add", API, *words_of_api(), "-c", str(config)])
    assert (told.exit_code, str(told.exception)) == (1, f"there is {API} already")


def test_clients_with_certificates_name_what_they_show(config: Path) -> None:
    authorities = config.parent / "authorities.pem"
    authorities.write_text("")
    config.write_text(config.read_text().replace("[store]", 'proxies = ["127.0.0.1"]\n[store]'))
    words = ("--method", "tls_client_auth", "--grant", "client_credentials", "--resource", API)
    says(config, "client", "add", "bot", *words, "--certificate-subject", "san_dns:bot.example")
    assert kept(config, "bot").certificate_subject == "san_dns:bot.example"
    told = runner.invoke(app, ["client", "add", "b", *words, "--certificate-subject", "bot", "-c", str(config)])
    assert "the subject is written" in str(told.exception)


# --- resources ------------------------------------------------------------------------------------------------------


def test_resources_are_listed_and_the_server_itself_is_one(config: Path) -> None:
    found = {one["url"]: one for one in json.loads(says(config, "resource", "list", "--json"))}
    assert found[API]["scopes"] == {READ: "read your orders", WRITE: "order for you"}
    assert (found[API]["default_scope"], found[API]["asks"], found[API]["state"]) == (READ, False, "enabled")
    assert "https://as.example" in found
    assert f"{API}  Orders: enabled\n  {READ}: … wants to read your orders" in says(config, "resource", "list")


def test_with_its_keys_the_guard_of_a_resource_is_a_client_that_may_ask(config: Path) -> None:
    keys = jwks_file(public_key(config.parent))
    made = add_resource(config, "https://b.example", name="B", scopes=("b=see b",), jwks=keys, dev=False)
    assert made.asks
    assert kept(config, "https://b.example").serves == "https://b.example"


def test_for_a_disabled_resource_no_token_is_issued_until_it_is_enabled(config: Path) -> None:
    words = ("--method", "client_secret_post", "--grant", "client_credentials", "--resource", API)
    secret = says(config, "client", "add", "shop", *words).strip()
    assert says(config, "resource", "disable", API) == f"{API} is disabled\n"
    with pytest.raises(Refusal):
        gets_a_token(config, "shop", secret)
    told = runner.invoke(app, ["client", "add", "b", *words, "-c", str(config)])
    assert "disabled" in str(told.exception)
    assert says(config, "resource", "enable", API) == f"{API} is enabled\n"
    assert gets_a_token(config, "shop", secret)["access_token"]
    for url in ("https://as.example", "https://nowhere.example"):
        with pytest.raises(Fault):
            switch_resource(config, url, on=False, dev=False)


WRONG_RESOURCES: Final[list[tuple[str, JsonObject, str]]] = [
    ("http://api.example", {}, "http is for loopback only"),
    ("https://api.example/#a", {}, "no fragment"),
    ("https://b.example", {"name": " "}, "--name"),
    ("https://b.example", {"scopes": ()}, "at least one"),
    ("https://b.example", {"scopes": ("b",)}, "name=sentence"),
    ("https://b.example", {"scopes": ("b c=see",)}, "name=sentence"),
    ("https://b.example", {"scopes": ("b=",)}, "name=sentence"),
    ("https://b.example", {"scopes": ("b=see", "b=look")}, "twice"),
    ("https://b.example", {"scopes": ("openid=see",)}, "this server's own"),
    ("https://b.example", {"default_scope": "c"}, "among its scopes"),
    ("https://b.example", {"jwks": {"keys": [{"kty": "nothing"}]}}, "Each key is public, strong"),
]


def test_what_is_wrong_with_a_resource_is_said(config: Path) -> None:
    good: JsonObject = {"name": "B", "scopes": ("b=see b",)}
    for url, change, why in WRONG_RESOURCES:
        with pytest.raises(Fault, match=why):
            add_resource(config, url, **{**good, **change}, dev=False)
    assert len(json.loads(says(config, "resource", "list", "--json"))) == 2


def test_a_file_that_is_not_there_or_no_json_is_said(config: Path) -> None:
    with pytest.raises(Fault, match="cannot be read"):
        jwks_file(config.parent / "none.json")
    with pytest.raises(Fault, match="no JSON object"):
        jwks_file(config)
