"""From a name to what its owner says of itself: servers by their issuer, resources by their identifier."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from deputize.core.ports import Env
from deputize.core.published import Published
from deputize.core.rules import Fault
from deputize.core.values import Issuer, WebUrl
from deputize.core.wire import Malformed
from deputize.jose.keys import KeySet
from deputize.oauth.metadata import OAUTH_WELL_KNOWN, RESOURCE_WELL_KNOWN, ServerMetadata, read_server, well_known


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceMetadata:
    """What a protected resource says of itself (RFC 9728), as far as a client acts on it."""

    resource: str
    authorization_servers: tuple[str, ...]
    challenge_jwks_uri: str | None


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
    return ResourceMetadata(resource=resource, authorization_servers=tuple(servers), challenge_jwks_uri=uri)


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

    async def server(self, issuer: Issuer, env: Env) -> ServerMetadata:
        """The server whose document, at the issuer's own well-known address, names this issuer. Raises Fault."""
        return await self.servers.get(well_known(issuer.text, OAUTH_WELL_KNOWN), env, named=issuer.text)

    async def resource(self, resource: str, env: Env) -> ResourceMetadata:
        """The resource whose document names it. Raises Fault."""
        return await self.resources.get(well_known(resource, RESOURCE_WELL_KNOWN), env, named=resource)

    async def challenge_keys(self, resource: str, env: Env, *, fresher: bool = False) -> KeySet:
        """The keys that a resource signs its transaction challenges with. Raises Fault."""
        told = await self.resource(resource, env)
        if told.challenge_jwks_uri is None:
            raise Fault(f"{resource} publishes no keys for transaction challenges")
        return await self.key_sets.get(told.challenge_jwks_uri, env, fresher=fresher)
