"""What servers and resources say of themselves, made and read."""

from typing import Any

import pytest

from deputize.jose.keys import PrivateKey
from deputize.oauth import metadata
from deputize.oauth.client_auth import secret
from deputize.oauth.grants import client_credentials
from deputize.oauth.server import AuthorizationServer
from deputize.server.pages import pages
from tests.support.cast import PHARMACY, READ
from tests.support.world import World, a_world

GOOD: dict[str, Any] = {
    "issuer": "https://as.example/one",
    "token_endpoint": "https://as.example/one/token",
    "jwks_uri": "https://as.example/one/jwks",
    "revocation_endpoint": "https://as.example/one/revoke",
    "scopes_supported": ["openid"],
}


async def test_a_server_says_what_its_tables_hold() -> None:
    async with a_world(pages=pages) as world:
        await _holds_what_it_says(world)


async def _holds_what_it_says(world: World) -> None:
    told = (await world.get("/.well-known/oauth-authorization-server")).json
    assert told["grant_types_supported"] == [grant.type for grant in world.here.grants]
    assert told["token_endpoint_auth_methods_supported"] == [method.name for method in world.here.methods]
    assert told["id_token_signing_alg_values_supported"] == ["ES256"]
    for name, value in told.items():
        if name.endswith("_endpoint") or name == "jwks_uri":
            answer = await world.send("GET", value.removeprefix(world.here.issuer.text), ())
            # Two are for a browser, and one for a token.
            known = {"authorization_endpoint": 400, "end_session_endpoint": 303, "userinfo_endpoint": 401}
            there = known.get(name, answer.status)
            assert answer.status == there, f"{name} is not there"
            assert there in {200, 303, 400, 401, 405}, f"{name} is not there"
    assert "none" not in told["introspection_endpoint_auth_methods_supported"]
    assert told["response_types_supported"] == ["code"]
    assert told["response_modes_supported"] == ["query", "form_post", "jwt", "query.jwt", "form_post.jwt"]
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert told["authorization_response_iss_parameter_supported"] is True
    assert told["request_uri_parameter_supported"] is False
    assert told["require_pushed_authorization_requests"] is False


async def test_the_algorithms_follow_the_keys(world: World) -> None:
    """A verifier that allows what the document names has the next algorithm before the first token signed with it."""
    name = "id_token_signing_alg_values_supported"
    old, new = world.signer.all[0], PrivateKey.generate("Ed25519")
    for keys, algs in (((old, new), ["ES256", "Ed25519"]), ((new, old), ["ES256", "Ed25519"]), ((new,), ["Ed25519"])):
        world.signer.all = keys
        answer = await world.get("/.well-known/oauth-authorization-server")
        assert answer.json[name] == answer.json["introspection_signing_alg_values_supported"] == algs


async def test_what_is_off_is_not_told(world: World) -> None:
    """MD-04."""
    bare = AuthorizationServer(
        issuer=world.here.issuer, grants=(client_credentials.GRANT,), methods=(secret.POST_METHOD,)
    )
    told = metadata.of_server(bare)
    assert told["token_endpoint_auth_methods_supported"] == ["client_secret_post"]
    for name in told:
        assert "backchannel" not in name
        assert "transaction" not in name
        assert "authorization_endpoint" not in name
        assert "pushed" not in name
        assert not name.endswith("auth_signing_alg_values_supported")


async def test_a_server_reads_its_own_document() -> None:
    async with a_world(issuer="https://as.example/one") as world:
        read = metadata.read_server(metadata.of_server(world.here))
        assert read.issuer == "https://as.example/one"
        assert read.token_endpoint == "https://as.example/one/token"
        assert read.transaction_authorization_endpoint == "https://as.example/one/transaction"


@pytest.mark.parametrize(
    "more",
    [
        {"issuer": None},
        {"issuer": 7},
        {"issuer": "http://as.example"},
        {"issuer": "https://as.example/one?x"},
        {"token_endpoint": None},
        {"token_endpoint": "https://evil.example/token"},
        {"token_endpoint": "https://as.example.evil.example/token"},
        {"token_endpoint": "https://as.example:8443/token"},
        {"token_endpoint": "http://as.example/token"},
        {"token_endpoint": "/token"},
        {"token_endpoint": ["https://as.example/token"]},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "file:///etc/passwd"},
        {"authorization_endpoint": "--remote https://as.example"},
        {"scopes_supported": "read"},
        {"jwks_uri": "https://evil.example/jwks"},
        {"revocation_endpoint": "https://evil.example/revoke"},
        {"introspection_endpoint": "https://as.example@evil.example/"},
        {"backchannel_authentication_endpoint": "javascript:x"},
    ],
    ids=str,
)
def test_a_document_that_sends_us_elsewhere_is_not_read(more: dict[str, Any]) -> None:
    assert metadata.read_server(GOOD).revocation_endpoint == "https://as.example/one/revoke"
    with pytest.raises(ValueError, match=r".+"):
        metadata.read_server({**GOOD, **more})


def test_endpoints_lie_elsewhere_where_somebody_said_so_and_nowhere_else() -> None:
    more = {"token_endpoint": "https://tokens.example/token"}
    assert metadata.read_server({**GOOD, **more}, ("https://tokens.example",)).token_endpoint == more["token_endpoint"]
    for others in (
        (),
        ("https://tokens.example.evil.example",),
        ("https://tokens.example/",),
        ("http://tokens.example",),
    ):
        with pytest.raises(ValueError, match="own origin"):
            metadata.read_server({**GOOD, **more}, others)


def test_a_resource_says_where_to_go_and_leaves_out_what_is_empty() -> None:
    told = metadata.of_resource(
        PHARMACY,
        issuer="https://as.example",
        name="P",
        scopes=frozenset({READ}),
        jwks_uri="https://x",
        dpop_required=True,
    )
    assert (told["resource"], told["authorization_servers"], told["scopes_supported"]) == (
        PHARMACY,
        ["https://as.example"],
        [READ],
    )
    assert told["dpop_bound_access_tokens_required"] is True
    assert told["txn_challenge_jwks_uri"] == told["jwks_uri"] == "https://x"
    bare = metadata.of_resource(
        PHARMACY, issuer="https://as.example", name="P", scopes=frozenset(), jwks_uri=None, dpop_required=False
    )
    assert not any(name.startswith(("scopes", "jwks", "txn", "dpop_bound")) for name in bare)


@pytest.mark.parametrize(
    ("identifier", "where"),
    [
        ("https://a.example", "https://a.example/.well-known/x"),
        ("https://a.example/", "https://a.example/.well-known/x"),
        ("https://a.example/one/two", "https://a.example/.well-known/x/one/two"),
        ("https://a.example:8443/one?q=1", "https://a.example:8443/.well-known/x/one?q=1"),
    ],
)
def test_the_suffix_goes_between_host_and_path(identifier: str, where: str) -> None:
    assert metadata.well_known(identifier, "/.well-known/x") == where
