"""A gateway as its file describes it: read once, with nothing unknown in it."""

from dataclasses import replace
from typing import Any

import pytest

from deputize.adapters.memory import MemoryStore
from deputize.core.ports import Env
from deputize.core.values import Issuer, Seconds
from deputize.core.wire import Malformed
from deputize.gateway.app import Gateway, gateway_app
from deputize.gateway.settings import Settings, read
from deputize.jose.keys import PrivateKey

KEY, CLIENT_KEY = PrivateKey.generate(), PrivateKey.generate()
ROUTE: dict[str, Any] = {
    "agent": "bot",
    "prefix": "/api",
    "upstream": "https://api.example/v1",
    "resource": "https://api.example",
    "person": "alice",
    "scopes": {"GET": ["read"], "POST": ["write", "read"]},
    "may_ask": True,
    "words": "An API",
    "headers": ["x-tenant"],
}
TOLD: dict[str, Any] = {
    "issuer": "https://as.example",
    "url": "https://gw.example",
    "agents": {"bot": {"jwk": KEY.public_jwk(), "client_key": CLIENT_KEY.to_jwk()}},
    "routes": [ROUTE],
    "settings": {"hold_seconds": 5, "hosts": ["gw.internal:9410"]},
}


def test_a_file_is_read_into_values() -> None:
    made = read(TOLD)
    assert made.settings.url.text == "https://gw.example"
    assert made.settings.names == {"gw.example", "gw.internal:9410"}
    assert made.settings.hold_seconds == 5
    (route,) = made.routes
    assert route.scopes == {"GET": {"read"}, "POST": {"read", "write"}}
    assert (route.person, route.may_ask, route.words, route.headers) == ("alice", True, "An API", {"x-tenant"})
    (agent,) = made.agents
    assert agent.thumbprints == {KEY.public().thumbprint}
    assert made.origins == {"https://as.example", "https://api.example"}
    assert made.identity.client_keys["bot"].kid == CLIENT_KEY.kid
    assert str(CLIENT_KEY.to_jwk()["d"]) not in repr(made)


@pytest.mark.parametrize(
    "told",
    [
        {**TOLD, "routs": []},
        {**TOLD, "agents": {"bot": {**TOLD["agents"]["bot"], "password": "x"}}},
        {**TOLD, "routes": [{**ROUTE, "follow_redirects": True}]},
        {**TOLD, "routes": [{**ROUTE, "upstream": "http://api.example"}]},
        {**TOLD, "routes": [{**ROUTE, "agent": "nobody"}]},
        {**TOLD, "routes": [ROUTE, ROUTE]},
        {**TOLD, "settings": {"dev": True}},
        {**TOLD, "settings": {"hold_seconds": -1}},
        {**TOLD, "url": "https://gw.example/path"},
        {**TOLD, "issuer": "http://as.example"},
        {**TOLD, "agents": {"bot": {"jwk": KEY.to_jwk(), "client_key": CLIENT_KEY.to_jwk()}}},
    ],
)
def test_a_file_with_a_mistake_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises((ValueError, Malformed)):
        read(told)


def made(told: dict[str, Any], *, dev: bool = False) -> Gateway:
    configured = read(told, dev=dev)
    ports: dict[str, Any] = dict.fromkeys(Env.__dataclass_fields__)
    env = Env(**{**ports, "store": MemoryStore()})
    return gateway_app(configured.routes, configured.agents, configured.identity, env, settings=configured.settings)


async def test_a_gateway_is_made_where_its_parts_fit() -> None:
    await made(TOLD).close()
    no_key = {**TOLD, "agents": {"bot": {"client_key": CLIENT_KEY.to_jwk(), "dev_open": True}}}
    await made(no_key, dev=True).close()
    with pytest.raises(ValueError, match="development"):
        made(no_key)


@pytest.mark.parametrize("name", ["authorization", "cookie", "x-api-key", "x-forwarded-for", "x-user", "host"])
def test_no_route_lets_a_credential_through(name: str) -> None:
    with pytest.raises(ValueError, match="credential"):
        made({**TOLD, "routes": [{**ROUTE, "headers": [name]}]})


@pytest.mark.parametrize("wrong", [{"calls_max": 0}, {"kept_max": -1}, {"idle_seconds": Seconds(0)}])
def test_a_bound_is_a_bound(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least|negative"):
        replace(Settings(url=Issuer("https://gw.example")), **wrong)


async def test_a_gateway_speaks_http_and_ends_with_its_server() -> None:
    gateway = made(TOLD)
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    told = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(told)

    await gateway({"type": "lifespan"}, receive, send)
    await gateway({"type": "websocket"}, receive, send)
    assert said == [
        {"type": "lifespan.startup.complete"},
        {"type": "lifespan.shutdown.complete"},
        {"type": "websocket.close", "code": 1008},
    ]
    with pytest.raises(ValueError, match="speak"):
        await gateway({"type": "carrier-pigeon"}, receive, send)


def test_an_agent_whose_client_has_no_key_has_no_route() -> None:
    configured = read(TOLD)
    identity = replace(configured.identity, client_keys={})
    with pytest.raises(ValueError, match="client key"):
        gateway_app(configured.routes, configured.agents, identity, Env(**dict.fromkeys(Env.__dataclass_fields__)))  # type: ignore[arg-type]
