"""What we know of clients, resources and people."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

from deputize.core.ports import Record
from deputize.core.values import Instant
from deputize.core.wire import b64u, json_object
from deputize.jose.keys import KeySet


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
class Client(Record):
    """A client. `key` is its client_id; `jwks` the JSON text of its keys; `serves` the resource that it is, if one.

    `auth_method` is the one method it authenticates with. `audiences` and `scope` bound what it may ever be given.
    `legacy_audience_until` is until when its assertions may have the token endpoint's URL as their audience, as clients
    from before rfc7523bis write it. `certificate_subject` is the one subject that its certificates name, `certificates`
    are thumbprints of those that it pinned, `certificate_bound` says that its tokens are bound to the certificate that
    it shows (RFC 8705).
    `how_known` is told to the person who is asked.
    """

    kind: ClassVar[str] = "client"

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
    serves: str | None = None
    how_known: str = "registered by your administrator"
    disabled_at: Instant | None = None

    @property
    def keys(self) -> KeySet:
        return _key_set(self.jwks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource(Record):
    """A protected resource that this server issues tokens for. `key` is its identifier (RFC 8707), the audience.

    `scopes` maps each scope to words that follow "… wants to"; `jwks` holds the keys that it signs challenges with.
    """

    kind: ClassVar[str] = "resource"

    name: str
    scopes: Mapping[str, str] = field(default_factory=dict)
    jwks: str = '{"keys":[]}'
    disabled_at: Instant | None = None

    @property
    def keys(self) -> KeySet:
        return _key_set(self.jwks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person(Record):
    """A person. `key` is the subject that tokens name; `login` is what they type, and what a client may hint."""

    kind: ClassVar[str] = "person"
    indexed: ClassVar[tuple[str, ...]] = ("login",)

    login: str
    name: str
    disabled_at: Instant | None = None


@lru_cache(maxsize=4096)  # a pure function of its text
def _key_set(jwks: str) -> KeySet:
    return KeySet.from_jwks(json_object(jwks.encode(), bytes_max=256 * 1024))
