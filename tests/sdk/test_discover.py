"""A document counts where it names what was asked for, and nothing in it leads elsewhere."""

from typing import Any, TypeVar

import pytest

from deputize.core.ports import Env
from deputize.core.rules import Fault, Refusal
from deputize.core.values import Issuer
from deputize.core.wire import Call, JsonObject, Reply
from deputize.jose.keys import PrivateKey
from deputize.sdk.discover import (
    HAS_SERVER,
    RESOURCE_NAMED,
    SERVER_NAMED,
    Discovery,
    find_legacy,
    find_resource,
    find_server,
)
from deputize.sdk.flow import Flow, run
from tests.sdk.served import told
from tests.support.ports import FixedClock
from tests.support.proofs import lets_through, stops

T = TypeVar("T")

ISSUER = Issuer("https://as.example/tenant")
RS = "https://pharmacy.example"
SERVER: JsonObject = {
    "issuer": ISSUER.text,
    "token_endpoint": ISSUER.at("/token"),
    "jwks_uri": ISSUER.at("/jwks"),
}
KEY = PrivateKey.generate()
RESOURCE: JsonObject = {
    "resource": RS,
    "authorization_servers": [ISSUER.text],
    "txn_challenge_jwks_uri": RS + "/jwks",
}


def web(**pages: JsonObject) -> Env:
    """An Env whose fetch knows these pages by their URL."""

    async def fetch(call: Call) -> Reply:
        return told(pages[call.url]) if call.url in pages else Reply(status=404)

    ports: dict[str, Any] = dict.fromkeys(Env.__dataclass_fields__)
    return Env(**{**ports, "fetch": fetch, "clock": FixedClock()})


AT = "https://as.example/.well-known/oauth-authorization-server/tenant"
RESOURCE_AT = RS + "/.well-known/oauth-protected-resource"


async def test_a_server_is_found_where_its_issuer_says() -> None:
    found = await Discovery().server(ISSUER, web(**{AT: SERVER}))
    assert found.token_endpoint == ISSUER.at("/token")


@pytest.mark.parametrize(
    "members",
    [
        {"issuer": "https://evil.example"},
        {"issuer": ISSUER.text + "/"},
        {"issuer": None},
        {"token_endpoint": "https://evil.example/token"},
        {"token_endpoint": "http://as.example/token"},
        {"token_endpoint": None},
    ],
)
async def test_sk_01_a_server_that_names_another_or_leads_elsewhere_is_none(members: JsonObject) -> None:
    with pytest.raises(Fault):
        await Discovery().server(ISSUER, web(**{AT: {**SERVER, **members}}))


async def test_a_resource_tells_the_keys_of_its_challenges() -> None:
    pages = {RESOURCE_AT: RESOURCE, RS + "/jwks": {"keys": [KEY.public_jwk()]}}
    keys = await Discovery().challenge_keys(RS, web(**pages))
    assert [key.thumbprint for key in keys.keys] == [KEY.public().thumbprint]


@pytest.mark.parametrize(
    "members",
    [
        {"resource": "https://evil.example"},
        {"resource": RS + "/"},
        {"txn_challenge_jwks_uri": "https://evil.example/jwks"},
        {"txn_challenge_jwks_uri": 7},
        {"txn_challenge_jwks_uri": None},
        {"authorization_servers": "https://as.example"},
        {"authorization_servers": [7]},
    ],
)
async def test_sk_01_a_resource_that_names_another_or_keys_that_lie_elsewhere_are_refused(members: JsonObject) -> None:
    pages = {RESOURCE_AT: {**RESOURCE, **members}, RS + "/jwks": {"keys": [KEY.public_jwk()]}}
    with pytest.raises(Fault):
        await Discovery().challenge_keys(RS, web(**pages))


# --- as generators --------------------------------------------------------------------------------------------------

OPENID_INSERTED = "https://as.example/.well-known/openid-configuration/tenant"
OPENID_APPENDED = "https://as.example/tenant/.well-known/openid-configuration"
API = "https://pharmacy.example/v1"
API_AT = "https://pharmacy.example/.well-known/oauth-protected-resource/v1"
API_TOLD: JsonObject = {"resource": API, "authorization_servers": [ISSUER.text], "scopes_supported": ["read"]}


def found(flow: Flow[T], pages: dict[str, JsonObject]) -> tuple[T, list[str]]:
    asked: list[str] = []

    def send(call: Call) -> Reply:
        asked.append(call.url)
        return told(pages[call.url]) if call.url in pages else Reply(status=404)

    return run(flow, send), asked


