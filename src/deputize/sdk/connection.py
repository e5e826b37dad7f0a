"""A connection: one server, one resource, one tenant. What belongs to one of them never gets to another."""

import hashlib
from dataclasses import dataclass
from urllib.parse import urlsplit

from deputize.core.rules import Rule
from deputize.core.values import IssuerIdentifier, WebUrl
from deputize.core.wire import b64u

_UPDATE = "draft-ietf-oauth-security-topics-update-03"
OWN_REDIRECT = Rule(_UPDATE, "Defenses", "An answer arrives at the redirect URI of the connection that asked.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What is asked for, where, and for whom. `tenant` parts the people of a program that serves many."""

    issuer: IssuerIdentifier
    resource: str
    tenant: str = ""

    @property
    def id(self) -> str:
        """A name that no other connection has: for a redirect URI of its own, and to compare with it."""
        parts = (self.issuer.text, self.resource, self.tenant)
        whole = "".join(f"{len(part)}:{part}" for part in parts)
        return b64u(hashlib.sha256(whole.encode()).digest()[:12])

    def redirect_uri(self, base: str) -> str:
        """The redirect URI of this connection alone, under the program's own address."""
        return f"{base.rstrip('/')}/{self.id}"


def arrives_at(registered: str | None, base: str) -> str:
    """Where answers arrive: at what was registered, a loopback address with the port that the program listens on."""
    if registered is None:
        return base
    parts, own = urlsplit(registered), urlsplit(base)
    if not is_loopback(registered) or parts.hostname != own.hostname:
        return registered
    return parts._replace(netloc=own.netloc).geturl()


def hold_arrival(arrived: str, redirect_uri: str) -> str:
    """The query with which a browser came back, where it came back to the right place."""
    place, _, query = arrived.partition("?")
    if place != redirect_uri:
        OWN_REDIRECT.refuse("invalid_response", arrived=place[:200])
    return query


def is_loopback(redirect_uri: str) -> bool:
    """Whether a redirect URI leads to a program on the person's own machine (RFC 8252, 7.3)."""
    return urlsplit(redirect_uri).scheme == "http" and WebUrl(redirect_uri).is_loopback
