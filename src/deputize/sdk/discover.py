"""From a name to what its owner says of itself: servers by their issuer, resources by their identifier."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar
from urllib.parse import urlsplit

from deputize.core.ports import Env
from deputize.core.published import Published
from deputize.core.rules import Fault, Rule
from deputize.core.values import IssuerIdentifier, WebUrl
from deputize.core.wire import Call, JsonObject, Malformed
from deputize.jose.keys import KeySet
from deputize.oauth.metadata import (
    OAUTH_WELL_KNOWN,
    OPENID_WELL_KNOWN,
    RESOURCE_WELL_KNOWN,
    ServerMetadata,
    read_server,
    texts,
    well_known,
)
from deputize.sdk.answers import Refused, members
from deputize.sdk.flow import Flow

T = TypeVar("T")


RESOURCE_NAMED = Rule(
    "RFC 9728", "3.3", "The resource of a document is the one that was called: its origin, and its path by segments."
)
SERVER_NAMED = Rule("RFC 8414", "3.3", "The issuer of a document is the one whose address it came from.")
HAS_SERVER = Rule("MCP 2026-07-28", "Authorization Server Discovery", "A protected resource names its servers.")

BYTES_MAX: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceMetadata:
    """What a protected resource says of itself (RFC 9728), as far as a client acts on it."""

    resource: str
    authorization_servers: tuple[str, ...]
    challenge_jwks_uri: str | None
    scopes_supported: frozenset[str] = frozenset()
    dpop_bound_access_tokens_required: bool = False

    def covers(self, url: str) -> bool:
        """Whether a call to this address is one to the resource: same origin, and within its path by whole segments."""
        own, called = WebUrl(self.resource), WebUrl(url)
        path, asked = urlsplit(own.text).path.rstrip("/"), urlsplit(called.text).path
        return own.origin == called.origin and (asked == path or asked.startswith(f"{path}/") or not path)


def read_resource(document: Mapping[str, object]) -> ResourceMetadata:
    """Read a resource's document. Raises ValueError. That `resource` is the expected one, `Published` has held."""
    resource = document.get("resource")
    if not isinstance(resource, str):
        raise Malformed("resource is a text")
    servers = document.get("authorization_servers", [])
    if not isinstance(servers, list) or not all(isinstance(server, str) for server in servers):
        raise Malformed("authorization_servers is an array of texts")
    uri = document.get("txn_challenge_jwks_uri")
    if uri is not None:
        if not isinstance(uri, str):
            raise Malformed("txn_challenge_jwks_uri is a text")
        # Keys that lie elsewhere would let somebody else sign what a person is shown as the resource's own words.
        if WebUrl(uri).origin != WebUrl(resource).origin:
            raise Malformed("txn_challenge_jwks_uri is not at the resource's own origin")
    WebUrl(resource)
    return ResourceMetadata(
        resource=resource,
        authorization_servers=tuple(servers),
        challenge_jwks_uri=uri,
        scopes_supported=texts(document, "scopes_supported"),
        dpop_bound_access_tokens_required=document.get("dpop_bound_access_tokens_required") is True,
    )


def server_urls(issuer: str) -> tuple[str, ...]:
    """Where a server's document may lie, in the order of looking: RFC 8414's place, then OpenID's, both ways."""
    bare = issuer.removesuffix("/")  # RFC 8414, 3.1: it is left out here, and nowhere else
    inserted = (well_known(bare, OAUTH_WELL_KNOWN), well_known(bare, OPENID_WELL_KNOWN))
    return tuple(dict.fromkeys((*inserted, bare + OPENID_WELL_KNOWN)))


def resource_urls(url: str) -> tuple[str, ...]:
    """Where a resource's document may lie: under the called path, then at the root."""
    root = WebUrl(url).origin
    return tuple(dict.fromkeys((well_known(url.partition("?")[0], RESOURCE_WELL_KNOWN), root + RESOURCE_WELL_KNOWN)))


def find_server(issuer: str, elsewhere: Collection[str] = ()) -> Flow[ServerMetadata]:
    """The server of this issuer, from the first of its places that has a document. A document of another is the end.

    `elsewhere` are other origins at which its endpoints may lie.
    """
    found = yield from _server(issuer, elsewhere)
    if found is None:
        raise Fault(f"{issuer} publishes no metadata", retry=True)
    return found


def find_resource(url: str, named: str | None = None) -> Flow[ResourceMetadata]:
    """The resource that a call to `url` was one to. `named` is where its challenge said that the document lies."""
    found = yield from _resource(url, (named,) if named is not None else resource_urls(url))
    if found is None:
        raise Fault(f"{url} publishes no metadata", retry=True)
    return found


