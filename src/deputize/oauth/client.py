"""What we know of clients, resources and people."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Final

from deputize.core.ports import Env, Record
from deputize.core.values import Instant
from deputize.core.wire import b64u, json_object
from deputize.jose.keys import KeySet

# What this server itself tells of a person, at its own UserInfo Endpoint.
OWN_SCOPES: Final[Mapping[str, str]] = {"openid": "know who you are", "profile": "see your name"}

EVERY: Final = "*"  # in settings, of resources: all that there are


def secret_hash(text: str) -> str:
    """How a client secret is kept. It has at least 256 random bits (we make it), so a plain hash is enough."""
    return b64u(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())


@dataclass(frozen=True, slots=True)
class SecretHash:
    """A kept client secret; `until` is when it stops to be one (None: not yet decided)."""

    sha256: str
    until: Instant | None = None

    def matches(self, text: str, now: Instant) -> bool:
        same = hmac.compare_digest(self.sha256.encode(), secret_hash(text).encode())
        return same and (self.until is None or now < self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Where a client told of itself at its own id: what of it this server keeps, and until when.

    `digest` stands for what a person's yes rests on: where it changes, they are asked again. `always_asked` says that
    no earlier yes stands for this client. `calls_itself` is the name that it claims, which nobody has checked.
    `policy` stands for the settings under which it was read.
    """

    fetched_at: Instant
    fresh_until: Instant
    digest: str
    policy: str
    calls_itself: str = ""
    always_asked: bool = True
    jwks_uri: str | None = None
    spiffe_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Client(Record):
    """A client. `key` is its client_id; `jwks` the JSON text of its keys; `serves` the resource that it is, if one.

    `auth_method` is the one method it authenticates with. `audiences` and `scope` bound what it may ever be given.
    `legacy_audience_until` is until when its assertions may have the token endpoint's URL as their audience, as clients
    from before rfc7523bis write it. `certificate_subject` is the one subject that its certificates name, `certificates`
    are thumbprints of those that it pinned, `certificate_bound` says that its tokens are bound to the certificate that
    it shows (RFC 8705).
    `redirect_uris` are where its answers may be sent, `application_type` is "native" for one on a person's own machine,
    whose loopback ports float, and else "web". `pushes` says that its authorization requests are pushed, `signs` that
    they are signed. `how_known` is told to the person who is asked. `document` is there where nobody registered the
    client, and its id is the URL of what it says of itself; `said` stands for what it said where it registered itself.
    `post_logout_redirect_uris` are where a person may go on to after signing out; at `backchannel_logout_uri` it hears
    of the end of each session that it was told of.
    """

    kind: ClassVar[str] = "client"
    kept: ClassVar[bool] = True

    name: str
    auth_method: str
    grant_types: frozenset[str]
    audiences: frozenset[str] = frozenset()
    scope: frozenset[str] = frozenset()
    jwks: str = '{"keys":[]}'
    secrets: tuple[SecretHash, ...] = ()
    legacy_audience_until: Instant | None = None
    dpop_bound: bool = False
    certificate_subject: str | None = None
    certificates: frozenset[str] = frozenset()
    certificate_bound: bool = False
    redirect_uris: tuple[str, ...] = ()
    application_type: str = "web"
    pushes: bool = False
    signs: bool = False
    serves: str | None = None
    how_known: str = "registered by your administrator"
    disabled_at: Instant | None = None
    document: Document | None = None
    said: str = ""
    post_logout_redirect_uris: tuple[str, ...] = ()
    backchannel_logout_uri: str = ""

    @property
    def keys(self) -> KeySet:
        return _key_set(self.jwks)

    @property
    def rests_on(self) -> str:
        """What a yes to this client rests on: empty where it changes only by the operator's hand."""
        return self.document.digest if self.document else self.said


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A row of `oauth.clients`: how a client_id becomes a client. None where this way does not know it."""

    name: str
    find: Callable[[str, Env], Awaitable[Client | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource(Record):
    """A protected resource that this server issues tokens for. `key` is its identifier (RFC 8707), the audience.

    `scopes` maps each scope to words that follow "… wants to"; `default_scope` is what an authorization request without
    a scope asks for (empty: all of them); `jwks` holds the keys that it signs challenges with. `own` says that it is
    this server itself, at its UserInfo Endpoint.
    """

    kind: ClassVar[str] = "resource"
    kept: ClassVar[bool] = True

    name: str
    scopes: Mapping[str, str] = field(default_factory=dict)
    default_scope: frozenset[str] = frozenset()
    jwks: str = '{"keys":[]}'
    own: bool = False
    disabled_at: Instant | None = None

    @property
    def keys(self) -> KeySet:
        return _key_set(self.jwks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person(Record):
    """A person. `key` is the subject that tokens name; `login` is what they type, and what a client may hint."""

    kind: ClassVar[str] = "person"
    kept: ClassVar[bool] = True
    indexed: ClassVar[tuple[str, ...]] = ("login",)

    login: str
    name: str
    disabled_at: Instant | None = None


async def resources_named(names: tuple[str, ...], env: Env) -> tuple[Resource, ...]:
    """The resources of these names, as far as there are such; `*` means all."""
    if EVERY not in names:
        named = [await env.store.read(Resource, name) for name in names]
        return tuple(one for one in named if one is not None)
    found: list[Resource] = []
    while page := await env.store.select(Resource, "", "", after=found[-1].key if found else ""):
        found += page
    return tuple(found)


def own_resource(issuer: str) -> Resource:
    """This server as a resource: tokens for its UserInfo Endpoint are for it."""
    return Resource(key=issuer, name="this server", scopes=OWN_SCOPES, own=True)


@lru_cache(maxsize=4096)  # a pure function of its text
def _key_set(jwks: str) -> KeySet:
    return KeySet.from_jwks(json_object(jwks.encode(), bytes_max=256 * 1024))
