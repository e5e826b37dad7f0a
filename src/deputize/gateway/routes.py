"""Who may go where: agents, routes, and the one decision that is made of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from deputize.core.rules import Rule
from deputize.core.values import WebUrl, scope_text
from deputize.core.values import scope as read_scope
from deputize.jose.keys import KeySet

NO_ROUTE = Rule("Deputize gateway", "routes", "The address lies on a route of this agent.")
METHOD = Rule("Deputize gateway", "routes", "The route lets this agent use the method.")

RESERVED: Final = ("/approvals", "/healthz", "/.well-known")
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
_METHOD: Final = re.compile(r"[A-Z]{1,16}")
_NEVER: Final = frozenset({"CONNECT", "TRACE"})  # a tunnel; and an echo of what was injected
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent: its name, which is its client_id too, and the keys that show it.

    `keys` sign its assertions and its proofs, `jkts` are thumbprints of keys that sign proofs alone. `dev_open` lets
    it in from loopback without any, where the whole gateway runs for development. Raises ValueError.
    """

    name: str
    keys: KeySet = field(default_factory=KeySet)
    jkts: frozenset[str] = frozenset()
    dev_open: bool = False

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= 128 or not self.name.isascii() or not self.name.isprintable():
            raise ValueError("an agent has a name of at most 128 printable characters")

    @property
    def thumbprints(self) -> frozenset[str]:
        """The keys whose proofs show this agent."""
        return self.jkts | {key.thumbprint for key in self.keys.keys}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How one agent reaches one API, for one person (None: for itself): the path below `prefix` goes to `upstream`.

    `scopes` are the methods that it may use, each with the scope that it needs: no call is given more. `may_ask` says
    that the API may want a person's word for a call: its bodies are kept until then. `words` tell the agent what lies
    there; `headers` are request headers that pass beyond the usual ones. Raises ValueError.
    """

    agent: str
    prefix: str
    upstream: WebUrl
    resource: str
    scopes: Mapping[str, frozenset[str]]
    person: str | None = None
    may_ask: bool = False
    words: str = ""
    headers: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix) or any(_within(self.prefix, taken) for taken in RESERVED):
            raise ValueError(f"{self.prefix}: a prefix is a plain path, and none of the gateway's own")
        if "?" in self.upstream.text:
            raise ValueError(f"{self.prefix}: an upstream has no query")
        WebUrl(self.resource)
        if not self.scopes:
            raise ValueError(f"{self.prefix}: a route lets through one method at least")
        for method, scope in self.scopes.items():
            if not _METHOD.fullmatch(method) or method in _NEVER:
                raise ValueError(f"{self.prefix}: {method[:20]} is no method that goes through")
            # Without a scope a token exchange would give all that there is.
            if not scope or read_scope(scope_text(scope)) != scope:
                raise ValueError(f"{self.prefix}: {method} needs a scope")
        for name in self.headers:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{self.prefix}: a header's name is in lower case: {name[:40]}")
        if self.may_ask and self.person is None:
            raise ValueError(f"{self.prefix}: there is nobody to ask")

    def url(self, path: str) -> str:
        """The upstream's address of a path below the prefix. Both are plain: joining them makes no new one."""
        return self.upstream.text.rstrip("/") + (path.removeprefix(self.prefix) or "/")

    def path_of(self, upstream_path: str) -> str | None:
        """The gateway's path of a path at the upstream, None where it lies outside of the route."""
        base = urlsplit(self.upstream.text).path.rstrip("/")
        return self.prefix + upstream_path.removeprefix(base) if _within(upstream_path, base) else None


def _within(path: str, prefix: str) -> bool:
    """Whether the path is the prefix, or goes on from it at the border of a segment."""
    return path == prefix or path.startswith(prefix + "/")


@dataclass(frozen=True, slots=True)
class Table:
    """All agents and routes. Raises ValueError where two could be meant."""

    agents: tuple[Agent, ...]
    routes: tuple[Route, ...]

    def __post_init__(self) -> None:
        names = [agent.name for agent in self.agents]
        shown = [jkt for agent in self.agents for jkt in agent.thumbprints]
        places = [(route.agent, route.prefix) for route in self.routes]
        for what, all_of in (("agents have one name", names), ("agents have one key", shown)):
            if len(set(all_of)) != len(all_of):
                raise ValueError(f"two {what}")
        if len(set(places)) != len(places):
            raise ValueError("two routes of an agent have one prefix")
        if sum(agent.dev_open for agent in self.agents) > 1:
            raise ValueError("one agent at most comes without a key")
        if stray := {route.agent for route in self.routes} - set(names):
            raise ValueError(f"routes of agents that there are not: {', '.join(sorted(stray))}")

    def agent(self, name: str | None) -> Agent | None:
        return next((agent for agent in self.agents if agent.name == name), None)

    def by_key(self, jkt: str | None) -> Agent | None:
        return next((agent for agent in self.agents if jkt in agent.thumbprints), None)

    def of(self, agent: Agent) -> tuple[Route, ...]:
        return tuple(route for route in self.routes if route.agent == agent.name)

    def mandate_scope(self, route: Route) -> frozenset[str]:
        """All that this agent may ever need of this person at this resource: what the person is asked for, once."""
        return frozenset().union(
            *(
                scope
                for other in self.routes
                if (other.agent, other.person, other.resource) == (route.agent, route.person, route.resource)
                for scope in other.scopes.values()
            )
        )

    def decide(self, agent: Agent, method: str, path: str) -> tuple[Route, frozenset[str]]:
        """The route of this call, and the scope that it needs; or no.

        Another agent's route is as if it were not there. Of two that fit, the longer prefix is meant.
        """
        fitting = [route for route in self.of(agent) if _within(path, route.prefix)]
        if not fitting:
            NO_ROUTE.refuse("not_found", path=path)
        route = max(fitting, key=lambda one: len(one.prefix))
        scope = route.scopes.get(method)
        if scope is None:
            METHOD.refuse(
                "method_not_allowed", params=(("allow", ", ".join(sorted(route.scopes))),), method=method[:16]
            )
        return route, scope