def find_legacy(url: str) -> Flow[tuple[ResourceMetadata, ServerMetadata] | None]:
    """An MCP server of 2025-03-26 and its authorization server, which is itself; None where it publishes what it is.

    The authorization server is at the origin, with metadata or else at three fixed addresses.
    """
    if (yield from _resource(url, resource_urls(url))) is not None:
        return None
    issuer = WebUrl(url).origin
    server = yield from _server(issuer)
    if server is None:
        server = ServerMetadata(
            issuer=issuer,
            authorization_endpoint=f"{issuer}/authorize",
            token_endpoint=f"{issuer}/token",
            registration_endpoint=f"{issuer}/register",
            code_challenge_methods_supported=frozenset({"S256"}),  # OAuth 2.1, which it follows, has no servers without
        )
    resource = url.partition("?")[0]
    return ResourceMetadata(resource=resource, authorization_servers=(issuer,), challenge_jwks_uri=None), server


def _server(issuer: str, elsewhere: Collection[str] = ()) -> Flow[ServerMetadata | None]:
    for url in server_urls(_plain(IssuerIdentifier, issuer)):
        document = yield from _document(url)
        if document is None:
            continue
        if document.get("issuer") != issuer:
            SERVER_NAMED.refuse("invalid_issuer", asked=issuer, url=url)
        return _read(partial(read_server, elsewhere=elsewhere), document, url)
    return None


def _resource(url: str, places: tuple[str, ...]) -> Flow[ResourceMetadata | None]:
    for at in places:
        document = yield from _document(at)
        if document is None:
            continue
        found = _read(read_resource, document, at)
        if not found.covers(url):
            RESOURCE_NAMED.refuse("invalid_resource", resource=found.resource, url=url)
        if not found.authorization_servers:
            HAS_SERVER.refuse("invalid_resource", resource=found.resource)
        return found
    return None


def _document(url: str) -> Flow[JsonObject | None]:
    """The object at `url`; None where there is none."""
    accepts = (("accept", "application/json"),)
    reply = yield Call(method="GET", url=_plain(WebUrl, url), headers=accepts, bytes_max=BYTES_MAX)
    if 400 <= reply.status < 500 and reply.status != 429:
        return None
    try:
        return members(reply, bytes_max=BYTES_MAX)
    except Refused as told:
        raise Fault(f"{url} answered {reply.status}: {told.error}") from None


def _plain(kind: type[WebUrl], text: str) -> str:
    """An address that somebody else named. Raises Fault where it is none."""
    try:
        return kind(text).text
    except ValueError as problem:
        raise Fault(f"a resource or a server was named that is none: {problem}") from None


def _read(read: Callable[[JsonObject], T], document: JsonObject, url: str) -> T:
    try:
        return read(document)
    except ValueError as problem:
        raise Fault(f"{url}: {problem}") from None


def choose_server(resource: ResourceMetadata, known: Collection[str] = ()) -> str:
    """Of a resource's servers, the first that this program has an account at; else the first that it names."""
    usable = [server for server in resource.authorization_servers if not known or server in known]
    return (usable or list(resource.authorization_servers))[0]


def _servers() -> Published[ServerMetadata]:
    return Published(read=read_server, names_itself="issuer")


def _resources() -> Published[ResourceMetadata]:
    return Published(read=read_resource, names_itself="resource")


def _keys() -> Published[KeySet]:
    return Published(read=KeySet.published)


@dataclass(frozen=True, slots=True)
class Discovery:
    """The documents that one program has looked up, each kept as long as `Published` keeps it."""

    servers: Published[ServerMetadata] = field(default_factory=_servers)
    resources: Published[ResourceMetadata] = field(default_factory=_resources)
    key_sets: Published[KeySet] = field(default_factory=_keys)

    async def server(self, issuer: IssuerIdentifier, env: Env) -> ServerMetadata:
        """The server whose document, at the issuer's own well-known address, names this issuer. Raises Fault."""
        *others, last = server_urls(issuer.text)
        for url in others:
            try:
                return await self.servers.get(url, env, named=issuer.text)
            except Fault as fault:
                if not fault.retry:
                    raise  # it is there, and it is not what it should be
        return await self.servers.get(last, env, named=issuer.text)

    async def resource(self, resource: str, env: Env) -> ResourceMetadata:
        """The resource whose document names it. Raises Fault."""
        return await self.resources.get(well_known(resource, RESOURCE_WELL_KNOWN), env, named=resource)

    async def challenge_keys(self, resource: str, env: Env, *, fresher: bool = False) -> KeySet:
        """The keys that a resource signs its transaction challenges with. Raises Fault."""
        told = await self.resource(resource, env)
        if told.challenge_jwks_uri is None:
            raise Fault(f"{resource} publishes no keys for transaction challenges")
        return await self.key_sets.get(told.challenge_jwks_uri, env, fresher=fresher)
