"""Who may go where: one table, one decision, and nothing that could be meant in two ways."""

from typing import Any

import pytest

from deputize.core.rules import Refusal
from deputize.core.values import WebUrl
from deputize.gateway.routes import METHOD, NO_ROUTE, Agent, Route, Table
from deputize.jose.keys import KeySet, PrivateKey
from tests.support.proofs import lets_through, stops

UP = "https://api.example"
READ, WRITE = frozenset({"read"}), frozenset({"write"})
KEY = PrivateKey.generate()


def route(**told: Any) -> Route:
    usual: dict[str, Any] = {
        "agent": "bot",
        "prefix": "/api",
        "upstream": WebUrl(UP),
        "resource": UP,
        "person": "alice",
        "scopes": {"GET": READ},
    }
    return Route(**{**usual, **told})


BOT, OTHER = Agent(name="bot", keys=KeySet.of(KEY.public())), Agent(name="other", jkts=frozenset({"x"}))
TABLE = Table(
    (BOT, OTHER),
    (
        route(scopes={"GET": READ, "POST": WRITE}),
        route(prefix="/api/admin", scopes={"GET": frozenset({"admin"})}),
        route(prefix="/else", person="bob", scopes={"GET": frozenset({"else"})}),
        route(agent="other", prefix="/theirs"),
    ),
)


@lets_through(NO_ROUTE, METHOD)
@pytest.mark.parametrize(
    ("method", "path", "prefix", "scope"),
    [
        ("GET", "/api", "/api", {"read"}),
        ("GET", "/api/", "/api", {"read"}),
        ("POST", "/api/x/y", "/api", {"write"}),
        ("GET", "/api/admin", "/api/admin", {"admin"}),
        ("GET", "/api/admin/x", "/api/admin", {"admin"}),
        ("GET", "/api/administration", "/api", {"read"}),
    ],
)
def test_the_longest_prefix_decides_at_the_border_of_a_segment(
    method: str, path: str, prefix: str, scope: set[str]
) -> None:
    found, needed = TABLE.decide(BOT, method, path)
    assert (found.prefix, needed) == (prefix, scope)


@stops(NO_ROUTE)
@pytest.mark.parametrize("path", ["/", "/ap", "/apix", "/API", "/theirs", "/theirs/x", "/nowhere", "/%61pi"])
def test_gw_12_another_agents_route_is_as_if_it_were_not_there(path: str) -> None:
    with pytest.raises(Refusal) as no:
        TABLE.decide(BOT, "GET", path)
    assert (no.value.error, no.value.rule) == ("not_found", NO_ROUTE)


@stops(METHOD)
@pytest.mark.parametrize(("method", "path"), [("DELETE", "/api"), ("get", "/api"), ("POST", "/api/admin")])
def test_gw_13_a_method_that_the_route_does_not_name_is_refused(method: str, path: str) -> None:
    with pytest.raises(Refusal) as no:
        TABLE.decide(BOT, method, path)
    assert (no.value.error, no.value.rule) == ("method_not_allowed", METHOD)


def test_a_person_is_asked_for_what_all_routes_to_a_resource_may_need() -> None:
    assert TABLE.mandate_scope(TABLE.routes[0]) == {"read", "write", "admin"}
    assert TABLE.mandate_scope(TABLE.routes[2]) == {"else"}
    assert TABLE.mandate_scope(TABLE.routes[3]) == {"read"}


@pytest.mark.parametrize(
    ("upstream", "path", "url"),
    [
        (UP, "/api", f"{UP}/"),
        (UP, "/api/", f"{UP}/"),
        (UP, "/api/a%20b/c", f"{UP}/a%20b/c"),
        (f"{UP}/v2", "/api", f"{UP}/v2/"),
        (f"{UP}/v2/", "/api/x", f"{UP}/v2/x"),
    ],
)
def test_what_lies_below_the_prefix_goes_to_the_upstream(upstream: str, path: str, url: str) -> None:
    assert route(upstream=WebUrl(upstream)).url(path) == url


@pytest.mark.parametrize(
    ("upstream", "there", "here"),
    [
        (UP, "/x/y", "/api/x/y"),
        (f"{UP}/v2", "/v2/x", "/api/x"),
        (f"{UP}/v2", "/v2", "/api"),
        (f"{UP}/v2", "/v20", None),
        (f"{UP}/v2", "/other", None),
    ],
)
def test_a_path_of_the_upstream_is_told_as_one_of_the_gateway(upstream: str, there: str, here: str | None) -> None:
    assert route(upstream=WebUrl(upstream)).path_of(there) == here


@pytest.mark.parametrize(
    "told",
    [
        {"prefix": ""},
        {"prefix": "/"},
        {"prefix": "api"},
        {"prefix": "/api/"},
        {"prefix": "/a//b"},
        {"prefix": "/../b"},
        {"prefix": "/a%62"},
        {"prefix": "/approvals"},
        {"prefix": "/approvals/x"},
        {"prefix": "/.well-known/x"},
        {"prefix": "/healthz"},
        {"upstream": WebUrl(f"{UP}/?a=b")},
        {"resource": "http://api.example"},
        {"scopes": {}},
        {"scopes": {"GET": frozenset()}},
        {"scopes": {"get": READ}},
        {"scopes": {"TRACE": READ}},
        {"scopes": {"CONNECT": READ}},
        {"scopes": {"GET": frozenset({"a b"})}},
        {"headers": frozenset({"X-Big"})},
        {"person": None, "may_ask": True},
    ],
)
def test_a_route_that_is_none_is_not_made(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        route(**told)


@pytest.mark.parametrize(
    ("agents", "routes"),
    [
        ((BOT, BOT), ()),
        ((BOT, Agent(name="twin", jkts=BOT.thumbprints)), ()),
        ((BOT,), (route(), route(scopes={"POST": WRITE}))),
        ((BOT,), (route(agent="nobody"),)),
        ((Agent(name="a", dev_open=True), Agent(name="b", dev_open=True)), ()),
    ],
)
def test_a_table_has_no_two_meanings(agents: tuple[Agent, ...], routes: tuple[Route, ...]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Table(agents, routes)


@pytest.mark.parametrize("name", ["", "x" * 129, "zwölf", "a\nb"])
def test_an_agent_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Agent(name=name)
