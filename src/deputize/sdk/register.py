"""How a program becomes a client of a server: registered by hand, by its own document, by asking, or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from deputize.core.ports import Clock, Random
from deputize.core.rules import Fault, Rule
from deputize.core.values import ClientId, IssuerIdentifier, Secret, WebUrl
from deputize.core.wire import Call, json_bytes
from deputize.jose.keys import PrivateKey
from deputize.oauth.metadata import ServerMetadata
from deputize.sdk.answers import is_plain, members
from deputize.sdk.connection import Connection, is_loopback
from deputize.sdk.flow import Flow
from deputize.sdk.login import ClientLogin, Method, PrivateKeyJwt, Public, SecretBasic, SecretPost

SAME_REDIRECT = Rule("RFC 7591", "3.2.1", "The client that was made answers at the redirect URI that we asked for.")
GRANTS = ("authorization_code", "refresh_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A client at one server, and where its answers arrive (a loopback address; its port is chosen by the program)."""

    client_id: ClientId
    method: Method = field(default_factory=Public)
    redirect_uri: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A program that people use, and what it can show to servers.

    `redirect_base` is where browsers come back to, `known` the clients that were registered by hand, by issuer.
    `document` is the URL of its client id metadata document, `document_key` the key that it names, if it does.
    `key` binds tokens to this program (DPoP) at servers that can.
    """

    name: str
    redirect_base: str
    clock: Clock
    random: Random
    key: PrivateKey | None = None
    known: Mapping[str, Registered] = field(default_factory=dict)
    document: str | None = None
    document_key: PrivateKey | None = None

    def login(self, server: ServerMetadata, client: Registered) -> ClientLogin:
        """How this client signs its calls to that server."""
        return ClientLogin(
            client_id=client.client_id,
            issuer=IssuerIdentifier(server.issuer),
            method=client.method,
            clock=self.clock,
            random=self.random,
            dpop_key=self.key if server.dpop_signing_alg_values_supported else None,
        )


def become_client(application: Application, server: ServerMetadata, connection: Connection) -> Flow[Registered]:
    """The client that this program is at that server, in MCP's order. Raises Fault where a person has to register it.

    What is registered belongs to this issuer: the caller keeps it under that name, and never shows it to another.
    """
    known = application.known.get(server.issuer)
    if known is not None:
        return known
    if application.document is not None and server.client_id_metadata_document_supported:
        key = application.document_key
        method = PrivateKeyJwt(key) if key is not None else Public()
        return Registered(client_id=ClientId(application.document), method=method)
    if server.registration_endpoint is not None:
        return (yield from register(application, server, connection))
    raise Fault(f"{application.name} is no client of {server.issuer}: register it there, and say its client_id here")


def register(application: Application, server: ServerMetadata, connection: Connection) -> Flow[Registered]:
    """Register by asking (RFC 7591), with a redirect URI that no other server is told."""
    redirect_uri = connection.redirect_uri(application.redirect_base)
    at = WebUrl(server.registration_endpoint or "").text
    wanted = _method(server.token_endpoint_auth_methods_supported)
    body = json_bytes(
        {
            "client_name": application.name,
            "redirect_uris": [redirect_uri],
            "grant_types": list(GRANTS),
            "response_types": ["code"],
            "token_endpoint_auth_method": wanted,
            "application_type": "native" if is_loopback(redirect_uri) else "web",
        }
    )
    headers = (("content-type", "application/json"), ("accept", "application/json"))
    told = members((yield Call(method="POST", url=at, headers=headers, body=body)), good=201)
    name, secret = told.get("client_id"), told.get("client_secret")
    if not is_plain(name, 2048) or (secret is not None and not is_plain(secret, 2048)):
        raise Fault("the registration's answer has no usable client_id")
    if redirect_uri not in told.get("redirect_uris", [redirect_uri]):
        SAME_REDIRECT.refuse("invalid_redirect_uri", issuer=server.issuer)
    method: Method = Public()
    chosen = told.get("token_endpoint_auth_method", wanted)
    if chosen != "none":
        if secret is None or chosen not in {"client_secret_basic", "client_secret_post"}:
            raise Fault(f"{server.issuer} made a client that authenticates in a way that was not asked for")
        method = SecretPost(Secret(secret)) if chosen == "client_secret_post" else SecretBasic(Secret(secret))
    return Registered(client_id=ClientId(str(name)), method=method, redirect_uri=redirect_uri)


def _method(offered: frozenset[str]) -> str:
    """A program on a person's machine keeps no secret, so it wants none, where the server lets it."""
    return next((one for one in ("none", "client_secret_basic", "client_secret_post") if one in offered), "none")