@lets_through(SERVER_NAMED)
@pytest.mark.parametrize("at", [AT, OPENID_INSERTED, OPENID_APPENDED])
def test_a_server_is_looked_for_at_its_three_places_in_their_order(at: str) -> None:
    server, asked = found(find_server(ISSUER.text), {at: SERVER})
    assert server.issuer == ISSUER.text
    assert asked == [AT, OPENID_INSERTED, OPENID_APPENDED][: len(asked)]
    assert asked[-1] == at


async def test_so_it_is_where_its_documents_are_kept() -> None:
    assert (await Discovery().server(ISSUER, web(**{OPENID_APPENDED: SERVER}))).issuer == ISSUER.text


@pytest.mark.parametrize(("slash", "other"), [("/", ""), ("", "/")])
def test_an_issuer_with_a_slash_behind_is_another_than_the_one_without(slash: str, other: str) -> None:
    """Its places are the same (RFC 8414, 3.1); what it is called there decides."""
    pages = {AT: {**SERVER, "issuer": ISSUER.text + slash}}
    server, asked = found(find_server(ISSUER.text + slash), pages)
    assert (server.issuer, asked) == (ISSUER.text + slash, [AT])
    with pytest.raises(Refusal):
        found(find_server(ISSUER.text + other), pages)


@stops(SERVER_NAMED)
@pytest.mark.parametrize("issuer", ["https://evil.example", ISSUER.text + "/", "https://as.example", None])
def test_sk_01_a_document_of_another_server_ends_the_search(issuer: str | None) -> None:
    with pytest.raises(Refusal):
        found(find_server(ISSUER.text), {AT: {**SERVER, "issuer": issuer}, OPENID_INSERTED: SERVER})


@lets_through(RESOURCE_NAMED, HAS_SERVER)
@pytest.mark.parametrize("called", [API, API + "/orders", API + "?x=1"])
def test_a_resource_is_found_from_a_call_to_it(called: str) -> None:
    resource, _ = found(find_resource(called, API_AT), {API_AT: API_TOLD})
    assert (resource.resource, resource.scopes_supported) == (API, {"read"})
    root = {RESOURCE_AT: {**API_TOLD, "resource": RS}}
    assert found(find_resource(called), root)[0].resource == RS


@stops(RESOURCE_NAMED)
@pytest.mark.parametrize(
    "resource",
    [
        "https://evil.example/v1",
        API + "2",
        API + "/other",
        "https://pharmacy.example:8443/v1",
        "https://pharmacy.example/v",
    ],
)
def test_sk_01_a_document_of_another_resource_is_not_used(resource: str) -> None:
    """Its author would have this client ask for, and send around, tokens for somebody else's API."""
    with pytest.raises(Refusal):
        found(find_resource(API + "/orders", API_AT), {API_AT: {**API_TOLD, "resource": resource}})


@stops(HAS_SERVER)
def test_a_resource_that_names_no_server_is_not_guessed_about() -> None:
    with pytest.raises(Refusal):
        found(find_resource(API, API_AT), {API_AT: {"resource": API}})


@pytest.mark.parametrize("named", ["http://pharmacy.example/x", "javascript:x", "ftp://a/b"])
def test_a_challenge_that_leads_to_no_web_address_is_not_followed(named: str) -> None:
    with pytest.raises(Fault):
        found(find_resource(API, named), {})


@pytest.mark.parametrize(
    "issuer", ["http://as.example", "javascript:x", "https://as.example/?x", "https://as.example#x"]
)
def test_a_resource_cannot_name_a_server_that_is_none(issuer: str) -> None:
    with pytest.raises(Fault):
        found(find_server(issuer), {})


ROOT_AT = RS + "/.well-known/oauth-authorization-server"


def test_a_server_of_2025_03_26_is_its_own_authorization_server_with_metadata_or_at_fixed_places() -> None:
    own = {"issuer": RS, "token_endpoint": RS + "/own-token"}
    legacy, asked = found(find_legacy(API + "?x=1"), {ROOT_AT: own})
    assert legacy is not None
    resource, server = legacy
    assert (resource.resource, resource.authorization_servers, server.token_endpoint) == (API, (RS,), RS + "/own-token")
    assert asked[:2] == [API_AT, RESOURCE_AT]
    legacy, _ = found(find_legacy(API), {})
    assert legacy is not None
    _, server = legacy
    places = (server.authorization_endpoint, server.token_endpoint, server.registration_endpoint)
    assert places == (RS + "/authorize", RS + "/token", RS + "/register")


def test_one_that_says_who_guards_it_is_believed_whatever_lies_at_its_origin() -> None:
    own = {"issuer": RS, "token_endpoint": RS + "/own-token"}
    assert found(find_legacy(API), {API_AT: API_TOLD, ROOT_AT: own})[0] is None
    with pytest.raises(Refusal):
        found(find_legacy(API), {ROOT_AT: {**own, "issuer": "https://evil.example"}})
