"""What an operator sets: where the gateway is, whose client it is, and how much it lets through."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from deputize.core.values import Issuer, Seconds, WebUrl
from deputize.gateway.routes import Agent, Route, Table
from deputize.jose.keys import KeySet, PrivateKey, PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`url` is the gateway's own public address: never taken from a request. `hosts` are further names for it.

    `hold_seconds` is how long a call waits for a person before it is answered with a place to look, `keep_seconds`
    how long such a place is kept, `quiet_seconds` how long a person who said no is left alone about the same.
    `dev` allows an agent without a key, from loopback alone. Raises ValueError.
    """

    url: Issuer = Issuer("http://127.0.0.1:9410")
    hosts: frozenset[str] = frozenset()
    dev: bool = False
    hold_seconds: Seconds = Seconds(25)
    keep_seconds: Seconds = Seconds(600)
    quiet_seconds: Seconds = Seconds(120)
    connect_seconds: Seconds = Seconds(10)
    idle_seconds: Seconds = Seconds(120)
    calls_max: int = 32
    approvals_max: int = 16
    body_max: int = 64 * 1024 * 1024
    kept_max: int = 1024 * 1024

    def __post_init__(self) -> None:
        if urlsplit(self.url.text).path:
            raise ValueError("the gateway's url has no path")
        for name in ("keep_seconds", "connect_seconds", "idle_seconds", "calls_max", "approvals_max", "body_max"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")
        if min(self.hold_seconds, self.quiet_seconds, self.kept_max) < 0:
            raise ValueError("hold_seconds, quiet_seconds and kept_max are not negative")

    @property
    def names(self) -> frozenset[str]:
        """What `Host` may say."""
        return frozenset(name.lower() for name in {urlsplit(self.url.text).netloc, *self.hosts})


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayIdentity:
    """Whose client the gateway is: one client an agent, by the agent's name, with a key that no agent has."""

    issuer: Issuer
    client_keys: Mapping[str, PrivateKey]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """A gateway as its file describes it. `origins` are all that it ever fetches documents and tokens from."""

    routes: tuple[Route, ...]
    agents: tuple[Agent, ...]
    identity: GatewayIdentity
    settings: Settings

    @property
    def origins(self) -> frozenset[str]:
        return frozenset({self.identity.issuer.origin, *(WebUrl(route.resource).origin for route in self.routes)})


_TOP: Final = {"issuer", "url", "agents", "routes", "settings"}
_AGENT: Final = {"jwk", "jwks", "jkt", "client_key", "dev_open"}
_ROUTE: Final = {"agent", "prefix", "upstream", "resource", "scopes", "person", "may_ask", "words", "headers"}


def read(told: Mapping[str, Any], *, dev: bool = False) -> Configured:
    """Make a gateway from what its file says. Raises ValueError: on unknown names too."""
    _known(told, _TOP, "the gateway")
    for name, one in told["agents"].items():
        _known(one, _AGENT, f"agent {name}")
    for one in told["routes"]:
        _known(one, _ROUTE, f"route {one.get('prefix', '')}")
    own = dict(told.get("settings", {}))
    _known(own, set(Settings.__dataclass_fields__) - {"url", "dev"}, "settings")
    configured = Configured(
        routes=tuple(_route(one) for one in told["routes"]),
        agents=tuple(_agent(name, one) for name, one in told["agents"].items()),
        identity=GatewayIdentity(
            issuer=Issuer(told["issuer"]),
            client_keys={name: PrivateKey.from_jwk(one["client_key"]) for name, one in told["agents"].items()},
        ),
        settings=Settings(
            **{**own, "hosts": frozenset(own.get("hosts", ()))},
            url=Issuer(told.get("url", Settings().url.text)),
            dev=dev,
        ),
    )
    Table(configured.agents, configured.routes)
    return configured


def _known(told: Mapping[str, Any], names: set[str], where: str) -> None:
    if foreign := set(told) - names:
        raise ValueError(f"{where}: no such setting: {', '.join(sorted(foreign))}")


def _agent(name: str, told: Mapping[str, Any]) -> Agent:
    keys = KeySet.from_jwks(told["jwks"]) if "jwks" in told else KeySet()
    if "jwk" in told:
        keys = KeySet.of(*keys.keys, PublicKey.from_jwk(told["jwk"]))
    jkts = frozenset({told["jkt"]} if "jkt" in told else ())
    return Agent(name=name, keys=keys, jkts=jkts, dev_open=told.get("dev_open", False))


def _route(told: Mapping[str, Any]) -> Route:
    return Route(
        agent=told["agent"],
        prefix=told["prefix"],
        upstream=WebUrl(told["upstream"]),
        resource=told["resource"],
        scopes={method: frozenset(scope) for method, scope in told["scopes"].items()},
        person=told.get("person"),
        may_ask=told.get("may_ask", False),
        words=told.get("words", ""),
        headers=frozenset(told.get("headers", ())),
    )
