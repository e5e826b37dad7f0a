"""A program becomes a client in MCP's order, and what it is at one server it is at no other."""

from dataclasses import replace
from typing import Any

import pytest

from deputize.core.rules import Fault, Refusal
from deputize.core.values import ClientId
from deputize.core.wire import json_object
from deputize.sdk.connection import Connection
from deputize.sdk.login import Public, SecretBasic
from deputize.sdk.register import SAME_REDIRECT, Application, Registered, become_client
from tests.sdk.served import ISSUER, SERVER, Served, told
from tests.support.ports import CountingRandom, FixedClock
from tests.support.proofs import lets_through, stops

HERE = Connection(issuer=ISSUER, resource="https://api.example")
BASE = "http://127.0.0.1:4711/callback"
ALL = replace(
    SERVER,
    registration_endpoint=ISSUER.at("/register"),
    client_id_metadata_document_supported=True,
    token_endpoint_auth_methods_supported=frozenset({"none", "client_secret_basic"}),
)


def an_application(**more: Any) -> Application:
    return Application(name="Desk", redirect_base=BASE, clock=FixedClock(), random=CountingRandom(), **more)


def test_what_was_registered_by_hand_comes_first_then_the_document() -> None:
    document = "https://app.example/desk.json"
    by_hand = Registered(client_id=ClientId("by-hand"))
    both = an_application(known={ISSUER.text: by_hand}, document=document)
    assert Served().run(become_client(both, ALL, HERE), []) == by_hand
    elsewhere = an_application(known={"https://other.example": by_hand}, document=document)
    assert Served().run(become_client(elsewhere, ALL, HERE), []).client_id == document


@lets_through(SAME_REDIRECT)
def test_then_it_asks_and_has_a_redirect_uri_of_its_own_there() -> None:
    served = Served()
    server = replace(ALL, client_id_metadata_document_supported=False)
    made = served.run(
        become_client(an_application(document="https://app.example/d"), server, HERE), [told({"client_id": "c1"}, 201)]
    )
    asked = json_object(served.calls[0].body)
    assert (asked["application_type"], asked["token_endpoint_auth_method"]) == ("native", "none")
    assert "refresh_token" in asked["grant_types"]
    assert asked["redirect_uris"] == [made.redirect_uri] == [HERE.redirect_uri(BASE)]
    assert isinstance(made.method, Public)


def test_a_server_that_gives_secrets_gets_them_back_as_it_says() -> None:
    server = replace(ALL, token_endpoint_auth_methods_supported=frozenset({"client_secret_basic"}))
    answer = told({"client_id": "c1", "client_secret": "s1", "token_endpoint_auth_method": "client_secret_basic"}, 201)
    made = Served().run(become_client(an_application(), server, HERE), [answer])
    assert isinstance(made.method, SecretBasic)
    assert "s1" not in repr(made)


@stops(SAME_REDIRECT)
def test_a_client_whose_answers_would_arrive_elsewhere_is_refused() -> None:
    answer = told({"client_id": "c1", "redirect_uris": ["https://evil.example/cb"]}, 201)
    with pytest.raises(Refusal):
        Served().run(become_client(an_application(), ALL, HERE), [answer])


@pytest.mark.parametrize(
    "answer",
    [
        told({"client_id": "c1"}, 200),
        told({"client_id": "c\n1"}, 201),
        told({}, 201),
        told({"client_id": "c1", "token_endpoint_auth_method": "tls_client_auth"}, 201),
        told({"client_id": "c1"}, 302),
    ],
    ids=["not created", "a line end", "nothing", "another method", "a redirect"],
)
def test_sk_06_an_answer_that_is_none_makes_no_client(answer: Any) -> None:
    with pytest.raises(Fault):
        Served().run(become_client(an_application(), ALL, HERE), [answer])


def test_where_nothing_fits_a_person_has_to_register_it() -> None:
    with pytest.raises(Fault, match="register it"):
        Served().run(become_client(an_application(), SERVER, HERE), [])
