"""An answer counts where it is one to the request: nothing is sent for any other. Mallory holds what a browser sees."""

import hashlib
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from deputize.core.rules import Fault, Refusal
from deputize.core.values import Instant, Seconds
from deputize.core.wire import Reply, b64u
from deputize.jose import jwt
from deputize.jose.keys import PrivateKey
from deputize.sdk.answers import Refused, TokenSet
from deputize.sdk.authorize import (
    ANSWERED_BY,
    FRESH_LOGIN,
    PKCE,
    SAME_LOGIN,
    STATE,
    Begun,
    begin,
    collect,
    refresh,
)
from deputize.sdk.connection import OWN_REDIRECT, Connection, arrives_at
from tests.sdk.served import DPOP_KEY, ISSUER, SERVER, Served, secret, token, told
from tests.support.proofs import lets_through, stops

BACK = "http://127.0.0.1:4711/callback/c1"
CODE_SERVER = replace(
    SERVER,
    authorization_endpoint=ISSUER.at("/authorize"),
    code_challenge_methods_supported=frozenset({"S256"}),
    authorization_response_iss_parameter_supported=True,
)
QUIET = replace(CODE_SERVER, authorization_response_iss_parameter_supported=False)
SIGNS = PrivateKey.generate()


def asked(served: Served, server: Any = CODE_SERVER, **more: Any) -> Begun:
    return served.run(begin(server, served.login, redirect_uri=BACK, **more), [])


def answer(begun: Begun, *, at: str = BACK, more: str = "", **changed: str | None) -> str:
    good: dict[str, str | None] = {"code": "the-code", "state": begun.state.reveal(), "iss": ISSUER.text, **changed}
    return f"{at}?{urlencode({name: value for name, value in good.items() if value is not None})}{more}"


def collected(served: Served, arrived: str, begun: Begun, *, server: Any = CODE_SERVER) -> TokenSet:
    return served.run(collect(server, served.login, begun, arrived), [token(refresh_token="r1")])


@lets_through(PKCE, STATE, ANSWERED_BY, OWN_REDIRECT)
def test_a_good_answer_is_redeemed_with_all_that_it_is_bound_to() -> None:
    served = Served()
    begun = asked(served, scope=frozenset({"read"}), resource="https://api.example")
    query = dict(parse_qsl(urlsplit(begun.url).query))
    assert query["code_challenge_method"] == "S256"
    assert query["resource"] == "https://api.example"
    assert query["dpop_jkt"] == DPOP_KEY.public().thumbprint
    found = collected(served, answer(begun), begun)
    form = served.forms()[0]
    assert (form["code"], form["redirect_uri"], form["resource"]) == (("the-code",), (BACK,), ("https://api.example",))
    assert query["code_challenge"] == b64u(hashlib.sha256(form["code_verifier"][0].encode()).digest())
    assert found.scope == {"read"}


def test_each_request_has_a_state_and_a_verifier_of_its_own() -> None:
    served = Served()
    login = served.login
    one, other = (served.run(begin(CODE_SERVER, login, redirect_uri=BACK), []) for _ in range(2))
    assert not one.state.matches(other.state.reveal())
    assert not one.verifier.matches(other.verifier.reveal())
    assert one.state.reveal() not in repr(one.state)


def test_a_request_is_pushed_where_that_is_offered() -> None:
    served = Served()
    server = replace(CODE_SERVER, pushed_authorization_request_endpoint=ISSUER.at("/par"))
    flow = begin(server, served.login, redirect_uri=BACK, scope=frozenset({"read"}))
    begun = served.run(flow, [told({"request_uri": "urn:one", "expires_in": 60}, 201)])
    assert dict(parse_qsl(urlsplit(begun.url).query)) == {"client_id": "bot", "request_uri": "urn:one"}
    assert served.forms()[0]["scope"] == ("read",)


@stops(PKCE)
@pytest.mark.parametrize("methods", [frozenset[str](), frozenset({"plain"})])
def test_a_server_that_does_not_say_s256_is_not_used(methods: frozenset[str]) -> None:
    served = Served()
    with pytest.raises(Refusal):
        asked(served, replace(CODE_SERVER, code_challenge_methods_supported=methods))


@stops(ANSWERED_BY)
@pytest.mark.parametrize(
    "iss",
    [
        None,
        "https://evil.example",
        ISSUER.text + "/",
        ISSUER.text.upper(),
        "https://as.example:443",
        "https://as%2Eexample",
    ],
)
@pytest.mark.parametrize("error", [None, "access_denied"])
def test_sk_02_an_answer_without_the_iss_of_who_was_asked_sends_nothing(iss: str | None, error: str | None) -> None:
    """Mix-up: the code of an honest server must not get to the one that the client believes to talk with."""
    served = Served()
    begun = asked(served)
    arrived = answer(begun, iss=iss, error=error, code=None if error else "the-code")
    with pytest.raises(Refusal):
        served.run(collect(CODE_SERVER, served.login, begun, arrived), [])
    assert not served.calls


def test_sk_02_a_server_that_promises_no_iss_may_leave_it_out_but_not_be_wrong() -> None:
    served = Served()
    begun = asked(served, QUIET)
    assert collected(served, answer(begun, iss=None), begun, server=QUIET).access_token.matches("the-token")
    with pytest.raises(Refusal):
        collected(served, answer(begun, iss="https://evil.example"), begun, server=QUIET)
    assert len(served.calls) == 1


