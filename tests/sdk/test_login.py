"""A client signs for its own server alone, and each time anew."""

import base64
from dataclasses import replace

import pytest

from deputize.core.rules import Fault
from deputize.core.wire import Form, Headers
from deputize.jose import jwt
from deputize.jose.keys import KeySet
from deputize.oauth import assertion, dpop
from deputize.sdk.login import SecretBasic, SecretPost
from tests.sdk.served import DPOP_KEY, ISSUER, KEY, SERVER, Served, secret


def test_an_assertion_is_for_the_validated_issuer_alone_and_new_each_time() -> None:
    """SK-05: a malicious server that advertises an honest one's endpoint gets nothing that the honest one takes."""
    served = Served()
    made = [served.login.post(SERVER, SERVER.token_endpoint, ()) for _ in range(2)]
    compact = [Form.parse(call.body).one("client_assertion") for call in made]
    claims = [jwt.peek(text, "invalid_client")[1] for text in compact]
    assert [told["aud"] for told in claims] == [ISSUER.text, ISSUER.text]
    assert claims[0]["jti"] != claims[1]["jti"]
    assertion.check(assertion.peek(compact[0]), "bot", KeySet.of(KEY.public()), ISSUER.text, served.clock())


def test_a_proof_is_for_this_endpoint() -> None:
    served = Served()
    call = served.login.post(SERVER, SERVER.revocation_endpoint, ())
    proof = dpop.check(Headers(call.headers), method="POST", url=ISSUER.at("/revoke"), now=served.clock())
    assert proof is not None
    assert proof.key.jkt == DPOP_KEY.public().thumbprint


def test_sk_03_nothing_is_signed_for_endpoints_that_another_issuer_named() -> None:
    elsewhere = replace(SERVER, issuer="https://evil.example")
    with pytest.raises(Fault):
        Served().login.post(elsewhere, SERVER.token_endpoint, ())


def test_an_endpoint_that_the_server_does_not_have_is_no_address() -> None:
    with pytest.raises(Fault):
        Served().login.post(SERVER, None, ())


def test_a_secret_goes_where_its_method_says() -> None:
    basic = Served(method=SecretBasic(secret()), dpop_key=None).login.post(SERVER, SERVER.token_endpoint, ())
    told = dict(basic.headers)["authorization"].removeprefix("Basic ")
    assert base64.b64decode(told) == b"bot:a-secret-of-the-client"
    assert basic.body == b""
    post = Served(method=SecretPost(secret()), dpop_key=None).login.post(SERVER, SERVER.token_endpoint, ())
    assert Form.parse(post.body).one("client_secret") == "a-secret-of-the-client"
    assert "authorization" not in dict(post.headers)
    assert "dpop" not in dict(post.headers)


def test_sk_10_a_login_does_not_show_its_secrets() -> None:
    assert "a-secret-of-the-client" not in repr(Served(method=SecretBasic(secret())).login)
    assert str(KEY.to_jwk()["d"]) not in repr(Served().login)
