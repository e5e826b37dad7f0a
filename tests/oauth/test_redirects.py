"""Which redirect URIs may be registered at all, and which one fits which."""

import pytest

from deputize.core.rules import Refusal
from deputize.oauth.client import Client
from deputize.oauth.redirects import NAMED, REGISTERED, is_fit, verified
from tests.support.proofs import lets_through, stops


def a_client(*uris: str, application_type: str = "web") -> Client:
    return Client(
        key="app",
        name="App",
        auth_method="none",
        grant_types=frozenset(),
        redirect_uris=uris,
        application_type=application_type,
    )


@pytest.mark.parametrize(
    ("uri", "web", "native"),
    [
        ("https://app.example/cb", True, True),
        ("https://app.example/cb?tenant=1", True, True),
        ("http://127.0.0.1/cb", True, True),
        ("http://[::1]:8080/cb", True, True),
        ("http://localhost:3000/", True, True),
        ("com.example.app:/cb", False, True),
        ("com.example.app://cb", False, True),
        ("http://app.example/cb", False, False),
        ("https://app.example/cb#part", False, False),
        ("https://user@app.example/cb", False, False),
        ("https://app.example\\@evil.example/cb", False, False),
        ("https://app.example/c b", False, False),
        ("https:///cb", False, False),
        ("javascript:alert(1)", False, False),
        ("data:text/html,x", False, False),
        ("myapp:/cb", False, False),
        ("COM.example.app:/cb", False, False),
        ("com.example.app:cb", False, False),
        ("/cb", False, False),
        ("", False, False),
        ("https://app.example/" + "x" * 2048, False, False),
    ],
)
def test_what_may_be_a_redirect_uri(uri: str, *, web: bool, native: bool) -> None:
    assert (is_fit(uri, "web"), is_fit(uri, "native")) == (web, native)


@lets_through(REGISTERED)
@pytest.mark.parametrize(
    ("registered", "asked"),
    [
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb"),
        ("http://127.0.0.1:8080/cb", "http://127.0.0.1/cb"),
        ("http://127.0.0.1:8080/cb", "http://127.0.0.1:65535/cb"),
        ("http://[::1]/cb?a=1", "http://[::1]:5/cb?a=1"),
        ("http://localhost/", "http://localhost:3000/"),
        ("http://localhost:1", "http://localhost:2"),
        ("com.example.app:/cb", "com.example.app:/cb"),
        ("https://app.example/cb", "https://app.example/cb"),
    ],
)
def test_the_port_of_a_native_apps_loopback_floats(registered: str, asked: str) -> None:
    assert verified(asked, a_client(registered, application_type="native")).uri == asked


@stops(REGISTERED)
@pytest.mark.parametrize(
    ("registered", "asked"),
    [
        ("http://127.0.0.1/cb", "http://localhost/cb"),
        ("http://127.0.0.1/cb", "http://[::1]/cb"),
        ("http://127.0.0.1/cb", "https://127.0.0.1/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1/cb2"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:65536/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:080/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:80@evil.example/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1.evil.example/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:8/cb?x=1"),
        ("http://127.0.0.1/cb", "http://2130706433/cb"),
        ("http://127.0.0.1", "http://127.0.0.1:5/"),
        ("https://app.example/cb", "https://app.example:8443/cb"),
        ("com.example.app:/cb", "com.example.app2:/cb"),
        ("com.example.app:/cb", "com.example.app:/cb2"),
    ],
)
def test_nothing_else_floats(registered: str, asked: str) -> None:
    with pytest.raises(Refusal) as refused:
        verified(asked, a_client(registered, application_type="native"))
    assert refused.value.rule is REGISTERED


def test_for_a_web_client_not_even_the_port_floats() -> None:
    client = a_client("http://localhost:3000/cb")
    assert verified("http://localhost:3000/cb", client).uri
    with pytest.raises(Refusal):
        verified("http://localhost:3001/cb", client)


def test_what_was_registered_and_is_not_fit_is_not_used() -> None:
    for uri in ("http://app.example/cb", "https://app.example/cb#x", "javascript:alert(1)"):
        with pytest.raises(Refusal):
            verified(uri, a_client(uri))


@lets_through(NAMED)
@stops(NAMED)
def test_a_request_names_it_where_there_is_a_choice() -> None:
    assert verified(None, a_client("https://app.example/cb")).uri == "https://app.example/cb"
    for client in (a_client("https://app.example/cb", "https://app.example/other"), a_client()):
        with pytest.raises(Refusal) as refused:
            verified(None, client)
        assert refused.value.rule is NAMED
    with pytest.raises(Refusal):
        verified(None, a_client("https://app.example/cb"), openid=True)


@pytest.mark.parametrize(
    ("uri", "host", "origin", "here"),
    [
        ("https://app.example:444/cb", "app.example", "https://app.example:444", False),
        ("http://[::1]:5/cb", "::1", "http://[::1]:5", True),
        ("com.example.app:/cb", "com.example.app:", "com.example.app:", True),
    ],
)
def test_what_is_told_of_where_it_leads(uri: str, host: str, origin: str, *, here: bool) -> None:
    found = verified(uri, a_client(uri, application_type="native"))
    assert (found.host, found.origin, found.is_on_this_machine) == (host, origin, here)


def test_parameters_are_added_to_the_query_that_is_there() -> None:
    found = verified("https://app.example/cb?a=1", a_client("https://app.example/cb?a=1"))
    assert found.with_params((("code", "x&y"), ("state", "ä"))) == "https://app.example/cb?a=1&code=x%26y&state=%C3%A4"