@stops(STATE)
@pytest.mark.parametrize("state", [None, "", "another"])
def test_sk_02_an_answer_with_another_state_sends_nothing(state: str | None) -> None:
    served = Served()
    begun = asked(served)
    with pytest.raises(Refusal):
        collected(served, answer(begun, state=state), begun)
    assert not served.calls


@pytest.mark.parametrize("more", ["&iss=https://as.example", "&code=other", "&state=x"])
def test_an_answer_that_says_something_twice_sends_nothing(more: str) -> None:
    served = Served()
    begun = asked(served)
    with pytest.raises(Refusal):
        collected(served, answer(begun, more=more), begun)
    assert not served.calls


@stops(OWN_REDIRECT)
@pytest.mark.parametrize("at", ["http://127.0.0.1:4711/callback/c2", "http://127.0.0.1:4712/callback/c1", BACK + "/"])
def test_an_answer_at_another_connections_address_sends_nothing(at: str) -> None:
    """COAT: two connections of one program, the attacker's and the honest one; the code belongs to the other."""
    served = Served()
    begun = asked(served)
    with pytest.raises(Refusal):
        collected(served, answer(begun, at=at), begun)
    assert not served.calls


def test_each_connection_has_a_redirect_uri_of_its_own() -> None:
    one = Connection(issuer=ISSUER, resource="https://api.example")
    others = [replace(one, tenant="t1"), replace(one, resource="https://api.example/v1")]
    assert len({each.redirect_uri("http://127.0.0.1:1/callback") for each in [one, *others]}) == 3
    assert arrives_at("http://127.0.0.1/cb", "http://127.0.0.1:4711/callback") == "http://127.0.0.1:4711/cb"
    assert arrives_at("https://app.example/cb", "http://127.0.0.1:4711/callback") == "https://app.example/cb"


def test_a_no_is_told_in_what_is_fit_to_be_shown() -> None:
    served = Served()
    begun = asked(served)
    arrived = answer(begun, code=None, error="access_denied", error_description="no\nway")
    with pytest.raises(Refused) as no:
        collected(served, arrived, begun)
    assert (no.value.error, no.value.description) == ("access_denied", "noway")


def test_sk_03_the_code_goes_to_no_other_server() -> None:
    served = Served()
    begun = asked(served)
    elsewhere = replace(CODE_SERVER, issuer="https://evil.example", token_endpoint="https://evil.example/token")
    with pytest.raises(Fault):
        served.run(collect(elsewhere, served.login, begun, answer(begun)), [])
    assert not served.calls


def test_a_person_may_allow_less() -> None:
    served = Served()
    begun = asked(served, scope=frozenset({"read", "write"}))
    found = served.run(collect(CODE_SERVER, served.login, begun, answer(begun)), [token(scope="read")])
    assert found.scope == {"read"}


def test_a_refresh_token_is_sent_with_its_resource() -> None:
    served = Served()
    served.run(refresh(SERVER, served.login, secret(), resource="https://api.example"), [token()])
    form = served.forms()[0]
    assert (form["grant_type"], form["resource"]) == (("refresh_token",), ("https://api.example",))


# --- ID tokens ------------------------------------------------------------------------------------------------------


def signed_in(served: Served, begun: Begun, *, by: PrivateKey = SIGNS, **claims: Any) -> list[Reply | Fault]:
    nonce = begun.nonce.reveal() if begun.nonce is not None else ""
    now = served.clock()
    good = {"iss": ISSUER.text, "aud": "bot", "sub": "alice", "iat": now, "exp": now + 300, "nonce": nonce}
    told_claims = {name: value for name, value in {**good, "auth_time": now, **claims}.items() if value is not None}
    return [token(id_token=jwt.sign(told_claims, by, typ="JWT")), told({"keys": [SIGNS.public_jwk()]})]


@lets_through(SAME_LOGIN, FRESH_LOGIN)
def test_who_signed_in_is_held_against_the_request() -> None:
    served = Served()
    begun = asked(served, scope=frozenset({"openid"}), max_age=Seconds(60))
    served.run(collect(CODE_SERVER, served.login, begun, answer(begun)), signed_in(served, begun))


@stops(SAME_LOGIN)
@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"azp": "other"},
        {"aud": "other"},
        {"iss": "https://evil.example"},
        {"exp": 1},
    ],
    ids=str,
)
def test_an_id_token_of_another_request_or_client_is_refused(claims: dict[str, Any]) -> None:
    served = Served()
    begun = asked(served, scope=frozenset({"openid"}))
    with pytest.raises(Refusal):
        served.run(collect(CODE_SERVER, served.login, begun, answer(begun)), signed_in(served, begun, **claims))


def test_an_id_token_by_another_key_is_refused() -> None:
    served = Served()
    begun = asked(served, scope=frozenset({"openid"}))
    answers = signed_in(served, begun, by=PrivateKey.generate())
    with pytest.raises(Refusal):
        served.run(collect(CODE_SERVER, served.login, begun, answer(begun)), answers)


@stops(FRESH_LOGIN)
@pytest.mark.parametrize("auth_time", [None, Instant(0)])
def test_an_old_login_does_not_do_where_a_new_one_was_asked_for(auth_time: Instant | None) -> None:
    served = Served()
    begun = asked(served, scope=frozenset({"openid"}), max_age=Seconds(60))
    answers = signed_in(served, begun, auth_time=auth_time)
    with pytest.raises(Refusal):
        served.run(collect(CODE_SERVER, served.login, begun, answer(begun)), answers)
