"""Authlib as the client: its own code authenticates, asks and reads; its JOSE is joserfc, not ours."""

import time
import uuid

import pytest
from authlib.common.security import generate_token  # type: ignore[import-untyped]  # it has no types
from authlib.integrations.base_client import OAuthError  # type: ignore[import-untyped]  # it has no types
from authlib.integrations.httpx_client import OAuth2Client  # type: ignore[import-untyped]  # it has no types
from authlib.oauth2.rfc7523 import PrivateKeyJWT  # type: ignore[import-untyped]  # it has no types
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from tests.interop.conftest import Served
from tests.interop.person import allows

pytestmark = pytest.mark.peer(
    "authlib (PyPI)", "client credentials: key, secret; code flow, ID token, UserInfo, refresh"
)


def by_key(served: Served, **claims: object) -> OAuth2Client:
    """Authlib's client with private_key_jwt; these claims of its assertions are not what it would say by itself."""
    client = OAuth2Client(
        served.key_client,
        ECKey.import_key(served.key),
        scope=served.scope,
        token_endpoint_auth_method="private_key_jwt",
    )
    client.register_client_auth_method(
        PrivateKeyJWT(served.token_endpoint, claims=claims, headers={"kid": served.key["kid"]}, alg="ES256")
    )
    return client


def as_we_want(served: Served) -> dict[str, object]:
    """What an assertion for us says: the issuer as the audience, a minute as its life."""
    return {"aud": served.issuer, "exp": int(time.time()) + 60}


def claims_in(token: str, served: Served, client: OAuth2Client) -> dict[str, object]:
    """The claims of a token, verified by the server's published keys, but not by our code."""
    keys = KeySet.import_key_set(client.request("GET", f"{served.issuer}/jwks", withhold_token=True).json())
    read = jwt.decode(token, keys, algorithms=["ES256"])
    assert read.header["typ"] == "at+jwt"
    return dict(read.claims)


def test_a_key_obtains_a_token_that_anybody_can_verify(served: Served) -> None:
    with by_key(served, **as_we_want(served)) as client:
        told = client.fetch_token(served.token_endpoint, grant_type="client_credentials")
        claims = claims_in(told["access_token"], served, client)
    assert told["token_type"] == "Bearer"
    assert (claims["iss"], claims["aud"]) == (served.issuer, served.resource)
    assert claims["sub"] == claims["client_id"] == served.key_client
    assert claims["scope"] == told["scope"] == served.scope


@pytest.mark.parametrize(
    ("left_as_it_is", "rule"), [("aud", "sole audience"), ("exp", "not unreasonably long")], ids=["audience", "life"]
)
def test_what_authlib_says_by_itself_is_too_wide(served: Served, left_as_it_is: str, rule: str) -> None:
    """The token endpoint as the audience is what rfc7523bis forbids; an hour is longer than any request takes."""
    told = {name: value for name, value in as_we_want(served).items() if name != left_as_it_is}
    with by_key(served, **told) as client, pytest.raises(OAuthError, match=rule):
        client.fetch_token(served.token_endpoint, grant_type="client_credentials")


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_secret_obtains_a_token(served: Served, method: str) -> None:
    name = served.secret_client if method == "client_secret_basic" else served.post_client
    with OAuth2Client(name, served.secret, scope=served.scope, token_endpoint_auth_method=method) as client:
        told = client.fetch_token(served.token_endpoint, grant_type="client_credentials")
        assert claims_in(told["access_token"], served, client)["client_id"] == name


def test_a_secret_in_the_other_place_is_refused(served: Served) -> None:
    """The client is registered for the header alone."""
    with (
        OAuth2Client(served.secret_client, served.secret, token_endpoint_auth_method="client_secret_post") as client,
        pytest.raises(OAuthError, match="invalid_client"),
    ):
        client.fetch_token(served.token_endpoint, grant_type="client_credentials")


def test_with_a_proof_the_token_is_bound_to_its_key(served: Served) -> None:
    """Authlib has no DPoP: the proof is joserfc's work, and rides on Authlib's request."""
    key = ECKey.generate_key("P-256")
    proof = jwt.encode(
        {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)},
        {"jti": str(uuid.uuid4()), "htm": "POST", "htu": served.token_endpoint, "iat": int(time.time())},
        key,
    )
    with by_key(served, **as_we_want(served)) as client:
        told = client.fetch_token(
            served.token_endpoint,
            grant_type="client_credentials",
            headers={"DPoP": proof, "Accept": "application/json"},
        )
        claims = claims_in(told["access_token"], served, client)
    assert told["token_type"] == "DPoP"
    assert claims["cnf"] == {"jkt": key.thumbprint()}


def test_a_person_lets_it_in(served: Served) -> None:
    """Authlib's authorization code flow: PKCE, state, a refresh, and who the person is."""
    redirect_uri = "http://127.0.0.1:5099/callback"
    verifier = generate_token(48)
    with OAuth2Client(
        served.app_client,
        scope=f"openid profile {served.scope}",
        redirect_uri=redirect_uri,
        code_challenge_method="S256",
        token_endpoint_auth_method="none",
    ) as client:
        url, state = client.create_authorization_url(f"{served.issuer}/authorize", code_verifier=verifier, nonce="n")
        landed = allows(url, "alice", served.password)
        assert landed.startswith(f"{redirect_uri}?")
        told = client.fetch_token(
            served.token_endpoint, authorization_response=landed, state=state, code_verifier=verifier
        )
        assert told["scope"] == f"openid {served.scope} profile"
        who = client.get(f"{served.issuer}/userinfo").json()
        keys = KeySet.import_key_set(client.request("GET", f"{served.issuer}/jwks", withhold_token=True).json())
        read = jwt.decode(told["id_token"], keys, algorithms=["ES256"]).claims
        assert (read["sub"], read["aud"], read["nonce"]) == ("alice", served.app_client, "n")
        assert who == {"sub": "alice", "name": "Alice"}
        fresh = client.refresh_token(served.token_endpoint, refresh_token=told["refresh_token"])
        assert fresh["refresh_token"] != told["refresh_token"]
        with pytest.raises(OAuthError):
            client.fetch_token(
                served.token_endpoint, authorization_response=landed, state=state, code_verifier=verifier
            )
